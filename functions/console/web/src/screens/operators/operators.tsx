// What operators see: how the installation does, dead letters, and what has fired. The API asks for the scope admin.
import { useEffect, useState } from "preact/hooks"
import { ok, type Analytics, type DeadLetter, type Problem } from "../../api/client"
import { locale, t } from "../../text"
import { asProblem, useFetched, useShared } from "../../ui/context"
import { Button, Choice, Confirm, Empty, Loading, Screen, Time, Trouble } from "../../ui/parts"
import { Health } from "./health"
import "./operators.css"

export function OperatorsScreen() {
  return (
    <Screen title={t().operators.title}>
      <Health />
      <DeadLetters />
      <Figures />
    </Screen>
  )
}

type StateFilter = "all" | DeadLetter["state"]
type ChannelFilter = "all" | NonNullable<DeadLetter["channel"]>
type SinceFilter = "any" | "hour" | "day"

const hours = { hour: 1, day: 24 }

function DeadLetters() {
  const { client, say } = useShared()
  const [state, setState] = useState<StateFilter>("dead")
  const [channel, setChannel] = useState<ChannelFilter>("all")
  const [provider, setProvider] = useState("")
  const [since, setSince] = useState<SinceFilter>("any")
  const [many, setMany] = useState<{ count: number; filter: ReturnType<typeof filter> }>()
  const [letters, setLetters] = useState<DeadLetter[]>()
  const [cursor, setCursor] = useState<string | null>(null)
  const [problem, setProblem] = useState<Problem>()
  const [asking, setAsking] = useState<{ letter: DeadLetter; what: "replay" | "discard" }>()
  const text = t().operators

  const filter = () => ({
    channel: channel === "all" ? undefined : channel,
    provider: provider || undefined,
    since: since === "any" ? undefined : new Date(Date.now() - hours[since] * 3_600_000).toISOString(),
  })
  const load = async (after?: string) => {
    setProblem(undefined)
    try {
      const page = await ok(client.GET("/api/dlq", { params: { query: { state: state === "all" ? undefined : state, ...filter(), cursor: after } } }))
      setLetters((old) => [...(after ? (old ?? []) : []), ...page.dead_letters])
      setCursor(page.next_cursor)
    } catch (error) {
      setProblem(asProblem(error))
    }
  }
  useEffect(() => {
    setLetters(undefined)
    void load()
  }, [state, channel, provider, since])

  /** Counts what fits the filters, and asks before that is replayed. */
  const countMany = async () => {
    try {
      const chosen = filter()
      const { count } = await ok(client.POST("/api/dlq/replay", { body: { state: state === "retrying" ? state : "dead", ...chosen } }))
      if (count) setMany({ count, filter: chosen })
      else say(text.noneToReplay)
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    }
  }
  const replayMany = async ({ count, filter }: NonNullable<typeof many>) => {
    try {
      const { replayed } = await ok(client.POST("/api/dlq/replay", { body: { state: state === "retrying" ? state : "dead", ...filter, confirm: count } }))
      say(text.manyReplayed(replayed ?? 0))
      await load()
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    }
  }
  const providers = [...new Set(letters?.flatMap((letter) => letter.provider ?? []))].concat(provider && !letters?.some((l) => l.provider === provider) ? [provider] : [])
  const act = async (letter: DeadLetter, what: "replay" | "discard") => {
    const params = { path: { id: letter.id } }
    try {
      if (what === "replay") await ok(client.POST("/api/dlq/{id}/replay", { params }))
      else await ok(client.DELETE("/api/dlq/{id}", { params }))
      say(what === "replay" ? text.replayed : text.discarded)
      await load()
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    }
  }
  return (
    <section class="card">
      <h2>{text.deadLetters}</h2>
      <p class="muted">{text.deadLettersText}</p>
      <div class="bar">
        <Choice<StateFilter> label={text.stateLabel} value={state} options={text.state} onChange={setState} />
        <Choice<ChannelFilter> label={text.channel} value={channel} onChange={setChannel}
          options={{ all: text.state.all, email: t().channels.email, push: t().channels.push, sms: t().channels.sms, webhook: t().channels.webhook, event: t().channels.event }} />
        <Choice label={t().health.provider} value={provider} onChange={setProvider} options={{ "": text.state.all, ...Object.fromEntries(providers.map((p) => [p, p])) }} />
        <Choice<SinceFilter> label={text.since.label} value={since} options={{ any: text.since.any, hour: text.since.hour, day: text.since.day }} onChange={setSince} />
        {(state === "dead" || state === "retrying") && letters && letters.length > 1 && <Button onClick={() => void countMany()}>{text.replayMany}</Button>}
      </div>
      {problem && <Trouble problem={problem} retry={() => void load()} />}
      {!letters && !problem && <Loading />}
      {letters?.length === 0 && <Empty title={text.none} text={text.noneText} />}
      <ul class="letters">
        {letters?.map((letter) => (
          <li key={letter.id}>
            <div class="letter-head">
              <span class={`tag ${letter.state}`}>{text.state[letter.state]}</span>
              {letter.channel && <span>{t().channels[letter.channel]}{letter.provider && ` · ${letter.provider}`}</span>}
              <span class="muted">{t().task.attempts(letter.attempts)}</span>
              <Time at={letter.updated_at} class="muted" />
            </div>
            <p class="letter-error">{letter.error}</p>
            <details>
              <summary>{text.details}</summary>
              <dl>
                <dt>{text.job}</dt><dd><code>{letter.job_name || "–"}</code></dd>
                <dt>{text.data}</dt><dd><code>{letter.data || "–"}</code></dd>
                <dt>ID</dt><dd><code>{letter.id}</code></dd>
              </dl>
            </details>
            {letter.state !== "discarded" && letter.state !== "resolved" && (
              <div class="actions">
                {letter.delivery_id && <Button onClick={() => setAsking({ letter, what: "replay" })}>{text.replay}</Button>}
                <Button kind="danger" onClick={() => setAsking({ letter, what: "discard" })}>{text.discard}</Button>
              </div>
            )}
          </li>
        ))}
      </ul>
      {cursor && <Button onClick={() => void load(cursor)}>{t().more}</Button>}
      {many && (
        <Confirm title={text.replayManyTitle(many.count)} text={text.replayManyText} action={text.replay} onConfirm={() => void replayMany(many)} onClose={() => setMany(undefined)} />
      )}
      {asking && (
        <Confirm title={asking.what === "replay" ? text.replayTitle : text.discardTitle} text={asking.what === "replay" ? text.replayText : text.discardText}
          action={text[asking.what]} onConfirm={() => void act(asking.letter, asking.what)} onClose={() => setAsking(undefined)} />
      )}
    </section>
  )
}

