// The times that the snooze dialog offers, in the user's time zone.
import type { SnoozeInput } from "../../api/client"
import { dayFromNow, instantOf, localOf } from "../../times"

export interface Preset {
  name: "soon" | "hour" | "evening" | "tomorrow" | "week"
  at: Date
  input: SnoozeInput
}

const hour = 3_600_000

/** Returns the presets at an instant. "This evening" is among them while it is more than an hour ahead, and "next
 * week" unless it begins tomorrow. */
export function presets(now: number, zone: string): Preset[] {
  const dayAt = (days: number, time: string) => instantOf(`${localOf(dayFromNow(days, now, zone), zone).slice(0, 10)}T${time}`, zone)
  const span = (name: Preset["name"], duration: string, length: number): Preset => ({ name, at: new Date(now + length), input: { for: duration } })
  const until = (name: Preset["name"], at: Date): Preset => ({ name, at, input: { until: at.toISOString() } })
  const evening = dayAt(0, "18:00")
  const weekday = new Date(localOf(new Date(now), zone) + "Z").getUTCDay()
  const toMonday = 7 - ((weekday + 6) % 7)
  return [
    span("soon", "10m", hour / 6),
    span("hour", "1h", hour),
    ...(evening.getTime() - now > hour ? [until("evening", evening)] : []),
    until("tomorrow", dayAt(1, "09:00")),
    ...(toMonday > 1 ? [until("week", dayAt(toMonday, "09:00"))] : []),
  ]
}
