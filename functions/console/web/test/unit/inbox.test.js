// The times that are offered to snooze until, and the pieces of quiet hours on the bar of the day.
import assert from "node:assert/strict"
import { test } from "node:test"
import { load } from "./load.js"

const { presets } = await load("screens/inbox/presets.ts")
const { crossesMidnight, minutesOf, nearerEnd, pieces, timeOf } = await load("screens/preferences/day.ts")

test("presets are by the user's clock", () => {
  for (const [now, zone, want] of [
    // A Wednesday morning in Berlin.
    ["2026-12-02T09:00:00Z", "Europe/Berlin", { soon: "09:10Z 2", hour: "10:00Z 2", evening: "17:00Z 2", tomorrow: "08:00Z 3", week: "08:00Z 7" }],
    // The same moment in New York, where it is four in the morning, and in Auckland, where it is late in the evening.
    ["2026-12-02T09:00:00Z", "America/New_York", { soon: "09:10Z 2", hour: "10:00Z 2", evening: "23:00Z 2", tomorrow: "14:00Z 3", week: "14:00Z 7" }],
    ["2026-12-02T09:00:00Z", "Pacific/Auckland", { soon: "09:10Z 2", hour: "10:00Z 2", tomorrow: "20:00Z 2", week: "20:00Z 6" }],
    // The evening is less than an hour ahead.
    ["2026-12-02T16:30:00Z", "Europe/Berlin", { soon: "16:40Z 2", hour: "17:30Z 2", tomorrow: "08:00Z 3", week: "08:00Z 7" }],
    // A Sunday: next week begins tomorrow. A Monday: it begins in seven days.
    ["2026-12-06T09:00:00Z", "Europe/Berlin", { soon: "09:10Z 6", hour: "10:00Z 6", evening: "17:00Z 6", tomorrow: "08:00Z 7" }],
    ["2026-12-07T09:00:00Z", "Europe/Berlin", { soon: "09:10Z 7", hour: "10:00Z 7", evening: "17:00Z 7", tomorrow: "08:00Z 8", week: "08:00Z 14" }],
    // The night in which clocks go forward: tomorrow at nine is an hour earlier in UTC.
    ["2026-03-28T12:00:00Z", "Europe/Berlin", { soon: "12:10Z 28", hour: "13:00Z 28", evening: "17:00Z 28", tomorrow: "07:00Z 29", week: "07:00Z 30" }],
  ]) {
    const got = presets(Date.parse(now), zone)
    const shown = Object.fromEntries(got.map(({ name, at }) => [name, `${at.toISOString().slice(11, 16)}Z ${at.getUTCDate()}`]))
    assert.deepEqual(shown, want, `${now} in ${zone}`)
    for (const { at, input } of got) if (input.until) assert.equal(input.until, at.toISOString())
  }
})

test("spans of time are counted by the server, from when it is asked", () => {
  const got = presets(Date.parse("2026-12-02T09:00:00Z"), "UTC")
  assert.deepEqual(got.slice(0, 2).map((p) => p.input), [{ for: "10m" }, { for: "1h" }])
})

test("windows are drawn in one piece, or in two across midnight", () => {
  for (const [from, to, want, crosses] of [
    ["12:00", "13:30", [[720, 810]], false],
    ["22:00", "07:00", [[0, 420], [1320, 1440]], true],
    ["22:00", "00:00", [[1320, 1440]], false],
    ["00:00", "07:00", [[0, 420]], false],
    ["23:59", "00:01", [[0, 1], [1439, 1440]], true],
  ]) {
    assert.deepEqual(pieces({ from, to }), want, `${from} to ${to}`)
    assert.equal(crossesMidnight({ from, to }), crosses, `${from} to ${to}`)
  }
})

test("a point of the bar moves the end that is nearer, around midnight, too", () => {
  const night = { from: "22:00", to: "07:00" }
  for (const [time, want] of [["21:00", "from"], ["23:30", "from"], ["06:00", "to"], ["09:00", "to"], ["02:00", "from"], ["03:00", "to"]]) {
    assert.equal(nearerEnd(night, minutesOf(time)), want, time)
  }
  assert.deepEqual([timeOf(1440), timeOf(1425), timeOf(0)], ["00:00", "23:45", "00:00"])
})
