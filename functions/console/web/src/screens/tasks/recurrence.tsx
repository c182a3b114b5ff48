// The editor of recurrence: the rule, the next times, and what is used for a day that a month
// lacks.
import { useEffect, useState } from "preact/hooks"
import { ok, type Problem, type Schemas } from "../../api/client"
import { locale, t } from "../../text"
import { localOf } from "../../times"
import { asProblem, useShared } from "../../ui/context"
import { Button, Choice, Field } from "../../ui/parts"
import { dueInput, hasDue, type Due } from "./draft"
import { dayOfWeek, everyWeek, frequencies, inOrder, patternOf, ruleInWords, ruleOf, weekdays, type Frequency, type Pattern, type Weekday } from "./rule"

type Recurrence = Schemas["Recurrence"]
type Preview = Schemas["RecurrencePreview"]

/** Reads the next times from the API, once the rule has not changed for a moment. */
export function usePreview(due: Due | undefined, recurrence: Recurrence | null): { preview?: Preview; problem?: Problem } {
  const { client, zone } = useShared()
  const [state, setState] = useState<{ asked: string; preview?: Preview; problem?: Problem }>({ asked: "" })
  const asked = due && recurrence && hasDue(due) && recurrence.rule ? JSON.stringify({ ...dueInput(due, true, zone), recurrence, count: 5 }) : ""
  useEffect(() => {
    if (asked === "") return
    let wanted = true
    const timer = setTimeout(() => {
      ok(client.POST("/api/recurrence/preview", { body: JSON.parse(asked) })).then(
        (preview) => wanted && setState({ asked, preview }),
        (error: unknown) => wanted && setState({ asked, problem: asProblem(error) }),
      )
    }, 250)
    return () => {
      wanted = false
      clearTimeout(timer)
    }
  }, [asked])
  return asked !== "" && state.asked === asked ? state : {}
}

/** Returns a day or a time in words, in the user's zone: "Mon, 7 Dec 2026, 09:00". */
export function whenInWords(instant: string, allDay: boolean, zone: string): string {
  return new Intl.DateTimeFormat(locale(), { weekday: "short", day: "numeric", month: "short", year: "numeric", ...(!allDay && { hour: "2-digit", minute: "2-digit" }), timeZone: zone }).format(Date.parse(instant))
}

interface Props {
  due: Due
  recurrence: Recurrence | null
  onChange(recurrence: Recurrence | null): void
}

export function RecurrenceFields({ due, recurrence, onChange }: Props) {
  const text = t().tasks.rule
  const pattern = recurrence && patternOf(recurrence.rule)
  const [custom, setCustom] = useState(recurrence !== null && pattern === null)
  const { preview, problem } = usePreview(due, recurrence)
  const kind = recurrence === null ? "none" : custom || !pattern ? "custom" : pattern.freq
  const choose = (kind: string) => {
    setCustom(kind === "custom")
    if (kind === "none") return onChange(null)
    const old = recurrence ?? { rule: ruleOf(everyWeek), skip: "omit" as const, from: "schedule" as const, except: [] }
    onChange(kind === "custom" ? old : { ...old, rule: ruleOf({ ...(pattern ?? everyWeek), freq: kind as Frequency }) })
  }
  const set = (change: Partial<Recurrence>) => onChange({ ...recurrence!, ...change })
  return (
    <fieldset class="part">
      <legend>{text.title}</legend>
      <div class="line">
        <select aria-label={text.title} value={kind} onChange={(e) => choose(e.currentTarget.value)}>
          <option value="none">{text.none}</option>
          {frequencies.map((freq) => <option key={freq} value={freq}>{text.frequency[freq]}</option>)}
          <option value="custom">{text.custom}</option>
        </select>
      </div>
      {recurrence && kind === "custom" && (
        <Field label={text.rule}>{(ids) => <input {...ids} value={recurrence.rule} maxLength={500} autocomplete="off" spellcheck={false} placeholder="FREQ=WEEKLY;BYDAY=MO" onInput={(e) => set({ rule: e.currentTarget.value })} />}</Field>
      )}
      {recurrence && pattern && kind !== "custom" && <PatternFields pattern={pattern} onChange={(pattern) => set({ rule: ruleOf(pattern) })} />}
      {recurrence && (
        <>
          {(kind === "custom" || (pattern && mayLack(pattern, due))) && recurrence.from === "schedule" && <Choice label={text.skip} value={recurrence.skip} options={text.skips} onChange={(skip) => set({ skip })} />}
          <label class="option"><input type="checkbox" checked={recurrence.from === "completion"} onChange={(e) => set({ from: e.currentTarget.checked ? "completion" : "schedule" })} /> {text.completion}</label>
          {problem && <p class="field-problem" role="alert" lang={problem.status > 0 ? "en" : undefined}>{t().problem(problem)}</p>}
          <NextTimes due={due} recurrence={recurrence} pattern={kind === "custom" ? null : pattern} preview={preview} onExcept={(except) => set({ except })} />
          <Exceptions except={recurrence.except} onChange={(except) => set({ except })} />
        </>
      )}
    </fieldset>
  )
}

