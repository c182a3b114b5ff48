// What operators do in a real browser, against the real system, and how a task's timeline shows a hard case.
// A test fails if the browser reports an error.
import assert from "node:assert/strict"
import { execFileSync } from "node:child_process"
import { test } from "node:test"
import { checkLooks } from "./looks.js"
import { browser, eventually, openPage, runSystem, signIn, system, wallClock } from "./system.js"

runSystem()

/** Calls the API with one of the system's tokens. */
const call = (...how) => system.call(...how)

/** Makes the sandbox's providers answer with a fault, or ends the fault. */
const fault = (method, body) => fetch(system.url + "/dev/faults", { method, headers: { "Content-Type": "application/json" }, body: body && JSON.stringify(body) })

/** Runs SQL on the database, to make states that would otherwise take days. */
const sql = (text) => execFileSync("psql", [system.variables.DATABASE_URL, "-v", "ON_ERROR_STOP=1", "-qAtc", text], { encoding: "utf8" }).trim()

test("operators see what others don't", async () => {
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/)
  assert.equal(await page.getByRole("link", { name: "Operators" }).count(), 0)
  await context.close()

  await call("DUEBELL_TOKEN", "POST", "/api/tasks", { title: "Stretch", due_date: new Date().toISOString() })
  await eventually(async () => (await call("DUEBELL_ADMIN_TOKEN", "GET", "/api/analytics")).days.length > 0)
  const operator = await openPage(browser)
  await signIn(operator.page, system.url, /^admin/)
  await operator.page.getByRole("link", { name: "Operators" }).click()
  await operator.page.getByText("No dead letters").waitFor()
  const health = operator.page.getByRole("region", { name: "Health" })
  await health.getByText("nothing waits").waitFor()
  await health.getByText(/has its jobs|did not answer/).waitFor()
  await health.getByText(/Duebell .*schema \d+, time zones \d{4}.*Postgres/).waitFor()
  await operator.page.getByRole("heading", { name: "Fired reminders" }).waitFor()
  const chart = operator.page.getByRole("figure").filter({ hasText: "Deliveries by channel" })
  await chart.getByRole("img", { name: /^Deliveries by channel, / }).waitFor()
  await chart.getByText("As a table").click()
  await chart.getByRole("columnheader", { name: "Inbox" }).waitFor()
  assert.match(await chart.getByRole("row").nth(1).innerText(), /\d/)
  assert.deepEqual([...wrong, ...operator.wrong], [])
  await operator.context.close()
})

