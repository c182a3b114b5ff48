import { useEffect, useRef, useState } from "preact/hooks"
import { ok, type Task } from "../../api/client"
import { to } from "../../router"
import { t } from "../../text"
import { dayFromNow } from "../../times"
import { asProblem, useNow, useShared } from "../../ui/context"
import { BellIcon } from "../../ui/icons"
import { Button, Choice, Empty, Loading, Screen, Time, Trouble } from "../../ui/parts"
import type { Problem } from "../../api/client"
import { emptyDraft, inputOf, TaskForm, type Draft } from "./form"
import "./tasks.css"

type StateFilter = "open" | "completed" | "all"
type DueFilter = "any" | "overdue" | "today" | "week"

export function TasksScreen() {
  const [state, setState] = useState<StateFilter>("open")
  const [due, setDue] = useState<DueFilter>("any")
  const [created, setCreated] = useState<Task[]>([])
  const text = t().tasks
  return (
    <Screen title={text.title}>
      <section class="card" aria-label={text.new}>
        <NewTask onCreated={(task) => setCreated([task, ...created])} />
      </section>
      <div class="bar">
        <Choice label={text.state.label} value={state} options={{ open: text.state.open, completed: text.state.completed, all: text.state.all }} onChange={setState} />
        <Choice label={text.due.label} value={due} options={{ any: text.due.any, overdue: text.due.overdue, today: text.due.today, week: text.due.week }} onChange={setDue} />
      </div>
      <TaskList key={state + due} state={state} due={due} created={created} />
    </Screen>
  )
}

function NewTask({ onCreated }: { onCreated(task: Task): void }) {
  const { client, zone, say } = useShared()
  const [draft, setDraft] = useState<Draft>(emptyDraft)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem>()
  // The same task sent again, because its answer was lost, is not created twice.
  const key = useRef(crypto.randomUUID())
  const change = (next: Draft) => {
    key.current = crypto.randomUUID()
    setProblem(undefined)
    setDraft(next)
  }
  const submit = async () => {
    setBusy(true)
    try {
      const task = await ok(client.POST("/api/tasks", { params: { header: { "Idempotency-Key": key.current } }, body: inputOf(draft, zone) }))
      change(emptyDraft)
      say(t().tasks.created)
      onCreated(task)
    } catch (error) {
      setProblem(asProblem(error))
    } finally {
      setBusy(false)
    }
  }
  return (
    <>
      <TaskForm draft={draft} onDraft={change} onSubmit={() => void submit()} busy={busy} action={t().add} />
      {problem && <Trouble problem={problem} />}
    </>
  )
}

function TaskList({ state, due, created }: { state: StateFilter; due: DueFilter; created: Task[] }) {
  const { client, zone, say } = useShared()
  const [tasks, setTasks] = useState<Task[]>()
  const [cursor, setCursor] = useState<string | null>(null)
  const [problem, setProblem] = useState<Problem>()
  const text = t().tasks

  const load = async (after?: string) => {
    setProblem(undefined)
    try {
      const page = await ok(client.GET("/api/tasks", { params: { query: { ...filter(state, due, zone), cursor: after } } }))
      setTasks((old) => [...(after ? (old ?? []) : []), ...page.tasks])
      setCursor(page.next_cursor)
    } catch (error) {
      setProblem(asProblem(error))
    }
  }
  useEffect(() => void load(), [])

  const complete = async (task: Task) => {
    const replace = (by: Task) => setTasks((old) => old?.map((one) => (one.id === by.id ? by : one)))
    replace({ ...task, completed: !task.completed })
    try {
      replace(await ok(client.PATCH("/api/tasks/{task_id}", {
        params: { path: { task_id: task.id } }, body: { completed: !task.completed, version: task.version },
      })))
    } catch (error) {
      replace(task)
      const why = asProblem(error)
      say(why.status === 412 ? t().task.conflict : t().problem(why), "problem")
    }
  }

  // What was just added is on top, whatever the filters.
  const known = new Set(tasks?.map((task) => task.id))
  const shown = tasks && [...created.filter((task) => !known.has(task.id)), ...tasks]
  useEffect(() => {
    if (tasks && created[0] && !known.has(created[0].id)) setTasks([created[0], ...tasks])
  }, [created[0]?.id])
  return (
    <>
      {shown?.length === 0 && (state === "open" && due === "any"
        ? <Empty title={text.empty} text={text.emptyText} />
        : <Empty title={text.empty} text={text.emptyFiltered} />)}
      {!shown && !problem && <Loading />}
      {shown && shown.length > 0 && (
        <ul class="tasks">
          {shown.map((task) => <Row key={task.id} task={task} onComplete={() => void complete(task)} />)}
        </ul>
      )}
      {problem && <Trouble problem={problem} retry={() => void load(cursor ?? undefined)} />}
      {cursor && <Button onClick={() => void load(cursor)}>{t().more}</Button>}
    </>
  )
}

/** The filters as the API takes them. */
function filter(state: StateFilter, due: DueFilter, zone: string) {
  const now = Date.now()
  const day = (n: number) => dayFromNow(n, now, zone).toISOString()
  return {
    completed: state === "all" ? undefined : state === "completed",
    due_after: due === "today" || due === "week" ? day(0) : undefined,
    due_before: due === "overdue" ? new Date(now).toISOString() : due === "today" ? day(1) : due === "week" ? day(7) : undefined,
  }
}

function Row({ task, onComplete }: { task: Task; onComplete(): void }) {
  const text = t().tasks
  const now = useNow(30_000)
  const overdue = !task.completed && task.due_date !== null && Date.parse(task.due_date) < now
  const waiting = task.reminders.filter((r) => r.state === "pending" || r.state === "scheduled").length
  return (
    <li class={`task ${task.completed ? "completed" : ""}`}>
      <input type="checkbox" checked={task.completed} aria-label={task.completed ? text.reopen(task.title) : text.complete(task.title)} onChange={onComplete} />
      <a href={to(`/tasks/${task.id}`)} dir="auto">{task.title}</a>
      {waiting > 0 && <span class="task-reminders" title={text.reminders(waiting)}><BellIcon /><span class="visually-hidden">{text.reminders(waiting)}</span>{waiting > 1 && <span aria-hidden="true">{waiting}</span>}</span>}
      <span class={`task-due ${overdue ? "overdue" : ""}`}>
        {overdue && <span class="visually-hidden">{text.overdue}: </span>}
        {task.due_date === null ? text.noDue : <Time at={task.due_date} />}
      </span>
    </li>
  )
}
