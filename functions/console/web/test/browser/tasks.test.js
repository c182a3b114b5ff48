// The task screens in a real browser, against the real system: quick add by one line, the editor,
// changes of several tasks, and the import of a file.
import assert from "node:assert/strict"
import { readFileSync } from "node:fs"
import { test } from "node:test"
import { browser, eventually, openPage, runSystem, signIn, system } from "./system.js"

runSystem()

// These call the API as demo and as other.
const demo = (...how) => system.call("DUEBELL_TOKEN", ...how)
const other = (...how) => system.call("DUEBELL_TOKEN_2", ...how)

/** Returns the task with a title. */
const found = async (user, title) => (await user("GET", "/api/tasks?q=" + encodeURIComponent(title))).tasks.find((task) => task.title === title)

/** Cuts the connection when the server answers. So the server has carried the request out, and the page does not know. */
async function loseNextAnswer(context, page, urlPattern) {
  const tools = await context.newCDPSession(page)
  await tools.send("Fetch.enable", { patterns: [{ urlPattern, requestStage: "Response" }] })
  tools.once("Fetch.requestPaused", async ({ requestId }) => {
    await tools.send("Fetch.failRequest", { requestId, errorReason: "ConnectionReset" })
    await tools.send("Fetch.disable")
  })
}

test("a line is understood while it is typed, in the user's zone", async () => {
  const zone = "Pacific/Auckland" // the browser is in Berlin
  await demo("PUT", "/api/preferences", { time_zone: zone, language: "en" })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^demo/, "/console/tasks")
  const line = page.getByRole("textbox", { name: "New task" })
  const understood = page.locator(".understood")

  await page.getByRole("heading", { name: "Tasks", exact: true }).waitFor()
  await page.keyboard.press("n")
  await page.keyboard.type("call Ada tomorrow 9:00")
  await understood.getByText("call Ada").waitFor()
  const shown = await understood.locator("time").getAttribute("datetime")
  await page.keyboard.press("Enter")
  await page.getByRole("link", { name: "call Ada" }).waitFor()
  assert.equal(await line.inputValue(), "")
  const task = await found(demo, "call Ada")
  assert.deepEqual([task.due_local.slice(10), task.time_zone, Date.parse(task.due_date)], ["T09:00", zone, Date.parse(shown)])

  const earliest = Date.now() + 20 * 60_000
  await line.fill("stretch in 20 min")
  await line.press("Enter")
  await page.getByRole("link", { name: "stretch" }).waitFor()
  const stretch = await found(demo, "stretch")
  assert.equal(stretch.due_local, null)
  assert.ok(Date.parse(stretch.due_date) >= earliest && Date.parse(stretch.due_date) <= Date.now() + 20 * 60_000, stretch.due_date)

  await line.fill("every monday 8am water the plants !urgent")
  await understood.getByText("Every week on Monday").waitFor()
  await understood.getByText("Then:").waitFor()
  await line.press("Enter")
  await page.getByRole("link", { name: "water the plants" }).waitFor()
  const plants = await found(demo, "water the plants")
  assert.deepEqual([plants.recurrence.rule, plants.due_local.slice(10), plants.urgent], ["FREQ=WEEKLY;BYDAY=MO", "T08:00", true])

  // If no time is found in the line, the editor opens with the title.
  await line.fill("buy milk")
  await understood.getByText("No time found").waitFor()
  await line.press("Enter")
  assert.equal(await page.getByLabel("Title").inputValue(), "buy milk")
  await page.waitForFunction(() => document.activeElement?.getAttribute("name") === "due")
  await page.getByLabel("Kind of due date").selectOption("day")
  await page.locator("[name=due]").fill("2031-05-01")
  await page.getByRole("button", { name: "Add", exact: true }).click()
  await page.getByRole("link", { name: "buy milk" }).waitFor()
  assert.equal((await found(demo, "buy milk")).due_on, "2031-05-01")
  assert.deepEqual(wrong, [])
  await context.close()
})

