// What of a form is sent, and how tasks are moved, a few at a time.
import assert from "node:assert/strict"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { runnerImport } from "vite"

const { changesOf, de, draftOf, each, emptyDraft, en, fieldOf, inputOf, moved, offeredBeside, Problem, snoozedBy } = (await runnerImport(fileURLToPath(new URL("tasks.ts", import.meta.url)))).module

const zone = "Europe/Berlin"
const task = {
  title: "Rent", notes: "", due_date: null, due_local: null, due_on: null, time_zone: null, recurrence: null, repeat: null, urgent: false, channels: null,
  reminders: [{ kind: "due", before: "0s" }, { kind: "snooze" }],
}
const instant = { ...task, due_date: "2026-12-01T08:00:30Z" }
const local = { ...task, due_local: "2026-12-01T09:00", time_zone: "Europe/Paris", due_date: "2026-12-01T08:00:00Z" }
const floating = { ...task, due_local: "2026-12-01T09:00", due_date: "2026-12-01T08:00:00Z" }
const wholeDay = { ...task, due_on: "2026-12-01", due_date: "2026-12-01T08:00:00Z" }

test("what was not touched is not sent", () => {
  for (const each of [task, instant, local, floating, wholeDay]) {
    const draft = draftOf(each, zone)
    assert.deepEqual(changesOf(draft, each, zone), {})
    assert.deepEqual(changesOf({ ...draft, title: "Pay" }, each, zone), { title: "Pay" })
  }
})

test("a form of the due date takes the place of the others", () => {
  const change = (from, due) => changesOf({ ...draftOf(from, zone), due }, from, zone)
  assert.deepEqual(change(local, { form: "day", at: "", on: "2026-12-01", zone: "" }), { due_on: "2026-12-01", time_zone: null })
  assert.deepEqual(change(wholeDay, { form: "floating", at: "2026-12-01T09:00", on: "", zone: "" }), { due_local: "2026-12-01T09:00", time_zone: null })
  assert.deepEqual(change(floating, { form: "local", at: "2026-12-01T09:00", on: "", zone: "" }), { due_local: "2026-12-01T09:00", time_zone: zone })
  assert.deepEqual(change(local, { form: "instant", at: "2026-12-01T09:00", on: "", zone: "America/New_York" }), { due_date: "2026-12-01T14:00:00.000Z", time_zone: "America/New_York" })
  assert.deepEqual(change(instant, { form: "instant", at: "", on: "", zone: "" }), { due_date: null, time_zone: null })
})

test("a recurring instant has a zone", () => {
  const recurrence = { rule: "FREQ=DAILY", skip: "omit", from: "schedule", except: [] }
  const draft = { ...emptyDraft({ default_reminders: ["1h"] }), due: { form: "instant", at: "2026-12-01T09:00", on: "", zone: "" }, recurrence }
  const input = inputOf(draft, zone)
  assert.deepEqual([input.due_date, input.time_zone, input.reminders, input.recurrence], ["2026-12-01T08:00:00.000Z", zone, ["1h"], recurrence])
})

test("errors stand beside their field", () => {
  for (const [detail, want] of [
    ["title is empty: give the task a title", "title"], ["due_local must lie between", "due"], ["time_zone is empty", "due"], ["the due date is a local time, and", "due"],
    ["reminders: \"9000d\" is more than 366 days", "reminders"], ["repeat: times must be", "repeat"], ["recurrence: except: an entry", "recurrence"], ["recurrence needs \"rule\"", "recurrence"],
    ["channels is empty", "channels"], ["notes have 10001 characters", "notes"], ["too many tasks", undefined],
  ]) assert.equal(fieldOf(detail), want, detail)
})

test("moving keeps the form, and the time of day", () => {
  for (const [from, to, want] of [
    [instant, { by: "1h" }, { due_date: "2026-12-01T09:00:30.000Z" }],
    [local, { by: "1h" }, { due_local: "2026-12-01T10:00" }],
    [wholeDay, { by: "1h" }, "byDays"],
    [wholeDay, { by: "1w" }, { due_on: "2026-12-08" }],
    [floating, { by: "1d" }, { due_local: "2026-12-02T09:00" }],
    [local, { day: "2027-01-02" }, { due_local: "2027-01-02T09:00" }],
    [{ ...task, due_date: "2026-03-28T08:00:00Z" }, { by: "1d" }, { due_date: "2026-03-29T07:00:00.000Z" }], // clocks go forward that night
    [task, { by: "1d" }, "noDue"],
    [task, { day: "2027-01-02" }, { due_on: "2027-01-02" }],
    [{ ...local, recurrence: {} }, { by: "1d" }, "recurring"],
  ]) assert.deepEqual(moved(from, to, zone), want)
})

