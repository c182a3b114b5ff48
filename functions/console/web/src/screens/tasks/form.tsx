// What a task is made of, to create one and to change one.
import type { ComponentChildren } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import type { Channel, Problem, Schemas } from "../../api/client"
import { t } from "../../text"
import { dayFromNow, instantOf, localOf } from "../../times"
import { useShared } from "../../ui/context"
import { Button, Choice, Field, Trouble } from "../../ui/parts"
import { fieldOf, hasDue, type Draft, type Due, type DueForm } from "./draft"
import { includesOffset, offeredBeside } from "./offsets"
import { RecurrenceFields } from "./recurrence"

export const channels: Channel[] = ["in_app", "email", "push", "sms", "webhook"]

interface Props {
  draft: Draft
  onDraft(draft: Draft): void
  onSubmit(): void
  busy: boolean
  action: string
  onCancel?(): void
  /** The API's error. It is shown beside the field that it is about. */
  problem?: Problem
}

export function TaskForm({ draft, onDraft, onSubmit, busy, action, onCancel, problem }: Props) {
  const { zone } = useShared()
  const form = useRef<HTMLFormElement>(null)
  const text = t().tasks.field
  const set = (change: Partial<Draft>) => onDraft({ ...draft, ...change })
  const about = problem && fieldOf(problem.message)
  useEffect(() => {
    if (about) form.current?.querySelector<HTMLElement>(`[data-field=${about}] :is(input, select, textarea)`)?.focus()
  }, [problem])
  const part = (field: NonNullable<typeof about>, children: ComponentChildren) => (
    <div class="part" data-field={field}>
      {children}
      {about === field && <p class="field-problem" role="alert" lang="en">{problem!.message}</p>}
    </div>
  )
  const presets: [string, () => string][] = [
    [t().tasks.preset.soon, () => localOf(new Date(Date.now() + 600_000), zone)],
    [t().tasks.preset.hour, () => localOf(new Date(Date.now() + 3_600_000), zone)],
    [t().tasks.preset.tomorrow, () => localOf(dayFromNow(1, Date.now(), zone), zone).slice(0, 10) + "T09:00"],
  ]
  return (
    <form ref={form} class="task-form" onSubmit={(e) => { e.preventDefault(); onSubmit() }}>
      {part("title", (
        <Field label={text.title}>
          {(ids) => <input {...ids} name="title" required maxLength={500} dir="auto" autocomplete="off" placeholder={text.titleHint} value={draft.title} onInput={(e) => set({ title: e.currentTarget.value })} />}
        </Field>
      ))}
      {part("due", (
        <>
          <DueFields due={draft.due} recurs={draft.recurrence !== null} onChange={(due) => set({ due })} />
          <div class="presets">
            {presets.map(([label, at]) => <Button key={label} kind="quiet" onClick={() => set({ due: { form: draft.due.form === "floating" ? "floating" : "local", at: at(), on: "", zone: "" } })}>{label}</Button>)}
          </div>
        </>
      ))}
      {part("recurrence", <RecurrenceFields due={draft.due} recurrence={draft.recurrence} onChange={(recurrence) => set({ recurrence })} />)}
      {part("reminders", <Reminders chosen={draft.reminders} onChange={(reminders) => set({ reminders })} />)}
      <div class="two">
        {part("channels", <Channels chosen={draft.channels} onChange={(channels) => set({ channels })} />)}
        {part("repeat", (
          <>
            <label class="option"><input type="checkbox" name="urgent" checked={draft.urgent} onChange={(e) => set({ urgent: e.currentTarget.checked })} /> {t().tasks.urgent}</label>
            <Repeat repeat={draft.repeat} onChange={(repeat) => set({ repeat })} />
          </>
        ))}
      </div>
      {part("notes", (
        <Field label={text.notes}>
          {(ids) => <textarea {...ids} name="notes" rows={3} maxLength={10000} dir="auto" value={draft.notes} onInput={(e) => set({ notes: e.currentTarget.value })} />}
        </Field>
      ))}
      {problem && !about && <Trouble problem={problem} />}
      <div class="actions">
        <Button kind="primary" type="submit" disabled={busy}>{action}</Button>
        {onCancel && <Button onClick={onCancel} disabled={busy}>{t().cancel}</Button>}
      </div>
    </form>
  )
}

