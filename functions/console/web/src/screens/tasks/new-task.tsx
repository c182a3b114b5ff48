// A new task: by quick add, which is one line that says what and when, or by the editor with all
// fields.
import { useMemo, useRef, useState } from "preact/hooks"
import { ok, type Problem, type Task, type TaskInput } from "../../api/client"
import { locale, t } from "../../text"
import { instantOf, localOf, relative } from "../../times"
import { asProblem, useNow, useShared } from "../../ui/context"
import { useKeys } from "../../ui/keys"
import { Button, Field, Trouble } from "../../ui/parts"
import { emptyDraft, inputOf, type Draft } from "./draft"
import { TaskForm } from "./form"
import { mayLack, usePreview, whenInWords } from "./recurrence"
import { patternOf, ruleInWords } from "./rule"
import { understand, type Understood } from "./understand"

/** The name under which this tab keeps what was typed. Renewing the sign-in leaves the page. */
const draftKey = "duebell.new-task"

interface Typed {
  line: string
  draft: Draft | null // the draft in the editor; null: the editor is closed
  /** The Idempotency-Key. A task whose answer was lost is sent again with it, and is created once. */
  key: string
  /** What was sent with the key. So "in 5 minutes" means the same instant when it is sent again. */
  sent?: TaskInput
}

const typedAs = (line: string, draft: Draft | null): Typed => ({ line, draft, key: crypto.randomUUID() })

function kept(): Typed {
  const text = sessionStorage.getItem(draftKey)
  return text === null ? typedAs("", null) : (JSON.parse(text) as Typed)
}

export function NewTask({ onCreated }: { onCreated(task: Task): void }) {
  const { client, zone, preferences, say } = useShared()
  const [typed, setTyped] = useState<Typed>(kept)
  const [busy, setBusy] = useState(false)
  const [problem, setProblem] = useState<Problem>()
  const field = useRef<HTMLDivElement>(null)
  const newest = useRef(typed)
  const keep = (next: Typed) => {
    newest.current = next
    setTyped(next)
    if (next.line === "" && next.draft === null) sessionStorage.removeItem(draftKey)
    else sessionStorage.setItem(draftKey, JSON.stringify(next))
  }
  const change = (line: string, draft: Draft | null) => {
    setProblem(undefined)
    keep(typedAs(line, draft))
  }
  const read = (line: string): Draft => {
    const understood = understand(line, { now: new Date(), zone, allDayAt: preferences.value.all_day_at, dayFirst: dayComesFirst() })
    return { ...emptyDraft(preferences.value), title: understood.title, urgent: understood.urgent, ...timesOf(understood, zone) }
  }
  const create = async (draft: Draft) => {
    const sending = { ...typed, sent: typed.sent ?? inputOf(draft, zone) }
    keep(sending)
    setBusy(true)
    setProblem(undefined)
    const stillThere = () => newest.current.key === sending.key // otherwise the user types the next task already
    try {
      const task = await ok(client.POST("/api/tasks", { params: { header: { "Idempotency-Key": sending.key } }, body: sending.sent }))
      if (stillThere()) keep(typedAs("", null))
      say(t().tasks.created)
      onCreated(task)
    } catch (error) {
      const why = asProblem(error)
      setProblem(why)
      // The API has refused the task for certain. What is sent next is another task, with a new
      // key.
      if (why.status >= 400 && why.status < 500 && stillThere()) keep(typedAs(sending.line, sending.draft))
    } finally {
      setBusy(false)
    }
  }
  const openEditor = (draft: Draft) => {
    change(typed.line, draft)
    requestAnimationFrame(() => field.current?.querySelector<HTMLElement>(draft.title === "" ? "[name=title]" : "[name=due]")?.focus())
  }

  useKeys((e) => e.key === "n" && (() => field.current?.querySelector<HTMLElement>("[name=line], [name=title]")?.focus()))

  const text = t().tasks.quick
  return (
    <div ref={field}>
      {typed.draft ? (
        <>
          <TaskForm draft={typed.draft} onDraft={(draft) => change(typed.line, draft)} onSubmit={() => void create(typed.draft!)} busy={busy} action={t().add} problem={problem} />
          <div class="presets"><Button kind="quiet" onClick={() => change(typed.line, null)}>{text.less}</Button></div>
        </>
      ) : (
        <>
          <Line line={typed.line} busy={busy} read={read} onLine={(line) => change(line, null)} onAdd={(draft) => void create(draft)} onEditor={openEditor} />
          {problem && <Trouble problem={problem} />}
        </>
      )}
    </div>
  )
}

interface LineProps {
  line: string
  busy: boolean
  read(line: string): Draft
  onLine(line: string): void
  onAdd(draft: Draft): void
  onEditor(draft: Draft): void
}

