// What one line means, in English and German, and the words and parts of rules.
import assert from "node:assert/strict"
import { test } from "node:test"
import { fileURLToPath } from "node:url"
import { runnerImport } from "vite"

const { de, en, patternOf, ruleInWords, ruleOf, understand } = (await runnerImport(fileURLToPath(new URL("tasks.ts", import.meta.url)))).module

// A Monday, 10:00 in Berlin.
const monday = "2026-11-30T09:00:00Z"

/** What was understood, in one line. */
function seen(text, now = monday, zone = "Europe/Berlin", dayFirst = true) {
  const { title, due, rule, urgent } = understand(text, { now: new Date(now), zone, allDayAt: "09:00", dayFirst })
  return [title, due?.exact ?? due?.at ?? due?.on ?? "-", rule, urgent ? "urgent" : undefined].filter((part) => part !== undefined).join(" | ")
}

const table = (name, rows, ...surroundings) => test(name, () => {
  for (const [text, want] of rows) assert.equal(seen(text, ...surroundings), want, text)
})

table("spans", [
  ["stretch in 20 min", "stretch | 2026-11-30T09:20:00.000Z"],
  ["in 1 minute stretch", "stretch | 2026-11-30T09:01:00.000Z"],
  ["in a minute", " | 2026-11-30T09:01:00.000Z"],
  ["In 20 Minuten strecken", "strecken | 2026-11-30T09:20:00.000Z"],
  ["in einer Stunde Tee", "Tee | 2026-11-30T10:00:00.000Z"],
  ["tea in half an hour", "tea | 2026-11-30T09:30:00.000Z"],
  ["Tee in einer halben Stunde", "Tee | 2026-11-30T09:30:00.000Z"],
  ["in 1h30m tea", "tea | 2026-11-30T10:30:00.000Z"],
  ["in an hour and call", "call | 2026-11-30T10:00:00.000Z"],
  ["tea in 1h 30m", "tea | 2026-11-30T10:30:00.000Z"],
  ["tea in 1,5 Stunden", "tea | 2026-11-30T10:30:00.000Z"],
  ["tea in 1 hour and 5 minutes", "tea | 2026-11-30T10:05:00.000Z"],
  ["remind me to stretch in 20 seconds", "stretch | 2026-11-30T09:00:20.000Z"],
  ["pay in 3 days", "pay | 2026-12-03"],
  ["pay in 2 weeks at 8:00", "pay | 2026-12-14T08:00"],
  ["in drei Tagen um 8 Uhr zahlen", "zahlen | 2026-12-03T08:00"],
  ["renew in a month", "renew | 2026-12-30"],
  ["in 0 minutes", "in 0 minutes | -"],
])
table("days and times", [
  ["call Ada tomorrow 9:00", "call Ada | 2026-12-01T09:00"],
  ["tomorrow at 9am call Ada", "call Ada | 2026-12-01T09:00"],
  ["Ada anrufen morgen 9 Uhr", "Ada anrufen | 2026-12-01T09:00"],
  ["morgen Ada um 9 Uhr 30 anrufen", "Ada anrufen | 2026-12-01T09:30"],
  ["morgen früh laufen", "laufen | 2026-12-01T09:00"],
  ["übermorgen Müll", "Müll | 2026-12-02"],
  ["heute Abend Wäsche", "Wäsche | 2026-11-30T19:00"],
  ["dinner tonight", "dinner | 2026-11-30T19:00"],
  ["dinner tonight at 8", "dinner | 2026-11-30T20:00"],
  ["call Bo at 9 in the evening", "call Bo | 2026-11-30T21:00"],
  ["abends um 8 lesen", "lesen | 2026-11-30T20:00"],
  ["lunch at noon", "lunch | 2026-11-30T12:00"],
  ["lunch 12pm", "lunch | 2026-11-30T12:00"],
  ["sleep tomorrow 12am", "sleep | 2026-12-01T00:00"],
  ["call at 9", "call | 2026-12-01T09:00"], // 9 has passed
  ["call at 11", "call | 2026-11-30T11:00"],
  ["halb neun aufstehen", "aufstehen | 2026-12-01T08:30"],
  ["tea at half past three", "tea | 2026-12-01T03:30"],
  ["Tee um Viertel vor 12", "Tee | 2026-11-30T11:45"],
  ["call um 14.30", "call | 2026-11-30T14:30"],
  ["today 8:00 too late", "too late | 2026-11-30T08:00"],
  ["sync tomorrow 14:00-15:00", "sync | 2026-12-01T14:00"],
  ["ask Bo um 3 Euro morgen", "ask Bo um 3 Euro | 2026-12-01"],
  ["!urgent call 11:00", "call | 2026-11-30T11:00 | urgent"],
  ["Arzt 11:00 !dringend", "Arzt | 2026-11-30T11:00 | urgent"],
])
table("weekdays", [
  ["review friday", "review | 2026-12-04"],
  ["review on Fri at 15:00", "review | 2026-12-04T15:00"],
  ["review next friday", "review | 2026-12-11"],
  ["nächsten Freitag Bericht", "Bericht | 2026-12-11"],
  ["am Freitag um 14 Uhr Bericht", "Bericht | 2026-12-04T14:00"],
  ["Freitagabend Kino", "Kino | 2026-12-04T19:00"],
  ["monday report", "report | 2026-12-07"], // today is Monday
  ["monday 11:00 report", "report | 2026-11-30T11:00"],
  ["monday 8:00 report", "report | 2026-12-07T08:00"],
  ["Zahnarzt Mi 9:00", "Zahnarzt | 2026-12-02T09:00"],
  ["Zahnarzt am Di 9 Uhr", "Zahnarzt | 2026-12-01T09:00"],
  ["Freitag in 2 Wochen Bericht", "Bericht | 2026-12-18"],
  ["next week plan", "plan | 2026-12-07"],
])
table("dates", [
  ["am 3.12. um 14:30 Zahnarzt", "Zahnarzt | 2026-12-03T14:30"],
  ["Zahnarzt 3.12. 14:30", "Zahnarzt | 2026-12-03T14:30"],
  ["Zahnarzt 3.12.2027", "Zahnarzt | 2027-12-03"],
  ["Zahnarzt am 3.12.27", "Zahnarzt | 2027-12-03"],
  ["Feier am 24. Dezember um 18 Uhr", "Feier | 2026-12-24T18:00"],
  ["party on December 24th, 2026 at 6pm", "party | 2026-12-24T18:00"],
  ["party 24 december", "party | 2026-12-24"],
  ["taxes by 2027-05-31", "taxes | 2027-05-31"],
  ["rent on the 5th", "rent | 2026-12-05"],
  ["Miete am 31.", "Miete | 2026-12-31"],
  ["birthday 29 february", "birthday | 2028-02-29"],
  ["old 1.3.", "old | 2027-03-01"],
  ["today's date 30.11. 9:00", "today's date | 2027-11-30T09:00"],
  ["on 3/12 call", "call | 2026-12-03"],
  ["on 12/25 call", "call | 2026-12-25"],
])
table("the month first, where it is written so", [["on 3/12 call", "call | 2027-03-12"], ["call 12/3/2026", "call | 2026-12-03"], ["on 25/12 call", "call | 2026-12-25"]], monday, "Europe/Berlin", false)
table("rules", [
  ["every monday 8am water the plants", "water the plants | 2026-12-07T08:00 | FREQ=WEEKLY;BYDAY=MO"],
  ["every monday 11am water the plants", "water the plants | 2026-11-30T11:00 | FREQ=WEEKLY;BYDAY=MO"],
  ["jeden Montag 8 Uhr Blumen gießen", "Blumen gießen | 2026-12-07T08:00 | FREQ=WEEKLY;BYDAY=MO"],
  ["montags um 8 Blumen", "Blumen | 2026-12-07T08:00 | FREQ=WEEKLY;BYDAY=MO"],
  ["jeden Mo, Mi und Fr um 7 Uhr laufen", "laufen | 2026-12-02T07:00 | FREQ=WEEKLY;BYDAY=MO,WE,FR"],
  ["every day at 22:00 pill", "pill | 2026-11-30T22:00 | FREQ=DAILY"],
  ["täglich 7 Uhr Tablette", "Tablette | 2026-12-01T07:00 | FREQ=DAILY"],
  ["jeden Morgen Tablette", "Tablette | 2026-12-01T09:00 | FREQ=DAILY"],
  ["every evening at 8 read", "read | 2026-11-30T20:00 | FREQ=DAILY"],
  ["every 3 days water", "water | 2026-12-01 | FREQ=DAILY;INTERVAL=3"],
  ["alle zwei Wochen Müll am Freitag", "Müll | 2026-12-04 | FREQ=WEEKLY;INTERVAL=2"],
  ["every other tuesday 9:00 sync", "sync | 2026-12-01T09:00 | FREQ=WEEKLY;INTERVAL=2;BYDAY=TU"],
  ["every weekday 9:30 stand-up", "stand-up | 2026-12-01T09:30 | FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"],
  ["werktags 9:30 Stand-up", "Stand-up | 2026-12-01T09:30 | FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR"],
  ["rent on the 1st of every month", "rent | 2026-12-01 | FREQ=MONTHLY;BYMONTHDAY=1"],
  ["Miete jeden Monat am 31.", "Miete | 2026-12-31 | FREQ=MONTHLY"],
  ["every month on the 15th at 9 pay", "pay | 2026-12-15T09:00 | FREQ=MONTHLY"],
  ["every 15th pay", "pay | 2026-12-01 | FREQ=MONTHLY;BYMONTHDAY=15"],
  ["books on the last day of the month 17:00", "books | 2026-11-30T17:00 | FREQ=MONTHLY;BYMONTHDAY=-1"],
  ["jeden ersten Montag im Monat 9 Uhr Treffen", "Treffen | 2026-12-01T09:00 | FREQ=MONTHLY;BYDAY=1MO"],
  ["every last friday beer", "beer | 2026-12-01 | FREQ=MONTHLY;BYDAY=-1FR"],
  ["every december 24 tree", "tree | 2026-12-24 | FREQ=YEARLY"],
  ["jedes Jahr am 3.12. Ada gratulieren", "Ada gratulieren | 2026-12-03 | FREQ=YEARLY"],
  ["every 2 hours drink", "drink | 2026-11-30T12:00 | FREQ=HOURLY;INTERVAL=2"],
  ["every day 9:00 pill for 5 times", "pill | 2026-12-01T09:00 | FREQ=DAILY;COUNT=5"],
  ["every friday 9:00 run until 31.12.", "run | 2026-12-04T09:00 | FREQ=WEEKLY;BYDAY=FR;UNTIL=20261231"],
  ["jeden Tag 9 Uhr üben bis Freitag", "üben | 2026-12-01T09:00 | FREQ=DAILY;UNTIL=20261204"],
])
table("what says nothing of when stays in the title", [
  ["buy 9 eggs", "buy 9 eggs | -"],
  ["", " | -"],
  ["guten Morgen sagen", "guten Morgen sagen | -"],
  ["I am so tired", "I am so tired | -"],
  ["do it so the sun may mon", "do it so the sun may mon | -"],
  ["1/2 kg flour", "1/2 kg flour | -"],
  ["release 1.2.3", "release 1.2.3 | -"],
  ["call 10.0.0.1", "call 10.0.0.1 | -"],
  ["am 31.2. feiern", "am 31.2. feiern | -"],
  ["at 25:00", "at 25:00 | -"],
  ["read \"tomorrow at 9\"", "read \"tomorrow at 9\" | -"],
  ["„Morgen“ lesen um 11 Uhr", "„Morgen“ lesen | 2026-11-30T11:00"],
])

