// Snoozes as a timeline tells them. Snoozing acknowledges, and that alone is an event; until when it was snoozed, the reminder of kind snooze
// says. A reminder is used again for later snoozes, so the earlier ones are known by when they have fired.
import type { Timeline, TimelineEvent } from "../../api/client"

interface Snooze {
  occurrence?: string
  until: number
}

/** Returns until when an event of kind acknowledged has snoozed its occurrence; undefined: it has not, or a snooze that was cancelled may belong
 * to more than one such event. */
export function snoozedBy(event: TimelineEvent, timeline: Timeline): string | undefined {
  const isSnooze = (id?: string) => timeline.reminders.some((r) => r.id === id && r.kind === "snooze")
  const told: Snooze[] = timeline.events
    .filter((e) => e.kind === "fired" && isSnooze(e.reminder_id))
    .map((e) => ({ occurrence: e.occurrence, until: Date.parse(e.at) - 1000 * (e.late_seconds ?? 0) }))
  const kept: Snooze[] = timeline.reminders
    .filter((r) => r.kind === "snooze" && r.fire_at && (r.state !== "cancelled" || isOnly(event, timeline)))
    .map((r) => ({ occurrence: r.occurrence ?? undefined, until: Date.parse(r.fire_at!) }))
  // The next one that ends: a second snooze takes the first one's place.
  const until = Math.min(...[...told, ...kept].filter((s) => s.occurrence === event.occurrence && s.until > Date.parse(event.at)).map((s) => s.until))
  return until === Infinity ? undefined : new Date(Math.round(until / 1000) * 1000).toISOString()
}

/** Whether the occurrence of an event was acknowledged at one time only. */
const isOnly = (event: TimelineEvent, timeline: Timeline) =>
  timeline.events.every((e) => e.kind !== "acknowledged" || e.occurrence !== event.occurrence || e.at === event.at)
