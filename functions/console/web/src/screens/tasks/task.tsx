// One task: to change it, and to see what has become of it.
import { useEffect, useState } from "preact/hooks"
import { answered, ok, type Problem, type Task, type TaskInput } from "../../api/client"
import { go, to } from "../../router"
import { t } from "../../text"
import { asProblem, useFetched, useShared } from "../../ui/context"
import { Button, Confirm, Loading, Screen, Time, Trouble } from "../../ui/parts"
import { changesOf, draftOf, fieldOf, type Draft } from "./draft"
import { TaskForm } from "./form"
import { Reminders, TimelineCard, useTimeline } from "./timeline"
import { Attend } from "./attend"
import "./tasks.css"

export function TaskScreen({ id }: { id: string }) {
  const { client } = useShared()
  const path = { params: { path: { task_id: id } } }
  const fetched = useFetched(() => answered(client.GET("/api/tasks/{task_id}", path)), [id])
  const timeline = useTimeline(id)
  const again = () => {
    fetched.reload()
    timeline.reload()
  }
  const task = fetched.value?.data
  return (
    <Screen title={task?.title ?? t().tasks.title} aside={<a href={to("/tasks")}>{t().task.back}</a>}>
      {fetched.problem && (fetched.problem.status === 404 ? <p class="trouble">{t().task.gone}</p> : <Trouble problem={fetched.problem} retry={fetched.reload} />)}
      {!fetched.value && !fetched.problem && <Loading />}
      {task && <Attend task={task} onChanged={again} />}
      {fetched.value && <Editor key={id} task={fetched.value.data} etag={fetched.value.etag} onSaved={(saved) => { fetched.set(saved); timeline.reload() }} reload={fetched.reload} />}
      {task && timeline.value && <Reminders timeline={timeline.value} />}
      {task && <TimelineCard fetched={timeline} />}
    </Screen>
  )
}

interface EditorProps {
  task: Task
  etag: string
  onSaved(saved: { data: Task; etag: string }): void
  reload(): void
}

function Editor({ task, etag, onSaved, reload }: EditorProps) {
  const { client, zone, say } = useShared()
  const [draft, setDraft] = useState<Draft>(() => draftOf(task, zone))
  const [base, setBase] = useState({ task, etag }) // what the draft was made from
  const [busy, setBusy] = useState(false)
  const [asking, setAsking] = useState(false)
  const [problem, setProblem] = useState<Problem>()
  const path = { task_id: task.id }
  const text = t().task
  const changes = changesOf(draft, base.task, zone)
  const untouched = Object.keys(changes).length === 0

  // A newer version takes the draft's place only if nothing was typed, also meanwhile.
  const start = (task: Task, etag: string) => {
    setDraft((now) => (now === draft ? draftOf(task, zone) : now))
    setBase({ task, etag })
    setProblem(undefined)
  }
  useEffect(() => {
    if (etag !== base.etag && problem?.status !== 412 && untouched) start(task, etag)
  }, [etag])

  const doing = async (what: () => Promise<void>) => {
    setBusy(true)
    setProblem(undefined)
    try {
      await what()
    } catch (error) {
      setProblem(asProblem(error))
    } finally {
      setBusy(false)
    }
  }
  const save = (change: TaskInput, version: string) => doing(async () => {
    const saved = await answered(client.PATCH("/api/tasks/{task_id}", { params: { path, header: { "If-Match": version } }, body: change }))
    start(saved.data, saved.etag)
    onSaved(saved)
    say(t().saved)
  })
  const takeTheirs = () => doing(async () => {
    const newest = await answered(client.GET("/api/tasks/{task_id}", { params: { path } }))
    start(newest.data, newest.etag)
    onSaved(newest)
  })
  const keepMine = () => doing(async () => {
    const newest = await answered(client.GET("/api/tasks/{task_id}", { params: { path } }))
    await save(changes, newest.etag)
  })
  /** Completes or skips the current occurrence. */
  const close = (how: "complete" | "skip") => doing(async () => {
    const closing = { params: { path }, body: { occurrence: task.occurrence } }
    const saved = await answered(how === "skip" ? client.POST("/api/tasks/{task_id}/skip", closing) : client.POST("/api/tasks/{task_id}/complete", closing))
    start(saved.data, saved.etag)
    onSaved(saved)
    say(how === "skip" ? t().tasks.occurrence.skipped : t().tasks.occurrence.completed)
  })
  const remove = () => doing(async () => {
    await ok(client.DELETE("/api/tasks/{task_id}", { params: { path } }))
    say(text.deleted)
    go("/tasks")
  })
  return (
    <section class="card" aria-label={t().tasks.title}>
      <TaskForm draft={draft} onDraft={setDraft} onSubmit={() => void save(changes, base.etag)} busy={busy} action={t().save} problem={problem && fieldOf(problem.message) ? problem : undefined} />
      {problem?.status === 412 ? (
        <div class="trouble" role="alert">
          <p>{text.conflict}</p>
          <div class="actions">
            <Button onClick={() => void takeTheirs()}>{text.takeTheirs}</Button>
            <Button kind="danger" onClick={() => void keepMine()}>{text.keepMine}</Button>
          </div>
        </div>
      ) : problem && !fieldOf(problem.message) && <Trouble problem={problem} retry={problem.status === 404 ? reload : undefined} />}
      <div class="actions">
        {task.occurrence !== null && !task.completed ? (
          <>
            <Button onClick={() => void close("complete")} disabled={busy || !untouched}>{t().tasks.occurrence.complete}</Button>
            <Button onClick={() => void close("skip")} disabled={busy || !untouched}>{t().tasks.occurrence.skip}</Button>
            <Button onClick={() => void save({ completed: true }, base.etag)} disabled={busy || !untouched}>{t().tasks.occurrence.end}</Button>
          </>
        ) : (
          <Button onClick={() => void save({ completed: !task.completed }, base.etag)} disabled={busy || !untouched}>
            {task.completed ? t().tasks.reopen(short(task.title)) : t().tasks.complete(short(task.title))}
          </Button>
        )}
        <Button kind="danger" onClick={() => setAsking(true)} disabled={busy}>{text.delete}</Button>
      </div>
      <p class="muted">{text.changedBefore} <Time at={task.updated_at} /></p>
      {asking && <Confirm title={text.deleteTitle} text={text.deleteText} action={text.delete} onConfirm={() => void remove()} onClose={() => setAsking(false)} />}
    </section>
  )
}

const short = (title: string) => (title.length > 40 ? [...title].slice(0, 40).join("") + "…" : title)