function PatternFields({ pattern, onChange }: { pattern: Pattern; onChange(pattern: Pattern): void }) {
  const text = t().tasks.rule
  const set = (change: Partial<Pattern>) => onChange({ ...pattern, ...change })
  const monthly = pattern.nth ? "nth" : pattern.monthDay === null ? "start" : pattern.monthDay < 0 ? "last" : "day"
  const chooseMonthly = (as: typeof monthly) => set({
    monthDay: as === "day" ? 1 : as === "last" ? -1 : null,
    nth: as === "nth" ? { n: 1, day: "MO" } : null,
  })
  return (
    <>
      <div class="line">
        <NumberField label={text.interval} value={pattern.interval} most={9999} onChange={(interval) => set({ interval })} />
        {pattern.freq === "MONTHLY" && <Choice label={text.monthly} value={monthly} options={text.monthlyAs} onChange={chooseMonthly} />}
        {pattern.freq === "MONTHLY" && monthly === "day" && <NumberField label={text.day} value={pattern.monthDay!} most={31} onChange={(monthDay) => set({ monthDay })} />}
        {pattern.freq === "MONTHLY" && pattern.nth && (
          <>
            <Choice label={text.which} value={String(pattern.nth.n)} options={text.ordinal as Record<string, string>} onChange={(n) => set({ nth: { ...pattern.nth!, n: Number(n) } })} />
            <Choice label={text.weekday} value={pattern.nth.day} options={dayNames()} onChange={(day) => set({ nth: { ...pattern.nth!, day } })} />
          </>
        )}
      </div>
      {pattern.freq === "WEEKLY" && (
        <div class="days" role="group" aria-label={text.days}>
          {weekdays.map((day) => (
            <label key={day} class="day">
              <input type="checkbox" class="visually-hidden" checked={pattern.days.includes(day)} aria-label={dayOfWeek(day, t().code)}
                onChange={(e) => set({ days: inOrder(e.currentTarget.checked ? [...pattern.days, day] : pattern.days.filter((d) => d !== day)) })} />
              <span aria-hidden="true">{dayOfWeek(day, t().code, "short")}</span>
            </label>
          ))}
        </div>
      )}
      <div class="line">
        <Choice label={text.end} value={pattern.count !== null ? "count" : pattern.until !== null ? "until" : "never"} options={text.ends}
          onChange={(end) => set({ count: end === "count" ? 5 : null, until: end === "until" ? new Date(Date.now() + 90 * 86_400_000).toISOString().slice(0, 10) : null })} />
        {pattern.count !== null && <NumberField label={text.count} value={pattern.count} most={10_000} onChange={(count) => set({ count })} />}
        {pattern.until !== null && <Field label={text.untilDate}>{(ids) => <input {...ids} type="date" required value={pattern.until!} onInput={(e) => e.currentTarget.value && set({ until: e.currentTarget.value })} />}</Field>}
      </div>
    </>
  )
}

