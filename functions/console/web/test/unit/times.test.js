import assert from "node:assert/strict"
import { test } from "node:test"
import { load } from "./load.js"

const { dayFromNow, duration, instantOf, localOf, short, shortWithDay, until, wallText } = await load("times.ts")

test("wall clocks become instants", () => {
  for (const [local, zone, want] of [
    ["2026-12-01T09:00", "Europe/Berlin", "2026-12-01T08:00:00.000Z"],
    ["2026-07-01T09:00:30", "Europe/Berlin", "2026-07-01T07:00:30.000Z"],
    ["2026-03-08T02:30", "America/New_York", "2026-03-08T07:30:00.000Z"], // does not exist: the offset before
    ["2026-11-01T01:30", "America/New_York", "2026-11-01T05:30:00.000Z"], // comes twice: the first
    ["2026-10-04T02:15", "Australia/Lord_Howe", "2026-10-03T15:45:00.000Z"], // a gap of half an hour
    ["2026-04-05T01:45", "Australia/Lord_Howe", "2026-04-04T14:45:00.000Z"],
    ["2011-12-30T12:00", "Pacific/Apia", "2011-12-30T22:00:00.000Z"], // a day that was skipped
    ["2026-01-01T00:00", "UTC", "2026-01-01T00:00:00.000Z"],
  ]) {
    assert.equal(instantOf(local, zone).toISOString(), want, `${local} in ${zone}`)
  }
  assert.ok(Number.isNaN(instantOf("", "UTC").getTime()))
})

test("instants become wall clocks, and the same instants again", () => {
  for (const zone of ["UTC", "Europe/Berlin", "Asia/Kathmandu", "America/St_Johns", "Pacific/Chatham"]) {
    for (let at = Date.UTC(2026, 0, 1); at < Date.UTC(2027, 0, 1); at += 7 * 3_600_000) {
      const local = localOf(new Date(at), zone)
      const back = instantOf(local, zone).getTime()
      assert.ok(back === at || localOf(new Date(back), zone) === local, `${local} in ${zone}`)
    }
  }
})

test("days begin at midnight of the zone", () => {
  const now = Date.parse("2026-03-28T23:30:00Z") // the 29th in Berlin, which has 23 hours
  assert.equal(dayFromNow(0, now, "Europe/Berlin").toISOString(), "2026-03-28T23:00:00.000Z")
  assert.equal(dayFromNow(1, now, "Europe/Berlin").toISOString(), "2026-03-29T22:00:00.000Z")
})

test("times are short", () => {
  const now = Date.parse("2026-03-28T22:30:00Z")
  assert.equal(short("2026-03-28T22:45:00Z", now, "de", "Europe/Berlin"), "23:45")
  assert.equal(shortWithDay("2026-03-28T22:45:00Z", now, "en-GB", "Europe/Berlin"), "today, 23:45")
  assert.equal(shortWithDay("2026-03-27T22:45:00Z", now, "en-GB", "Europe/Berlin"), "yesterday, 23:45")
  assert.equal(short("2026-03-28T23:15:00Z", now, "de", "Europe/Berlin"), "morgen, 00:15")
  assert.equal(short("2026-05-01T07:00:00Z", now, "de", "Europe/Berlin"), "1. Mai, 09:00")
  assert.equal(short("2027-05-01T07:00:00Z", now, "de", "UTC"), "1. Mai 2027, 07:00")
})

test("lengths of time are short", () => {
  for (const [seconds, want] of [[0, "0 ms"], [0.00041, "0.4 ms"], [0.012, "12 ms"], [0.44, "0.4 sec"], [119, "119 sec"], [300, "5 min"], [7200, "2 hr"]]) assert.equal(duration(seconds, "en"), want)
})

test("wall clocks and days stay what they are", () => {
  assert.equal(wallText("2026-12-01T09:00", "de"), "01.12.2026, 09:00")
  assert.equal(wallText("2026-12-01", "de"), "01.12.2026")
})

test("when something goes on has its day only if that is another", () => {
  const from = "2026-03-28T22:00:00Z" // 23:00 in Berlin
  assert.equal(until("2026-03-28T22:05:00Z", from, "de", "Europe/Berlin"), "23:05:00")
  assert.equal(until("2026-03-28T23:05:00Z", from, "de", "Europe/Berlin"), "29.03.2026, 00:05:00")
  for (const none of [from, null, undefined]) assert.equal(until(none, from, "de", "Europe/Berlin"), "")
})