test("operators discard and replay dead letters, and are asked first", async () => {
  await fault("POST", { provider: "webhook", status: 500 })
  await call("DUEBELL_TOKEN", "PUT", "/api/preferences", { time_zone: "Europe/Berlin", webhook: { url: system.url + "/dev/webhooks/demo" } })
  for (const title of ["one", "two"]) {
    await call("DUEBELL_TOKEN", "POST", "/api/tasks", { title, due_date: new Date().toISOString(), channels: ["webhook"] })
  }
  const states = async () => (await call("DUEBELL_ADMIN_TOKEN", "GET", "/api/dlq")).dead_letters.map((letter) => letter.state).sort().join(" ")
  await eventually(async () => (await states()) === "retrying retrying")

  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^admin/, "/console/operators")
  await page.getByLabel("State", { exact: true }).selectOption("retrying")
  // A replay of many first counts the dead letters. Nothing is replayed before that is confirmed.
  await page.getByLabel("Channel", { exact: true }).selectOption("webhook")
  await page.getByLabel("First failed").selectOption("hour")
  await page.getByLabel("Provider", { exact: true }).selectOption("webhook")
  await page.getByRole("button", { name: "Replay all of these" }).click()
  await page.getByRole("dialog", { name: /^Replay \d dead letter/ }).getByRole("button", { name: "Replay" }).click()
  await page.getByText(/deliver(y is|ies are) due now/).waitFor()
  await page.getByLabel("Provider", { exact: true }).selectOption("") // a delivery that is replayed has no provider yet

  // Each attempt is there, with what the receiver has answered.
  await page.getByText("Attempts and details").first().click()
  await page.locator(".tries li").filter({ hasText: "Attempt 1: not taken by webhook" }).filter({ hasText: "500" }).first().waitFor()

  await page.getByRole("button", { name: "Discard" }).first().click()
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click()
  assert.equal(await states(), "retrying retrying")
  await page.getByRole("button", { name: "Discard" }).first().click()
  await page.getByRole("dialog").getByRole("button", { name: "Discard" }).click()
  await page.getByText("Discarded", { exact: true }).waitFor()
  assert.equal(await states(), "discarded retrying")
  // A delivery that its provider may have taken is replayed only if the operator confirms it a
  // second time.
  sql(`update deliveries set state = 'unknown', next_attempt_at = now() + interval '1 h' where id = (select delivery_id from dead_letters where state = 'retrying')`)
  await page.getByRole("button", { name: "Replay" }).click()
  await page.getByRole("dialog").getByRole("button", { name: "Replay" }).click()
  const again = page.getByRole("dialog", { name: "Send it all the same?" })
  await again.getByText("may have taken it").waitFor()
  await fault("DELETE")
  await again.getByRole("button", { name: "Send it all the same" }).click()
  await page.getByText("It is due now").waitFor()
  await eventually(async () => (await states()) === "discarded resolved")
  await page.getByLabel("State", { exact: true }).selectOption("resolved")
  await page.getByText("Attempts and details").click()
  await page.locator(".tries li").filter({ hasText: "Replayed by an operator" }).last().waitFor()
  assert.deepEqual(wrong.filter((w) => !w.includes("409")), [])
  await context.close()
})

test("a task's timeline tells what came of it, and goes on by itself", async () => {
  await fault("POST", { provider: "webhook", status: 503 })
  await call("DUEBELL_TOKEN_2", "PUT", "/api/preferences", { time_zone: "Europe/Berlin", webhook: { url: system.url + "/dev/webhooks/other" } })
  const task = await call("DUEBELL_TOKEN_2", "POST", "/api/tasks", {
    title: "Water the plants", due_local: wallClock(new Date(Date.now() - 60_000)), time_zone: "Europe/Berlin", recurrence: { rule: "FREQ=DAILY" }, channels: ["in_app", "webhook"],
  })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/tasks/" + task.id)
  await page.getByRole("paragraph").filter({ hasText: "Every day" }).waitFor()
  const events = page.getByRole("region", { name: "Timeline" }).getByRole("listitem")
  const fired = events.filter({ hasText: "Reminder fired" })
  await fired.waitFor({ timeout: 60_000 })
  const webhook = fired.getByRole("listitem").filter({ hasText: "Webhook" })
  await webhook.getByText("Attempt 1: not taken by webhook").waitFor({ timeout: 60_000 })
  await webhook.getByText("503").first().waitFor()
  await fault("DELETE")
  await webhook.getByText(/^Taken by webhook at attempt \d/).waitFor({ timeout: 90_000 })
  await webhook.getByText("sent", { exact: true }).waitFor()
  // Past events are above "now", and future ones below it.
  const order = await page.locator(".timeline > li").allInnerTexts()
  const at = (text) => order.findIndex((e) => e.includes(text))
  assert.ok(at("Task created") < at("Reminder fired") && at("Reminder fired") < at("Now") && at("Now") < at("Reminder fires"), order.join("\n"))

  // Jobs and events for programs are technical details. They are shown once somebody switches them
  // on, and stay on.
  const technical = [page.getByText(/Dapr holds its job|until it is given to Dapr/), fired.getByRole("listitem").filter({ hasText: /^Event/ })]
  const counts = () => Promise.all(technical.map((one) => one.count()))
  assert.deepEqual(await counts(), [0, 0])
  await page.getByRole("switch", { name: "Show technical details" }).click()
  for (const one of technical) await one.first().waitFor()
  await page.reload()
  for (const one of technical) await one.first().waitFor()
  await page.getByRole("switch", { name: "Show technical details" }).click()
  assert.deepEqual(await counts(), [0, 0])
  await call("DUEBELL_TOKEN_2", "DELETE", "/api/tasks/" + task.id)
  assert.deepEqual(wrong, [])
  await context.close()
})

