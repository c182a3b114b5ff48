// Reads the line of quick add, such as "call Ada tomorrow 9:00" or "jeden Montag 8 Uhr Blumen gießen". It
// understands English and German at the same time. The words that it does not understand are the title, and
// so are words in quotes. Days and times are those of the user's zone. Hours count to 24, unless the line
// says am, pm or a part of the day.
import { instantOf, localOf } from "../../times"
import { ruleOf, weekdays, everyWeek, inOrder, type Frequency, type Pattern, type Weekday } from "./rule"

export interface Understood {
  title: string
  urgent: boolean
  /** An instant, a local time or a whole day. */
  due?: { exact: string } | { at: string } | { on: string }
  rule?: string
}

export interface Surroundings {
  now: Date
  zone: string
  /** The time of day at which a whole day is due. */
  allDayAt: string
  /** Whether 3/12 means the third of December. */
  dayFirst: boolean
}

const names = {
  numbers: [["a", "an", "one", "ein", "eine", "einem", "einen", "einer", "eins"], ["two", "zwei"], ["three", "drei"], ["four", "vier"], ["five", "fünf"], ["six", "sechs"],
    ["seven", "sieben"], ["eight", "acht"], ["nine", "neun"], ["ten", "zehn"], ["eleven", "elf"], ["twelve", "zwölf"]],
  months: [["january", "jan", "januar", "jänner"], ["february", "feb", "februar"], ["march", "mar", "märz", "mär"], ["april", "apr"], ["may", "mai"], ["june", "jun", "juni"],
    ["july", "jul", "juli"], ["august", "aug"], ["september", "sept", "sep"], ["october", "oct", "oktober", "okt"], ["november", "nov"], ["december", "dec", "dezember", "dez"]],
  days: [["monday", "montag"], ["tuesday", "dienstag"], ["wednesday", "mittwoch"], ["thursday", "donnerstag"], ["friday", "freitag"], ["saturday", "samstag", "sonnabend"], ["sunday", "sonntag"]],
  // These are also ordinary words ("so", "do", "sun"). They count as days only where a day must
  // stand.
  shortDays: [["mon", "mo"], ["tue", "tues", "di"], ["wed", "mi"], ["thu", "thur", "thurs", "do"], ["fri", "fr"], ["sat", "sa"], ["sun", "so"]],
  ordinals: [["first", "1st", "1.", "erste", "ersten", "erster", "erstes"], ["second", "2nd", "2.", "zweite", "zweiten", "zweiter", "zweites"],
    ["third", "3rd", "3.", "dritte", "dritten", "dritter", "drittes"], ["fourth", "4th", "4.", "vierte", "vierten", "vierter", "viertes"], ["last", "letzte", "letzten", "letzter", "letztes"]],
  // Without an hour they mean 9:00, 12:00, 15:00 and 19:00.
  parts: [["morning", "früh", "morgen", "morgens", "vormittag", "vormittags"], ["noon", "mittag", "mittags"], ["afternoon", "nachmittag", "nachmittags"], ["evening", "night", "abend", "abends"]],
}
const partHours = [9, 12, 15, 19]

const escaped = (word: string) => word.replace(".", "\\.")
const any = (...lists: string[][][]) => `(?:${lists.flat(2).map(escaped).sort((a, b) => b.length - a.length).join("|")})`
/** Returns the index of the group that has a word; -1 if none has it. */
const place = (list: string[][], word: string | undefined) => list.findIndex((words) => words.includes(word?.toLowerCase() ?? ""))

const units: [unit: "second" | "minute" | "hour" | "day" | "week" | "month" | "year", words: string, freq?: Frequency][] = [
  ["second", "seconds?|secs?|s|sekunden?|sek"], ["minute", "minutes?|mins?|m|minuten?"], ["hour", "hours?|hrs?|h|stunden?|std", "HOURLY"], ["day", "days?|d|tag(?:en?)?", "DAILY"],
  ["week", "weeks?|w|wochen?", "WEEKLY"], ["month", "months?|monat(?:en?|s)?", "MONTHLY"], ["year", "years?|jahr(?:en?|s)?", "YEARLY"],
]
const unit = `(?:${units.map(([, words]) => words).join("|")})`
const unitOf = (word: string) => units.find(([, words]) => new RegExp(`^(?:${words})$`, "iu").test(word))!

