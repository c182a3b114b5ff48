// A task as the user types it in the editor, and what of it is sent to the API.
import type { Channel, Preferences, Schemas, Task, TaskInput } from "../../api/client"
import { instantOf, localOf } from "../../times"

/** The forms of a due date: a time on the clocks of a zone, or wherever the user is; a whole day; an instant. */
export type DueForm = "local" | "floating" | "day" | "instant"

export interface Due {
  form: DueForm
  /** A local time such as 2026-12-01T09:00; "" means that there is no due date. */
  at: string
  /** A whole day such as 2026-12-01; "" means that there is no due date. */
  on: string
  /** "" means the user's zone. */
  zone: string
  /** The instant from which at was derived. It is removed when at or zone changes. */
  exact?: string
}

export interface Draft {
  title: string
  notes: string
  due: Due
  reminders: string[]
  channels: Channel[] | null // null: those of the preferences
  urgent: boolean
  repeat: Schemas["Repeat"] | null
  recurrence: Schemas["Recurrence"] | null
}

export const emptyDraft = (preferences: Preferences): Draft => ({
  title: "", notes: "", due: { form: "local", at: "", on: "", zone: "" },
  reminders: preferences.default_reminders ?? ["0s"], channels: null, urgent: false, repeat: null, recurrence: null,
})

export function draftOf(task: Task, userZone: string): Draft {
  const zone = task.time_zone ?? ""
  return {
    title: task.title,
    notes: task.notes,
    due: {
      form: task.due_on ? "day" : task.due_local ? (zone ? "local" : "floating") : task.due_date ? "instant" : "local",
      at: task.due_local ?? (task.due_date && !task.due_on ? localOf(task.due_date, zone || userZone) : ""),
      on: task.due_on ?? "",
      zone,
      exact: task.due_local || task.due_on ? undefined : (task.due_date ?? undefined),
    },
    reminders: task.reminders.flatMap((r) => (r.kind === "due" && r.before ? [r.before] : [])),
    channels: task.channels,
    urgent: task.urgent,
    repeat: task.repeat,
    recurrence: task.recurrence,
  }
}

/** Returns whether a draft has a due date. */
export const hasDue = ({ form, at, on }: Due) => (form === "day" ? on : at) !== ""

/** Returns the due date as the API takes it: in one form, with its zone. The instant of a recurring task needs a
 * zone. */
export function dueInput(due: Due, recurring: boolean, userZone: string) {
  if (!hasDue(due)) return { due_date: null, time_zone: null }
  const zone = due.zone || userZone
  switch (due.form) {
    case "day": return { due_on: due.on, time_zone: due.zone || null }
    case "floating": return { due_local: due.at, time_zone: null }
    case "local": return { due_local: due.at, time_zone: zone }
    case "instant": return { due_date: due.exact ?? instantOf(due.at, zone).toISOString(), time_zone: due.zone || (recurring ? zone : null) }
  }
}

/** Returns all of a draft, to create a task. */
export const inputOf = (draft: Draft, userZone: string): TaskInput => ({ ...fieldsOf(draft), ...dueInput(draft.due, draft.recurrence !== null, userZone) })

const fieldsOf = ({ due: _, ...fields }: Draft) => fields

/** Returns the fields of a draft that differ from the task that it was made from. Others are not sent, so that a
 * change of the title begins no new series. */
export function changesOf(draft: Draft, task: Task, userZone: string): TaskInput {
  const old = draftOf(task, userZone)
  const differ = (a: unknown, b: unknown) => JSON.stringify(a) !== JSON.stringify(b)
  const fields = Object.entries(fieldsOf(draft)).filter(([name, value]) => differ(value, old[name as keyof Draft]))
  const [due, oldDue] = [draft, old].map((d) => dueInput(d.due, d.recurrence !== null, userZone))
  return { ...(Object.fromEntries(fields) as TaskInput), ...(differ(due, oldDue) && due) }
}

/** Returns the field of the form that an error of the API is about, by the error's first words. */
export function fieldOf(detail: string): "title" | "notes" | "due" | "reminders" | "channels" | "repeat" | "recurrence" | undefined {
  if (/^recurrence\b/.test(detail)) return "recurrence"
  if (/^(due_|time_zone\b|the due date\b)/.test(detail)) return "due"
  return (["title", "notes", "reminders", "channels", "repeat"] as const).find((field) => new RegExp(`^${field}\\b`).test(detail))
}
