// What people do with their reminders, in a real browser against the real system: done, snooze, acknowledge,
// archive and undo, by mouse and by keyboard, in two tabs. And the screen of preferences.
import assert from "node:assert/strict"
import { test } from "node:test"
import { browser, eventually, openPage, runSystem, signIn, system, wallClock } from "./system.js"

runSystem()

let firstRun

const api = (method, path, body) => system.call("DUEBELL_TOKEN_2", method, path, body)
const notification = (page, title) => page.locator(".notification").filter({ hasText: title })

/** Creates a task that is due now, waits for its notification, and returns the task. */
async function told(title, more) {
  const task = await api("POST", "/api/tasks", { title, due_date: new Date().toISOString(), ...more })
  await eventually(async () => (await api("GET", "/api/notifications")).notifications.some((n) => n.task_id === task.id))
  return task
}

test("a new user is led to a first reminder", async () => {
  firstRun = await openPage(browser)
  await signIn(firstRun.page, system.url, /^demo/)
  await firstRun.page.getByText("Nothing yet").waitFor()
  await firstRun.page.getByText("Live", { exact: true }).waitFor()
  await firstRun.page.evaluate(() => (window.same = true))
  await firstRun.page.getByRole("button", { name: /^Try it/ }).click()
  await firstRun.page.getByText("Next:").waitFor()
  await firstRun.page.getByRole("link", { name: "Stretch" }).waitFor()
  assert.equal(await firstRun.page.getByText("Next:").evaluate((next) => getComputedStyle(next).borderInlineStartWidth), "0px")
  // The last test waits for this reminder.
})

