import { useEffect, useId, useRef, useState } from "preact/hooks"
import { ok, type Problem, type Task } from "../../api/client"
import { to } from "../../router"
import { t } from "../../text"
import { dayFromNow } from "../../times"
import { asProblem, useNow, useShared } from "../../ui/context"
import { BellIcon } from "../../ui/icons"
import { Button, Choice, Empty, Loading, Screen, Time, Trouble } from "../../ui/parts"
import { emptyDraft, inputOf, TaskForm, type Draft } from "./form"
import "./tasks.css"

type StateFilter = "open" | "completed" | "all"
type DueFilter = "any" | "overdue" | "today" | "week"
type Order = "newest" | "oldest" | "due" | "dueLast"

export function TasksScreen() {
  const [state, setState] = useState<StateFilter>("open")
  const [due, setDue] = useState<DueFilter>("any")
  const [words, setWords] = useState("")
  const [order, setOrder] = useState<Order>("newest")
  const list = useTasks(state, due, useSettled(words.trim(), 250), order)
  const text = t().tasks
  return (
    <Screen title={text.title}>
      <section class="card" aria-label={text.new}>
        <NewTask onCreated={list.add} />
      </section>
      <div class="bar tasks-bar">
        <Search value={words} onInput={setWords} />
        <Choice label={text.state.label} value={state} options={{ open: text.state.open, completed: text.state.completed, all: text.state.all }} onChange={setState} />
        <Choice label={text.due.label} value={due} options={{ any: text.due.any, overdue: text.due.overdue, today: text.due.today, week: text.due.week }} onChange={setDue} />
        <Choice label={text.order.label} value={order} options={{ newest: text.order.newest, oldest: text.order.oldest, due: text.order.due, dueLast: text.order.dueLast }} onChange={setOrder} />
      </div>
      {list.tasks?.length === 0 && <Empty title={text.empty} text={state === "open" && due === "any" && words.trim() === "" ? text.emptyText : text.emptyFiltered} />}
      {!list.tasks && !list.problem && <Loading />}
      {list.tasks && list.tasks.length > 0 && (
        <ul class="tasks">
          {list.tasks.map((task) => <Row key={task.id} task={task} onComplete={() => void list.complete(task)} />)}
        </ul>
      )}
      {list.problem && <Trouble problem={list.problem} retry={() => void list.load()} />}
      {list.more && <Button onClick={() => void list.load()}>{t().more}</Button>}
    </Screen>
  )
}

/** A value, once it has not changed for so many milliseconds. */
function useSettled<T>(value: T, after: number): T {
  const [settled, setSettled] = useState(value)
  useEffect(() => {
    const timer = setTimeout(() => setSettled(value), after)
    return () => clearTimeout(timer)
  }, [value, after])
  return settled
}

function Search({ value, onInput }: { value: string; onInput(value: string): void }) {
  const id = useId()
  const text = t().tasks
  return (
    <div class="choice search" role="search">
      <label for={id}>{text.search}</label>
      <input id={id} type="search" maxLength={200} value={value} onInput={(e) => onInput(e.currentTarget.value)} />
    </div>
  )
}

/** The tasks that fit the filters, page by page. */
function useTasks(state: StateFilter, due: DueFilter, words: string, order: Order) {
  const { client, zone, say } = useShared()
  const [tasks, setTasks] = useState<Task[]>()
  const [cursor, setCursor] = useState<string | null>(null)
  const [problem, setProblem] = useState<Problem>()
  const turn = useRef(0) // what was asked for with other filters comes too late

  const load = async (after = cursor) => {
    const mine = ++turn.current
    setProblem(undefined)
    try {
      const page = await ok(client.GET("/api/tasks", { params: { query: { ...filter(state, due, zone), ...sorts[order], q: words || undefined, cursor: after ?? undefined } } }))
      if (mine !== turn.current) return
      setTasks((old) => [...(after ? (old ?? []) : []), ...page.tasks])
      setCursor(page.next_cursor)
    } catch (error) {
      if (mine === turn.current) setProblem(asProblem(error))
    }
  }
  useEffect(() => {
    setTasks(undefined)
    setCursor(null)
    void load(null)
  }, [state, due, words, order])

  const replace = (by: Task) => setTasks((old) => old?.map((one) => (one.id === by.id ? by : one)))
  /** Completes a task or reopens it: at once here, and then there. */
  const complete = async (task: Task) => {
    const path = { task_id: task.id }
    replace({ ...task, completed: !task.completed })
    try {
      replace(await ok(client.PATCH("/api/tasks/{task_id}", { params: { path }, body: { completed: !task.completed, version: task.version } })))
    } catch (error) {
      const why = asProblem(error)
      replace(why.status === 412 ? await ok(client.GET("/api/tasks/{task_id}", { params: { path } })).catch(() => task) : task)
      say(why.status === 412 ? t().tasks.conflict : t().problem(why), "problem")
    }
  }
  return { tasks, problem, more: cursor !== null, load, complete, add: (task: Task) => setTasks((old) => [task, ...(old ?? [])]) }
}

/** Keeps what is typed in this tab while the sign-in is renewed, which leaves the page. */
const draftKey = "duebell.draft"

function keptDraft(): Draft {
  const kept = sessionStorage.getItem(draftKey)
  return kept === null ? emptyDraft : (JSON.parse(kept) as Draft)
}

function NewTask({ onCreated }: { onCreated(task: Task): void }) {
  const { client, zone, say } = useShared()
  const [draft, setDraft] = useState<Draft>(keptDraft)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem>()
  // The same task sent again, because its answer was lost, is not created twice.
  const key = useRef(crypto.randomUUID())
  const change = (next: Draft) => {
    key.current = crypto.randomUUID()
    setProblem(undefined)
    setDraft(next)
    if (next === emptyDraft) sessionStorage.removeItem(draftKey)
    else sessionStorage.setItem(draftKey, JSON.stringify(next))
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

/** The orders as the API takes them. */
const sorts = {
  newest: { sort: "created_at", order: "desc" },
  oldest: { sort: "created_at", order: "asc" },
  due: { sort: "due_date", order: "asc" },
  dueLast: { sort: "due_date", order: "desc" },
} as const

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
      <span class="task-reminders" title={waiting > 0 ? text.reminders(waiting) : undefined}>
        {waiting > 0 && <><BellIcon /><span class="visually-hidden">{text.reminders(waiting)}</span>{waiting > 1 && <span aria-hidden="true">{waiting}</span>}</>}
      </span>
      <span class={`task-due ${overdue ? "overdue" : ""}`}>
        {overdue && <span class="visually-hidden">{text.overdue}: </span>}
        {task.due_date === null ? text.noDue : <Time at={task.due_date} />}
      </span>
    </li>
  )
}
