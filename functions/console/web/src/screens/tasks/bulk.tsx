// Changes of several tasks: they are completed, moved or deleted with a few requests at a time.
import { useRef, useState } from "preact/hooks"
import { ok, Problem, type Client, type Task } from "../../api/client"
import { t } from "../../text"
import { localOf } from "../../times"
import { asProblem, useShared } from "../../ui/context"
import { Button, Choice, Confirm, Field } from "../../ui/parts"
import { each } from "./each"
import { moved, type Step } from "./move"

/** Completes a task; if it recurs, its current occurrence. */
export function completeTask(client: Client, task: Task): Promise<Task> {
  const path = { task_id: task.id }
  if (task.occurrence !== null) return ok(client.POST("/api/tasks/{task_id}/complete", { params: { path }, body: { occurrence: task.occurrence } }))
  return ok(client.PATCH("/api/tasks/{task_id}", { params: { path }, body: { completed: true, version: task.version } }))
}

interface Props {
  tasks: Task[] // the selected ones
  onReplace(task: Task): void
  onRemove(task: Task): void
  onDone(task: Task): void // the task is done, so its selection can be removed
  onAll(): void
  onLeave(): void
}

export function BulkBar({ tasks, onReplace, onRemove, onDone, onAll, onLeave }: Props) {
  const { client, zone, say } = useShared()
  const [by, setBy] = useState<Step | "to">("1d")
  const [day, setDay] = useState(() => localOf(new Date(), zone).slice(0, 10))
  const [asking, setAsking] = useState(false)
  const [progress, setProgress] = useState<{ done: number; of: number }>()
  const [failed, setFailed] = useState<[Task, Problem][]>([])
  const [stopped, setStopped] = useState(false)
  const wanted = useRef(true)
  const text = t().tasks.bulk

  const run = async (act: (task: Task) => Promise<void>) => {
    wanted.current = true
    setFailed([])
    setStopped(false)
    setProgress({ done: 0, of: tasks.length })
    let done = 0
    const succeed = async (task: Task) => {
      await act(task)
      onDone(task)
    }
    const problems = await each(tasks, succeed, () => wanted.current, () => setProgress({ done: ++done, of: tasks.length }))
    setProgress(undefined)
    setFailed([...problems])
    setStopped(!wanted.current)
    if (done > problems.size) say(text.finished(done - problems.size))
  }
  const complete = () => run(async (task) => onReplace(await completeTask(client, task)))
  const move = () => run(async (task) => {
    const change = moved(task, by === "to" ? { day } : { by }, zone)
    if (typeof change === "string") throw new Problem(-1, text[change])
    onReplace(await ok(client.PATCH("/api/tasks/{task_id}", { params: { path: { task_id: task.id } }, body: { ...change, version: task.version } })))
  })
  const remove = () => run(async (task) => {
    await ok(client.DELETE("/api/tasks/{task_id}", { params: { path: { task_id: task.id } } })).catch((error: unknown) => {
      if (asProblem(error).status !== 404) throw error // 404: it was deleted already
    })
    onRemove(task)
  })
  const none = tasks.length === 0
  return (
    <section class="bulk card" aria-label={text.label}>
      <div class="line">
        <span class="bulk-count" role="status">{text.selected(tasks.length)}</span>
        <Button kind="quiet" onClick={onAll} disabled={progress !== undefined}>{text.all}</Button>
        <Button kind="quiet" onClick={onLeave} disabled={progress !== undefined}>{text.done}</Button>
      </div>
      {progress ? (
        <div class="line" role="status">
          <progress value={progress.done} max={progress.of} aria-label={text.label} />
          <span>{text.working(progress.done, progress.of)}</span>
          <Button onClick={() => (wanted.current = false)}>{text.stop}</Button>
        </div>
      ) : (
        <div class="line">
          <Button onClick={() => void complete()} disabled={none}>{text.complete}</Button>
          <Button kind="danger" onClick={() => setAsking(true)} disabled={none}>{text.delete}</Button>
          <span class="bulk-move">
            <Choice label={text.by} value={by} options={text.bys} onChange={setBy} />
            {by === "to" && <Field label={text.toDate}>{(ids) => <input {...ids} type="date" required value={day} onInput={(e) => setDay(e.currentTarget.value)} />}</Field>}
            <Button onClick={() => void move()} disabled={none || (by === "to" && day === "")}>{text.move}</Button>
          </span>
        </div>
      )}
      {stopped && <p class="muted" role="status">{text.stopped}</p>}
      {failed.length > 0 && (
        <div class="trouble" role="alert">
          <p>{text.failed(failed.length)}</p>
          <ul>{failed.map(([task, problem]) => <li key={task.id}><bdi>{task.title.slice(0, 60)}</bdi>: {problem.status === 412 ? text.changed : t().problem(problem)}</li>)}</ul>
        </div>
      )}
      {asking && <Confirm title={text.deleteTitle(tasks.length)} text={t().task.deleteText} action={text.delete} onConfirm={() => void remove()} onClose={() => setAsking(false)} />}
    </section>
  )
}