/** Makes a recurring task of the user "other" as it is after a month: with 30 occurrences, five channels, deliveries
 * in many states, and one real firing of today. */
async function hardCase() {
  const user = { "Duebell-User": "other" }
  const far = (ms) => wallClock(new Date(Date.now() + 43_200_000 + ms)).slice(11, 16)
  await call("DUEBELL_SERVICE_TOKEN", "PUT", "/api/preferences", {
    time_zone: "Europe/Berlin", language: "en", channels: { in_app: true, email: true, push: true, sms: true, webhook: true },
    emails: [{ address: "ada@example.org", verified: true }], phones: [{ address: "+4915112345678", verified: true }],
    devices: [{ provider: "fcm", token: "a-token-of-a-device-0123456789" }], webhook: { url: system.url + "/dev/webhooks/secret-of-other" },
    quiet_hours: [{ from: far(0), to: far(60_000), days: ["mo", "su"] }], bundle: { email: "10s" },
  }, user)
  await fault("POST", { provider: "webhook", status: 503 })
  const due_local = wallClock(new Date(Date.now() - 60_000))
  const task = await call("DUEBELL_TOKEN_2", "POST", "/api/tasks", { title: "Take the medicine", due_local, time_zone: "Europe/Berlin", recurrence: { rule: "FREQ=DAILY" } })
  await call("DUEBELL_TOKEN_2", "POST", "/api/tasks", { title: "Feed the cat", due_date: new Date().toISOString(), channels: ["email"] })
  const channel = async (name) => (await call("DUEBELL_TOKEN_2", "GET", `/api/tasks/${task.id}/deliveries`)).deliveries.find((d) => d.channel === name)
  await eventually(async () => (await channel("email"))?.state === "sent" && (await channel("webhook"))?.attempts >= 1)
  await fault("DELETE")
  await eventually(async () => (await channel("webhook")).state === "sent")
  const tries = `'[{"at":"2026-01-01T00:00:00Z","attempt":1,"provider":"sendgrid","state":"planned","error":"503 Service Unavailable","next":"2026-01-01T00:00:00Z"},
    {"at":"2026-01-01T00:00:01Z","attempt":2,"provider":"ses","state":"unknown","error":"the connection was cut","next":"2026-01-01T00:01:01Z"},
    {"at":"2026-01-01T00:01:01Z","attempt":2,"provider":"ses","state":"held","error":"your quiet hours","next":"2026-01-01T05:00:00Z"},
    {"at":"2026-01-01T05:00:01Z","attempt":3,"provider":"ses","state":"planned","error":"429 Too Many Requests: slow down","next":"2026-01-01T05:05:01Z"}]'::jsonb`
  sql(`
    create temp table past as
    select n, now() - n * interval '1 day' as at, (select occurrence from deliveries where task_id = '${task.id}' limit 1) - n * interval '1 day' as occurrence from generate_series(1, 29) n;
    insert into occurrences (task_id, series, occurrence, occurs_at, state, settled_at)
    select '${task.id}', (select series from tasks where id = '${task.id}'), occurrence, at, (array['told', 'told', 'told', 'missed', 'skipped', 'completed'])[1 + n % 6], at from past
    on conflict do nothing;
    insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, attempts, provider, last_error, reason, created_at, due_at, finished_at, next_attempt_at, series, occurrence, tries, report, reported_at)
    select (lpad(to_hex((extract(epoch from at) * 1000)::bigint), 12, '0') || '70008000' || lpad(to_hex(n * 10 + o.place), 12, '0'))::uuid,
      '${task.reminders[0].id}', 1000 - n, '${task.id}', 'other', o.channel,
      case o.channel when 'email' then 'ada@example.org' when 'sms' then '+4915112345678' when 'push' then 'fcm:a-token-of-a-device-0123456789' when 'webhook' then '${system.url}/dev/webhooks/secret-of-other' else '' end,
      o.state, o.attempts, o.provider, o.error, o.reason, at, at - interval '20 ms', case when o.state not in ('planned', 'unknown') then at + interval '6 h' end,
      case when o.state in ('planned', 'unknown') then now() + interval '1 day' end, (select series from tasks where id = '${task.id}'), occurrence,
      case when o.attempts > 2 then (select jsonb_agg(jsonb_set(jsonb_set(t, '{at}', to_jsonb(at + ((t->>'at')::timestamptz - '2026-01-01'))), '{next}', to_jsonb(at + ((t->>'next')::timestamptz - '2026-01-01')))) from jsonb_array_elements(${tries}) t) end,
      case when n = 5 and o.channel = 'email' then 'bounced' end, case when n = 5 and o.channel = 'email' then at + interval '7 h' end
    from past cross join lateral (values
      (1, 'in_app', 'sent', 0, null, null, null),
      (2, 'email', (array['exhausted', 'sent', 'cancelled', 'unknown'])[1 + n % 4], 3, 'ses', case when n % 4 in (0, 3) then 'still 429' end, case n % 4 when 2 then 'completed' end),
      (3, 'push', (array['sent', 'failed'])[1 + n % 2], 1, 'fcm', case n % 2 when 1 then '404: UNREGISTERED' end, null),
      (4, 'sms', (array['refused', 'suppressed', 'unverified', 'planned'])[1 + n % 4], 0, null, 'nothing is sent there', case n % 4 when 3 then 'quiet_hours' end)
    ) as o (place, channel, state, attempts, provider, error, reason) where n % 3 > 0`)
  return task
}