type Day = Analytics["days"][number]

function Figures() {
  const { client } = useShared()
  const fetched = useFetched(async () => (await ok(client.GET("/api/analytics"))).days, [])
  const text = t().operators
  const days = fetched.value
  return (
    <section class="card">
      <h2>{text.analytics}</h2>
      <p class="muted">{text.analyticsText}</p>
      {fetched.problem && <Trouble problem={fetched.problem} retry={fetched.reload} />}
      {!days && !fetched.problem && <Loading />}
      {days?.length === 0 && <p class="muted">{text.noAnalytics}</p>}
      {days && days.length > 0 && (
        <>
          <Totals days={days} />
          <Bars days={days} />
          <Lateness days={days} />
        </>
      )}
    </section>
  )
}

const sum = (numbers: number[]) => numbers.reduce((a, b) => a + b, 0)
const deliveriesOf = (days: readonly Day[]) => days.flatMap((day) => [...day.deliveries])
const number = (n: number) => new Intl.NumberFormat(locale()).format(n)

function Totals({ days }: { days: readonly Day[] }) {
  const text = t().operators
  const all = deliveriesOf(days)
  const total = sum(all.map((d) => d.count))
  const onTime = sum(all.filter((d) => d.lateness === "under_1s").map((d) => d.count))
  const share = new Intl.NumberFormat(locale(), { style: "percent", maximumFractionDigits: 1 })
  const figures = [
    [text.total, number(sum(days.map((d) => d.reminders)))],
    [text.deliveries, number(total)],
    [text.onTime, total === 0 ? "–" : share.format(onTime / total)],
  ]
  return <dl class="figures">{figures.map(([name, figure]) => <div key={name}><dt>{name}</dt><dd>{figure}</dd></div>)}</dl>
}

/** Reminders of each day. The table below has the same figures for who can't see bars. */
function Bars({ days }: { days: readonly Day[] }) {
  const text = t().operators
  const largest = Math.max(...days.map((d) => d.reminders))
  const date = (day: string) => new Intl.DateTimeFormat(locale(), { day: "numeric", month: "short", timeZone: "UTC" }).format(Date.parse(day))
  return (
    <table class="bars">
      <thead><tr><th scope="col">{text.day}</th><th scope="col">{text.reminders}</th><td /></tr></thead>
      <tbody>
        {days.map((day) => (
          <tr key={day.day}>
            <th scope="row">{date(day.day)}</th>
            <td class="number">{number(day.reminders)}</td>
            <td class="bar-cell" aria-hidden="true"><svg width="100%" height="12"><rect width={`${(100 * day.reminders) / largest}%`} height="12" rx="3" /></svg></td>
          </tr>
        ))}
      </tbody>
    </table>
  )
}

const latenesses = ["under_1s", "under_10s", "under_1m", "under_10m", "over_10m", "unknown"] as const

function Lateness({ days }: { days: readonly Day[] }) {
  const text = t().operators
  const all = deliveriesOf(days)
  const channels = [...new Set(all.map((d) => d.channel))]
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={text.deliveries}>
      <table>
        <thead>
          <tr><th scope="col">{text.channel}</th>{latenesses.map((l) => <th key={l} scope="col" class="number">{text.lateness[l]}</th>)}</tr>
        </thead>
        <tbody>
          {channels.map((channel) => (
            <tr key={channel}>
              <th scope="row">{t().channels[channel]}</th>
              {latenesses.map((l) => <td key={l} class="number">{number(sum(all.filter((d) => d.channel === channel && d.lateness === l).map((d) => d.count)))}</td>)}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
