// The empty inbox. It shows the next reminder, and lets a new user try a first one.
import { useRef, useState } from "preact/hooks"
import { ok } from "../../api/client"
import { to } from "../../router"
import { locale, t } from "../../text"
import { relative } from "../../times"
import { asProblem, useFetched, useNow, useShared } from "../../ui/context"
import { Button, Empty } from "../../ui/parts"

export function NothingYet() {
  const { client, say } = useShared()
  const [busy, setBusy] = useState(false)
  // A task whose answer was lost is sent again with the same key, so it is created once.
  const first = useRef<{ key: string; due: string }>(undefined)
  const next = useFetched(async () => {
    const { tasks } = await ok(client.GET("/api/tasks", {
      params: { query: { completed: false, due_after: new Date().toISOString(), sort: "due_date", order: "asc", limit: 1 } },
    }))
    return { task: tasks[0] }
  }, [])
  const text = t().inbox
  const tryIt = async () => {
    setBusy(true)
    try {
      const { key, due } = (first.current ??= { key: crypto.randomUUID(), due: new Date(Date.now() + 60_000).toISOString() })
      const task = await ok(client.POST("/api/tasks", { params: { header: { "Idempotency-Key": key } }, body: { title: text.first.task, due_date: due, reminders: ["0s"] } }))
      next.set({ task })
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    } finally {
      setBusy(false)
    }
  }
  const task = next.value?.task
  return (
    <Empty title={text.empty} text={text.emptyText}>
      <div role="status">
        {task?.due_date && <p class="coming">{text.first.next} <a href={to(`/tasks/${task.id}`)} dir="auto">{task.title}</a>, <Countdown to={task.due_date} /></p>}
      </div>
      <div class="actions">
        <a class="button primary" href={to("/tasks")}>{text.newTask}</a>
        {next.value && !task && <Button disabled={busy} onClick={() => void tryIt()}>{text.first.try}</Button>}
      </div>
    </Empty>
  )
}

/** The remaining time. A screen reader reads it once, and not every second. */
function Countdown({ to }: { to: string }) {
  const now = useNow(1000)
  const left = relative(to, now, locale())
  const [first] = useState(left)
  return <><time dateTime={to} aria-hidden="true">{left}</time><span class="visually-hidden">{first}</span></>
}
