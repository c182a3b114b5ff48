// The times that are offered to snooze until.
import assert from "node:assert/strict"
import { test } from "node:test"
import { load } from "./load.js"

const { presets } = await load("screens/inbox/presets.ts")

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