// 2026-03-29: Berlin has no 02:30. 2026-10-25 has it twice.
table("clocks go forward", [
  ["tomorrow 2:30", " | 2026-03-29T02:30"], // what does not exist is said by the screen
  ["in 20 hours", " | 2026-03-29T08:00:00.000Z"],
  ["in 1 day 1 hour", " | 2026-03-29T12:00:00.000Z"],
  ["in 1 day", " | 2026-03-29"],
], "2026-03-28T12:00:00Z")
table("clocks go back: a span is exact, twice in the same hour", [["in 1 minute", " | 2026-10-25T00:31:00.000Z"]], "2026-10-25T00:30:00Z")
table("and", [["in 1 minute", " | 2026-10-25T01:31:00.000Z"]], "2026-10-25T01:30:00Z")
table("the end of the year", [
  ["tomorrow 0:05", " | 2027-01-01T00:05"], ["3.1. feiern", "feiern | 2027-01-03"], ["31.12. 22:00 feiern", "feiern | 2026-12-31T22:00"], ["31.12. 8:00 feiern", "feiern | 2027-12-31T08:00"], ["in 1 minute", " | 2026-12-31T19:01:00.000Z"],
], "2026-12-31T19:00:00Z")
table("the day is the user's, not UTC's", [["tomorrow 9:00", " | 2026-12-02T09:00"], ["at 8", " | 2026-12-02T08:00"]], "2026-11-30T22:00:00Z", "Pacific/Auckland")