const number = `(?:\\d{1,4}|${any(names.numbers)})`
const numberOf = (word: string) => (/^\d/.test(word) ? Number(word.replace(",", ".")) : place(names.numbers, word) + 1)
const hour = `(?:\\d{1,2}|${any(names.numbers.map((words) => words.filter((w) => !/^(a|an|eine.+|ein)$/.test(w))))})`
const quantity = `\\d{1,4}(?:[.,]\\d)?\\s*|(?<!\\p{L})${any(names.numbers)}\\s+`
const amount = `(?:${quantity})${unit}(?!\\p{L})`
const every = "(?:every|each|jede[nrsm]?|alle)"
const month = any(names.months)
const day = any(names.days)
const someDay = any(names.days, names.shortDays)
const dayOf = (word: string): Weekday => weekdays[Math.max(place(names.days, word), place(names.shortDays, word))]!
const ordinal = any(names.ordinals)
const part = any(names.parts)
const before = "(?:(?:on|by|due|starting|from|until|till|ab|am|bis(?:\\s+zum)?|vom|den|dem|the|this|kommende[nrs]?|coming)\\s+)*"
const clock = "(?:\\d{1,2}(?::\\d\\d|\\s*(?:uhr|[ap]m|[ap]\\.m\\.))|(?:um|at)\\s+\\d)"

/** A line that is understood piece by piece. */
class Line {
  /** The line with blanks in place of what is understood or quoted. */
  private open: string
  private readonly taken: boolean[] = []

  constructor(private readonly text: string) {
    this.open = text.replace(/"[^"]*"|„[^“”]*[“”]|“[^”]*”/g, (quoted) => "\u0001".repeat(quoted.length))
  }

  /** Finds the last match of a pattern for which read returns a value, blanks it out, and returns the value. */
  take<T>(pattern: string, read: (groups: (string | undefined)[]) => T | undefined): T | undefined {
    const found = [...this.open.matchAll(new RegExp(`(?<![\\p{L}\\p{N}.:/])(?:${pattern})(?![\\p{L}\\p{N}])`, "giu"))]
    for (const match of found.reverse()) {
      const value = read(match.slice(1))
      if (value === undefined) continue
      const end = match.index + match[0].length
      this.open = this.open.slice(0, match.index) + "\u0001".repeat(match[0].length) + this.open.slice(end)
      for (let i = match.index; i < end; i++) this.taken[i] = true
      return value
    }
    return undefined
  }

  /** Returns the words that were not understood. */
  rest(): string {
    return this.text.split("").map((c, i) => (this.taken[i] ? " " : c)).join("").replace(/\s+/g, " ").replace(/\s+([,;.])/g, "$1").replace(/^[\s,;:–-]+|[\s,;:–-]+$/g, "")
      .replace(/^(?:and|und)\s+/i, "").replace(/^(?:please\s+)?remind me\s+(?:to|about|of)\s+|^erinner[en]? mich\s+(?:an|daran,?)\s+/i, "")
  }
}

// Days are counted from 1970-01-01.
const dayNumber = (year: number, month: number, date: number): number | undefined => {
  const at = new Date(Date.UTC(year, month - 1, date))
  return year >= 1970 && year < 10_000 && at.getUTCMonth() === month - 1 && at.getUTCDate() === date ? at.getTime() / 86_400_000 : undefined
}
const dateOf = (n: number) => new Date(n * 86_400_000).toISOString().slice(0, 10)
const yearOf = (n: number) => Number(dateOf(n).slice(0, 4))
const monthOf = (n: number) => Number(dateOf(n).slice(5, 7))
const weekdayOf = (n: number) => (n + 3) % 7 // 0 is Monday
const plusMonths = (n: number, months: number) => {
  const index = yearOf(n) * 12 + monthOf(n) - 1 + months
  const lastDay = new Date(Date.UTC(Math.floor(index / 12), (index % 12) + 1, 0)).getUTCDate()
  return dayNumber(Math.floor(index / 12), (index % 12) + 1, Math.min(Number(dateOf(n).slice(8)), lastDay))
}