test("done, archived, acknowledged, snoozed, and undone, in two tabs", async () => {
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/)
  await page.getByText("Live", { exact: true }).waitFor()
  const tab = await context.newPage()
  await tab.goto(system.url + "/console/inbox")
  await tab.getByText("Live", { exact: true }).waitFor()
  const pill = await told("Take the pill", { repeat: { every: "10m", times: 3 } })
  const rent = await told("Pay the rent")
  for (const one of [page, tab]) await notification(one, "Pay the rent").waitFor()

  // A row says in few words when the task was due, and on hover in full. Beside the eye is the word "Acknowledge" if
  // there is room.
  const due = notification(page, "Pay the rent").getByText(/^Due (today|yesterday), \d\d:\d\d$/)
  assert.match(await due.getAttribute("title"), /^Due \w+, \d+ \w+ \d{4} \d\d:\d\d(:\d\d)? CES?T \(UTC\+0\d:00\)$/)
  const word = notification(page, "Pay the rent").getByText("Acknowledge", { exact: true })
  assert.equal(await word.isVisible(), true)
  await page.setViewportSize({ width: 360, height: 740 })
  assert.equal(await word.isVisible(), false)
  assert.equal(await notification(page, "Pay the rent").getByRole("button", { name: "Acknowledge: Pay the rent" }).getAttribute("title"), "Acknowledge (a)")
  await page.setViewportSize({ width: 1280, height: 720 })

  // Done completes the task, and removes its notification in both tabs. Undo reverts both.
  await notification(page, "Pay the rent").getByRole("button", { name: "Done" }).click()
  for (const one of [page, tab]) await notification(one, "Pay the rent").waitFor({ state: "detached" })
  assert.equal((await api("GET", "/api/tasks/" + rent.id)).completed, true)
  await page.getByRole("button", { name: "Undo" }).click()
  for (const one of [page, tab]) await notification(one, "Pay the rent").waitFor()
  assert.equal((await api("GET", "/api/tasks/" + rent.id)).completed, false)

  // An archived notification is in the list of archived ones, and can be brought back from there.
  await notification(page, "Pay the rent").getByRole("button", { name: "Archive" }).click()
  for (const one of [page, tab]) await notification(one, "Pay the rent").waitFor({ state: "detached" })
  await page.getByLabel("Filters").selectOption("archived")
  await notification(page, "Pay the rent").getByRole("button", { name: "Back to the inbox" }).click()
  await page.getByText("Nothing archived").waitFor()
  await notification(tab, "Pay the rent").waitFor()
  await page.getByLabel("Filters").selectOption("all")

  // An acknowledged reminder is not repeated. Both tabs show that it is acknowledged, and the
  // button is gone.
  await notification(page, "Take the pill").getByRole("button", { name: "Acknowledge" }).click()
  for (const one of [page, tab]) await notification(one, "Take the pill").getByText("Acknowledged", { exact: true }).waitFor()
  assert.equal(await notification(tab, "Take the pill").getByRole("button", { name: "Acknowledge" }).count(), 0)
  assert.deepEqual((await api("GET", "/api/tasks/" + pill.id)).reminders.filter((r) => r.kind === "repeat" && r.state !== "cancelled"), [])

  // It is snoozed by a preset, and then by a typed time. A time in the past is refused.
  const before = Date.now()
  await notification(page, "Take the pill").getByRole("button", { name: "Snooze" }).click()
  const sizes = await page.locator(".snooze li button").evaluateAll((all) => all.map((b) => `${Math.round(b.offsetWidth)} ${Math.round(b.offsetHeight)}`))
  assert.deepEqual(sizes, sizes.map(() => sizes[0]), "one button is larger than the others")
  await page.getByRole("button", { name: "In an hour" }).click()
  await page.getByRole("dialog").waitFor({ state: "detached" })
  for (const one of [page, tab]) await notification(one, "Take the pill").getByText("Snoozed until").waitFor()
  const until = async () => (await api("GET", "/api/tasks/" + pill.id)).snoozed_until
  const snoozed = Date.parse(await until())
  assert.ok(snoozed >= before + 3_599_000 && snoozed <= Date.now() + 3_600_000, new Date(snoozed).toISOString())
  await notification(page, "Take the pill").getByRole("button", { name: "Snooze" }).click()
  const dialog = page.getByRole("dialog", { name: "Snooze until" })
  await dialog.getByLabel("Another time").fill("2020-01-01T09:00")
  await dialog.getByRole("button", { name: "Snooze", exact: true }).click()
  await dialog.getByRole("alert").getByText("Choose a time later than now.").waitFor()
  const year = new Date().getUTCFullYear()
  const [local, instant] = new Date().getUTCMonth() < 6 ? [`${year}-12-01T09:00`, `${year}-12-01T08:00:00Z`] : [`${year + 1}-05-01T09:00`, `${year + 1}-05-01T07:00:00Z`] // in Berlin
  await dialog.getByLabel("Another time").fill(local)
  await dialog.getByRole("button", { name: "Snooze", exact: true }).click()
  await dialog.waitFor({ state: "detached" })
  assert.equal(Date.parse(await until()), Date.parse(instant))

  // Notifications are marked as read and unread, and then all as read.
  await tab.getByRole("button", { name: "Mark as read: Pay the rent" }).click()
  await page.getByRole("button", { name: "Mark as unread: Pay the rent" }).click()
  await tab.getByRole("button", { name: "Mark as read: Pay the rent" }).waitFor()
  await told("Water the plants")
  await page.getByRole("button", { name: "Mark all as read" }).click()
  for (const one of [page, tab]) await one.waitForFunction(() => document.title === "Inbox · Duebell")
  assert.deepEqual(wrong, [])
  await context.close()
})

test("an occurrence that is done leads to the next one", async () => {
  const task = await told("Feed the cat", { due_date: undefined, due_local: wallClock(new Date(Date.now() - 60_000)), time_zone: "Europe/Berlin", recurrence: { rule: "FREQ=DAILY" } })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/)
  await notification(page, "Feed the cat").getByRole("button", { name: "Done" }).click()
  await page.getByText("Done. The next one:").waitFor()
  await notification(page, "Feed the cat").waitFor({ state: "detached" })
  assert.equal(await page.getByRole("button", { name: "Undo" }).count(), 0)
  assert.deepEqual((await api("GET", `/api/tasks/${task.id}/occurrences`)).occurrences.map((o) => o.state), ["completed"])
  assert.deepEqual(wrong, [])
  await context.close()
})