test("a month of a recurring task is one picture, in both languages and themes", async () => {
  const task = await hardCase()
  for (const [theme, place, viewport, locale] of [
    ["light", "desk", { width: 1280, height: 860 }, "en-GB"], ["dark", "desk", { width: 1280, height: 860 }, "de-DE"],
    ["light", "phone", { width: 360, height: 740 }, "de-DE"], ["dark", "phone", { width: 360, height: 740 }, "en-GB"],
  ]) {
    const { context, page } = await openPage(browser, { viewport, locale, colorScheme: theme, bypassCSP: true, reducedMotion: "reduce" })
    const name = (what) => `${what}-${theme}-${place}-${locale.slice(0, 2)}`
    await signIn(page, system.url, /^other/, "/console/tasks/" + task.id)
    const timeline = page.locator(".timeline")
    await timeline.locator("details").nth(19).waitFor() // firings of 19 days, and today's
    // The latest firing is open, and so is each with a delivery that has not ended. The others show only their
    // channels and how each delivery ended.
    assert.equal(await timeline.locator("details").last().evaluate((d) => d.open), true)
    const closed = timeline.locator("details:not([open])").first()
    await closed.locator(".outcomes .tag").first().waitFor()
    await checkLooks(page, name("timeline"))
    const first = timeline.locator("details").first()
    await first.locator("summary").press("Enter") // by keyboard
    assert.equal(await first.evaluate((d) => d.open), true)
    for (const d of await timeline.locator("details").all()) await d.evaluate((d) => (d.open = true))
    if (place === "phone") await checkLooks(page, name("timeline-open"))
    const text = await timeline.innerText()
    assert.doesNotMatch(text, /Job (given to|an) Dapr/) // operators see it, in the next test
    for (const want of locale === "de-DE"
      ? ["2 Erinnerungen in einer Nachricht", "der nächste Anbieter ist an der Reihe", "Unklar, ob er von ses angenommen wurde", "Zurückgehalten wegen Ruhezeit bis", "Nach Versuch 3 aufgegeben", "erledigt", "Termin verpasst", "Termin übersprungen", "zurückgekommen", "Die Person hinter der Adresse hat nicht zugestimmt"]
      : ["2 reminders in one message", "the next provider has its turn", "nobody can say whether ses has taken it", "Held by quiet hours until", "Given up after attempt 3", "Cancelled: the task, or this occurrence, was completed first", "Occurrence missed", "Occurrence skipped", "ses reports: came back", "the owner of the address has not agreed"]) {
      assert.ok(text.includes(want), `${locale}: ${want} is not in\n${text}`)
    }
    await context.close()
  }
})

