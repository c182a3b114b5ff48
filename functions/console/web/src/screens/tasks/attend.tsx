// How a user acknowledges or snoozes a task's reminders.
import type { ComponentChild } from "preact"
import { useEffect, useRef, useState } from "preact/hooks"
import { ok, type SnoozeInput, type Task } from "../../api/client"
import { locale, t } from "../../text"
import { short } from "../../times"
import { asProblem, useNow, useShared } from "../../ui/context"
import { ClockIcon, EyeIcon } from "../../ui/icons"
import { Button } from "../../ui/parts"
import { SnoozeDialog } from "../inbox/snooze"
import { snoozedUntil } from "./due"

/** Returns the text of the state (acknowledged or snoozed), and the buttons. Both are null if there is nothing to
 * acknowledge or snooze. For a recurring task they are about the current occurrence. onChanged reads the task again. */
export function useAttend(task: Task, onChanged: () => void): { state: ComponentChild; actions: ComponentChild } {
  const { client, inbox, zone, say } = useShared()
  const now = useNow(30_000)
  const [snoozing, setSnoozing] = useState(false)
  const [said, setSaid] = useState(false) // this screen has acknowledged it
  const text = t().inbox
  // The task is read again if one of its notifications comes or changes.
  const news = inbox.items && JSON.stringify(inbox.items.filter((n) => n.task_id === task.id))
  const shown = useRef(news)
  useEffect(() => {
    if (shown.current !== undefined && shown.current !== news) onChanged()
    shown.current = news
  }, [news])
  if (task.completed || task.due_date === null) return { state: null, actions: null }
  const path = { params: { path: { task_id: task.id } } }
  const told = inbox.items?.filter((n) => n.task_id === task.id && n.occurrence === task.occurrence) ?? []
  const isTold = told.length > 0 || Date.parse(task.due_date) <= now || task.reminders.some((r) => r.state === "fired")
  const snoozed = snoozedUntil(task, now)
  if (!isTold && !snoozed) return { state: null, actions: null }
  const acknowledged = told.length > 0 ? told.every((n) => n.acknowledged_at !== null) : said
  const until = (at: string) => text.snoozedUntil(short(at, now, locale(), zone))
  const snooze = async (input: SnoozeInput) => {
    const { snoozed_until: at } = await ok(client.POST("/api/tasks/{task_id}/snooze", { ...path, body: { ...input, occurrence: task.occurrence } }))
    say(until(at!))
    onChanged()
  }
  const acknowledge = async () => {
    try {
      await ok(client.POST("/api/tasks/{task_id}/acknowledge", { ...path, body: { occurrence: task.occurrence } }))
      setSaid(true)
      say(text.acknowledged)
      onChanged()
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    }
  }
  return {
    state: snoozed ? <span class="tag scheduled">{until(snoozed)}</span> : acknowledged && <span class="tag">{text.acknowledged}</span>,
    actions: (
      <>
        <Button onClick={() => setSnoozing(true)}><ClockIcon /> {text.act.snooze}</Button>
        {isTold && !acknowledged && <Button onClick={() => void acknowledge()}><EyeIcon /> {text.act.acknowledge}</Button>}
        {snoozing && <SnoozeDialog title={task.title} onSnooze={snooze} onClose={() => setSnoozing(false)} />}
      </>
    ),
  }
}
