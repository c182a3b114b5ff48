// Dead letters. Operators look into them, replay and discard them, one by one or many at once.
import { useEffect, useRef, useState } from "preact/hooks"
import { ok, type DeadLetter, type DeadLetterHistory, type Problem } from "../../api/client"
import { to } from "../../router"
import { locale, t } from "../../text"
import { instantOf, until } from "../../times"
import { asProblem, useFetched, useShared } from "../../ui/context"
import { Button, Choice, Confirm, Empty, Field, Loading, Time, Trouble } from "../../ui/parts"
import { userPath } from "./user"

type StateFilter = "all" | DeadLetter["state"]
type ChannelFilter = "all" | NonNullable<DeadLetter["channel"]>
type SinceFilter = keyof typeof hours | "any" | "between"

const hours = { hour: 1, day: 24, week: 168 }

/** A question that the operator confirms before something is done. */
interface Question {
  title: string
  text: string
  action: string
  act(): Promise<void>
}

export function DeadLetters({ providers }: { providers: string[] }) {
  const { client, say, zone } = useShared()
  const [state, setState] = useState<StateFilter>("dead")
  const [channel, setChannel] = useState<ChannelFilter>("all")
  const [provider, setProvider] = useState("")
  const [since, setSince] = useState<SinceFilter>("any")
  const [between, setBetween] = useState({ from: "", until: "" })
  const [letters, setLetters] = useState<DeadLetter[]>()
  const [cursor, setCursor] = useState<string | null>(null)
  const [problem, setProblem] = useState<Problem>()
  const [question, setQuestion] = useState<Question>()
  const text = t().operators

  const instant = (local: string) => (local ? instantOf(local, zone).toISOString() : undefined)
  const filter = () => ({
    channel: channel === "all" ? undefined : channel,
    provider: provider || undefined,
    ...(since === "between" ? { since: instant(between.from), until: instant(between.until) }
      : since === "any" ? {} : { since: new Date(Date.now() - hours[since] * 3_600_000).toISOString() }),
  })
  const turn = useRef(0) // the answer of an earlier request is not shown
  const load = async (after?: string) => {
    const mine = ++turn.current
    setProblem(undefined)
    try {
      const page = await ok(client.GET("/api/dlq", { params: { query: { state: state === "all" ? undefined : state, ...filter(), cursor: after, limit: 50 } } }))
      if (mine !== turn.current) return
      setLetters((old) => [...(after ? (old ?? []) : []), ...page.dead_letters])
      setCursor(page.next_cursor)
    } catch (error) {
      if (mine === turn.current) setProblem(asProblem(error))
    }
  }
  useEffect(() => {
    setLetters(undefined)
    setCursor(null)
    void load()
  }, [state, channel, provider, since, between])

  /** Does something, shows the text that it returns, and reads the list again. */
  const doing = async (what: () => Promise<string>) => {
    try {
      say(await what())
      await load()
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    }
  }
  /** Counts the dead letters that the filters match, and asks before they are replayed. */
  const askMany = async (state: "dead" | "retrying") => {
    const body = { state, ...filter() }
    try {
      const { count = 0, at_least } = await ok(client.POST("/api/dlq/replay", { body }))
      if (count === 0) return say(text.noneToReplay)
      setQuestion({
        title: text.replayManyTitle(count), text: at_least ? `${text.replayManyText} ${text.replayManyMore(count)}` : text.replayManyText, action: text.replay,
        act: () => doing(async () => text.manyReplayed((await ok(client.POST("/api/dlq/replay", { body: { ...body, confirm: count } }))).replayed ?? 0)),
      })
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    }
  }
  const replay = async (letter: DeadLetter, force: boolean) => {
    try {
      await ok(client.POST("/api/dlq/{id}/replay", { params: { path: { id: letter.id }, query: force ? { force } : {} } }))
      say(text.replayed)
      await load()
    } catch (error) {
      const problem = asProblem(error)
      // If the API refuses a replay that can be forced, the dialog shows why and offers to force
      // it.
      if (problem.status === 409 && !force && problem.message.includes("force the replay")) {
        setQuestion({ title: text.forceTitle, text: problem.message, action: text.force, act: () => replay(letter, true) })
      } else say(t().problem(problem), "problem")
    }
  }
  const discard = (letter: DeadLetter) => doing(async () => {
    await ok(client.DELETE("/api/dlq/{id}", { params: { path: { id: letter.id } } }))
    return text.discarded
  })
  const names = [...new Set([...providers, ...(letters?.flatMap((l) => l.provider ?? []) ?? []), ...(provider ? [provider] : [])])].sort()
  return (
    <section class="card" aria-label={text.deadLetters}>
      <h2>{text.deadLetters}</h2>
      <p class="muted">{text.deadLettersText}</p>
      <div class="bar">
        <Choice<StateFilter> label={text.stateLabel} value={state} options={text.state} onChange={setState} />
        <Choice<ChannelFilter> label={text.channel} value={channel} onChange={setChannel}
          options={{ all: text.state.all, email: t().channels.email, push: t().channels.push, sms: t().channels.sms, webhook: t().channels.webhook, event: t().channels.event }} />
        <Choice label={t().health.provider} value={provider} onChange={setProvider} options={{ "": text.state.all, ...Object.fromEntries(names.map((p) => [p, p])) }} />
        <Choice<SinceFilter> label={text.since.label} value={since} onChange={setSince}
          options={{ any: text.since.any, hour: text.since.hour, day: text.since.day, week: text.since.week, between: text.since.between }} />
        {since === "between" && (["from", "until"] as const).map((end) => (
          <Field key={end} label={text[end]} hint={t().tasks.field.zone(zone)}>
            {(ids) => <input {...ids} type="datetime-local" value={between[end]} onChange={(e) => setBetween({ ...between, [end]: e.currentTarget.value })} />}
          </Field>
        ))}
      </div>
      <div class="actions">
        {(state === "dead" || state === "retrying") && letters && letters.length > 1 && <Button onClick={() => void askMany(state)}>{text.replayMany}</Button>}
        <Button onClick={() => void load()}>{text.readAgain}</Button>
      </div>
      {problem && <Trouble problem={problem} retry={() => void load()} />}
      {!letters && !problem && <Loading />}
      {letters?.length === 0 && <Empty title={text.none} text={state === "dead" && channel === "all" && since === "any" && !provider ? text.allWell : text.noneText} />}
      <ul class="letters">
        {letters?.map((letter) => (
          <li key={letter.id}>
            <Letter letter={letter} />
            {letter.state !== "discarded" && letter.state !== "resolved" && (
              <div class="actions">
                {isReplayable(letter) && (
                  <Button onClick={() => setQuestion({ title: text.replayTitle, text: text.replayText, action: text.replay, act: () => replay(letter, false) })}>{text.replay}</Button>
                )}
                <Button kind="danger" onClick={() => setQuestion({ title: text.discardTitle, text: text.discardText, action: text.discard, act: () => discard(letter) })}>{text.discard}</Button>
              </div>
            )}
          </li>
        ))}
      </ul>
      {cursor && <Button onClick={() => void load(cursor)}>{t().more}</Button>}
      {question && (
        <Confirm key={question.title} title={question.title} text={question.text} action={question.action} onConfirm={() => void question.act()}
          onClose={() => setQuestion((asked) => (asked === question ? undefined : asked))} />
      )}
    </section>
  )
}

