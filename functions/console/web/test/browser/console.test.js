// The console in a real browser, against the real system: what a person does, from signing in
// to signing out. Whatever the browser complains of on the way is a failure.
import assert from "node:assert/strict"
import { createECDH, createHash } from "node:crypto"
import { test } from "node:test"
import { browser, eventually, openPage, runSystem, signIn, system, wallClock } from "./system.js"

runSystem()

/** Calls the API as a user. */
const call = (...how) => system.call(...how)

test("a reminder arrives while the page is open", async () => {
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^demo/)
  assert.equal(new URL(page.url()).pathname, "/console/inbox")
  await page.getByRole("heading", { name: "Inbox" }).waitFor()
  await page.getByText("Nothing yet").waitFor()
  await page.getByText("Live", { exact: true }).waitFor()

  await page.getByRole("link", { name: "Tasks" }).click()
  await page.getByRole("button", { name: "All fields" }).click()
  await page.getByLabel("Title").fill("Stretch & <b>breathe</b>")
  const due = new Date(Math.ceil(Date.now() / 1000) * 1000 + 3000)
  await page.locator("[name=due]").fill(wallClock(due))
  await page.getByRole("button", { name: "Add", exact: true }).click()
  await page.getByRole("link", { name: "Stretch & <b>breathe</b>" }).waitFor()
  await page.getByRole("link", { name: "Inbox" }).click()

  const item = page.getByRole("listitem").filter({ hasText: "Stretch & <b>breathe</b>" })
  await item.waitFor({ timeout: 60_000 })
  await page.waitForFunction(() => document.title.startsWith("(1) "))
  await item.getByRole("button", { name: "Mark as read" }).click()
  await page.waitForFunction(() => document.title === "Inbox · Duebell")
  await item.getByRole("button", { name: "Mark as unread" }).waitFor()
  const { notifications } = await call("DUEBELL_TOKEN", "GET", "/api/notifications")
  assert.deepEqual(notifications.map((n) => [n.title, n.read_at !== null]), [["Stretch & <b>breathe</b>", true]])

  // Its task shows what became of it.
  await item.getByRole("link").click()
  await page.getByText("told", { exact: true }).waitFor()
  await page.getByRole("listitem").filter({ hasText: "Put into the inbox" }).last().waitFor()
  await page.locator(".steps li").filter({ hasText: /Read$/ }).waitFor()
  assert.deepEqual(wrong, [])
  await context.close()
})

test("a reload comes back to the same screen, and nothing is kept that lets anybody in", async () => {
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^demo/, "/console/preferences")
  await page.getByRole("heading", { name: "Preferences" }).waitFor()
  await page.reload()
  await page.getByRole("heading", { name: "Preferences" }).waitFor()
  assert.equal(new URL(page.url()).pathname + new URL(page.url()).search, "/console/preferences")
  const kept = await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }, document.cookie]))
  assert.doesNotMatch(kept, /eyJ/, "a token is kept")
  assert.equal(kept, JSON.stringify([{ "duebell.signed-in": "yes" }, {}, ""]))

  // What was typed is still there.
  await page.getByRole("link", { name: "Tasks" }).click()
  await page.getByRole("textbox", { name: "New task" }).fill("Half a ta")
  await page.reload()
  await eventually(async () => (await page.getByRole("textbox", { name: "New task" }).inputValue()) === "Half a ta")

  // Another tab is let in without a question; after signing out none is.
  const other = await context.newPage()
  await other.goto(system.url + "/console/tasks")
  await other.getByRole("heading", { name: "Tasks", exact: true }).waitFor()
  await page.getByRole("button", { name: "Sign out" }).click()
  await page.getByRole("button", { name: "Sign in" }).waitFor()
  await page.goto(system.url + "/console/tasks")
  await page.getByRole("button", { name: "Sign in" }).click()
  await page.getByText("Who are you?").waitFor()
  await page.goBack()
  assert.equal(await page.evaluate(() => JSON.stringify([{ ...localStorage }, { ...sessionStorage }])).then((kept) => kept.includes("Half")), false)
  assert.deepEqual(wrong, [])
  await context.close()
})

test("an issuer that has forgotten the sign-in leads to the way in, and then to the screen", async () => {
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/tasks")
  await page.getByRole("heading", { name: "Tasks", exact: true }).waitFor()
  await context.clearCookies()
  await page.reload()
  await page.getByRole("button", { name: "Sign in" }).click()
  await page.getByRole("button", { name: /^other/ }).click()
  await page.getByRole("heading", { name: "Tasks", exact: true }).waitFor()
  assert.deepEqual(wrong, [])
  await context.close()
})

