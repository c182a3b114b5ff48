// The screen of one task: its due date, the actions, the timeline, and the editor.
import type { ComponentChild } from "preact"
import { useEffect, useLayoutEffect, useRef, useState } from "preact/hooks"
import { answered, ok, type Problem, type Task, type TaskInput } from "../../api/client"
import { go, to } from "../../router"
import { locale, t } from "../../text"
import { exact, relative, shortWithDay, wallText } from "../../times"
import { asProblem, useFetched, useShared } from "../../ui/context"
import { CheckIcon } from "../../ui/icons"
import { Button, Confirm, Loading, Screen, Trouble } from "../../ui/parts"
import { useAttend } from "./attend"
import { changesOf, draftOf, fieldOf, type Draft } from "./draft"
import { dayInWords, useDue } from "./due"
import { TaskForm } from "./form"
import { Reminders, TimelineCard, useDetails, useTimeline } from "./timeline"
import "./tasks.css"

export function TaskScreen({ id }: { id: string }) {
  const { client } = useShared()
  const path = { params: { path: { task_id: id } } }
  const fetched = useFetched(() => answered(client.GET("/api/tasks/{task_id}", path)), [id])
  const timeline = useTimeline(id)
  const details = useDetails()
  const again = () => {
    fetched.reload()
    timeline.reload()
  }
  const task = fetched.value?.data
  return (
    <Screen title={task?.title ?? t().tasks.title} aside={<a href={to("/tasks")}>{t().task.back}</a>}>
      {fetched.problem && (fetched.problem.status === 404 ? <p class="trouble">{t().task.gone}</p> : <Trouble problem={fetched.problem} retry={fetched.reload} />)}
      {!fetched.value && !fetched.problem && <Loading />}
      {fetched.value && <OneTask key={id} task={fetched.value.data} etag={fetched.value.etag} onSaved={(saved) => { fetched.set(saved); timeline.reload() }} onChanged={again} />}
      {task && <TimelineCard fetched={timeline} details={details} />}
      {task && timeline.value && <Reminders timeline={timeline.value} technical={details.shown} />}
    </Screen>
  )
}

interface OneTaskProps {
  task: Task
  etag: string
  onSaved(saved: { data: Task; etag: string }): void
  /** Reads the task again. */
  onChanged(): void
}