/** Reads a line. The result has neither due nor rule if the line does not say when. */
export function understand(text: string, { now, zone, allDayAt, dayFirst }: Surroundings): Understood {
  const line = new Line(text)
  const local = localOf(now, zone)
  const today = Date.parse(local.slice(0, 10)) / 86_400_000
  const isAhead = (day: number, time: string) => instantOf(`${dateOf(day)}T${time}`, zone) > now

  const urgent = line.take("!(?:urgent|dringend|!)", () => true) ?? false
  const repetition = takeRule(line)
  const last = repetition && takeEnd(line, today, dayFirst)
  const span = takeSpan(line, now, zone, today)
  const date = takeDate(line, today, dayFirst)
  const time = takeTime(line, date?.part ?? repetition?.part)
  const result = { title: line.rest(), urgent }

  if (span?.exact && !date && !time && !repetition) return { ...result, due: { exact: span.exact.toISOString() } }
  let start = date?.on(span?.day ?? today, span?.day !== undefined || (time !== undefined && isAhead(today, time))) ?? span?.day
  // If a date without a year is today and its time has passed, it means the next year.
  if (start === today && date?.again && time && !isAhead(today, time)) start = date.again(today + 1)
  if (!repetition) {
    if (start === undefined && !time) return result
    start ??= isAhead(today, time!) ? today : today + 1
    return { ...result, due: time ? { at: `${dateOf(start)}T${time}` } : { on: dateOf(start) } }
  }
  const pattern: Pattern = { ...everyWeek, ...repetition.pattern, ...last }
  const rule = ruleOf(pattern)
  if (pattern.freq === "HOURLY" && !time && start === undefined) {
    return { ...result, rule, due: { at: localOf(new Date(now.getTime() + pattern.interval * 3_600_000), zone) } }
  }
  if (start === undefined) {
    start = isAhead(today, time ?? allDayAt) ? today : today + 1
    // An interval of several weeks is counted from the first of the rule's days.
    while (pattern.days.length > 0 && !pattern.days.includes(weekdays[weekdayOf(start)]!)) start++
  }
  const at = time ?? (pattern.freq === "HOURLY" ? "00:00" : undefined)
  return { ...result, rule, due: at ? { at: `${dateOf(start)}T${at}` } : { on: dateOf(start) } }
}

interface Repetition {
  pattern: Partial<Pattern>
  part?: number
}

