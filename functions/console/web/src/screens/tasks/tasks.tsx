// The list of tasks, with quick add, search and filters, changes of several tasks, and the import
// of a file.
import { useEffect, useId, useRef, useState } from "preact/hooks"
import { ok, type Problem, type Task } from "../../api/client"
import { to } from "../../router"
import { t } from "../../text"
import { dayFromNow } from "../../times"
import { asProblem, useShared } from "../../ui/context"
import { BellIcon } from "../../ui/icons"
import { KeysHelp } from "../../ui/keys"
import { Button, Choice, Empty, Loading, Screen, Trouble } from "../../ui/parts"
import { BulkBar, completeTask } from "./bulk"
import { DueCell, snoozedUntil } from "./due"
import { Import } from "./import"
import { NewTask } from "./new-task"
import { useSelection, type Selection } from "./selection"
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
  const selection = useSelection(list.tasks ?? [])
  const text = t().tasks
  return (
    <Import onImported={() => void list.load(null)}>
      {({ button, card }) => (
        <Screen title={text.title} aside={<div class="actions head-actions">{button}<Button aria-pressed={selection.on} onClick={selection.on ? selection.leave : selection.begin}>{text.bulk.select}</Button></div>}>
          <section class="card" aria-label={text.new}>
            <NewTask onCreated={list.add} />
          </section>
          {card}
          <div class="bar tasks-bar">
            <Search value={words} onInput={setWords} />
            <Choice label={text.state.label} value={state} options={{ open: text.state.open, completed: text.state.completed, all: text.state.all }} onChange={setState} />
            <Choice label={text.due.label} value={due} options={{ any: text.due.any, overdue: text.due.overdue, today: text.due.today, week: text.due.week }} onChange={setDue} />
            <Choice label={text.order.label} value={order} options={{ newest: text.order.newest, oldest: text.order.oldest, due: text.order.due, dueLast: text.order.dueLast }} onChange={setOrder} />
          </div>
          {selection.on && <BulkBar tasks={selection.tasks} onReplace={list.replace} onRemove={list.remove} onDone={selection.drop} onAll={selection.all} onLeave={selection.leave} />}
          {list.tasks?.length === 0 && <Empty title={text.empty} text={state === "open" && due === "any" && words.trim() === "" ? text.emptyText : text.emptyFiltered} />}
          {!list.tasks && !list.problem && <Loading />}
          {list.tasks && list.tasks.length > 0 && (
            <ul class="tasks" onKeyDown={selection.onKeyDown}>
              {list.tasks.map((task) => <Row key={task.id} task={task} selection={selection} onComplete={() => void list.complete(task)} />)}
            </ul>
          )}
          {list.problem && <Trouble problem={list.problem} retry={() => void list.load()} />}
          {list.more && <Button onClick={() => void list.load()}>{t().more}</Button>}
          <KeysHelp list={t().keys.tasks} />
        </Screen>
      )}
    </Import>
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
      let next = after
      let found: Task[]
      do { // reads pages until one has a task that is not snoozed
        const page = await ok(client.GET("/api/tasks", { params: { query: { ...filter(state, due, zone), ...sorts[order], q: words || undefined, cursor: next ?? undefined } } }))
        if (mine !== turn.current) return
        next = page.next_cursor
        found = due === "overdue" ? page.tasks.filter((task) => snoozedUntil(task, Date.now()) === null) : page.tasks
      } while (found.length === 0 && next !== null)
      setTasks((old) => [...(after ? (old ?? []) : []), ...found])
      setCursor(next)
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
  /** Completes or reopens a task, first on the screen and then by the API. A recurring task moves to its next
   * occurrence. */
  const complete = async (task: Task) => {
    const path = { task_id: task.id }
    if (task.occurrence === null || task.completed) replace({ ...task, completed: !task.completed })
    try {
      replace(task.completed ? await ok(client.PATCH("/api/tasks/{task_id}", { params: { path }, body: { completed: false, version: task.version } })) : await completeTask(client, task))
      if (task.occurrence !== null && !task.completed) say(t().tasks.occurrence.completed)
    } catch (error) {
      const why = asProblem(error)
      replace(why.status === 412 ? await ok(client.GET("/api/tasks/{task_id}", { params: { path } })).catch(() => task) : task)
      say(why.status === 412 ? t().tasks.conflict : t().problem(why), "problem")
    }
  }
  return {
    tasks, problem, more: cursor !== null, load, complete, replace,
    add: (task: Task) => setTasks((old) => [task, ...(old ?? [])]),
    remove: (task: Task) => setTasks((old) => old?.filter((one) => one.id !== task.id)),
  }
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

function Row({ task, selection, onComplete }: { task: Task; selection: Selection; onComplete(): void }) {
  const text = t().tasks
  const waiting = task.reminders.filter((r) => r.state === "pending" || r.state === "scheduled").length
  const selected = selection.has(task)
  return (
    <li class={`task ${task.completed ? "completed" : ""} ${selected ? "selected" : ""}`} data-id={task.id}>
      {selection.on
        ? <input key="select" type="checkbox" checked={selected} aria-label={text.bulk.selectOne(task.title)} onClick={(e) => selection.toggle(task, e.shiftKey)} />
        : <input key="complete" type="checkbox" checked={task.completed} aria-label={task.completed ? text.reopen(task.title) : text.complete(task.title)} onChange={onComplete} />}
      <a href={to(`/tasks/${task.id}`)} dir="auto">{task.title}</a>
      <span class="task-reminders" title={waiting > 0 ? text.reminders(waiting) : undefined}>
        {waiting > 0 && <><BellIcon /><span class="visually-hidden">{text.reminders(waiting)}</span>{waiting > 1 && <span aria-hidden="true">{waiting}</span>}</>}
      </span>
      <DueCell task={task} />
    </li>
  )
}