test("a task whose answer was lost is not created twice, also after a reload", async () => {
  const { context, page } = await openPage(browser)
  await signIn(page, system.url, /^demo/, "/console/tasks")
  const line = page.getByRole("textbox", { name: "New task" })
  await line.fill("call Bo in 20 min")
  await loseNextAnswer(context, page, "*/api/tasks")
  await line.press("Enter")
  await page.getByRole("alert").getByText("Duebell can't be reached").waitFor()
  await page.reload()
  await line.press("Enter")
  await page.getByText("Task added").waitFor()
  assert.equal((await demo("GET", "/api/tasks?q=Bo")).tasks.length, 1)
  await context.close()
})

test("a line is understood in German", async () => {
  const { context, page, wrong } = await openPage(browser, { locale: "de-DE" })
  await signIn(page, system.url, /^other/, "/console/tasks")
  const line = page.getByRole("textbox", { name: "Neue Aufgabe" })
  await line.fill("jeden Montag 8 Uhr Blumen gießen")
  await page.locator(".understood").getByText("Jede Woche am Montag").waitFor()
  await line.press("Enter")
  await page.getByRole("link", { name: "Blumen gießen" }).waitFor()
  await line.fill("morgen 9 Uhr Ada anrufen")
  await line.press("Enter")
  await page.getByRole("link", { name: "Ada anrufen" }).waitFor()
  const [plants, ada] = [await found(other, "Blumen gießen"), await found(other, "Ada anrufen")]
  assert.deepEqual([plants.recurrence.rule, plants.due_local.slice(10), ada.due_local.slice(10), ada.time_zone], ["FREQ=WEEKLY;BYDAY=MO", "T08:00", "T09:00", "Europe/Berlin"])
  assert.deepEqual(wrong, [])
  await context.close()
})