function takeRule(line: Line): Repetition | undefined {
  const other = "(?:other|second|2nd|zweite[nrs]?|andere[nrs]?|2\\.)"
  const ofMonth = "(?:(?:of|in)\\s+(?:the|each|every)\\s+month|im\\s+monat|(?:des|jede[ns]|eines\\s+jeden)\\s+monats?)"
  const days = `${someDay}(?:\\s*(?:,|/|&|and|und)\\s*(?:${every}\\s+)?${someDay})*`
  const daysIn = (text: string) => inOrder(Array.from(text.matchAll(new RegExp(`(?<!\\p{L})${someDay}(?!\\p{L})`, "giu")), ([word]) => dayOf(word)))
  const is = (pattern: Partial<Pattern>) => () => ({ pattern })
  const nth = ([which, weekday]: (string | undefined)[]): Repetition | undefined => {
    const n = place(names.ordinals, which) + 1
    return { pattern: { freq: "MONTHLY", nth: { n: n === 5 ? -1 : n, day: dayOf(weekday!) } } }
  }
  const inMonth = ([date]: (string | undefined)[]): Repetition | undefined =>
    Number(date) >= 1 && Number(date) <= 31 ? { pattern: { freq: "MONTHLY", monthDay: Number(date) } } : undefined
  return (
    line.take(`(?:(?:on|am)\\s+)?(?:the\\s+)?(?:${every}\\s+)?(${ordinal})\\s+(${someDay})\\s+${ofMonth}`, nth) ??
    line.take(`(?:${every}\\s+|(?:on\\s+)?the\\s+|am\\s+)?(?:last\\s+day\\s+of\\s+(?:the|each|every)\\s+month|letzten\\s+tag\\s+(?:im\\s+monat|(?:des|jedes|jeden)\\s+monats)|monatsende)`, is({ freq: "MONTHLY", monthDay: -1 })) ??
    line.take(`(?:(?:on\\s+)?the\\s+|am\\s+)?(\\d{1,2})(?:st|nd|rd|th|\\.)\\s+(?:of\\s+(?:the|each|every)\\s+month|(?:des|jede[ns]|eines\\s+jeden)\\s+monats?)`, inMonth) ??
    line.take(`${every}\\s+${other}\\s+(${unit})`, ([word]) => ofUnit(2, word!)) ??
    line.take(`${every}\\s+${other}\\s+(${days})`, ([list]) => ({ pattern: { freq: "WEEKLY", interval: 2, days: daysIn(list!) } })) ??
    line.take(`${every}\\s+(${ordinal})\\s+(${someDay})`, nth) ??
    line.take(`${every}\\s+(${number})\\s+(${unit})`, ([n, word]) => ofUnit(numberOf(n!), word!)) ??
    line.take(`(?:${every}\\s+|on\\s+)(?:weekday|workday|working\\s+day)s?|jede[nr]?\\s+(?:werk|arbeits|wochen)tag|werktags|wochentags`, is({ freq: "WEEKLY", days: [...weekdays.slice(0, 5)] })) ??
    line.take(`${every}\\s+(?:weekend|wochenende)`, is({ freq: "WEEKLY", days: ["SA", "SU"] })) ??
    line.take(`${every}\\s+(${days})(?:\\s*(${part}))?`, ([list, word]) => ({ pattern: { freq: "WEEKLY", days: daysIn(list!) }, part: partOf(word) })) ??
    line.take(`(?:on\\s+)?(${any(names.days)})s`, ([word]) => ({ pattern: { freq: "WEEKLY", days: [dayOf(word!)] } })) ??
    line.take(`${every}\\s+(${unit})`, ([word]) => ofUnit(1, word!)) ??
    line.take(`${every}\\s+(${part})`, ([word]) => ({ pattern: { freq: "DAILY" }, part: partOf(word) })) ??
    line.take(`${every}\\s+(?:the\\s+)?(\\d{1,2})(?:st|nd|rd|th|\\.)(?!\\s*(?:of\\s+)?${month}|\\s?\\d)`, inMonth) ??
    line.take(`${every}(?=\\s+(?:\\d{1,2}(?:st|nd|rd|th|\\.)?\\s*(?:of\\s+)?(?:${month}|\\d{1,2}\\.)|${month}\\s+\\d))`, is({ freq: "YEARLY" })) ??
    line.take("hourly|stündlich", is({ freq: "HOURLY" })) ?? line.take("daily|täglich", is({ freq: "DAILY" })) ?? line.take("weekly|wöchentlich", is({ freq: "WEEKLY" })) ??
    line.take("monthly|monatlich", is({ freq: "MONTHLY" })) ?? line.take("yearly|annually|jährlich", is({ freq: "YEARLY" }))
  )
}

const partOf = (word: string | undefined) => (word === undefined ? undefined : place(names.parts, word))

function ofUnit(interval: number, word: string): Repetition | undefined {
  const freq = unitOf(word)[2]
  return freq && interval >= 1 ? { pattern: { freq, interval } } : undefined
}

/** Reads how many times, or until when, a rule recurs. */
function takeEnd(line: Line, today: number, dayFirst: boolean): Partial<Pattern> | undefined {
  const count = line.take(`,?\\s*(?:for\\s+)?(${number})\\s*(?:times|mal)`, ([n]) => numberOf(n!) || undefined)
  if (count) return { count }
  const until = takeDate(line, today, dayFirst, "(?:until|till|bis(?:\\s+zum)?)\\s+(?:the\\s+)?")
  return until && { until: dateOf(until.on(today, false)) }
}

/** "in 20 min", "in 1 Stunde 30 Minuten", "in 3 days": an instant, or a day. */
function takeSpan(line: Line, now: Date, zone: string, today: number): { exact?: Date; day?: number } | undefined {
  return line.take(`in\\s+(?:(half\\s+an\\s+hour|einer\\s+halben\\s+stunde)|(${amount}(?:\\s*(?:,|and|und)?\\s*${amount})*))`, ([half, amounts]) => {
    if (half) return { exact: new Date(now.getTime() + 1_800_000) }
    let ms = 0
    let day = today
    for (const [, n, word] of amounts!.matchAll(new RegExp(`(${quantity})(${unit})(?!\\p{L})`, "giu"))) {
      const value = numberOf(n!.trim())
      switch (unitOf(word!)[0]) {
        case "second": ms += value * 1000; break
        case "minute": ms += value * 60_000; break
        case "hour": ms += value * 3_600_000; break
        case "day": day += Math.round(value); break
        case "week": day += Math.round(value * 7); break
        case "month": day = plusMonths(day, Math.round(value)) ?? day; break
        case "year": day = plusMonths(day, Math.round(value) * 12) ?? day; break
      }
    }
    if (ms === 0 && day === today) return undefined
    if (ms === 0) return { day }
    return { exact: new Date((day === today ? now : instantOf(dateOf(day) + localOf(now, zone).slice(10), zone)).getTime() + ms) }
  })
}