test("of many, a few at a time; what is too much is tried again, and failures are named", async () => {
  let now = 0, most = 0, done = 0
  const tried = new Map()
  const failed = await each([..."abcdefghij"], async (item) => {
    most = Math.max(most, ++now)
    await new Promise(setImmediate)
    now--
    tried.set(item, (tried.get(item) ?? 0) + 1)
    if (item === "c") throw new Problem(412, "stale")
    if (item === "d" && tried.get(item) < 3) throw new Problem(429, "slower")
    if (item === "e") throw new Problem(503, "away")
  }, () => true, () => done++, async () => {})
  assert.equal(most, 4)
  assert.equal(done, 10)
  assert.deepEqual([...failed].map(([item, problem]) => item + problem.status).sort(), ["c412", "e503"])
  assert.deepEqual(["a", "c", "d", "e"].map((item) => tried.get(item)), [1, 1, 3, 5])
})

test("what is stopped leaves the rest", async () => {
  const seen = []
  await each([1, 2, 3, 4, 5, 6, 7, 8, 9], async (item) => { seen.push(item) }, () => seen.length < 5, () => {})
  assert.ok(seen.length >= 5 && seen.length < 9, `${seen}`)
})

test("reminders are offered once each, in the words that people use", () => {
  for (const text of [en, de]) {
    const words = offeredBeside([]).map(text.tasks.before)
    assert.deepEqual(words, [...new Set(words)])
  }
  assert.deepEqual(offeredBeside([]).map(en.tasks.before), [
    "at the due time", "5 minutes before", "10 minutes before", "30 minutes before", "1 hour before", "2 hours before", "1 day before", "1 week before", "10 minutes after", "1 hour after", "1 day after",
  ])
  // What a task has is not offered once more, in other words.
  assert.deepEqual(offeredBeside(["0s", "24h", "168h", "7d", "60m", "-600s"]), ["5m", "10m", "30m", "2h", "-1h", "-1d"])
  for (const [offset, want] of [["24h", "24 hours before"], ["168h", "168 hours before"], ["1h30m", "1 hour 30 minutes before"], ["-2w", "2 weeks after"], ["500ms", "500 milliseconds before"], ["1.5s", "1.5 seconds before"]]) {
    assert.equal(en.tasks.before(offset), want)
  }
})

test("what was snoozed is told apart from what was acknowledged", () => {
  const at = (time) => `2026-12-01T${time}:00.000Z`
  const reminder = (state, fire_at, occurrence = null) => ({ id: "s", kind: "snooze", before: "0s", fire_at: fire_at && at(fire_at), state, occurrence })
  const acknowledged = (time, occurrence) => ({ at: at(time), kind: "acknowledged", occurrence })
  const fired = (time, late_seconds, occurrence) => ({ at: at(time), kind: "fired", reminder_id: "s", late_seconds, occurrence })
  const told = (reminders, ...events) => events.filter((e) => e.kind === "acknowledged").map((e) => snoozedBy(e, { reminders, events })?.slice(11, 16))

  assert.deepEqual(told([], acknowledged("09:05")), [undefined])
  assert.deepEqual(told([reminder("scheduled", "09:15")], acknowledged("09:05")), ["09:15"])
  // One after the other, with one reminder: the last time it was acknowledged only.
  assert.deepEqual(
    told([reminder("fired", "10:00")], acknowledged("09:05"), fired("09:15", 0.4), acknowledged("09:20"), fired("10:01", 60), acknowledged("10:05")),
    ["09:15", "10:00", undefined],
  )
  // The other occurrences of a recurring task are none of its business.
  assert.deepEqual(told([reminder("scheduled", "09:15", "b")], acknowledged("09:05", "a"), acknowledged("09:06", "b")), [undefined, "09:15"])
  // What was completed before the snooze ended was snoozed all the same; but not where that may be about something else.
  assert.deepEqual(told([reminder("cancelled", "09:15")], acknowledged("09:05")), ["09:15"])
  assert.deepEqual(told([reminder("cancelled", "09:15")], acknowledged("09:05"), acknowledged("09:10")), [undefined, undefined])
})