test("the policy is in force, and what it refuses is seen here", async () => {
  const { context, page, wrong } = await openPage(browser)
  await page.goto(system.url)
  await page.getByRole("button", { name: "Sign in" }).waitFor()
  assert.deepEqual(wrong, [])
  const refused = await page.evaluate(async () => {
    const tried = (what) => Promise.resolve().then(what).then(() => "done", (error) => error.name)
    return [
      await tried(() => { document.body.innerHTML = "<b>x</b>" }),
      await tried(() => fetch("https://example.com/")),
    ]
  })
  assert.deepEqual(refused, ["TypeError", "TypeError"])
  for (const refusal of ["TrustedHTML", "connect-src"]) {
    assert.ok(wrong.some((w) => w.includes(refusal)), `${refusal} is not among ${wrong}`)
  }
  await context.close()
})

test("a task is changed, completed and deleted, and another's change is not overwritten", async () => {
  const { context, page, wrong } = await openPage(browser)
  const task = await call("DUEBELL_TOKEN_2", "POST", "/api/tasks", { title: "Call the bank", due_date: "2031-05-01T07:30:00Z" })
  await signIn(page, system.url, /^other/, "/console/tasks/" + task.id)
  const title = page.getByLabel("Title")
  const edit = page.getByRole("button", { name: "Edit" })
  await edit.click()
  await title.fill("Call the other bank")
  assert.match(await page.getByLabel("Due", { exact: true }).inputValue(), /^2031-05-01T09:30/) // in Berlin
  await page.getByLabel("Another reminder").selectOption("30m")
  await page.getByRole("button", { name: "Save" }).click()
  await page.getByText("Saved", { exact: true }).waitFor()
  let stored = await call("DUEBELL_TOKEN_2", "GET", "/api/tasks/" + task.id)
  assert.deepEqual([stored.title, stored.due_date, stored.reminders.map((r) => r.before).sort()], ["Call the other bank", task.due_date, ["0s", "30m"]])

  // Meanwhile somebody else changes it.
  await call("DUEBELL_TOKEN_2", "PATCH", "/api/tasks/" + task.id, { notes: "Theirs" })
  wrong.length = 0
  await edit.click()
  await title.fill("Mine")
  await page.getByRole("button", { name: "Save" }).click()
  await page.getByText("was changed elsewhere").waitFor()
  assert.equal(wrong.splice(0).filter((w) => !w.includes("412")).length, 0)
  assert.equal((await call("DUEBELL_TOKEN_2", "GET", "/api/tasks/" + task.id)).title, "Call the other bank")
  await page.getByRole("button", { name: "Show the newest" }).click()
  await eventually(async () => (await page.getByLabel("Notes").inputValue()) === "Theirs")
  assert.equal(await title.inputValue(), "Call the other bank")
  await title.fill("Mine after all")
  await page.getByRole("button", { name: "Save" }).click()
  await page.getByRole("heading", { name: "Mine after all" }).waitFor()

  await page.getByRole("link", { name: "All tasks" }).click()
  await page.getByRole("checkbox", { name: "Complete “Mine after all”" }).click()
  await page.getByRole("checkbox", { name: "Reopen “Mine after all”" }).waitFor()
  await eventually(async () => (await call("DUEBELL_TOKEN_2", "GET", "/api/tasks/" + task.id)).completed)
  await page.getByLabel("State").selectOption("completed")
  await page.getByRole("link", { name: "Mine after all" }).click()
  await page.getByRole("button", { name: "Delete" }).click()
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click()
  await page.getByText("Task deleted").waitFor()
  const { tasks } = await call("DUEBELL_TOKEN_2", "GET", "/api/tasks")
  assert.deepEqual(tasks, [])
  assert.deepEqual(wrong, [])
  await context.close()
})

test("tasks are searched and sorted", async () => {
  for (const [title, day] of [["Pay the rent", 3], ["Call Ärztin", 1], ["Pay taxes", 2]]) {
    await call("DUEBELL_TOKEN_2", "POST", "/api/tasks", { title, due_date: `2031-05-0${day}T07:30:00Z` })
  }
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/tasks")
  const titles = () => page.locator(".task a").allInnerTexts()
  const shows = (...want) => eventually(async () => JSON.stringify(await titles()) === JSON.stringify(want))
  await shows("Pay taxes", "Call Ärztin", "Pay the rent")
  await page.getByLabel("Order").selectOption("due")
  await shows("Call Ärztin", "Pay taxes", "Pay the rent")
  await page.getByLabel("Order").selectOption("dueLast")
  await shows("Pay the rent", "Pay taxes", "Call Ärztin")
  await page.getByRole("searchbox", { name: "Search" }).fill("pay")
  await shows("Pay the rent", "Pay taxes")
  await page.getByRole("searchbox", { name: "Search" }).fill("ärzt")
  await shows("Call Ärztin")
  await page.getByRole("searchbox", { name: "Search" }).fill("nothing like it")
  await page.getByText("No task fits these filters.").waitFor()
  await page.getByRole("searchbox", { name: "Search" }).fill("")
  await shows("Pay the rent", "Pay taxes", "Call Ärztin")
  for (const task of (await call("DUEBELL_TOKEN_2", "GET", "/api/tasks")).tasks) await call("DUEBELL_TOKEN_2", "DELETE", "/api/tasks/" + task.id)
  assert.deepEqual(wrong, [])
  await context.close()
})