interface TakenDate {
  /** Returns the day that is meant if today is the given day. timeIsAhead says that the given time of day is still to
   * come. */
  on(today: number, timeIsAhead: boolean): number
  /** Returns the first such day from a given day on. It is missing for a day that does not come again. */
  again?(from: number): number
  part?: number
}

function takeDate(line: Line, today: number, dayFirst: boolean, prefix = before): TakenDate | undefined {
  const fixed = (day: number | undefined, part?: number): TakenDate | undefined => (day === undefined ? undefined : { on: () => day, part })
  const inYear = (date: string | undefined, month: number, year: string | undefined): TakenDate | undefined => {
    if (year) return fixed(dayNumber(Number(year.length === 2 ? "20" + year : year), month, Number(date)))
    const again = (from: number) => {
      for (let y = yearOf(from); ; y++) {
        const day = dayNumber(y, month, Number(date))
        if (day !== undefined && day >= from) return day
      }
    }
    return dayNumber(2024, month, Number(date)) === undefined ? undefined : { on: again, again }
  }
  const year4 = "(?:,?\\s+(\\d{4}))?(?!:?\\d)"
  return (
    line.take(`${prefix}(\\d{4})-(\\d{1,2})-(\\d{1,2})`, ([y, m, d]) => fixed(dayNumber(Number(y), Number(m), Number(d)))) ??
    line.take(`${prefix}(\\d{1,2})\\.\\s?(\\d{1,2})\\.(?:\\s?(\\d{4})|(\\d{2}))?`, ([d, m, y4, y2]) => inYear(d, Number(m), y4 ?? y2)) ??
    line.take(`${prefix}(\\d{1,2})(?:st|nd|rd|th|\\.)?\\s*(?:of\\s+)?(${month})\\.?${year4}`, ([d, m, y]) => inYear(d, place(names.months, m) + 1, y)) ??
    line.take(`${prefix}(${month})\\.?\\s+(\\d{1,2})(?:st|nd|rd|th)?(?!\\s*(?:uhr|[ap]m))${year4}`, ([m, d, y]) => inYear(d, place(names.months, m) + 1, y)) ??
    // Without a year, 1/2 may mean a half, so a word such as "on" must stand before it.
    line.take(`(?:${prefix}(\\d{1,2})/(\\d{1,2})/(\\d{4}|\\d{2})|(?:on|by|due|until|till|am|bis)\\s+(\\d{1,2})/(\\d{1,2}))`, ([a1, b1, y, a2, b2]) => {
      const [a, b] = [a1 ?? a2, b1 ?? b2]
      const first = Number(a) > 12 || (Number(b) <= 12 && dayFirst)
      return inYear(first ? a : b, Number(first ? b : a), y)
    }) ??
    line.take(`(?:${prefix === before ? "(?:on\\s+the|am)\\s+" : prefix})(\\d{1,2})(?:st|nd|rd|th|\\.)`, ([d]) => {
      const again = (from: number) => {
        for (let day = from; ; day++) if (Number(dateOf(day).slice(8)) === Number(d)) return day
      }
      return Number(d) >= 1 && Number(d) <= 31 ? { on: again, again } : undefined
    }) ??
    line.take(`${prefix}(?:the\\s+)?(?:day\\s+after\\s+tomorrow|übermorgen|uebermorgen)(?:\\s+(${part}))?`, ([p]) => fixed(today + 2, partOf(p))) ??
    line.take(`${prefix}(?:tomorrow|tmrw)(?:\\s+(${part}))?`, ([p]) => fixed(today + 1, partOf(p))) ??
    line.take(`${prefix}(?:today|heute)(?:\\s+(${part}))?`, ([p]) => fixed(today, partOf(p))) ??
    line.take("tonight", () => fixed(today, 3)) ?? line.take("this\\s+(morning|afternoon|evening)", ([p]) => fixed(today, partOf(p))) ??
    line.take(`(?<!(?:guten|am)\\s)${prefix === before ? "" : prefix}morgen(?:\\s+(${part}))?`, ([p]) => fixed(today + 1, partOf(p))) ??
    line.take("next\\s+week|nächste\\s+woche", () => fixed(today - weekdayOf(today) + 7)) ??
    line.take(`(?:(next|nächste[nrs]?)\\s+(${someDay})|${prefix}(${day})|(?:on|this|diese[nrs]?|kommende[nrs]?)\\s+(${someDay})|(?:am\\s+)?(${someDay})(?=\\.?,?\\s+${clock}))\\.?(?:\\s*(${part}))?`, ([next, inNext, long, after, short, p]) => {
      const wanted = weekdays.indexOf(dayOf((inNext ?? long ?? after ?? short)!))
      return {
        part: partOf(p),
        on: (today, timeIsAhead) => {
          const ahead = (wanted - weekdayOf(today) + 7) % 7
          if (next) return today - weekdayOf(today) + 7 + wanted
          return today + (ahead === 0 && !timeIsAhead ? 7 : ahead)
        },
      }
    })
  )
}

