// Quiet hours on a bar of 24 hours. Times are minutes since midnight.
export const dayLength = 1440

export const minutesOf = (time: string) => Number(time.slice(0, 2)) * 60 + Number(time.slice(3, 5))

export const timeOf = (minutes: number) => {
  const m = ((minutes % dayLength) + dayLength) % dayLength
  return `${String(Math.floor(m / 60)).padStart(2, "0")}:${String(m % 60).padStart(2, "0")}`
}

export interface Span {
  from: string
  to: string
}

/** Returns whether a window ends on the day after it begins. */
export const crossesMidnight = ({ from, to }: Span) => minutesOf(from) > minutesOf(to) && to !== "00:00"

/** Returns the pieces of a window on the bar, in minutes. There are two if it crosses midnight. */
export function pieces({ from, to }: Span): [from: number, to: number][] {
  const [a, b] = [minutesOf(from), minutesOf(to)]
  const both: [number, number][] = a < b ? [[a, b]] : [[0, b], [a, dayLength]]
  return both.filter(([from, to]) => from < to)
}

/** Returns which end of a window is nearer to a point of the bar. */
export function nearerEnd(span: Span, minutes: number): "from" | "to" {
  const away = (time: string) => {
    const d = Math.abs(minutesOf(time) - minutes)
    return Math.min(d, dayLength - d)
  }
  return away(span.from) <= away(span.to) ? "from" : "to"
}