test("each form of due date, and all else that a task has, is edited", async () => {
  const { id } = await other("POST", "/api/tasks", { title: "Report", due_local: "2031-05-01T09:00", time_zone: "Europe/Paris" })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/tasks/" + id)
  const edit = page.getByRole("button", { name: "Edit" })
  const save = async () => {
    const answered = page.waitForResponse((r) => r.request().method() === "PATCH")
    await page.getByRole("button", { name: "Save", exact: true }).click()
    if ((await answered).ok()) await edit.click() // the form was closed
    return other("GET", "/api/tasks/" + id)
  }
  await edit.click()
  const due = ({ due_date, due_local, due_on, time_zone }) => [due_date, due_local, due_on, time_zone]
  assert.equal(await page.getByLabel("Time zone").inputValue(), "Europe/Paris")

  await page.getByLabel("Kind of due date").selectOption("day")
  assert.deepEqual(due(await save()), ["2031-05-01T07:00:00Z", null, "2031-05-01", null])
  await page.getByLabel("Kind of due date").selectOption("floating")
  await page.locator("[name=due]").fill("2031-05-02T10:00")
  assert.deepEqual(due(await save()), ["2031-05-02T08:00:00Z", "2031-05-02T10:00", null, null])
  await page.getByLabel("Kind of due date").selectOption("instant")
  await page.getByLabel("Time zone").fill("America/New_York")
  await page.getByLabel("Time zone").press("Tab")
  assert.deepEqual(due(await save()), ["2031-05-02T14:00:00Z", null, null, "America/New_York"])

  await page.getByLabel("Another reminder").selectOption("-1h")
  await page.getByLabel("Another reminder").selectOption("other")
  await page.getByLabel("How many", { exact: true }).fill("2")
  await page.getByLabel("Unit").selectOption("d")
  await page.getByRole("button", { name: "Add reminder" }).click()
  await page.getByLabel("Urgent").check()
  await page.getByLabel("Repeat until I acknowledge it").check()
  await page.getByRole("radio", { name: "Only on these" }).check()
  const rest = await save()
  assert.deepEqual(
    [rest.reminders.map((r) => r.before).sort(), rest.urgent, rest.repeat, rest.channels],
    [["-1h", "0s", "2d"], true, { every: "10m", times: 3 }, ["in_app"]],
  )

  // Every month on the 31st, or on its last day, five times. One occurrence is left out.
  await page.getByLabel("Kind of due date").selectOption("local")
  await page.getByLabel("Time zone").fill("Europe/Berlin")
  await page.getByLabel("Time zone").press("Tab")
  await page.locator("[name=due]").fill("2031-01-31T09:00")
  await page.getByRole("combobox", { name: "Repeats" }).selectOption("MONTHLY")
  const times = page.getByRole("list", { name: "The next five times" }).getByRole("listitem")
  await times.getByText(/31 Mar 2031/).waitFor() // February has no 31st
  await page.getByLabel("In months without that day").selectOption("backward")
  await times.getByText(/28 Feb 2031/).waitFor()
  await page.getByRole("button", { name: /^Leave out: .*28 Feb 2031/ }).click()
  await times.getByText(/28 Feb 2031/).waitFor({ state: "detached" })
  await page.getByLabel("Ends").selectOption("count")
  await times.nth(3).waitFor()
  const { recurrence, occurrence, time_zone } = await save()
  assert.deepEqual([recurrence, occurrence, time_zone], [{ rule: "FREQ=MONTHLY;COUNT=5", skip: "backward", from: "schedule", except: ["2031-02-28T09:00"] }, "2031-01-31T09:00", "Europe/Berlin"])

  // If clocks skip the time, the editor says so.
  await page.locator("[name=due]").fill("2031-03-29T02:30")
  await page.getByRole("combobox", { name: "Repeats" }).selectOption("DAILY")
  await times.getByText("clocks skip this time; you are told at 03:30").waitFor()

  // An error of the API is shown beside its field.
  wrong.length = 0
  await page.getByRole("combobox", { name: "Repeats" }).selectOption("custom")
  await page.getByLabel("Rule", { exact: true }).fill("FREQ=SECONDLY")
  await page.locator("[data-field=recurrence]").getByText("is too often").first().waitFor()
  await save()
  await page.locator("[data-field=recurrence] [role=alert]").nth(1).waitFor()
  assert.equal(wrong.splice(0).filter((w) => !w.includes("400")).length, 0)
  await page.getByLabel("Rule", { exact: true }).fill("FREQ=DAILY;BYHOUR=9,17")
  await page.getByText("Every day at 09:30 and 17:30").first().waitFor()
  await save()

  // An occurrence is completed or skipped; a new title does not begin a new series.
  const before = await other("GET", "/api/tasks/" + id)
  await page.getByLabel("Title").fill("Reports")
  assert.equal((await save()).occurrence, before.occurrence)
  await page.getByRole("button", { name: "Complete this time" }).click()
  await page.getByText("Completed", { exact: true }).waitFor()
  await page.getByRole("button", { name: "Skip this time" }).click()
  await page.getByText("Skipped", { exact: true }).waitFor()
  const { occurrences } = await other("GET", `/api/tasks/${id}/occurrences`)
  assert.deepEqual(occurrences.slice(0, 2).map((o) => o.state), ["skipped", "completed"])
  assert.deepEqual(wrong, [])
  await context.close()
})