/** A malformed callback has nothing to send, and a verification's code has expired. */
const isReplayable = (letter: DeadLetter) => letter.delivery_id !== null && !letter.job_name.startsWith("verification-")

function Letter({ letter }: { letter: DeadLetter }) {
  const [open, setOpen] = useState(false)
  const text = t().operators
  const what = letter.delivery_id === null ? text.malformed : letter.job_name.startsWith("bundle-") ? text.bundle : letter.job_name.startsWith("verification-") ? text.verification : ""
  const about = letter.delivery_id === null ? {} : aboutOf(letter.data)
  return (
    <>
      <div class="letter-head">
        <span class={`tag ${letter.state}`}>{text.state[letter.state]}</span>
        {letter.channel && <strong>{t().channels[letter.channel]}{letter.provider && ` · ${letter.provider}`}</strong>}
        {what && <span>{what}</span>}
        <span class="muted">{t().task.attempts(letter.attempts)}</span>
        <Time at={letter.updated_at} class="muted" />
      </div>
      <p class="letter-error" lang="en" dir="auto">{letter.error}</p>
      {about.user && (
        <p class="letter-about">
          {about.task ? <a href={to(userPath(about.user, about.task))}>{text.taskOf(about.user)}</a> : <a href={to(userPath(about.user))}>{text.user(about.user)}</a>}
        </p>
      )}
      <details onToggle={(e) => setOpen(e.currentTarget.open)}>
        <summary>{text.details}</summary>
        {open && <History letter={letter} />}
        <dl>
          <dt>{text.firstFailed}</dt><dd><Time at={letter.created_at} /></dd>
          <dt>{text.job}</dt><dd><code>{letter.job_name || "–"}</code></dd>
          <dt>{text.data}</dt><dd><code>{letter.data || "–"}</code></dd>
          <dt>ID</dt><dd><code>{letter.id}</code></dd>
        </dl>
      </details>
    </>
  )
}

/** Returns the user and the task of a dead letter, as its data names them. */
function aboutOf(data: string): { user?: string; task?: string } {
  try {
    const { user_id: user, task_id: task } = JSON.parse(data)
    return { user: typeof user === "string" ? user : undefined, task: typeof task === "string" ? task : undefined }
  } catch {
    return {}
  }
}

/** Each attempt, with the provider's answer. */
function History({ letter }: { letter: DeadLetter }) {
  const { client, zone } = useShared()
  const { value, problem, reload } = useFetched(() => ok(client.GET("/api/dlq/{id}", { params: { path: { id: letter.id } } })), [letter.id, letter.updated_at])
  if (problem) return <Trouble problem={problem} retry={reload} />
  if (!value) return <Loading />
  if (value.tries.length === 0) return <p class="muted">{t().operators.noTries}</p>
  return (
    <ol class="tries">
      {value.tries.map((of, i) => (
        <li key={i}>
          <Time at={of.at} class="muted" />
          <span>{tried(of, zone)}{of.error && of.state !== "held" && <> <q class="answer" lang="en" dir="auto">{of.error}</q></>}</span>
        </li>
      ))}
    </ol>
  )
}

/** A try in words, as in a task's timeline. */
function tried({ at, provider, attempt, state, error, next }: DeadLetterHistory["tries"][number], zone: string): string {
  const text = t().timeline
  if (state === "held") return `${text.state.held}: ${error}`
  const kind = state === "replayed" ? "replayed" : state === "planned" || state === "unknown" ? "tried" : "ended"
  return text.step({ at, kind, text: "", provider, attempt, state, until: next ?? undefined }, until(next, at, locale(), zone))
}
