// Offsets of reminders as the API writes them: "30m" before the due date, "-1h" after it.

/** What the editor offers. A day is "1d", the same time on the day before, and not "24h". */
const usual = ["0s", "5m", "10m", "30m", "1h", "2h", "1d", "1w", "-10m", "-1h", "-1d"]

const seconds: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** How long an offset is in seconds, with days of 24 hours. */
function lengthOf(offset: string): number {
  const length = Array.from(offset.matchAll(/([\d.]+)(ms|[smhdw])/g)).reduce((sum, [, n, unit]) => sum + Number(n) * seconds[unit!]!, 0)
  return offset.startsWith("-") ? -length : length
}

/** Whether one of the offsets is as long as another: "24h" is as long as "1d", and "60m" is "1h". */
export const includesOffset = (offsets: readonly string[], one: string) => offsets.some((offset) => lengthOf(offset) === lengthOf(one))

/** The offsets to offer beside those that are chosen. */
export const offeredBeside = (chosen: readonly string[]) => usual.filter((offset) => !includesOffset(chosen, offset))
