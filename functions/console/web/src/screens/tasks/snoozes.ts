// Snoozes in a timeline. A snooze is an event of kind acknowledged, since it acknowledges. Until when the occurrence
// is snoozed is in the reminder of kind snooze. Later snoozes use the same reminder again, so the ends of earlier
// ones are taken from the events at which it fired.
import type { Timeline, TimelineEvent } from "../../api/client"

interface Snooze {
  occurrence?: string
  until: number
}

/** Returns until when an event of kind acknowledged has snoozed its occurrence. It returns undefined if it was no
 * snooze, or if a cancelled snooze may belong to more than one such event. */
export function snoozedBy(event: TimelineEvent, timeline: Timeline): string | undefined {
  const isSnooze = (id?: string) => timeline.reminders.some((r) => r.id === id && r.kind === "snooze")
  const told: Snooze[] = timeline.events
    .filter((e) => e.kind === "fired" && isSnooze(e.reminder_id))
    .map((e) => ({ occurrence: e.occurrence, until: Date.parse(e.at) - 1000 * (e.late_seconds ?? 0) }))
  const kept: Snooze[] = timeline.reminders
    .filter((r) => r.kind === "snooze" && r.fire_at && (r.state !== "cancelled" || isOnly(event, timeline)))
    .map((r) => ({ occurrence: r.occurrence ?? undefined, until: Date.parse(r.fire_at!) }))
  // The first snooze to end after the event. A second snooze replaces the first.
  const until = Math.min(...[...told, ...kept].filter((s) => s.occurrence === event.occurrence && s.until > Date.parse(event.at)).map((s) => s.until))
  return until === Infinity ? undefined : new Date(Math.round(until / 1000) * 1000).toISOString()
}

/** Returns whether the occurrence of an event was acknowledged only once. */
const isOnly = (event: TimelineEvent, timeline: Timeline) =>
  timeline.events.every((e) => e.kind !== "acknowledged" || e.occurrence !== event.occurrence || e.at === event.at)
