// Offsets of reminders as the API writes them: "30m" before the due date, "-1h" after it.

/** The offsets that the editor offers. A day is "1d" (the same time on the day before), and not "24h". */
const usual = ["0s", "5m", "10m", "30m", "1h", "2h", "1d", "1w", "-10m", "-1h", "-1d"]

const seconds: Record<string, number> = { ms: 0.001, s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 }

/** Returns the length of an offset in seconds. A day counts as 24 hours. */
function lengthOf(offset: string): number {
  const length = Array.from(offset.matchAll(/([\d.]+)(ms|[smhdw])/g)).reduce((sum, [, n, unit]) => sum + Number(n) * seconds[unit!]!, 0)
  return offset.startsWith("-") ? -length : length
}

/** Returns whether one of the offsets is as long as another one: "24h" is as long as "1d", and "60m" as "1h". */
export const includesOffset = (offsets: readonly string[], one: string) => offsets.some((offset) => lengthOf(offset) === lengthOf(one))

/** Returns the offsets to offer besides the chosen ones. */
export const offeredBeside = (chosen: readonly string[]) => usual.filter((offset) => !includesOffset(chosen, offset))