test("preferences are saved at once, and an address is verified by its code", async () => {
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/preferences")
  await page.getByRole("switch", { name: /Webhook/ }).click()
  await page.getByText("Saved", { exact: true }).waitFor()
  await page.getByLabel("New e-mail address").fill("ada@example.org")
  await page.getByRole("button", { name: "Add" }).first().click()
  await page.getByText("not verified").waitFor()
  const code = await eventually(async () => {
    const messages = await (await fetch(system.url + "/dev/messages")).json()
    return messages.find((m) => m.to === "ada@example.org")?.body.match(/\b[0-9]{6}\b/)?.[0]
  })
  await page.getByLabel("Code, six digits").fill(code)
  await page.getByRole("button", { name: "Verify" }).click()
  await page.getByText("verified", { exact: true }).waitFor()
  const stored = await call("DUEBELL_TOKEN_2", "GET", "/api/preferences")
  assert.deepEqual([stored.time_zone, stored.language, stored.channels.webhook, stored.emails], ["Europe/Berlin", "en", true, [{ address: "ada@example.org", state: "verified" }]])

  // Each channel is tried by a message to oneself.
  await page.getByRole("button", { name: "Send a test: E-mail" }).click()
  await page.getByRole("status").filter({ hasText: "ada@example.org" }).getByText("sent", { exact: true }).waitFor({ timeout: 60_000 })
  const messages = await (await fetch(system.url + "/dev/messages")).json()
  assert.ok(messages.some((m) => m.to === "ada@example.org" && m.subject.includes("Test message")), JSON.stringify(messages))
  wrong.length = 0
  await page.getByRole("button", { name: "Send a test: Text message" }).click()
  await page.getByText("your preferences name no phone number").waitFor()
  assert.equal(wrong.splice(0).filter((w) => !w.includes("409")).length, 0)

  await page.getByLabel("Language of this page and of messages").selectOption("de")
  await page.getByRole("heading", { name: "Einstellungen" }).waitFor()
  await eventually(async () => (await call("DUEBELL_TOKEN_2", "GET", "/api/preferences")).language === "de")
  assert.equal(await page.evaluate(() => document.documentElement.lang), "de")
  assert.deepEqual(wrong, [])
  await context.close()
})

