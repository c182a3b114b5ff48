// Times as people read and type them, in their own zone, which need not be the browser's.

/** Returns the instant at which clocks in a zone show a wall-clock time (2026-12-01T09:00). A
 * time that does not exist takes the offset before the gap; of one that comes twice it is the
 * first. */
export function instantOf(local: string, zone: string): Date {
  const wall = Date.parse(local + "Z")
  if (Number.isNaN(wall)) return new Date(NaN)
  // The offsets of the day before and the day after are all that can be meant.
  const before = offsetAt(wall - 86_400_000, zone)
  const after = offsetAt(wall + 86_400_000, zone)
  const fits = [before, after].map((offset) => wall - offset).filter((instant) => instant + offsetAt(instant, zone) === wall)
  return new Date(fits.length > 0 ? Math.min(...fits) : wall - before)
}

/** Returns the wall-clock time in a zone at an instant, as an input of type datetime-local takes it. */
export function localOf(instant: string | Date, zone: string): string {
  const at = typeof instant === "string" ? Date.parse(instant) : instant.getTime()
  return new Date(at + offsetAt(at, zone)).toISOString().slice(0, 16)
}

/** Whether clocks in two zones show the same, all through this year: UTC and Etc/UTC do. */
export function sameClock(one: string, other: string): boolean {
  const now = Date.now()
  return Array.from({ length: 12 }, (_, month) => now + month * 30 * 86_400_000).every((at) => offsetAt(at, one) === offsetAt(at, other))
}

const formats = new Map<string, Intl.DateTimeFormat>()

function format(language: string, options: Intl.DateTimeFormatOptions): Intl.DateTimeFormat {
  const key = language + JSON.stringify(options)
  let found = formats.get(key)
  if (!found) formats.set(key, (found = new Intl.DateTimeFormat(language, options)))
  return found
}

/** How far clocks in a zone are ahead of UTC at an instant, in milliseconds. */
function offsetAt(instant: number, zone: string): number {
  const parts = format("en-US", {
    timeZone: zone, calendar: "iso8601", hourCycle: "h23",
    year: "numeric", month: "numeric", day: "numeric", hour: "numeric", minute: "numeric", second: "numeric",
  }).formatToParts(instant)
  const part = (type: string) => Number(parts.find((p) => p.type === type)!.value)
  const wall = Date.UTC(part("year"), part("month") - 1, part("day"), part("hour"), part("minute"), part("second"))
  return wall - Math.floor(instant / 1000) * 1000
}

/** A point in time in full, with seconds and zone: what is shown on hover. */
export function exact(instant: string, language: string, zone: string): string {
  return format(language, { dateStyle: "full", timeStyle: "long", timeZone: zone }).format(Date.parse(instant))
}

const day = 86_400_000

/** The time of day with seconds: "14:30:05". */
export const clock = (instant: string, language: string, zone: string) => format(language, { timeStyle: "medium", timeZone: zone }).format(Date.parse(instant))

/** The day with its year: "1 Dec 2026". */
export const dayName = (instant: string, language: string, zone: string) => format(language, { dateStyle: "medium", timeZone: zone }).format(Date.parse(instant))

/** A point in time in few words: "14:30", "tomorrow, 09:00", "1 Dec, 09:00". */
export function short(instant: string, now: number, language: string, zone: string): string {
  const at = Date.parse(instant)
  const time = format(language, { timeStyle: "short", timeZone: zone }).format(at)
  const days = daysFrom(now, at, zone)
  if (days === 0) return time
  if (days === 1 || days === -1) return `${dayWord(days, language)}, ${time}`
  const sameYear = localOf(instant, zone).slice(0, 4) === localOf(new Date(now), zone).slice(0, 4)
  const date = format(language, { day: "numeric", month: "short", year: sameYear ? undefined : "numeric", timeZone: zone }).format(at)
  return `${date}, ${time}`
}

/** The same, but always with the day: "today, 14:30". */
export function shortWithDay(instant: string, now: number, language: string, zone: string): string {
  const words = short(instant, now, language, zone)
  return daysFrom(now, Date.parse(instant), zone) === 0 ? `${dayWord(0, language)}, ${words}` : words
}

const dayWord = (days: number, language: string) => new Intl.RelativeTimeFormat(language, { numeric: "auto" }).format(days, "day")

/** Returns how many days after today an instant is, by the clocks of a zone. */
const daysFrom = (now: number, at: number, zone: string) => Math.round((startOfDay(at, zone) - startOfDay(now, zone)) / day)

/** The wall clock's day, as a number that grows by one day's length each day. */
const startOfDay = (instant: number, zone: string) => Math.floor((instant + offsetAt(instant, zone)) / day) * day

/** The first instant of the day that is so many days from now, in a zone. */
export function dayFromNow(days: number, now: number, zone: string): Date {
  return instantOf(new Date(startOfDay(now, zone) + days * day).toISOString().slice(0, 16), zone)
}

/** How long from now or ago: "in 5 minutes", "3 hours ago". */
export function relative(instant: string, now: number, language: string): string {
  const seconds = Math.round((Date.parse(instant) - now) / 1000)
  const steps: [Intl.RelativeTimeFormatUnit, number][] = [["day", 86_400], ["hour", 3600], ["minute", 60]]
  const words = new Intl.RelativeTimeFormat(language, { numeric: "auto" })
  for (const [unit, length] of steps) {
    if (Math.abs(seconds) >= length) return words.format(Math.trunc(seconds / length), unit)
  }
  return words.format(seconds, "second")
}

/** Returns a number of seconds in few words: "12 ms", "0.4 s", "3 min", "5 h". */
export function duration(seconds: number, language: string): string {
  const [value, unit]: [number, string] = seconds < 0.1 ? [seconds * 1000, "millisecond"] : seconds < 120 ? [seconds, "second"] : seconds < 7200 ? [seconds / 60, "minute"] : [seconds / 3600, "hour"]
  return new Intl.NumberFormat(language, { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: unit === "second" || value < 1 ? 1 : 0 }).format(value)
}

/** A wall-clock time or a day without a zone, as people read it: "1 Dec 2026, 09:00". */
export const wallText = (local: string, language: string) =>
  format(language, { dateStyle: "medium", timeStyle: local.length > 10 ? "short" : undefined, timeZone: "UTC" }).format(Date.parse(local.length > 10 ? local + "Z" : local))

/** Returns when the next step is due, for a step that ended at the instant from: "14:30:05", with the day if it is
 * another day. It is "" if there is no next step, or it follows at once. */
export function until(next: string | null | undefined, from: string, language: string, zone: string): string {
  if (!next || Date.parse(next) <= Date.parse(from)) return ""
  const day = dayName(next, language, zone)
  return day === dayName(from, language, zone) ? clock(next, language, zone) : `${day}, ${clock(next, language, zone)}`
}
