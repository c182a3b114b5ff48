// Findings: what in the status an operator has to look at, the most urgent first.
import type { Status } from "../../api/client"

/** Something that an operator has to look at. page is the heading of docs/operations.md that says what to do. */
export interface Finding {
  is: "firing" | "hosts" | "providers" | "events" | "late" | "neverSwept" | "notSwept" | "sweepFailed" | "sweepCutShort" | "notCleaned" | "cleanupFailed" | "daprLost" | "daprUnknown"
    | "daprRefuses" | "database" | "dead" | "provider"
  page: string
  /** A duration or a count; of is the total that the count is a part of. */
  figure: number
  of: number
  /** What the finding is about: the names of steps, a provider, or an instant. */
  name: string
}

/** The limits above which there is a finding, in seconds. The sweep runs every minute, and the cleanup every night. */
const worrying = { waiting: 120, late: 10, sweep: 180, cleanup: 26 * 3600, answer: 1 }

/** There is a finding about a provider if it had at least this many messages and refused at least this share of them. */
const refusing = { of: 5, share: 0.2 }

const pages = {
  firing: "something-waits-or-reminders-are-late", hosts: "webhooks-and-web-push-wait", providers: "something-waits-or-reminders-are-late",
  events: "events-are-not-published-or-not-heard", late: "something-waits-or-reminders-are-late", neverSwept: "the-sweep-does-not-run", notSwept: "the-sweep-does-not-run",
  sweepFailed: "see-how-things-are", sweepCutShort: "something-waits-or-reminders-are-late", notCleaned: "the-nightly-cleanup", cleanupFailed: "the-nightly-cleanup",
  daprLost: "the-scheduler-has-lost-its-data", daprUnknown: "dapr-takes-no-jobs", daprRefuses: "dapr-takes-no-jobs", database: "the-databases-connections-run-out",
  dead: "messages-are-not-getting-through-or-come-twice", provider: "messages-are-not-getting-through-or-come-twice",
} satisfies Record<Finding["is"], string>

/** Returns the findings of a status at an instant. */
export function findings(status: Status, now: number): Finding[] {
  const found: Finding[] = []
  const add = (is: Finding["is"], figure = 0, name = "", of = 0) => found.push({ is, page: pages[is], figure, name, of })
  const ago = (instant: string) => (now - Date.parse(instant)) / 1000
  const { last_sweep: sweep, last_cleanup: cleanup, dapr, lateness } = status

  if (!sweep) add("neverSwept")
  else if (ago(sweep.ended_at) >= worrying.sweep) add("notSwept", 0, sweep.ended_at)
  for (const of of ["firing", "providers", "hosts", "events"] as const) {
    if (status.oldest_waiting_seconds[of] >= worrying.waiting) add(of, status.oldest_waiting_seconds[of])
  }
  if (dapr.state === "lost") add("daprLost")
  if (dapr.state === "unknown" && sweep) add("daprUnknown")
  if (dapr.pending > 0) add("daprRefuses", dapr.pending)
  if (lateness.p99_seconds !== null && lateness.p99_seconds >= worrying.late) add("late", lateness.p99_seconds)
  if (status.database.answer_seconds >= worrying.answer) add("database", status.database.answer_seconds)
  if (sweep && sweep.failed.length > 0) add("sweepFailed", 0, sweep.failed.join(", "))
  else if (sweep && !sweep.complete) add("sweepCutShort")
  for (const p of status.providers) {
    const all = p.sent + p.failed
    if (all >= refusing.of && p.failed >= refusing.share * all) add("provider", p.failed, p.provider, all)
  }
  if (status.dead_letters.dead > 0) add("dead", status.dead_letters.dead)
  if (cleanup && cleanup.failed.length > 0) add("cleanupFailed", 0, cleanup.failed.join(", "))
  if (cleanup && ago(cleanup.ended_at) >= worrying.cleanup) add("notCleaned", 0, cleanup.ended_at)
  return found
}