test("the inbox by keyboard alone", async () => {
  for (const title of ["first", "second", "third"]) await told(title)
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/)
  await notification(page, "third").waitFor()
  const focused = () => page.evaluate(() => document.activeElement.closest(".notification")?.querySelector("h2").firstChild.textContent)
  await page.keyboard.press("j")
  assert.equal(await focused(), "third")
  await page.keyboard.press("j")
  assert.equal(await focused(), "second")

  // When a notification leaves the list, the next one gets the focus. Undo brings it back.
  await page.keyboard.press("e")
  await notification(page, "second").waitFor({ state: "detached" })
  assert.equal(await focused(), "first")
  await page.keyboard.press("z")
  await notification(page, "second").waitFor()
  await page.keyboard.press("k")
  assert.equal(await focused(), "second")
  await page.keyboard.press("d")
  await notification(page, "second").waitFor({ state: "detached" })
  assert.equal(await focused(), "first")

  // Single keys do nothing while the dialog is open. When it closes, the focus goes back.
  await page.keyboard.press("s")
  const dialog = page.getByRole("dialog", { name: "Snooze until" })
  await dialog.waitFor()
  await page.keyboard.press("e")
  await page.keyboard.press("Escape")
  await page.locator("dialog").waitFor({ state: "detached" }) // the browser closes it some milliseconds before it is gone
  assert.equal(await focused(), "first")
  await page.keyboard.press("s")
  await dialog.waitFor()
  await page.keyboard.press("Enter") // the first preset
  await dialog.waitFor({ state: "detached" })
  await notification(page, "first").getByText("Snoozed until").waitFor()
  await page.keyboard.press("a")
  await page.keyboard.press("r")
  await page.getByRole("button", { name: "Mark as read: first" }).waitFor()

  // A dialog lists the keys, and can switch them off.
  await page.keyboard.press("?")
  const keys = page.getByRole("dialog", { name: "Keyboard shortcuts" })
  await keys.getByText("Archive", { exact: true }).waitFor()
  await keys.getByRole("switch", { name: "Use these keys" }).click()
  await page.keyboard.press("Escape")
  await keys.waitFor({ state: "detached" })
  await page.keyboard.press("?")
  await page.getByRole("button", { name: "Keyboard shortcuts" }).click()
  await keys.getByRole("switch", { name: "Use these keys" }).click()
  await page.keyboard.press("Escape")
  await keys.waitFor({ state: "detached" })
  await page.keyboard.press("j")
  await page.keyboard.press("Enter")
  await page.getByRole("heading", { name: "third" }).waitFor()
  assert.deepEqual(wrong, [])
  await context.close()
})

test("a task's page acknowledges and snoozes, and shows what other tabs do", async () => {
  const task = await told("Call Ada", { repeat: { every: "10m", times: 3 } })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/tasks/" + task.id)
  await page.getByRole("button", { name: "Acknowledge" }).waitFor()
  const tab = await context.newPage()
  await tab.goto(system.url + "/console/tasks/" + task.id)
  await tab.getByRole("button", { name: "Acknowledge" }).click()
  for (const one of [page, tab]) await one.getByRole("main").getByText("Acknowledged", { exact: true }).first().waitFor()
  await page.getByRole("button", { name: "Acknowledge" }).waitFor({ state: "detached" })
  await page.getByRole("button", { name: "Snooze" }).click()
  await page.getByRole("dialog").getByRole("button", { name: "Tomorrow morning" }).click()
  for (const one of [page, tab]) for (const part of [".summary", ".steps"]) await one.locator(part).getByText("Snoozed until tomorrow").waitFor()
  assert.deepEqual(wrong, [])
  await context.close()
})

