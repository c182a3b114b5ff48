// Expands recurrence rules with rrule-temporal: lines {"start", "zone", "rule", "most"} on standard
// input. For each it prints a line {"start", "found", "error"}: the first occurrences are {"local", "unix",
// "shown"}. start and shown are the times of day that Node itself has at these instants.
import { createInterface } from "node:readline";
import { Temporal } from "temporal-polyfill";
import { RRuleTemporal } from "rrule-temporal";

const clocks = {};
const clockIn = (timeZone) => (clocks[timeZone] ??= new Intl.DateTimeFormat("en-GB", { timeZone, timeStyle: "medium" }));

for await (const line of createInterface({ input: process.stdin })) {
  const { start, zone, rule, most } = JSON.parse(line);
  const answer = { found: [] };
  try {
    const dtstart = Temporal.PlainDateTime.from(start).toZonedDateTime(zone);
    answer.start = clockIn(zone).format(dtstart.epochMilliseconds);
    new RRuleTemporal({ rruleString: rule, dtstart, maxIterations: 2_000, maxCandidateEvaluations: 20_000 }).all((at, i) => {
      if (i < most) {
        answer.found.push({ local: at.toPlainDateTime().toString(), unix: at.epochMilliseconds / 1000, shown: clockIn(zone).format(at.epochMilliseconds) });
      }
      return i + 1 < most;
    });
  } catch (error) {
    answer.found = [];
    answer.error = error.message;
  }
  console.log(JSON.stringify(answer));
}