test("rules are taken apart and written again", () => {
  for (const rule of ["FREQ=DAILY", "FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", "FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=5", "FREQ=MONTHLY;BYDAY=-1FR;UNTIL=20261224", "FREQ=YEARLY", "FREQ=HOURLY;INTERVAL=3"]) {
    assert.equal(ruleOf(patternOf(rule)), rule)
  }
  for (const rule of ["", "FREQ=SECONDLY", "FREQ=MONTHLY;BYDAY=MO", "FREQ=DAILY;BYHOUR=9,17", "FREQ=WEEKLY;UNTIL=20261224T090000Z", "FREQ=WEEKLY;BYDAY=1MO", "FREQ=MONTHLY;BYMONTHDAY=1;BYDAY=1MO", "FREQ=DAILY;COUNT=0", "FREQ=DAILY;X=1", "toString"]) {
    assert.equal(patternOf(rule), null, rule)
  }
})

test("rules in words", () => {
  for (const [rule, english, german] of [
    ["FREQ=DAILY", "Every day", "Jeden Tag"],
    ["FREQ=WEEKLY;INTERVAL=2;BYDAY=MO,FR", "Every 2 weeks on Monday and Friday", "Alle 2 Wochen am Montag und Freitag"],
    ["FREQ=WEEKLY;BYDAY=MO,TU,WE,TH,FR", "Every week from Monday to Friday", "Jede Woche von Montag bis Freitag"],
    ["FREQ=MONTHLY;BYMONTHDAY=-1;COUNT=5", "Every month on the last day, 5 times", "Jeden Monat am letzten Tag, 5-mal"],
    ["FREQ=MONTHLY;BYMONTHDAY=22", "Every month on day 22", "Jeden Monat am 22."],
    ["FREQ=MONTHLY;BYDAY=2TU;UNTIL=20261224", "Every month on the second Tuesday, until 24 Dec 2026", "Jeden Monat am zweiten Dienstag, bis 24.12.2026"],
    ["FREQ=YEARLY", "Every year", "Jedes Jahr"],
  ]) {
    assert.equal(ruleInWords(patternOf(rule), en, "en-GB"), english)
    assert.equal(ruleInWords(patternOf(rule), de, "de-DE"), german)
  }
})
