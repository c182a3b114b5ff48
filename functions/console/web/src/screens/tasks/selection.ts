// The selection of tasks in the list, by pointer and by keyboard.
import type { TargetedKeyboardEvent } from "preact"
import { useState } from "preact/hooks"
import type { Task } from "../../api/client"
import { useShared } from "../../ui/context"

export type Selection = ReturnType<typeof useSelection>

/** Keeps which of the shown tasks are selected. X selects the task that has the focus. Shift and X select all tasks
 * from the last selected one to it. While single keys are switched off, only Escape acts. */
export function useSelection(shown: Task[]) {
  const { keys } = useShared()
  const [on, setOn] = useState(false)
  const [ids, setIds] = useState<ReadonlySet<string>>(new Set())
  const [last, setLast] = useState<string>()
  const toggle = ({ id }: Task, range: boolean) => {
    setOn(true)
    setLast(id)
    setIds((old) => {
      const next = new Set(old)
      const [from, to] = [last, id].map((one) => shown.findIndex((task) => task.id === one)) as [number, number]
      if (range && from >= 0) for (const task of shown.slice(Math.min(from, to), Math.max(from, to) + 1)) next.add(task.id)
      else if (!next.delete(id)) next.add(id)
      return next
    })
  }
  const leave = () => {
    setOn(false)
    setIds(new Set())
    setLast(undefined)
  }
  const onKeyDown = (e: TargetedKeyboardEvent<HTMLElement>) => {
    const row = (e.target as Element).closest<HTMLElement>("[data-id]")
    const index = shown.findIndex((task) => task.id === row?.dataset.id)
    const task = shown[index]
    if (!row || !task || e.ctrlKey || e.metaKey || e.altKey) return
    if (e.key === "Escape" && on) leave()
    else if (!keys) return
    else if (e.key.toLowerCase() === "x") {
      toggle(task, e.shiftKey)
      row.querySelector("a")?.focus() // the row's checkbox is about to be replaced
    } else if (e.key === "ArrowDown" || e.key === "ArrowUp") {
      const next = shown[index + (e.key === "ArrowDown" ? 1 : -1)]
      if (!next) return
      if (e.shiftKey) {
        setOn(true)
        setIds((old) => new Set([...old, task.id, next.id]))
        setLast(next.id)
      }
      e.currentTarget.querySelector<HTMLElement>(`[data-id="${next.id}"] a`)?.focus()
    } else return
    e.preventDefault()
  }
  return {
    on, toggle, leave, onKeyDown,
    tasks: shown.filter((task) => ids.has(task.id)),
    has: (task: Task) => ids.has(task.id),
    begin: () => setOn(true),
    all: () => setIds(new Set(shown.map((task) => task.id))),
    drop: ({ id }: Task) => setIds((old) => new Set([...old].filter((one) => one !== id))),
  }
}