function NumberField({ label, value, most, onChange }: { label: string; value: number; most: number; onChange(value: number): void }) {
  const whole = (typed: number) => Math.min(Math.max(Math.trunc(typed) || 1, 1), most)
  return <Field label={label}>{(ids) => <input {...ids} class="number" type="number" inputMode="numeric" min={1} max={most} value={value} onChange={(e) => onChange(whole(e.currentTarget.valueAsNumber))} />}</Field>
}

const dayNames = () => Object.fromEntries(weekdays.map((day) => [day, dayOfWeek(day, t().code)])) as Record<Weekday, string>

/** The rule in words, and its next times. The user can leave out each of them. */
function NextTimes({ due, recurrence, pattern, preview, onExcept }: { due: Due; recurrence: Recurrence; pattern: Pattern | null; preview?: Preview; onExcept(except: string[]): void }) {
  const { zone } = useShared()
  const text = t().tasks.rule
  const allDay = due.form === "day"
  return (
    <div class="next" aria-live="polite">
      {pattern ? <p>{ruleInWords(pattern, t(), locale())}</p> : preview && <p lang="en">{preview.text}</p>}
      {recurrence.from === "completion" && <p class="muted">{text.completionText}</p>}
      {preview?.occurrences.length === 0 && <p class="muted">{text.noNext}</p>}
      {preview && recurrence.from === "schedule" && preview.occurrences.length > 0 && (
        <ol aria-label={text.next}>
          {preview.occurrences.map(({ local, instant, note }) => (
            <li key={local}>
              <time dateTime={instant}>{whenInWords(instant, allDay, zone)}</time>
              {note && <span class="muted">{noteInWords(local, instant, due.zone || zone)}</span>}
              <button type="button" class="link" aria-label={`${text.leaveOut}: ${whenInWords(instant, allDay, zone)}`} onClick={() => onExcept([...recurrence.except, local])}>{text.leaveOut}</button>
            </li>
          ))}
        </ol>
      )}
    </div>
  )
}

/** Returns the note of the API about a time, in the user's language. The API's note is in English. It is about a gap
 * if clocks never show the time, and otherwise about an overlap. */
function noteInWords(local: string, instant: string, zone: string): string {
  const shown = localOf(instant, zone)
  if (shown === local.slice(0, 16)) return t().tasks.rule.overlap
  return t().tasks.rule.gap(new Intl.DateTimeFormat(locale(), { timeStyle: "short", timeZone: zone }).format(Date.parse(instant)))
}

/** Returns whether some month lacks the rule's day. */
export function mayLack(pattern: Pattern, due: Due): boolean {
  const start = due.form === "day" ? due.on : due.at
  if (pattern.freq === "YEARLY") return start.slice(5, 10) === "02-29"
  return pattern.freq === "MONTHLY" && !pattern.nth && (pattern.monthDay ?? Number(start.slice(8, 10))) > 28
}

function Exceptions({ except, onChange }: { except: string[]; onChange(except: string[]): void }) {
  const text = t().tasks.rule
  const [day, setDay] = useState("")
  const name = (entry: string) => new Intl.DateTimeFormat(locale(), { dateStyle: "medium", ...(entry.length > 10 && { timeStyle: "short" }), timeZone: "UTC" }).format(Date.parse(entry.length > 10 ? entry + "Z" : entry))
  const add = () => {
    if (day !== "" && !except.includes(day)) onChange([...except, day].sort())
    setDay("")
  }
  return (
    <>
      {except.length > 0 && (
        <ul class="chips" aria-label={text.except}>
          {except.map((entry) => (
            <li key={entry}>
              {text.except}: {name(entry)}
              <button type="button" aria-label={`${t().remove}: ${name(entry)}`} onClick={() => onChange(except.filter((e) => e !== entry))}>×</button>
            </li>
          ))}
        </ul>
      )}
      <div class="line">
        <Field label={text.leaveOutDate}>{(ids) => <input {...ids} type="date" value={day} onInput={(e) => setDay(e.currentTarget.value)} onKeyDown={(e) => { if (e.key === "Enter") { e.preventDefault(); add() } }} />}</Field>
        <Button onClick={add} disabled={day === ""}>{text.leaveOut}</Button>
      </div>
    </>
  )
}
