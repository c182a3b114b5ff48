// What a task is made of, to create one and to change one.
import { useRef, useState } from "preact/hooks"
import type { Channel, Task, TaskInput } from "../../api/client"
import { t } from "../../text"
import { dayFromNow, instantOf, localOf } from "../../times"
import { useShared } from "../../ui/context"
import { Button, Field } from "../../ui/parts"

/** A task as it is typed. */
export interface Draft {
  title: string
  notes: string
  due: string // wall-clock time in the user's zone; "" means none
  reminders: string[]
  channels: Channel[] | null // null: as in the preferences
}

export const emptyDraft: Draft = { title: "", notes: "", due: "", reminders: ["0s"], channels: null }

export const draftOf = (task: Task, zone: string): Draft => ({
  title: task.title,
  notes: task.notes,
  due: task.due_date === null ? "" : localOf(task.due_date, zone),
  reminders: task.reminders.flatMap((r) => r.before ?? []),
  channels: task.channels,
})

/** What is sent. A due date that was not touched stays to the second. */
export function inputOf(draft: Draft, zone: string, from?: Task): TaskInput {
  const same = from?.due_date && localOf(from.due_date, zone) === draft.due
  return {
    title: draft.title,
    notes: draft.notes,
    due_date: draft.due === "" ? null : same ? from.due_date : instantOf(draft.due, zone).toISOString(),
    reminders: draft.reminders,
    channels: draft.channels,
  }
}

export const channels: Channel[] = ["in_app", "email", "push", "sms", "webhook"]

/** What an offset is called. */
export const beforeText = (before: string) => t().tasks.before[before] ?? t().tasks.beforeOther(before)

interface Props {
  draft: Draft
  onDraft(draft: Draft): void
  onSubmit(): void
  busy: boolean
  action: string
  /** Whether all fields are shown at once. */
  whole?: boolean
}

export function TaskForm({ draft, onDraft, onSubmit, busy, action, whole }: Props) {
  const { zone } = useShared()
  const [open, setOpen] = useState(whole ?? false)
  const form = useRef<HTMLFormElement>(null)
  const text = t().tasks.field
  const set = (change: Partial<Draft>) => onDraft({ ...draft, ...change })
  const presets: [string, () => string][] = [
    [t().tasks.preset.soon, () => localOf(new Date(Date.now() + 600_000), zone)],
    [t().tasks.preset.hour, () => localOf(new Date(Date.now() + 3_600_000), zone)],
    [t().tasks.preset.tomorrow, () => localOf(dayFromNow(1, Date.now(), zone), zone).slice(0, 10) + "T09:00"],
  ]
  return (
    <form ref={form} class="task-form" onSubmit={(e) => { e.preventDefault(); onSubmit() }}>
      <div class="task-form-main">
        <Field label={text.title}>
          {(ids) => <input {...ids} name="title" required maxLength={500} dir="auto" autocomplete="off" placeholder={text.titleHint} value={draft.title} onInput={(e) => set({ title: e.currentTarget.value })} />}
        </Field>
        <Field label={text.due} hint={draft.due === "" ? t().tasks.needsDue : text.zone(zone)}>
          {(ids) => <input {...ids} name="due" type="datetime-local" step="any" value={draft.due} onInput={(e) => set({ due: e.currentTarget.value })} />}
        </Field>
        <Button kind="primary" type="submit" disabled={busy}>{action}</Button>
      </div>
      <div class="presets">
        {presets.map(([label, due]) => <Button key={label} kind="quiet" onClick={() => set({ due: due() })}>{label}</Button>)}
        {!whole && <Button kind="quiet" aria-expanded={open} onClick={() => setOpen(!open)}>{text.more}</Button>}
      </div>
      {open && (
        <div class="task-form-more">
          <Reminders chosen={draft.reminders} onChange={(reminders) => set({ reminders })} />
          <Channels chosen={draft.channels} onChange={(channels) => set({ channels })} />
          <Field label={text.notes}>
            {(ids) => <textarea {...ids} name="notes" rows={3} maxLength={10000} dir="auto" value={draft.notes} onInput={(e) => set({ notes: e.currentTarget.value })} />}
          </Field>
        </div>
      )}
    </form>
  )
}

export function Reminders({ chosen, onChange }: { chosen: string[]; onChange(chosen: string[]): void }) {
  const text = t().tasks.field
  const others = Object.keys(t().tasks.before).filter((before) => !chosen.includes(before))
  return (
    <fieldset>
      <legend>{text.reminders}</legend>
      {chosen.length === 0 && <small>{t().tasks.noReminders}</small>}
      <ul class="chips">
        {chosen.map((before) => (
          <li key={before}>
            {beforeText(before)}
            <button type="button" aria-label={`${t().remove}: ${beforeText(before)}`} onClick={() => onChange(chosen.filter((b) => b !== before))}>×</button>
          </li>
        ))}
        <li class="chip-add">
          <select aria-label={text.addReminder} value="" onChange={(e) => { onChange([...chosen, e.currentTarget.value]); e.currentTarget.value = "" }}>
            <option value="" disabled>{text.addReminder}</option>
            {others.map((before) => <option key={before} value={before}>{beforeText(before)}</option>)}
          </select>
        </li>
      </ul>
    </fieldset>
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