test("a task's page begins with what it is, and the form is opened, left and closed by keyboard", async () => {
  const { id } = await other("POST", "/api/tasks", { title: "Call the bank", due_date: "2031-05-01T07:30:00Z", notes: "About the letter." })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/tasks/" + id)
  await page.getByRole("region", { name: "Timeline" }).getByText("Task created").waitFor()
  const parts = await page.locator("main .card").evaluateAll((cards) => cards.map((card) => card.innerText.split("\n")[0]))
  assert.deepEqual(parts.map((text) => text.replace(/^Due 1 May 2031, 09:30.*/, "when it is due")), ["when it is due", "Timeline", "Reminders"])
  await page.getByText("About the letter.").waitFor()
  assert.equal(await page.getByRole("textbox").count(), 0)

  const edit = page.getByRole("button", { name: "Edit" })
  const focusIsOn = (what) => page.waitForFunction((what) => [document.activeElement.getAttribute("name"), document.activeElement.textContent].includes(what), what)
  await edit.press("Enter")
  await focusIsOn("title")
  await page.keyboard.type("x")
  assert.equal(await page.getByRole("button", { name: "Complete" }).isDisabled(), true, "what was typed would get lost")
  await page.getByRole("button", { name: "Cancel" }).press("Enter")
  await focusIsOn("Edit")
  assert.equal(await page.getByRole("textbox").count(), 0)
  await edit.press("Enter")
  assert.equal(await page.getByLabel("Title").inputValue(), "Call the bank")

  // A task that was changed elsewhere meanwhile is not completed; the change is shown first.
  await page.getByRole("button", { name: "Cancel" }).press("Enter")
  await other("PATCH", "/api/tasks/" + id, { notes: "Theirs" })
  wrong.length = 0
  await page.getByRole("button", { name: "Complete" }).click()
  await page.getByText("This task was changed elsewhere. The newest is shown now.").waitFor()
  await page.getByText("Theirs").waitFor()
  assert.equal(wrong.splice(0).filter((w) => !w.includes("412")).length, 0)
  assert.equal((await other("GET", "/api/tasks/" + id)).completed, false)
  await page.getByRole("button", { name: "Complete" }).click()
  await page.getByRole("button", { name: "Reopen" }).waitFor()
  await other("DELETE", "/api/tasks/" + id)
  assert.deepEqual(wrong, [])
  await context.close()
})

test("what is snoozed is not overdue", async () => {
  const [late, later] = await Promise.all(["Late", "Later"].map((title) => other("POST", "/api/tasks", { title, due_date: new Date(Date.now() - 60_000).toISOString() })))
  await eventually(async () => (await other("GET", "/api/notifications")).notifications.some((n) => n.task_id === later.id)) // a snooze before that acknowledges no message
  await other("POST", `/api/tasks/${later.id}/snooze`, { for: "1d" })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^other/, "/console/tasks")
  const row = (title) => page.locator(".task").filter({ has: page.getByRole("link", { name: title, exact: true }) })
  await row("Later").getByText(/^Snoozed until tomorrow, \d\d:\d\d$/).waitFor()
  assert.equal(await row("Later").getByText("overdue").count(), 0)
  await row("Late").getByText("overdue").waitFor()
  await page.getByLabel("Due", { exact: true }).selectOption("overdue")
  await row("Later").waitFor({ state: "detached" })
  await row("Late").waitFor()

  // The task's timeline says so, too.
  await page.goto(system.url + "/console/tasks/" + later.id)
  await page.getByRole("main").getByText(/^Snoozed until tomorrow/).first().waitFor()
  await page.locator(".steps").getByText(/^Snoozed until tomorrow/).waitFor()
  assert.equal(await page.locator(".steps").getByText("Acknowledged").count(), 0)
  for (const { id } of [late, later]) await other("DELETE", "/api/tasks/" + id)
  assert.deepEqual(wrong, [])
  await context.close()
})

test("one switch turns the keys of all screens off", async () => {
  for (const title of ["Task 1", "Task 2"]) await demo("POST", "/api/tasks", { title, due_date: "2031-05-01T07:30:00Z" })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^demo/, "/console/tasks")
  await page.locator(".task").nth(1).waitFor()
  const focused = () => page.evaluate(() => document.activeElement.name || document.activeElement.textContent)
  const firstTask = page.locator(".task a").first()
  await firstTask.focus()
  await page.keyboard.press("?")
  const help = page.getByRole("dialog", { name: "Keyboard shortcuts" })
  await help.getByText("New task", { exact: true }).waitFor()
  const toggle = help.getByRole("switch", { name: "Use these keys, on all screens" })
  await toggle.click()
  await page.keyboard.press("Escape")
  await help.waitFor({ state: "detached" })

  await firstTask.focus()
  const before = await focused()
  for (const key of ["n", "x", "Shift+X", "ArrowDown", "Shift+ArrowDown", "?"]) await page.keyboard.press(key)
  assert.equal(await focused(), before)
  assert.equal(await page.getByRole("region", { name: "Selected tasks" }).count() + await page.getByRole("dialog").count(), 0)

  // The keys are off in the inbox, too. The choice is remembered, and any screen can switch them on
  // again.
  await page.goto(system.url + "/console/inbox")
  await page.getByRole("heading", { name: "Inbox" }).waitFor()
  await page.keyboard.press("?")
  await page.getByRole("button", { name: "Keyboard shortcuts" }).click()
  await help.getByText("Archive", { exact: true }).waitFor()
  await toggle.click()
  await page.keyboard.press("Escape")
  await help.waitFor({ state: "detached" })
  await page.getByRole("link", { name: "Tasks" }).click()
  await firstTask.focus()
  await page.keyboard.press("ArrowDown")
  assert.notEqual(await focused(), before)
  await page.keyboard.press("n")
  assert.equal(await focused(), "line")
  assert.deepEqual(wrong, [])
  await context.close()
})

