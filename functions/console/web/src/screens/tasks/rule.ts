// The rules of RFC 5545 that the editor can show, and the rules in words.
import type { Texts } from "../../text"

export const frequencies = ["HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY"] as const
export type Frequency = (typeof frequencies)[number]
export const weekdays = ["MO", "TU", "WE", "TH", "FR", "SA", "SU"] as const
export type Weekday = (typeof weekdays)[number]

/** The parts of a rule. Parts that are null are taken from the start of the series. */
export interface Pattern {
  freq: Frequency
  interval: number
  /** The days of a weekly rule. */
  days: Weekday[]
  /** For a monthly rule: the day, -1 for the last day; or a weekday, such as the second Monday. */
  monthDay: number | null
  nth: { n: number; day: Weekday } | null
  count: number | null
  until: string | null // a date
}

export const everyWeek: Pattern = { freq: "WEEKLY", interval: 1, days: [], monthDay: null, nth: null, count: null, until: null }

/** Returns the parts of a rule; null if it has parts that a Pattern can't hold. */
export function patternOf(rule: string): Pattern | null {
  const parts = new Map(rule.split(";").map((part) => part.split("=", 2) as [string, string]))
  const pattern: Pattern = { ...everyWeek, freq: parts.get("FREQ") as Frequency, interval: Number(parts.get("INTERVAL") ?? 1) }
  const read: Record<string, (value: string) => boolean> = {
    FREQ: () => frequencies.includes(pattern.freq),
    INTERVAL: (value) => /^\d{1,4}$/.test(value),
    COUNT: (value) => /^\d{1,5}$/.test(value) && (pattern.count = Number(value)) > 0,
    UNTIL: (value) => /^\d{8}$/.test(value) && (pattern.until = value.replace(/(....)(..)(..)/, "$1-$2-$3")) !== "",
    BYMONTHDAY: (value) => pattern.freq === "MONTHLY" && /^(-1|[1-9]|[12]\d|3[01])$/.test(value) && (pattern.monthDay = Number(value)) !== 0,
    BYDAY: (value) => {
      const nth = /^(-1|[1-5])(MO|TU|WE|TH|FR|SA|SU)$/.exec(value)
      if (pattern.freq === "MONTHLY" && nth) pattern.nth = { n: Number(nth[1]), day: nth[2] as Weekday }
      else if (pattern.freq === "WEEKLY" && value.split(",").every((day) => (weekdays as readonly string[]).includes(day))) pattern.days = inOrder(value.split(",") as Weekday[])
      else return false
      return true
    },
  }
  if (!parts.has("FREQ")) return null
  for (const [name, value] of parts) if (!value || !Object.hasOwn(read, name) || !read[name]!(value)) return null
  return pattern.monthDay !== null && pattern.nth ? null : pattern
}

/** Returns days in the order from Monday to Sunday, each once. */
export const inOrder = (days: readonly Weekday[]) => weekdays.filter((day) => days.includes(day))

/** Returns the rule with these parts. */
export function ruleOf({ freq, interval, days, monthDay, nth, count, until }: Pattern): string {
  return [
    `FREQ=${freq}`,
    interval > 1 && `INTERVAL=${interval}`,
    freq === "WEEKLY" && days.length > 0 && `BYDAY=${days.join(",")}`,
    freq === "MONTHLY" && monthDay !== null && `BYMONTHDAY=${monthDay}`,
    freq === "MONTHLY" && nth && `BYDAY=${nth.n}${nth.day}`,
    count !== null ? `COUNT=${count}` : until && `UNTIL=${until.replaceAll("-", "")}`,
  ].filter(Boolean).join(";")
}

/** Returns the name of a weekday. */
export const dayOfWeek = (day: Weekday, language: string, weekday: "long" | "short" = "long") =>
  // 5 January 1970 was a Monday.
  new Intl.DateTimeFormat(language, { weekday, timeZone: "UTC" }).format(Date.UTC(1970, 0, 5 + weekdays.indexOf(day)))

/** Returns a rule in words: "Every 2 weeks on Monday and Friday, 5 times". */
export function ruleInWords(p: Pattern, texts: Texts, language: string): string {
  const text = texts.tasks.rule
  const list = (names: string[]) => new Intl.ListFormat(texts.code, { type: "conjunction" }).format(names)
  const date = (day: string) => new Intl.DateTimeFormat(language, { dateStyle: "medium", timeZone: "UTC" }).format(Date.parse(day))
  let words = text.every(p.freq, p.interval)
  if (p.freq === "WEEKLY" && p.days.length > 0) words += " " + (p.days.join() === "MO,TU,WE,TH,FR" ? text.workdays : text.on(list(p.days.map((day) => dayOfWeek(day, texts.code)))))
  if (p.freq === "MONTHLY" && p.monthDay !== null) words += " " + (p.monthDay < 0 ? text.lastDay : text.monthDay(p.monthDay))
  if (p.freq === "MONTHLY" && p.nth) words += " " + text.nth(text.ordinal[p.nth.n]!, dayOfWeek(p.nth.day, texts.code))
  if (p.count !== null) words += ", " + text.times(p.count)
  else if (p.until) words += ", " + text.until(date(p.until))
  return words
}
