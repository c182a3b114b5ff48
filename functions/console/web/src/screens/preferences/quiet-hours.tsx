// Quiet hours: windows of the day, drawn on a bar of 24 hours. The bar is for mouse and touch. The fields below it
// have the same values, for everybody.
import { useId, useRef } from "preact/hooks"
import type { Preferences } from "../../api/client"
import { locale, t } from "../../text"
import { Button, Field, Wrong } from "../../ui/parts"
import { crossesMidnight, dayLength, minutesOf, nearerEnd, pieces, timeOf } from "./day"
import { useDraft } from "./draft"
import type { Part } from "./preferences"
import "./quiet-hours.css"

type Window = Preferences["quiet_hours"][number]
type Day = Window["days"][number]

export const days: Day[] = ["mo", "tu", "we", "th", "fr", "sa", "su"]
const most = 28
const step = 15 // minutes, on the bar

export function QuietHours({ value, save }: Part) {
  const text = t().preferences.quiet
  const { draft, wrong, change, flush } = useDraft(
    value.quiet_hours, (quiet_hours, onWrong) => save(() => ({ quiet_hours }), onWrong), (windows) => (windows.some((w) => w.from === w.to) ? text.noLength : undefined),
  )
  const replace = (i: number, by: Window, now?: boolean) => change(draft.map((w, at) => (at === i ? by : w)), now)
  const add = () => change([...draft, draft.length === 0 ? { from: "22:00", to: "07:00", days } : { from: "12:00", to: "13:00", days }], true)
  return (
    <section class="card" aria-label={text.title}>
      <h2>{text.title}</h2>
      <p class="muted">{text.text}</p>
      {draft.length === 0 && <p>{text.none}</p>}
      <ul class="windows">
        {draft.map((w, i) => (
          <li key={i}>
            <QuietWindow window={w} number={i + 1} onChange={(by, now) => replace(i, by, now)} onLeave={flush} onRemove={() => change(draft.filter((_, at) => at !== i), true)} />
          </li>
        ))}
      </ul>
      <Wrong text={wrong} />
      {draft.length < most && <div class="actions"><Button onClick={add}>{draft.length === 0 ? text.add : text.addAnother}</Button></div>}
    </section>
  )
}

interface WindowProps {
  window: Window
  number: number
  onChange(by: Window, now?: boolean): void
  onLeave(): void
  onRemove(): void
}

function QuietWindow({ window: w, number, onChange, onLeave, onRemove }: WindowProps) {
  const text = t().preferences.quiet
  const name = text.window(number, w.from, w.to)
  const hint = useId()
  return (
    <fieldset aria-describedby={hint}>
      <legend class="visually-hidden">{name}</legend>
      <DayBar window={w} onChange={onChange} />
      <div class="window-fields">
        <Field label={text.from}>{(ids) => <TimeInput ids={ids} value={w.from} onChange={(from) => onChange({ ...w, from })} onLeave={onLeave} />}</Field>
        <Field label={text.to}>{(ids) => <TimeInput ids={ids} value={w.to} onChange={(to) => onChange({ ...w, to })} onLeave={onLeave} />}</Field>
        <Days label={text.days} chosen={w.days} onChange={(days) => onChange({ ...w, days })} />
        <Button kind="quiet" aria-label={`${t().remove}: ${name}`} onClick={onRemove}>{t().remove}</Button>
      </div>
      <small id={hint} class="muted">{crossesMidnight(w) && text.nextDay(clockOf(w.to))}</small>
    </fieldset>
  )
}

interface TimeInputProps {
  ids: object
  value: string
  onChange(time: string): void
  onLeave(): void
}

/** A field for a time of day. While the field is empty or incomplete, the value stays as it was. */
export function TimeInput({ ids, value, onChange, onLeave }: TimeInputProps) {
  return <input {...ids} type="time" required value={value} onInput={(e) => { if (e.currentTarget.value !== "") onChange(e.currentTarget.value.slice(0, 5)) }} onBlur={onLeave} />
}

/** A choice of days of the week. At least one stays chosen. */
export function Days({ label, chosen, onChange }: { label: string; chosen: Day[]; onChange(days: Day[]): void }) {
  const only = chosen.length === 1
  return (
    <fieldset class="days">
      <legend>{label}</legend>
      {days.map((day, i) => (
        <label key={day} title={dayName(i, "long")}>
          <input type="checkbox" class="visually-hidden" aria-label={dayName(i, "long")} checked={chosen.includes(day)} disabled={only && chosen[0] === day}
            onChange={(e) => onChange(days.filter((d) => (d === day ? e.currentTarget.checked : chosen.includes(d))))} />
          <span aria-hidden="true">{dayName(i, "short")}</span>
        </label>
      ))}
    </fieldset>
  )
}

// 2024-01-01 was a Monday.
const dayName = (i: number, weekday: "long" | "short") => new Date(Date.UTC(2024, 0, 1 + i)).toLocaleDateString(locale(), { weekday, timeZone: "UTC" })
const clockOf = (time: string) => new Date(Date.UTC(2024, 0, 1, 0, minutesOf(time))).toLocaleTimeString(locale(), { timeStyle: "short", timeZone: "UTC" })
const hourOf = (hour: number) => new Date(Date.UTC(2024, 0, 1, hour)).toLocaleTimeString(locale(), { hour: "numeric", timeZone: "UTC" })

function DayBar({ window: w, onChange }: { window: Window; onChange(by: Window, now?: boolean): void }) {
  const bar = useRef<HTMLDivElement>(null)
  const end = useRef<"from" | "to" | undefined>(undefined)
  const percent = (minutes: number) => `${(minutes / dayLength) * 100}%`
  const at = (e: PointerEvent) => {
    const { left, width } = bar.current!.getBoundingClientRect()
    return Math.round((Math.min(Math.max((e.clientX - left) / width, 0), 1) * dayLength) / step) * step
  }
  const moved = (e: PointerEvent): Window => {
    const next = { ...w, [end.current!]: timeOf(at(e)) }
    return next.from === next.to ? w : next
  }
  return (
    <div class="daybar" aria-hidden="true">
      <div ref={bar} class="daybar-track"
        onPointerDown={(e) => {
          end.current = nearerEnd(w, at(e))
          e.currentTarget.setPointerCapture(e.pointerId)
          onChange(moved(e))
        }}
        onPointerMove={(e) => { if (end.current) onChange(moved(e)) }}
        onPointerUp={(e) => {
          if (end.current) onChange(moved(e), true)
          end.current = undefined
        }}
        onPointerCancel={() => (end.current = undefined)}>
        {pieces(w).map(([from, to]) => <span key={from} class="daybar-piece" style={{ left: percent(from), width: percent(to - from) }} />)}
        {(["from", "to"] as const).map((end) => <span key={end} class="daybar-end" style={{ left: percent(minutesOf(w[end])) }} />)}
      </div>
      <div class="daybar-hours">{[0, 6, 12, 18, 24].map((hour) => <span key={hour} style={{ left: percent(hour * 60) }}>{hourOf(hour)}</span>)}</div>
    </div>
  )
}