test("this browser is told while no page listens, opens the task, and is switched off again", async () => {
  // The sandbox's browsers have these keys: what Duebell sends is read there, and put into the real
  // worker by DevTools. Only what asks the browser maker's own service is replaced.
  const key = createECDH("prime256v1")
  key.setPrivateKey(createHash("sha256").update("duebell sandbox.").digest())
  const subscription = {
    endpoint: system.url + "/dev/webpush/console",
    keys: { p256dh: key.getPublicKey("base64url"), auth: Buffer.from("duebell sandbox.").toString("base64url") },
  }
  const { context, page, wrong } = await openPage(browser)
  await context.grantPermissions(["notifications"], { origin: system.url })
  await context.addInitScript((subscription) => {
    let subscribed = null
    PushManager.prototype.subscribe = async ({ applicationServerKey }) => {
      const bytes = Uint8Array.from(atob(applicationServerKey.replaceAll("-", "+").replaceAll("_", "/")), (c) => c.charCodeAt(0))
      subscribed = {
        ...subscription, options: { applicationServerKey: bytes.buffer }, toJSON: () => ({ ...subscription, expirationTime: null }),
        unsubscribe: async () => { subscribed = null; return true },
      }
      return subscribed
    }
    PushManager.prototype.getSubscription = async () => subscribed
  }, subscription)
  const tools = await context.newCDPSession(page)
  let registrationId
  tools.on("ServiceWorker.workerRegistrationUpdated", ({ registrations }) => (registrationId = registrations.at(-1)?.registrationId ?? registrationId))
  await tools.send("ServiceWorker.enable")

  await signIn(page, system.url, /^other/)
  await page.getByRole("button", { name: "Notify me in this browser" }).click()
  await page.getByText("This browser notifies you").waitFor()
  const chosen = await call("DUEBELL_TOKEN_2", "GET", "/api/preferences")
  assert.equal(chosen.channels.push, true)
  assert.deepEqual(chosen.devices, [{ id: chosen.devices[0].id, provider: "webpush", subscription: { endpoint: system.url + "/***" } }])

  // A reminder comes to the browser's push service, encrypted for it.
  const task = await call("DUEBELL_TOKEN_2", "POST", "/api/tasks", { title: "Breathe & <b>stretch</b>", due_date: new Date().toISOString() })
  const caught = await eventually(async () => (await (await fetch(system.url + "/dev/messages")).json()).find((m) => m.to === subscription.endpoint))
  assert.deepEqual([caught.provider, caught.subject], ["webpush", task.title])

  // The worker shows it, and a click opens the task in the page that is there, without a reload.
  await eventually(() => registrationId)
  const worker = context.serviceWorkers()[0]
  // A test must not ask Chromium for a notification before it is on display: Chromium would then treat it as closed
  // by the user.
  await worker.evaluate(() => {
    const show = registration.showNotification.bind(registration)
    self.displayed = 0
    registration.showNotification = (...args) => show(...args).then(() => displayed++)
  })
  const deliver = async (message) => {
    const before = await worker.evaluate(() => displayed)
    await tools.send("ServiceWorker.deliverPushMessage", { origin: system.url, registrationId, data: typeof message === "string" ? message : JSON.stringify(message) })
    await eventually(() => worker.evaluate((before) => displayed > before, before))
  }
  const shown = () => worker.evaluate(async () => (await registration.getNotifications()).map(({ title, body, tag, actions }) => ({ title, body, tag, actions: actions.map((a) => a.action + " " + a.title) })))
  const message = { delivery_id: caught.delivery_id, task_id: task.id, title: caught.subject, body: caught.body, language: "en" }
  await deliver(message)
  await deliver(message) // twice is once
  assert.deepEqual(await shown(), [{ title: task.title, body: caught.body, tag: caught.delivery_id, actions: [] }])
  // Without a real click a worker may not bring a page to the front: that it says so is right.
  const click = (action) => worker.evaluate((action) => registration.getNotifications().then(([n]) => clicked(n, action)).catch((error) => error.name), action)
  await page.evaluate(() => (window.same = true))
  await click("")
  await page.getByRole("heading", { name: task.title }).waitFor()
  assert.equal(await page.evaluate(() => window.same), true)
  const closed = () => eventually(async () => (await shown()).length === 0)
  await closed()

  // A button posts its own link; if that fails, the task is shown.
  const posted = []
  await context.route("**/m/*", (route) => {
    posted.push(route.request().method() + " " + new URL(route.request().url()).pathname)
    return route.fulfill({ status: route.request().url().endsWith("/stale") ? 410 : 200 })
  })
  const buttons = [{ action: "done", title: "Done", url: system.url + "/m/done" }, { action: "snooze", title: "Snooze", url: system.url + "/m/stale" }]
  for (const [action, path] of [["done", "/console/inbox"], ["snooze", "/console/tasks/" + task.id]]) {
    await page.getByRole("link", { name: "Inbox" }).click()
    await deliver({ ...message, actions: buttons })
    assert.deepEqual((await shown())[0].actions, ["done Done", "snooze Snooze"])
    await click(action)
    await eventually(() => new URL(page.url()).pathname === path)
    await closed()
  }
  assert.deepEqual(posted, ["POST /m/done", "POST /m/stale"])

  // What can't be read is shown as well: a browser would say something of its own.
  await deliver("hello")
  assert.deepEqual((await shown()).map((n) => n.title), ["Duebell"])

  await page.getByRole("link", { name: "Inbox" }).click()
  await page.getByRole("button", { name: "Switch off here" }).click()
  await page.getByRole("button", { name: "Notify me in this browser" }).waitFor()
  const after = await call("DUEBELL_TOKEN_2", "GET", "/api/preferences")
  assert.deepEqual([after.devices, after.channels.push], [[], false])
  assert.deepEqual(wrong.filter((w) => !w.includes("410")), [])
  await context.close()
})

test("a connection that was cut is made again, and what came meanwhile is there", async () => {
  const { context, page } = await openPage(browser)
  await signIn(page, system.url, /^demo/)
  await page.getByText("Live", { exact: true }).waitFor()
  await context.setOffline(true)
  await page.getByText("Offline", { exact: true }).waitFor()
  await call("DUEBELL_TOKEN", "POST", "/api/tasks", { title: "While away", due_date: new Date().toISOString() })
  await eventually(async () => (await call("DUEBELL_TOKEN", "GET", "/api/notifications")).notifications.some((n) => n.title === "While away"))
  await context.setOffline(false)
  await page.getByRole("listitem").filter({ hasText: "While away" }).waitFor()
  await page.getByText("Live", { exact: true }).waitFor()
  await context.close()
})