/** Reads a time of day, such as 09:00. part is the part of the day that was named together with the day, such as the
 * evening. */
function takeTime(line: Line, part: number | undefined): string | undefined {
  const at = "(?:(?:at|um|gegen|ab)\\s+|@\\s*)"
  const half = "(?:([ap])\\.?m\\.?)"
  interface Clock { hour: number; minute: number; half?: string }
  const time = (hour: number, minute: number, half?: string): Clock | undefined =>
    hour < 24 && minute < 60 && (!half || (hour >= 1 && hour <= 12)) && Number.isFinite(hour) ? { hour, minute, half: half?.toLowerCase() } : undefined
  const word = (h: string | undefined) => numberOf(h!)
  const found =
    line.take(`${at}?(\\d{1,2}):(\\d\\d)(?:\\s*[-–]\\s*\\d{1,2}:\\d\\d)?(?:\\s*(?:uhr|h)|\\s*${half})?(?!:)`, ([h, m, ap]) => time(Number(h), Number(m), ap)) ??
    line.take(`${at}?(\\d{1,2})\\.(\\d\\d)(?:\\s*(?:uhr|h)|\\s*${half})`, ([h, m, ap]) => time(Number(h), Number(m), ap)) ??
    line.take(`${at}(\\d{1,2})\\.(\\d\\d)(?!\\.)`, ([h, m]) => time(Number(h), Number(m))) ??
    line.take(`${at}?(${hour})\\s*uhr(?:\\s*(\\d\\d))?`, ([h, m]) => time(word(h), Number(m ?? 0))) ??
    line.take(`${at}?(\\d{1,2})\\s*${half}`, ([h, ap]) => time(Number(h), 0, ap)) ??
    line.take(`${at}?(?:halb\\s+(${hour})|half\\s+past\\s+(${hour}))`, ([de, en]) => time(de ? word(de) - 1 : word(en), 30)) ??
    line.take(`${at}?(?:a\\s+)?(?:quarter|viertel)\\s+(?:(past|nach)|to|vor)\\s+(${hour})`, ([past, h]) => time(past ? word(h) : word(h) - 1, past ? 15 : 45)) ??
    line.take(`${at}(${hour})(?:\\s*o'?clock|h)?(?![:.,]\\d|\\s*(?:€|%|euro|percent|prozent))`, ([h]) => time(word(h), 0))
  part ??= line.take("(?:in\\s+the\\s+(morning|afternoon|evening)|at\\s+(night|noon)|am\\s+(morgen|vormittag|nachmittag|abend|mittag)|(morgens|vormittags|mittags|nachmittags|abends|noon))", (words) => partOf(words.find((w) => w !== undefined)))
  if (!found) return part === undefined ? undefined : `${String(partHours[part]).padStart(2, "0")}:00`
  let { hour: h } = found
  if (found.half === "p" || (!found.half && part !== undefined && part >= 2 && h >= 1 && h < 12)) h = h % 12 + 12
  else if (found.half === "a") h %= 12
  return `${String(h).padStart(2, "0")}:${String(found.minute).padStart(2, "0")}`
}