function DueFields({ due, recurs, onChange }: { due: Due; recurs: boolean; onChange(due: Due): void }) {
  const { zone, preferences } = useShared()
  const text = t().tasks.dueForm
  const set = (change: Partial<Due>) => onChange({ ...due, exact: undefined, ...change })
  const choose = (form: DueForm) => {
    const day = due.form === "day" ? due.on : due.at.slice(0, 10)
    const at = due.form !== "day" ? due.at : due.on && `${due.on}T${preferences.value.all_day_at}`
    set({ form, at: form === "day" ? "" : at, on: form === "day" ? day : "", zone: form === "local" || form === "instant" ? due.zone : "" })
  }
  const there = due.zone || zone
  const hint = { local: text.formHints.local(there), floating: text.formHints.floating(zone), day: text.formHints.day(preferences.value.all_day_at), instant: text.formHints.instant(there) }[due.form]
  return (
    <>
      <div class="line">
        <Field label={t().tasks.field.due}>
          {(ids) => due.form === "day"
            ? <input {...ids} key="day" name="due" type="date" value={due.on} onInput={(e) => set({ on: e.currentTarget.value })} />
            : <input {...ids} key="at" name="due" type="datetime-local" step="any" value={due.at} onInput={(e) => set({ at: e.currentTarget.value.slice(0, 19) })} />}
        </Field>
        <Choice label={text.form} value={due.form} options={text.forms} onChange={choose} />
        {(due.form === "local" || due.form === "instant") && <ZoneField zone={there} onChange={(to) => set({ zone: to === zone ? "" : to })} />}
      </div>
      <small class="muted">{hasDue(due) ? <>{hint} {recurs && text.starts}</> : t().tasks.needsDue}</small>
    </>
  )
}

/** A field for the name of a time zone. A name that is not a time zone is refused. */
function ZoneField({ zone, onChange }: { zone: string; onChange(zone: string): void }) {
  const text = t().tasks.dueForm
  const [typed, setTyped] = useState(zone)
  const [wrong, setWrong] = useState(false)
  useEffect(() => setTyped(zone), [zone])
  const take = (input: HTMLInputElement) => {
    try {
      const name = input.value.trim()
      instantOf("2026-01-01T00:00", name)
      setWrong(false)
      input.setCustomValidity("")
      onChange(name)
    } catch {
      setWrong(true)
      input.setCustomValidity(text.unknownZone) // this keeps the form from being sent
    }
  }
  return (
    <div>
      <Field label={text.zone} hint={wrong ? text.unknownZone : undefined}>
        {(ids) => <input {...ids} name="zone" list="zones" autocomplete="off" spellcheck={false} aria-invalid={wrong} value={typed} onInput={(e) => setTyped(e.currentTarget.value)} onChange={(e) => take(e.currentTarget)} />}
      </Field>
      <datalist id="zones">{Intl.supportedValuesOf("timeZone").map((name) => <option key={name} value={name} />)}</datalist>
    </div>
  )
}

export function Reminders({ chosen, onChange }: { chosen: string[]; onChange(chosen: string[]): void }) {
  const text = t().tasks.field
  const [other, setOther] = useState(false)
  const add = (before: string) => { if (!includesOffset(chosen, before)) onChange([...chosen, before]) }
  return (
    <fieldset>
      <legend>{text.reminders}</legend>
      {chosen.length === 0 && <small>{t().tasks.noReminders}</small>}
      <ul class="chips">
        {chosen.map((before) => (
          <li key={before}>
            {t().tasks.before(before)}
            <button type="button" aria-label={`${t().remove}: ${t().tasks.before(before)}`} onClick={() => onChange(chosen.filter((b) => b !== before))}>×</button>
          </li>
        ))}
        <li class="chip-add">
          <select aria-label={text.addReminder} value="" onChange={(e) => {
            if (e.currentTarget.value === "other") setOther(true)
            else add(e.currentTarget.value)
            e.currentTarget.value = ""
          }}>
            <option value="" disabled>{text.addReminder}</option>
            {offeredBeside(chosen).map((before) => <option key={before} value={before}>{t().tasks.before(before)}</option>)}
            <option value="other">{t().tasks.offset.other}</option>
          </select>
        </li>
      </ul>
      {other && <OtherReminder onAdd={(before) => { add(before); setOther(false) }} />}
    </fieldset>
  )
}