function Line({ line, busy, read, onLine, onAdd, onEditor }: LineProps) {
  const { zone, keys } = useShared()
  const now = useNow(10_000)
  const draft = useMemo(() => read(line), [line, now])
  const text = t().tasks.quick
  const submit = () => {
    const newest = read(line)
    if (line.trim() === "" || newest.title === "") return
    if (mayBeTold(newest, zone)) onAdd(newest)
    else onEditor(newest)
  }
  return (
    <form class="quick" onSubmit={(e) => { e.preventDefault(); submit() }}>
      <div class="quick-line">
        <Field label={text.label}>
          {(ids) => <input {...ids} name="line" maxLength={500} dir="auto" autocomplete="off" aria-keyshortcuts={keys ? "n" : undefined} placeholder={text.placeholder} aria-describedby="quick-understood" value={line} onInput={(e) => onLine(e.currentTarget.value)} />}
        </Field>
        <Button kind="primary" type="submit" disabled={busy}>{t().add}</Button>
      </div>
      <div id="quick-understood" class="understood" aria-live="polite">
        {line.trim() === "" ? <p class="muted">{text.hint}</p> : <UnderstoodDraft draft={draft} now={now} />}
      </div>
      <div class="presets"><Button kind="quiet" onClick={() => onEditor(draft)}>{text.toEditor}</Button></div>
    </form>
  )
}

/** Returns the instant at which a draft is due, or at which its series starts; undefined if it has no due date. */
function instantOfDraft({ due }: Draft, zone: string, allDayAt = "23:59"): string | undefined {
  if (due.exact) return due.exact
  const local = due.form === "day" ? due.on && `${due.on}T${allDayAt}` : due.at
  return local === "" ? undefined : instantOf(local, zone).toISOString()
}

/** Returns whether somebody can still be told: the due date is ahead, or the task recurs. */
function mayBeTold(draft: Draft, zone: string): boolean {
  const at = instantOfDraft(draft, zone)
  return at !== undefined && (draft.recurrence !== null || Date.parse(at) > Date.now() - 60_000)
}

function UnderstoodDraft({ draft, now }: { draft: Draft; now: number }) {
  const { zone, preferences } = useShared()
  const { preview, problem } = usePreview(draft.due, draft.recurrence)
  const text = t().tasks.quick
  const start = instantOfDraft(draft, zone, preferences.value.all_day_at)
  if (start === undefined) return <p class="warning">{text.nothing}</p>
  const allDay = draft.due.form === "day"
  const pattern = draft.recurrence && patternOf(draft.recurrence.rule)
  const [first, ...next] = preview?.occurrences ?? []
  const at = first?.instant ?? start
  const shown = localOf(at, zone)
  const asked = first?.local ?? draft.due.at
  return (
    <>
      {draft.title === "" ? <p class="warning">{text.noTitle}</p> : <p class="understood-title" dir="auto">{draft.title} {draft.urgent && <span class="tag retrying">{text.urgent}</span>}</p>}
      <p>
        <time dateTime={at}>{whenInWords(at, allDay, zone)}</time>
        <span class="muted"> {allDay ? text.allDay : `(${relative(at, now, locale())})`}</span>
      </p>
      {!mayBeTold(draft, zone) && <p class="warning">{text.past}</p>}
      {!allDay && !draft.due.exact && shown !== asked.slice(0, 16) && <p class="warning">{text.moved(shown.slice(11))}</p>}
      {pattern && (
        <p>
          {ruleInWords(pattern, t(), locale())}.
          {mayLack(pattern, draft.due) && <span class="muted"> {t().tasks.rule.skip}: {t().tasks.rule.skips[draft.recurrence!.skip]}.</span>}
          {next.length > 0 && <span class="muted"> {text.next} {next.slice(0, 3).map(({ instant }) => whenInWords(instant, allDay, zone)).join(" · ")}</span>}
        </p>
      )}
      {problem && <p class="field-problem" lang="en">{t().problem(problem)}</p>}
    </>
  )
}

/** Returns the due date and the rule that were read from a line, as fields of a draft. */
function timesOf({ due, rule }: Understood, zone: string): Partial<Draft> {
  const none = { at: "", on: "", zone: "" }
  return {
    ...(due && {
      due: "exact" in due ? { ...none, form: "instant" as const, at: localOf(due.exact, zone), exact: due.exact }
        : "at" in due ? { ...none, form: "local" as const, at: due.at } : { ...none, form: "day" as const, on: due.on },
    }),
    recurrence: rule ? { rule, skip: "omit", from: "schedule", except: [] } : null,
  }
}

/** Returns whether 3/12 means the third of December in the reader's region. */
function dayComesFirst(): boolean {
  const order = new Intl.DateTimeFormat(locale()).formatToParts().map((part) => part.type)
  return order.indexOf("day") < order.indexOf("month")
}
