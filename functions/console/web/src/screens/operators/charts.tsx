// Fired reminders by day, as charts, and as a table for people who can't see charts.
import { useState } from "preact/hooks"
import { ok, type Analytics as Answer } from "../../api/client"
import { locale, t } from "../../text"
import { useFetched, useShared } from "../../ui/context"
import { Choice, Loading, Trouble } from "../../ui/parts"

type Day = Answer["days"][number]
type Count = Day["deliveries"][number]
type Range = "7" | "30" | "90"

const latenesses = ["under_1s", "under_10s", "under_1m", "under_10m", "over_10m", "unknown"] as const

const dayLength = 86_400_000

export function Analytics() {
  const { client } = useShared()
  const [range, setRange] = useState<Range>("30")
  const fetched = useFetched(async () => {
    const to = Math.floor(Date.now() / dayLength) * dayLength
    const all = Array.from({ length: Number(range) }, (_, i) => dateOf(to - (Number(range) - 1 - i) * dayLength))
    const { days } = await ok(client.GET("/api/analytics", { params: { query: { from: all[0], to: all.at(-1) } } }))
    const known = new Map(days.map((day) => [day.day, day]))
    return all.map((day): Day => known.get(day) ?? { day, reminders: 0, deliveries: [] })
  }, [range])
  const text = t().operators
  const days = fetched.value
  return (
    <section class="card" aria-label={text.analytics}>
      <div class="card-head">
        <h2>{text.analytics}</h2>
        <Choice<Range> label={text.range.label} value={range} options={{ 7: text.range[7], 30: text.range[30], 90: text.range[90] }} onChange={setRange} />
      </div>
      <p class="muted">{text.analyticsText}</p>
      {fetched.problem && <Trouble problem={fetched.problem} retry={fetched.reload} />}
      {!days && !fetched.problem && <Loading />}
      {days && days.every((d) => d.reminders === 0) && <p class="muted">{text.noAnalytics}</p>}
      {days && days.some((d) => d.reminders > 0) && (
        <>
          <Totals days={days} />
          <Stacks title={text.byChannel} days={days} of={(d) => d.channel} series={Object.entries(t().channels)} />
          <Stacks title={text.byLateness} days={days} of={(d) => d.lateness} series={latenesses.map((l) => [l, text.lateness[l]])} />
        </>
      )}
    </section>
  )
}

const dateOf = (at: number) => new Date(at).toISOString().slice(0, 10)
const shortDay = (day: string) => new Intl.DateTimeFormat(locale(), { day: "numeric", month: "short", timeZone: "UTC" }).format(Date.parse(day))
const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0)
const number = (n: number) => new Intl.NumberFormat(locale()).format(n)

function Totals({ days }: { days: Day[] }) {
  const text = t().operators
  const all = days.flatMap((day) => [...day.deliveries])
  const total = sum(all.map((d) => d.count))
  const onTime = sum(all.filter((d) => d.lateness === "under_1s").map((d) => d.count))
  const share = new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 1 })
  const figures = [
    [text.total, number(sum(days.map((d) => d.reminders)))],
    [text.deliveries, number(total)],
    [text.onTime, total === 0 ? "–" : share.format(Math.floor((onTime / total) * 1000) / 1000)],
  ]
  return <dl class="figures">{figures.map(([name, figure]) => <div key={name}><dt>{name}</dt><dd>{figure}</dd></div>)}</dl>
}

interface StacksProps {
  title: string
  days: Day[]
  of(d: Count): string
  /** The parts of a bar, from bottom to top: keys and names. */
  series: [string, string][]
}

/** A chart with a bar for each day. A bar stacks several counts. */
function Stacks({ title, days, of, series }: StacksProps) {
  const text = t().operators
  const counts = days.map((day) => series.map(([key]) => sum(day.deliveries.filter((d) => of(d) === key).map((d) => d.count))))
  const used = series.map((_, i) => i).filter((i) => counts.some((day) => day[i]! > 0))
  const top = niceTop(Math.max(...counts.map(sum)))
  const [first, middle, last] = [days[0]!, days[Math.floor(days.length / 2)]!, days.at(-1)!].map((d) => shortDay(d.day))
  return (
    <figure class="chart">
      <figcaption>
        <h3>{title}</h3>
        <ul class="legend">{used.map((i) => <li key={i}><span class={`swatch ${series[i]![0]}`} />{series[i]![1]}</li>)}</ul>
      </figcaption>
      <div class="plot">
        <div class="scale" aria-hidden="true"><span>{number(top)}</span><span>{number(top / 2)}</span><span>0</span></div>
        <svg viewBox={`0 0 ${days.length * 10} 100`} preserveAspectRatio="none" role="img" aria-label={text.chartLabel(title, first!, last!)}>
          {[0.5, 50, 99.5].map((y) => <line key={y} x1="0" x2={days.length * 10} y1={y} y2={y} />)}
          {counts.map((day, i) => {
            let y = 100
            const lines = used.filter((j) => day[j]! > 0).map((j) => `${series[j]![1]}: ${number(day[j]!)}`)
            return (
              <g key={days[i]!.day}>
                <title>{[shortDay(days[i]!.day), ...lines].join("\n")}</title>
                <rect class="hit" x={i * 10} y="0" width="10" height="100" />
                {used.map((j) => {
                  const height = (100 * day[j]!) / top
                  y -= height
                  return height > 0 && <rect key={j} class={series[j]![0]} x={i * 10 + 1.5} y={y} width="7" height={height} />
                })}
              </g>
            )
          })}
        </svg>
        <div class="days" aria-hidden="true"><span>{first}</span><span>{middle}</span><span>{last}</span></div>
      </div>
      <details>
        <summary>{text.asTable}</summary>
        <div class="scroll" tabIndex={0} role="region" aria-label={title}>
          <table>
            <thead><tr><th scope="col">{text.day}</th><th scope="col" class="number">{text.reminders}</th>{used.map((i) => <th key={i} scope="col" class="number">{series[i]![1]}</th>)}</tr></thead>
            <tbody>
              {days.map((day, i) => day.reminders > 0 && (
                <tr key={day.day}>
                  <th scope="row">{shortDay(day.day)}</th>
                  <td class="number">{number(day.reminders)}</td>
                  {used.map((j) => <td key={j} class="number">{number(counts[i]![j]!)}</td>)}
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      </details>
    </figure>
  )
}

/** Returns the end of the scale: a round number that is at least most, and whose half is round, too. */
function niceTop(most: number): number {
  const power = 10 ** Math.floor(Math.log10(Math.max(most, 2)))
  return [1, 2, 4, 6, 8, 10].map((n) => n * power).find((n) => n >= most && n % 2 === 0)!
}