test("quiet hours, bundles and defaults are saved, and what is wrong is told beside its field", async () => {
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/preferences")
  const stored = async (name) => JSON.stringify((await api("GET", "/api/preferences"))[name])
  const holds = (name, want) => eventually(async () => (await stored(name)) === JSON.stringify(want))
  const all = ["mo", "tu", "we", "th", "fr", "sa", "su"]

  const quiet = page.getByRole("region", { name: "Quiet hours" })
  await quiet.getByRole("button", { name: "Add quiet hours" }).click()
  await holds("quiet_hours", [{ from: "22:00", to: "07:00", days: all }])
  const night = quiet.getByRole("group", { name: /^Quiet hours 1/ })
  await night.getByText(/on the next day/).waitFor()
  const pieces = () => night.locator(".daybar-piece").evaluateAll((all) => all.map((piece) => [piece.style.left, piece.style.width]))
  assert.deepEqual(await pieces(), [["0%", "29.1667%"], ["91.6667%", "8.33333%"]])
  await night.getByLabel("From", { exact: true }).fill("21:30")
  await night.getByLabel("To", { exact: true }).fill("06:45")
  await night.getByText("Sat", { exact: true }).click()
  await night.getByRole("checkbox", { name: "Sunday" }).press("Space")
  await holds("quiet_hours", [{ from: "21:30", to: "06:45", days: all.slice(0, 5) }])

  // The nearer end of the window follows the mouse, in steps of a quarter of an hour.
  const track = await night.locator(".daybar-track").boundingBox()
  const x = (hour) => track.x + (track.width * hour) / 24
  await page.mouse.move(x(6.75), track.y + 10)
  await page.mouse.down()
  await page.mouse.move(x(8), track.y + 10, { steps: 4 })
  await page.mouse.up()
  await holds("quiet_hours", [{ from: "21:30", to: "08:00", days: all.slice(0, 5) }])

  await quiet.getByRole("button", { name: "Add more" }).click()
  const noon = quiet.getByRole("group", { name: /^Quiet hours 2/ })
  await noon.getByLabel("To", { exact: true }).fill("12:00")
  await quiet.getByRole("alert").getByText("can't end when they begin").waitFor()
  wrong.length = 0
  await noon.getByLabel("From", { exact: true }).fill("00:00")
  await quiet.getByRole("button", { name: "Add more" }).click()
  await quiet.getByRole("group", { name: /^Quiet hours 3/ }).getByLabel("To", { exact: true }).fill("00:00")
  await quiet.getByRole("alert").getByText("leaves no minute of the week free").waitFor()
  assert.equal(wrong.splice(0).filter((w) => !w.includes("400")).length, 0)
  for (const n of [3, 2]) await quiet.getByRole("button", { name: new RegExp(`^Remove: Quiet hours ${n}`) }).click()
  await holds("quiet_hours", [{ from: "21:30", to: "08:00", days: all.slice(0, 5) }])
  assert.equal(await quiet.getByRole("alert").getByText("leaves no minute").count(), 0)

  const bundles = page.getByRole("region", { name: "Fewer messages" })
  await bundles.getByLabel("E-mail").selectOption("15m")
  await bundles.getByLabel("Text message").selectOption("1m")
  await holds("bundle", { email: "15m", sms: "1m" })
  await bundles.getByLabel("Text message").selectOption("")
  await holds("bundle", { email: "15m" })

  const agenda = page.getByRole("region", { name: "Agenda" })
  await agenda.getByRole("switch", { name: "Send me an agenda" }).click()
  await holds("agenda", { channel: "email", at: "08:00", days: all })
  await agenda.getByLabel("Channel").selectOption("in_app")
  await agenda.getByLabel("At", { exact: true }).fill("07:30")
  await agenda.getByText("Sun", { exact: true }).click()
  await holds("agenda", { channel: "in_app", at: "07:30", days: all.slice(0, 6) })

  const tasks = page.getByRole("region", { name: "Tasks" })
  await tasks.getByLabel("Tasks of a whole day are due at").fill("08:15")
  await tasks.getByLabel("Another reminder").selectOption("1h")
  await holds("all_day_at", "08:15")
  await holds("default_reminders", ["0s", "1h"])

  await page.getByLabel(/^New phone number/).fill("0151 123")
  await page.getByRole("button", { name: "Add", exact: true }).last().click()
  await page.getByText("is not a number with its country code").waitFor()
  assert.equal(await page.getByLabel(/^New phone number/).getAttribute("aria-invalid"), "true")
  assert.equal(wrong.splice(0).filter((w) => !w.includes("400")).length, 0)

  // After a reload, all that was saved is shown.
  await page.reload()
  await night.getByText(/on the next day/).waitFor()
  assert.equal(await tasks.getByLabel("Tasks of a whole day are due at").inputValue(), "08:15")
  assert.deepEqual(wrong, [])
  await context.close()
})