function OtherReminder({ onAdd }: { onAdd(before: string): void }) {
  const text = t().tasks.offset
  const [number, setNumber] = useState(15)
  const [unit, setUnit] = useState<keyof typeof text.units>("m")
  const [side, setSide] = useState<"before" | "after">("before")
  return (
    <div class="line">
      <Field label={text.number}>{(ids) => <input {...ids} class="number" type="number" inputMode="numeric" min={1} max={9999} value={number} onInput={(e) => setNumber(Math.trunc(e.currentTarget.valueAsNumber))} />}</Field>
      <Choice label={text.unit} value={unit} options={text.units} onChange={setUnit} />
      <Choice label={text.side} value={side} options={{ before: text.before, after: text.after }} onChange={setSide} />
      <Button onClick={() => onAdd(`${side === "after" ? "-" : ""}${number}${unit}`)} disabled={!(number >= 1)}>{text.add}</Button>
    </div>
  )
}

function Repeat({ repeat, onChange }: { repeat: Schemas["Repeat"] | null; onChange(repeat: Schemas["Repeat"] | null): void }) {
  const text = t().tasks.repeat
  const pauses = ["1m", "5m", "10m", "15m", "30m", "1h", "2h", "24h"]
  const name = (every: string) => t().tasks.before(every).replace(/ \S+$/, "")
  const all = repeat && !pauses.includes(repeat.every) ? [repeat.every, ...pauses] : pauses
  return (
    <>
      <label class="option"><input type="checkbox" name="repeat" checked={repeat !== null} onChange={(e) => onChange(e.currentTarget.checked ? { every: "10m", times: 3 } : null)} /> {text.on}</label>
      {repeat && (
        <div class="line options">
          <Choice label={text.every} value={repeat.every} options={Object.fromEntries(all.map((every) => [every, name(every)]))} onChange={(every) => onChange({ ...repeat, every })} />
          <label class="choice">{text.times} <input class="number" type="number" inputMode="numeric" min={1} max={50} value={repeat.times} onChange={(e) => onChange({ ...repeat, times: Math.min(Math.max(Math.trunc(e.currentTarget.valueAsNumber) || 1, 1), 50) })} /> {text.timesUnit}</label>
        </div>
      )}
    </>
  )
}

function Channels({ chosen, onChange }: { chosen: Channel[] | null; onChange(chosen: Channel[] | null): void }) {
  const text = t().tasks.field
  const toggle = (channel: Channel) => {
    const next = chosen!.includes(channel) ? chosen!.filter((c) => c !== channel) : [...chosen!, channel]
    if (next.length > 0) onChange(next)
  }
  return (
    <fieldset>
      <legend>{text.channels}</legend>
      <label class="option"><input type="radio" name="by" checked={chosen === null} onChange={() => onChange(null)} /> {text.byPreferences}</label>
      <label class="option"><input type="radio" name="by" checked={chosen !== null} onChange={() => onChange(["in_app"])} /> {text.chosen}</label>
      {chosen && (
        <div class="options">
          {channels.map((channel) => (
            <label key={channel} class="option">
              <input type="checkbox" checked={chosen.includes(channel)} disabled={chosen.length === 1 && chosen[0] === channel} onChange={() => toggle(channel)} /> {t().channels[channel]}
            </label>
          ))}
        </div>
      )}
    </fieldset>
  )
}
