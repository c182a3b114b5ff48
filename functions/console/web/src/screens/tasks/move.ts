// How a task is moved. The form of its due date and its time of day stay.
import type { Task, TaskInput } from "../../api/client"
import { instantOf, localOf } from "../../times"

const days = { "1h": 0, "1d": 1, "2d": 2, "1w": 7, "4w": 28 }
export type Step = keyof typeof days

/** Returns the change that moves a task by a step or to a day, or why it can't be moved. */
export function moved(task: Task, to: { by: Step } | { day: string }, userZone: string): TaskInput | "recurring" | "noDue" | "byDays" {
  if (task.recurrence) return "recurring"
  const zone = task.time_zone ?? userZone
  const local = task.due_on ?? task.due_local ?? (task.due_date && localOf(task.due_date, zone))
  if (local === null) return "day" in to ? { due_on: to.day } : "noDue"
  if ("by" in to && to.by === "1h") {
    if (task.due_on) return "byDays"
    const instant = new Date(Date.parse(task.due_date!) + 3_600_000)
    return task.due_local ? { due_local: localOf(instant, zone) } : { due_date: instant.toISOString() }
  }
  const day = "day" in to ? to.day : new Date(Date.parse(local.slice(0, 10)) + days[to.by] * 86_400_000).toISOString().slice(0, 10)
  if (task.due_on) return { due_on: day }
  if (task.due_local) return { due_local: day + local.slice(10) }
  return { due_date: instantOf(day + local.slice(10), zone).toISOString() }
}