test("a channel that is on says what it lacks", async () => {
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^admin/, "/console/preferences")
  const told = (text) => page.locator(".switches").getByText(text)
  for (const [channel, lacks] of [["Push", "You have no device yet."], ["Text message", "You have no phone number yet."], ["Webhook", "There is no address to call yet."]]) {
    assert.equal(await told(lacks).count(), 0)
    const toggle = page.getByRole("switch", { name: channel })
    await toggle.click()
    await told(lacks).waitFor()
    assert.match(await toggle.evaluate((input) => document.getElementById(input.getAttribute("aria-describedby")).textContent), new RegExp("^" + lacks))
  }
  await page.getByLabel(/^New phone number/).fill("+4915112345678")
  await page.getByLabel(/^New phone number/).press("Enter")
  await told("until you enter the code").waitFor()
  await page.getByRole("switch", { name: "Text message" }).click()
  await told("until you enter the code").waitFor({ state: "detached" })
  await page.locator(".switches").getByRole("link", { name: "To the inbox" }).click()
  await page.getByRole("button", { name: "Notify me in this browser" }).waitFor()
  assert.deepEqual(wrong, [])
  await context.close()
})

test("it can be installed, which iPhones want before they take notifications", async () => {
  const { context, page, wrong } = await openPage(browser, { userAgent: "Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X)" })
  await page.addInitScript(() => {
    delete window.PushManager
    navigator.standalone = false
  })
  await signIn(page, system.url, /^other/)
  await page.getByText("Add to Home Screen").waitFor()
  const tools = await context.newCDPSession(page)
  const { url, errors, data } = await tools.send("Page.getAppManifest")
  assert.deepEqual([url, errors], [system.url + "/console/app.webmanifest", []])
  const manifest = JSON.parse(data)
  assert.deepEqual([manifest.display, manifest.start_url, manifest.scope], ["standalone", "/console/inbox", "/console/"])
  const touch = await page.locator("link[rel=apple-touch-icon]").getAttribute("href")
  for (const [src, size] of [...manifest.icons.map((icon) => [icon.src, Number(icon.sizes.split("x")[0])]), [touch, 180]]) {
    const loaded = await page.evaluate((src) => new Promise((resolve, reject) => {
      const image = new Image()
      image.onload = () => resolve([image.naturalWidth, image.naturalHeight])
      image.onerror = () => reject(new Error(src))
      image.src = src
    }), src)
    assert.deepEqual(loaded, [size, size], src)
  }
  assert.deepEqual(wrong, [])
  await context.close()
})

test("the first reminder has arrived by itself", async () => {
  const { context, page, wrong } = firstRun
  await notification(page, "Stretch").waitFor({ timeout: 120_000 })
  await page.getByText("Nothing yet").waitFor({ state: "detached" })
  assert.equal(await page.evaluate(() => window.same), true)
  assert.deepEqual(wrong, [])
  await context.close()
})