test("support reads what a user has, masked, and it is recorded", async () => {
  const acts = () => Number(sql(`select count(*) from audit_acts where user_id = 'other' and method = 'GET'`))
  const before = acts()
  for (const [theme, place, viewport, locale] of [["light", "desk", { width: 1280, height: 860 }, "en-GB"], ["dark", "phone", { width: 360, height: 740 }, "de-DE"]]) {
    const { context, page, wrong } = await openPage(browser, { viewport, locale, colorScheme: theme, bypassCSP: true, reducedMotion: "reduce" })
    const name = (what) => `${what}-${theme}-${place}-${locale.slice(0, 2)}`
    await signIn(page, system.url, /^admin/, "/console/operators")
    await page.locator(".health").waitFor()
    await page.locator(".chart").first().waitFor()
    await checkLooks(page, name("overview"))
    await page.getByLabel(/^(User id|Benutzer-ID)$/).fill("other")
    await page.keyboard.press("Enter")
    await page.getByText("a***@example.org").waitFor()
    await page.getByText("+49***78").waitFor()
    await page.getByText(system.url + "/***").waitFor()
    await checkLooks(page, name("user"))
    await page.getByRole("link", { name: "Take the medicine" }).click()
    await page.getByRole("table").waitFor()
    await page.locator(".timeline details").first().waitFor()
    await page.locator(".timeline").getByText(/^(Job given to Dapr|Job an Dapr übergeben)/).first().waitFor()
    await checkLooks(page, name("user-task"))
    assert.doesNotMatch(await page.locator("main").innerText(), /ada@|secret-of-other|15112345678|device-0123456789/)
    for (const control of ["textbox", "checkbox", "switch"]) assert.equal(await page.locator("main").getByRole(control).count(), 0)
    // A user's id may have any characters.
    await page.goto(system.url + "/console/operators/users/" + encodeURIComponent("no/body ü"))
    await page.getByText(/Is the id right|Stimmt die ID/).waitFor()
    assert.deepEqual(wrong, [])
    await context.close()
  }
  assert.ok(acts() >= before + 8, `${acts() - before} looks are recorded`)
  assert.notEqual(sql(`select count(*) from audit_acts where user_id = 'no/body ü'`), "0")
})

test("what is wrong is said in words, with what to do", async () => {
  const { context, page } = await openPage(browser)
  await context.route("**/api/status", async (route) => {
    const response = await route.fetch()
    const status = await response.json()
    await route.fulfill({ response, json: { ...status, dapr: { state: "lost", pending: 3 }, last_sweep: { ...status.last_sweep, failed: ["wake_sender"] }, oldest_waiting_seconds: { ...status.oldest_waiting_seconds, firing: 300 } } })
  })
  await signIn(page, system.url, /^admin/, "/console/operators")
  const health = page.getByRole("region", { name: "Health" })
  await health.getByText("Reminders wait to fire, the oldest for 5 min").waitFor()
  const found = health.locator(".findings li")
  for (const words of ["scheduler has lost its data", "has not taken the jobs of 3 reminders", "failed: wake_sender"]) await found.filter({ hasText: words }).waitFor()
  const link = found.filter({ hasText: "lost its data" }).getByRole("link", { name: "What to do" })
  assert.match(await link.getAttribute("href"), /docs\/operations\.md#the-scheduler-has-lost-its-data$/)
  await context.close()
})
