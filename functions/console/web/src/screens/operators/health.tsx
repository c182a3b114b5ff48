// The state of the installation: findings in words, with links to what to do, and figures.
import type { ComponentChildren } from "preact"
import type { Status } from "../../api/client"
import { locale, t } from "../../text"
import { duration, relative } from "../../times"
import { useNow, type Fetched } from "../../ui/context"
import { Loading, Trouble } from "../../ui/parts"
import { findings, type Finding } from "./findings"

/** The page that says what to do. */
const manual = "https://github.com/duebell/duebell/blob/main/docs/operations.md#"

export function Health({ fetched }: { fetched: Fetched<Status> }) {
  const now = useNow(5000)
  const text = t().health
  const { value, problem } = fetched
  const found = value ? findings(value, now) : []
  return (
    <section class="card" aria-label={text.title}>
      <h2>{text.title}</h2>
      {problem && <Trouble problem={problem} retry={fetched.reload} />}
      {!value && !problem && <Loading />}
      {value && <Findings found={found} now={now} />}
      {value && <Figures status={value} found={found} now={now} />}
      {value && value.providers.length > 0 && <Providers status={value} />}
      {value && <p class="muted versions">{text.versions(value.versions.duebell, value.versions.schema, value.versions.tzdata, value.database.version)}</p>}
    </section>
  )
}

function Findings({ found, now }: { found: Finding[]; now: number }) {
  const text = t().health
  if (found.length === 0) return <p class="well">{text.well}</p>
  return (
    <div class="findings">
      <p><strong>{text.unwell(found.length)}</strong></p>
      <ul>
        {found.map((f) => (
          <li key={f.is + f.name}>
            {sentence(f, now)}
            {" "}<a href={manual + f.page} target="_blank" rel="noopener">{text.manual}</a>
          </li>
        ))}
      </ul>
    </div>
  )
}

const seconds = (n: number) => duration(n, locale())

function sentence(f: Finding, now: number): string {
  const text = t().health.finding
  switch (f.is) {
    case "firing": case "hosts": case "providers": case "events": case "late": case "database": return text[f.is](seconds(f.figure))
    case "notSwept": case "notCleaned": return text[f.is](relative(f.name, now, locale()))
    case "sweepFailed": case "cleanupFailed": return text[f.is](f.name)
    case "daprRefuses": case "dead": return text[f.is](f.figure)
    case "provider": return text.provider(f.name, f.figure, f.of)
    default: return text[f.is]
  }
}

function Figures({ status, found, now }: { status: Status; found: Finding[]; now: number }) {
  const text = t().health
  const fine = (...of: Finding["is"][]) => !found.some((f) => of.includes(f.is))
  const [oldest, waiting] = (Object.entries(status.oldest_waiting_seconds) as [keyof typeof text.waitsFor, number][]).reduce((a, b) => (b[1] > a[1] ? b : a))
  const { p50_seconds: p50, p99_seconds: p99, reminders } = status.lateness
  const cleanup = status.last_cleanup
  return (
    <dl class="health">
      <Figure name={text.waiting} good={fine("firing", "hosts", "providers", "events")} hint={waiting > 0 ? text.waitsFor[oldest] : undefined}>
        {waiting > 0 ? seconds(waiting) : text.nothing}
      </Figure>
      <Figure name={text.lateness} good={fine("late")} hint={p50 === null ? undefined : text.lateHint(reminders)}>
        {p50 === null || p99 === null ? text.noneFired : `${seconds(p50)} / ${seconds(p99)}`}
      </Figure>
      <Figure name={text.sweep} good={fine("neverSwept", "notSwept", "sweepFailed", "sweepCutShort", "notCleaned", "cleanupFailed")} hint={cleanup ? text.cleanup(relative(cleanup.ended_at, now, locale())) : undefined}>
        {status.last_sweep ? relative(status.last_sweep.ended_at, now, locale()) : text.never}
      </Figure>
      <Figure name="Dapr" good={fine("daprLost", "daprUnknown", "daprRefuses")} hint={status.dapr.pending > 0 ? text.pending(status.dapr.pending) : undefined}>
        {text.dapr[status.dapr.state]}
      </Figure>
      <Figure name={text.database} good={fine("database")}>{text.answers(seconds(status.database.answer_seconds))}</Figure>
      <Figure name={text.deadLetters} good={fine("dead")} hint={status.dead_letters.retrying > 0 ? text.retrying(status.dead_letters.retrying) : undefined}>
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

function Providers({ status }: { status: Status }) {
  const text = t().health
  const number = (n: number) => new Intl.NumberFormat(locale()).format(n)
  return (
    <div class="scroll" tabIndex={0} role="region" aria-label={text.providers}>
      <table>
        <caption>{text.providers}</caption>
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