/** A task's summary, its actions and its editor. */
function OneTask({ task, etag, onSaved, onChanged }: OneTaskProps) {
  const { client, zone, say } = useShared()
  const [editing, setEditing] = useState(false)
  const form = useRef<HTMLElement>(null)
  const edit = useRef<HTMLButtonElement>(null)
  const [draft, setDraft] = useState<Draft>(() => draftOf(task, zone))
  const [base, setBase] = useState({ task, etag }) // what the draft was made from
  const [busy, setBusy] = useState(false)
  const [asking, setAsking] = useState(false)
  const [problem, setProblem] = useState<Problem>()
  const path = { task_id: task.id }
  const text = t().task
  const changes = changesOf(draft, base.task, zone)
  const untouched = Object.keys(changes).length === 0

  // A newer version replaces the draft only if the user has typed nothing, also not in the
  // meantime.
  const start = (task: Task, etag: string) => {
    setDraft((now) => (now === draft ? draftOf(task, zone) : now))
    setBase({ task, etag })
    setProblem(undefined)
  }
  const attend = useAttend(task, onChanged)
  const wasEditing = useRef(false)
  useLayoutEffect(() => { // moves the focus to the form, and back
    if (editing) form.current?.querySelector<HTMLElement>("[name=title]")?.focus()
    else if (wasEditing.current) edit.current?.focus()
    wasEditing.current = editing
  }, [editing])
  useEffect(() => {
    if (etag !== base.etag && problem?.status !== 412 && untouched) start(task, etag)
  }, [etag])

  const doing = async (what: () => Promise<void>) => {
    setBusy(true)
    setProblem(undefined)
    try {
      await what()
    } catch (error) {
      const why = asProblem(error)
      if (editing || why.status !== 412) setProblem(why)
      else { // the user has typed nothing that could be lost
        onChanged()
        say(t().tasks.conflict, "problem")
      }
    } finally {
      setBusy(false)
    }
  }
  const save = (change: TaskInput, version: string) => doing(async () => {
    const saved = await answered(client.PATCH("/api/tasks/{task_id}", { params: { path, header: { "If-Match": version } }, body: change }))
    start(saved.data, saved.etag)
    onSaved(saved)
    setEditing(false)
    say(t().saved)
  })
  const cancel = () => {
    start(task, etag)
    setEditing(false)
    if (problem) onChanged()
  }
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
  const blocked = busy || !untouched // what the user has typed would be lost
  const trouble = problem && problem.status !== 412 && !fieldOf(problem.message) && <Trouble problem={problem} retry={problem.status === 404 ? onChanged : undefined} />
  return (
    <>
      <section class="card summary" aria-label={text.summary}>
        <Summary task={task} state={attend.state} />
        <div class="actions">
          {task.occurrence !== null && !task.completed ? (
            <>
              <Button onClick={() => void close("complete")} disabled={blocked}><CheckIcon /> {t().tasks.occurrence.complete}</Button>
              <Button onClick={() => void close("skip")} disabled={blocked}>{t().tasks.occurrence.skip}</Button>
            </>
          ) : (
            <Button onClick={() => void save({ completed: !task.completed }, base.etag)} disabled={blocked}><CheckIcon /> {task.completed ? text.reopen : text.complete}</Button>
          )}
          {attend.actions}
          <span class="summary-more">
            {!editing && <Button ref={edit} kind="quiet" onClick={() => setEditing(true)}>{text.edit}</Button>}
            {task.occurrence !== null && !task.completed && <Button kind="quiet" onClick={() => void save({ completed: true }, base.etag)} disabled={blocked}>{t().tasks.occurrence.end}</Button>}
            <Button kind="quiet" class="danger" onClick={() => setAsking(true)} disabled={busy}>{text.delete}</Button>
          </span>
        </div>
        {!editing && trouble}
      </section>
      {editing && (
        <section ref={form} class="card" aria-label={text.edit}>
          <TaskForm draft={draft} onDraft={setDraft} onSubmit={() => void save(changes, base.etag)} onCancel={cancel} busy={busy} action={t().save} problem={problem && fieldOf(problem.message) ? problem : undefined} />
          {problem?.status === 412 && (
            <div class="trouble" role="alert">
              <p>{text.conflict}</p>
              <div class="actions">
                <Button onClick={() => void takeTheirs()}>{text.takeTheirs}</Button>
                <Button kind="danger" onClick={() => void keepMine()}>{text.keepMine}</Button>
              </div>
            </div>
          )}
          {trouble}
        </section>
      )}
      {asking && <Confirm title={text.deleteTitle} text={text.deleteText} action={text.delete} onConfirm={() => void remove()} onClose={() => setAsking(false)} />}
    </>
  )
}

/** A task's due date, rule, state and notes. */
function Summary({ task, state }: { task: Task; state: ComponentChild }) {
  const { now, zone, day, overdue, recurrence } = useDue(task)
  const text = t().tasks
  return (
    <>
      <p class="summary-due">
        {task.due_date === null ? <strong>{text.noDue}</strong>
          : day ? <strong><time dateTime={day}>{t().inbox.due(dayInWords(day))}</time></strong>
            : <><strong><time dateTime={task.due_date} title={exact(task.due_date, locale(), zone)}>{t().inbox.due(shortWithDay(task.due_date, now, locale(), zone))}</time></strong> <span class="muted">{relative(task.due_date, now, locale())}</span></>}
        {task.completed && <span class="tag sent">{text.state.completed}</span>}
        {overdue && <span class="tag failed">{text.overdue}</span>}
        {state}
        {task.urgent && <span class="tag retrying">{text.quick.urgent}</span>}
      </p>
      {recurrence && <p class="muted">↻ {recurrence}{task.next_occurrence && <> · {t().timeline.nextOccurrence(wallText(task.next_occurrence, locale()))}</>}</p>}
      {task.notes && <p class="notes" dir="auto">{task.notes}</p>}
    </>
  )
}