test("several tasks are selected by keyboard, completed, moved and deleted", async () => {
  for (const task of (await demo("GET", "/api/tasks")).tasks) await demo("DELETE", "/api/tasks/" + task.id)
  const tasks = []
  for (let n = 1; n <= 6; n++) tasks.push(await demo("POST", "/api/tasks", { title: `Task ${n}`, due_local: `2031-05-0${n}T09:00`, time_zone: "Europe/Berlin" }))
  const series = await demo("POST", "/api/tasks", { title: "Series", due_local: "2031-06-01T09:00", time_zone: "Europe/Berlin", recurrence: { rule: "FREQ=DAILY" } })
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^demo/, "/console/tasks")
  await page.getByLabel("Order").selectOption("due")
  await page.waitForFunction(() => document.querySelector(".task a")?.textContent === "Task 1")

  await page.getByRole("link", { name: "Task 1" }).focus()
  await page.keyboard.press("x")
  await page.keyboard.press("ArrowDown")
  await page.keyboard.press("ArrowDown")
  await page.keyboard.press("Shift+X")
  const bar = page.getByRole("region", { name: "Selected tasks" })
  await bar.getByText("3 selected").waitFor()
  await bar.getByRole("button", { name: "Complete" }).click()
  await page.getByText("3 tasks done").waitFor()
  await bar.getByText("0 selected").waitFor()
  assert.deepEqual(await Promise.all(tasks.map(async ({ id }) => (await demo("GET", "/api/tasks/" + id)).completed)), [true, true, true, false, false, false])

  // One task was changed elsewhere, and one recurs. Both are left as they were, are named, and stay
  // selected.
  for (const name of ["Task 4", "Task 5", "Task 6", "Series"]) await page.getByRole("checkbox", { name: `Select “${name}”` }).check()
  await demo("PATCH", "/api/tasks/" + tasks[4].id, { notes: "Theirs" })
  wrong.length = 0
  await bar.getByRole("button", { name: "Move" }).click()
  const alert = bar.getByRole("alert")
  await alert.getByText("2 tasks were left as before").waitFor()
  assert.deepEqual((await alert.getByRole("listitem").allInnerTexts()).map((text) => text.split(":")[0]).sort(), ["Series", "Task 5"])
  assert.equal(wrong.splice(0).filter((w) => !w.includes("412")).length, 0)
  await bar.getByText("2 selected").waitFor()
  assert.deepEqual(
    await Promise.all([...tasks.slice(3), series].map(async ({ id }) => (await demo("GET", "/api/tasks/" + id)).due_local)),
    ["2031-05-05T09:00", "2031-05-05T09:00", "2031-05-07T09:00", "2031-06-01T09:00"],
  )

  await bar.getByRole("button", { name: "Delete" }).click()
  await page.getByRole("dialog").getByRole("button", { name: "Delete" }).click()
  for (const name of ["Task 5", "Series"]) await page.getByRole("link", { name }).waitFor({ state: "detached" })
  assert.deepEqual((await demo("GET", "/api/tasks?completed=false")).tasks.map((task) => task.title).sort(), ["Task 4", "Task 6"])
  await page.getByRole("link", { name: "Task 4" }).focus()
  await page.keyboard.press("Escape")
  await bar.waitFor({ state: "detached" })
  assert.deepEqual(wrong, [])
  await context.close()
})

