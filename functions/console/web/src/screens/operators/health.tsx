// How the installation does, at a glance: each figure says whether somebody has to look.
import { useEffect } from "preact/hooks"
import type { ComponentChildren } from "preact"
import { ok, type Status } from "../../api/client"
import { locale, t } from "../../text"
import { relative } from "../../times"
import { useFetched, useNow, useShared } from "../../ui/context"
import { Loading, Trouble } from "../../ui/parts"

/** From when on somebody has to look. The sweep comes every minute. */
const worrying = { waiting: 120, late: 10, sweep: 180, answer: 1 }

export function Health() {
  const { client } = useShared()
  const fetched = useFetched(() => ok(client.GET("/api/status")), [])
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) fetched.reload() }, 15_000)
    return () => clearInterval(timer)
  }, [])
  const text = t().health
  const { value, problem } = fetched
  return (
    <section class="card" aria-label={text.title}>
      <h2>{text.title}</h2>
      {problem && <Trouble problem={problem} retry={fetched.reload} />}
      {!value && !problem && <Loading />}
      {value && <Figures status={value} />}
      {value && value.providers.length > 0 && <Providers status={value} />}
      {value && <p class="muted">{text.versions(value.versions.duebell, value.versions.schema, value.versions.tzdata, value.database.version)}</p>}
    </section>
  )
}

function Figures({ status }: { status: Status }) {
  const now = useNow(5000)
  const text = t().health
  const waiting = Math.max(...Object.values(status.oldest_waiting_seconds))
  const late = status.lateness
  const sweep = status.last_sweep
  const swept = sweep ? (now - Date.parse(sweep.ended_at)) / 1000 : Infinity
  return (
    <dl class="health">
      <Figure name={text.waiting} good={waiting < worrying.waiting} hint={waiting > 0 ? text.waitsFor[oldest(status)] : undefined}>
        {waiting > 0 ? seconds(waiting) : text.nothing}
      </Figure>
      <Figure name={text.lateness} good={(late.p99_seconds ?? 0) < worrying.late} hint={text.ofReminders(late.reminders)}>
        {late.p50_seconds === null || late.p99_seconds === null ? "–" : `${seconds(late.p50_seconds)} / ${seconds(late.p99_seconds)}`}
      </Figure>
      <Figure name={text.sweep} good={sweep !== null && swept < worrying.sweep && sweep.failed.length === 0} hint={sweep?.failed.join(", ")}>
        {sweep ? relative(sweep.ended_at, now, locale()) : text.never}
      </Figure>
      <Figure name="Dapr" good={status.dapr.state === "present" || status.dapr.state === "made"} hint={status.dapr.pending > 0 ? text.pending(status.dapr.pending) : undefined}>
        {text.dapr[status.dapr.state]}
      </Figure>
      <Figure name={text.database} good={status.database.answer_seconds < worrying.answer}>{text.answers(seconds(status.database.answer_seconds))}</Figure>
      <Figure name={text.deadLetters} good={status.dead_letters.dead === 0} hint={status.dead_letters.retrying > 0 ? text.retrying(status.dead_letters.retrying) : undefined}>
        {new Intl.NumberFormat(locale()).format(status.dead_letters.dead)}
      </Figure>
    </dl>
  )
}

function Figure({ name, good, hint, children }: { name: string; good: boolean; hint?: string; children: ComponentChildren }) {
  const text = t().health
  return (
    <div class={good ? "fine" : "worrying"}>
      <dt>{name}</dt>
      <dd>
        <span class="health-value">{children}</span>
        <span class={`tag ${good ? "sent" : "failed"}`}>{good ? text.fine : text.look}</span>
        {hint && <small class="muted">{hint}</small>}
      </dd>
    </div>
  )
}

const oldest = (status: Status) =>
  (Object.entries(status.oldest_waiting_seconds) as [keyof Status["oldest_waiting_seconds"], number][]).reduce((a, b) => (b[1] > a[1] ? b : a))[0]

/** So many seconds in few words: "12 ms", "0.4 s", "3 min". */
function seconds(n: number): string {
  const format = (value: number, unit: string, digits: number) =>
    new Intl.NumberFormat(locale(), { style: "unit", unit, unitDisplay: "short", maximumFractionDigits: digits }).format(value)
  if (n < 0.1) return format(n * 1000, "millisecond", 0)
  return n < 120 ? format(n, "second", 1) : format(n / 60, "minute", 0)
}

function Providers({ status }: { status: Status }) {
  const text = t().health
  const number = (n: number) => new Intl.NumberFormat(locale()).format(n)
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={text.providers}>
      <table>
        <thead>
          <tr><th scope="col">{text.provider}</th><th scope="col">{t().operators.channel}</th><th scope="col" class="number">{text.sent}</th><th scope="col" class="number">{text.failed}</th><th scope="col">{text.latestError}</th></tr>
        </thead>
        <tbody>
          {status.providers.map((p) => (
            <tr key={p.channel + p.provider}>
              <th scope="row">{p.provider}</th>
              <td>{t().channels[p.channel]}</td>
              <td class="number">{number(p.sent)}</td>
              <td class="number">{number(p.failed)}</td>
              <td>{p.latest_error || (p.set_up ? "–" : text.notSetUp)}</td>
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  )
}
