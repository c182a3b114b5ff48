// When a task is due, and whether it is overdue or snoozed.
import type { Task } from "../../api/client"
import { locale, t } from "../../text"
import { exact, localOf, short } from "../../times"
import { useNow, useShared } from "../../ui/context"
import { patternOf, ruleInWords } from "./rule"

/** Returns until when a task is snoozed; null if it is not. */
export const snoozedUntil = (task: Task, now: number) => (task.snoozed_until !== null && Date.parse(task.snoozed_until) > now ? task.snoozed_until : null)

/** Returns the day of a task that is due on a whole day; null if it is due at a time. */
const dayOf = (task: Task) => task.due_on && (task.occurrence ?? task.due_on)

/** A day in few words: "Tue, 1 Dec". */
export const dayInWords = (day: string) => new Intl.DateTimeFormat(locale(), { weekday: "short", day: "numeric", month: "short", timeZone: "UTC" }).format(Date.parse(day))

/** Returns a task's rule in words; undefined if it does not recur. */
export function recurrenceOf(task: Task): string | undefined {
  if (!task.recurrence) return undefined
  const pattern = patternOf(task.recurrence.rule)
  return pattern ? ruleInWords(pattern, t(), locale()) : t().tasks.rule.custom
}

/** Returns the texts about a task's due date. */
export function useDue(task: Task) {
  const { zone } = useShared()
  const now = useNow(30_000)
  const day = dayOf(task)
  const passed = day ? day < localOf(new Date(now), zone).slice(0, 10) : task.due_date !== null && Date.parse(task.due_date) < now
  const snoozed = task.completed ? null : snoozedUntil(task, now)
  return { now, zone, day, snoozed, overdue: passed && !task.completed && snoozed === null, recurrence: recurrenceOf(task) }
}

/** A task's due date in a list, or until when it is snoozed. */
export function DueCell({ task }: { task: Task }) {
  const { now, zone, day, snoozed, overdue, recurrence } = useDue(task)
  const text = t().tasks
  const due = task.due_date === null ? text.noDue : day ? dayInWords(day) : short(task.due_date, now, locale(), zone)
  const title = task.due_date === null || day ? undefined : exact(task.due_date, locale(), zone)
  return (
    <span class={`task-due ${overdue ? "overdue" : ""} ${snoozed ? "snoozed" : ""}`}>
      {overdue && <span class="visually-hidden">{text.overdue}: </span>}
      {recurrence && <span title={recurrence}><span aria-hidden="true">↻ </span><span class="visually-hidden">{recurrence}, </span></span>}
      {snoozed ? <span title={`${text.due.label}: ${title ?? due}`}>{t().inbox.snoozedUntil(short(snoozed, now, locale(), zone))}</span>
        : task.due_date === null ? due : <time dateTime={day || task.due_date} title={title}>{due}</time>}
    </span>
  )
}