test("a file is dropped on the list, and what was refused is named and downloaded", async () => {
  for (const task of (await demo("GET", "/api/tasks")).tasks) await demo("DELETE", "/api/tasks/" + task.id)
  const { context, page, wrong } = await openPage(browser)
  await signIn(page, system.url, /^demo/, "/console/tasks")
  await page.getByRole("textbox", { name: "New task" }).waitFor()
  const drop = async (name, text) => {
    const dataTransfer = await page.evaluateHandle(([name, text]) => {
      const data = new DataTransfer()
      data.items.add(new File([text], name, { type: name.endsWith(".csv") ? "text/csv" : "image/png" }))
      return data
    }, [name, text])
    await page.dispatchEvent(".drop", "dragover", { dataTransfer })
    await page.getByText("Drop the file to import its tasks").waitFor()
    await page.dispatchEvent(".drop", "drop", { dataTransfer })
  }
  const table = "title,due_local,time_zone\nPay rent,2031-12-01T09:00,Europe/Berlin\n\"Call \"\"Ada\"\"\",soon,\nStretch,,\n"
  await drop("tasks.csv", table)
  const card = page.getByRole("region", { name: "Import of tasks.csv" })
  await card.getByText("2 tasks created, 1 line was refused.").waitFor()
  assert.match(await card.getByRole("row").nth(1).innerText(), /^3\s+due_local/)
  await page.getByRole("link", { name: "Pay rent" }).waitFor()
  const [download] = await Promise.all([page.waitForEvent("download"), card.getByRole("button", { name: "Download" }).click()])
  assert.equal(download.suggestedFilename(), "tasks.refused.csv")
  assert.match(readFileSync(await download.path(), "utf8"), /^\ufeff"line","last_line","reason","text"\r\n"3","3","due_local[^\r]*","""Call """"Ada"""""",soon,"\r\n$/)

  // The console asks before it imports the same file again.
  await drop("tasks.csv", table)
  await page.getByRole("dialog").getByRole("button", { name: "Cancel" }).click()
  assert.equal((await demo("GET", "/api/tasks")).tasks.length, 2)
  await drop("tasks.csv", table)
  await page.getByRole("dialog").getByRole("button", { name: "Import again" }).click()
  await page.waitForFunction(() => document.querySelectorAll(".task").length === 4)

  await drop("cat.png", "no table")
  await page.getByText("cat.png is neither a table").waitFor()
  assert.deepEqual(wrong, [])

  // A file that can't be read at all is refused, and can be sent again.
  await drop("wrong.csv", "name\nx\n")
  await page.getByRole("region", { name: "Import of wrong.csv" }).getByRole("alert").waitFor()
  assert.equal(wrong.filter((w) => !w.includes("400")).length, 0)
  await context.close()
})

// The connection breaks after the server has stored the file. The import continues, and creates no task
// twice.
test("an import that broke off goes on", async () => {
  const { context, page } = await openPage(browser)
  await signIn(page, system.url, /^admin/, "/console/tasks")
  await page.getByRole("textbox", { name: "New task" }).waitFor()
  await loseNextAnswer(context, page, "*/api/tasks/batch")
  await page.locator("input[type=file]").setInputFiles({ name: "tasks.csv", mimeType: "text/csv", buffer: Buffer.from("title\nOnce\nTwice\n") })
  const card = page.getByRole("region", { name: "Import of tasks.csv" })
  await card.getByText("The connection broke off").waitFor()
  await card.getByRole("button", { name: "Try again" }).click()
  await card.getByText("2 tasks created").waitFor()
  assert.equal((await system.call("DUEBELL_ADMIN_TOKEN", "GET", "/api/tasks")).tasks.length, 2)
  await context.close()
})
