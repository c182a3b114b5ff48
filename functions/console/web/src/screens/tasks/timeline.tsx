// The timeline of a task: what has happened, and what is to come. Each firing has its deliveries,
// and each delivery has its attempts with the provider's answers.
import { Fragment } from "preact"
import { useEffect } from "preact/hooks"
import { ok, readingAs, type Timeline, type TimelineEvent } from "../../api/client"
import { locale, t } from "../../text"
import { clock, dayName, duration, exact, short, until, wallText } from "../../times"
import { useFetched, useNow, useShared, type Fetched } from "../../ui/context"
import { Loading, Time, Trouble } from "../../ui/parts"
import { useRemembered } from "../../ui/remembered"
import { ownTarget } from "../../ui/targets"
import { snoozedBy } from "./snoozes"
import "./timeline.css"

/** Fetches a task's timeline, and fetches it again every few seconds while one of its events is due within a minute.
 * An operator who reads as another user fetches it once, because each request is recorded. */
export function useTimeline(id: string, user?: string): Fetched<Timeline> {
  const { client } = useShared()
  const fetched = useFetched(() => ok(client.GET("/api/tasks/{task_id}/timeline", { params: { path: { task_id: id }, header: readingAs(user) } })), [id, user])
  const soon = fetched.value?.events.some((e) => comes(e) && Date.parse(e.at) < Date.now() + 60_000) ?? false
  useEffect(() => {
    if (!soon || user !== undefined) return
    const timer = setInterval(() => { if (!document.hidden) fetched.reload() }, 3000)
    return () => clearInterval(timer)
  }, [soon, id, user])
  return fetched
}

/** Returns whether an event is still to come. A try that held its delivery has happened. */
const comes = (e: TimelineEvent) => e.kind === "waiting" || e.kind === "upcoming" || (e.kind === "held" && e.state !== "held")

/** Whether technical details (jobs, and events for programs) are shown, and the switch for them. */
export type Details = ReturnType<typeof useDetails>

export const useDetails = () => {
  const [shown, show] = useRemembered("duebell.details")
  return { shown, show }
}

/** The reminders of a task, with their jobs if technical details are shown. */
export function Reminders({ timeline, technical }: { timeline: Timeline; technical: boolean }) {
  const text = t().task
  const reminders = timeline.reminders.filter((r) => !r.removed)
  const stateOf = (r: Timeline["reminders"][number]) => (r.state === "pending" && !technical ? "scheduled" : r.state) // that Dapr has no job yet is a technical detail
  return (
    <section class="card">
      <h2>{text.reminders}</h2>
      {reminders.length === 0 && <p class="muted">{t().tasks.noReminders}</p>}
      <ul class="rows">
        {reminders.map((r) => (
          <li key={r.id}>
            <span>{r.kind === "due" ? t().tasks.before(r.before) : text.kind[r.kind]}</span>
            {r.fire_at && <Time at={r.fire_at} class="muted" />}
            <span class={`tag ${stateOf(r)}`}>{text.state[stateOf(r)]}</span>
            {technical && r.job && <small class="why">{t().timeline.job[r.job.state]} <code>{r.job.name}</code></small>}
          </li>
        ))}
      </ul>
    </section>
  )
}

/** Returns a target as it is shown. */
type ShowTarget = (channel: NonNullable<TimelineEvent["channel"]>, target: string) => string

/** The timeline. Without details, it shows everything, technical details included. */
export function TimelineCard({ fetched, details, showTarget = ownTarget }: { fetched: Fetched<Timeline>; details?: Details; showTarget?: ShowTarget }) {
  const text = t().timeline
  const { value, problem } = fetched
  const [been, ahead] = value ? partsOf(value, details?.shown ?? true) : [[], []]
  return (
    <section class="card" aria-label={text.title}>
      <div class="timeline-title">
        <h2>{text.title}</h2>
        {details && <label class="option"><input type="checkbox" role="switch" checked={details.shown} onChange={(e) => details.show(e.currentTarget.checked)} /> {text.details}</label>}
      </div>
      {problem && <Trouble problem={problem} retry={fetched.reload} />}
      {!value && !problem && <Loading />}
      {value?.more && <p class="muted">{text.more}</p>}
      {value && (
        <ol class="timeline">
          <Moments moments={been} timeline={value} showTarget={showTarget} />
          <li class="timeline-now"><span class="timeline-at">{text.now}</span><span class="timeline-mark" /><span /></li>
          {ahead.length === 0 && <li class="muted"><span class="timeline-at" /><span class="timeline-mark" /><span class="timeline-text">{text.nothingAhead}</span></li>}
          <Moments moments={ahead} timeline={value} showTarget={showTarget} after={been.at(-1)} ahead />
        </ol>
      )}
    </section>
  )
}

/** A point of the timeline. A firing has deliveries, and each delivery has its events. */
interface Moment {
  key: string
  event: TimelineEvent
  deliveries: TimelineEvent[][]
}

/** Returns whether an event is a technical detail: it is about a job, or an event for programs. */
const isTechnical = (e: TimelineEvent) => e.kind === "scheduled" || e.channel === "event"

/** Returns the past and the future part of a timeline. What should have happened by now is in the future part. A
 * lateness of less than a second is a technical detail, too. */
function partsOf(l: Timeline, technical: boolean): [Moment[], Moment[]] {
  const events = technical ? l.events : l.events.filter((e) => !isTechnical(e)).map((e) => ((e.late_seconds ?? 1) < 1 ? { ...e, late_seconds: undefined } : e))
  const moments: Moment[] = []
  const firings = new Map<string, Moment>()
  const revision = (e: TimelineEvent) => `${e.reminder_id}/${e.revision}`
  for (const event of events) {
    if (event.delivery_id) continue
    const moment = { key: `${event.kind}/${revision(event)}/${event.occurrence}`, event, deliveries: [] }
    if (event.kind === "fired") firings.set(revision(event), moment)
    moments.push(moment)
  }
  const deliveries = new Map<string, TimelineEvent[]>()
  for (const event of events) {
    if (!event.delivery_id) continue
    let steps = deliveries.get(event.delivery_id)
    if (!steps) {
      deliveries.set(event.delivery_id, (steps = []))
      firings.get(revision(event))?.deliveries.push(steps)
    }
    steps.push(event)
  }
  // The firing of an occurrence shows already that it was told.
  const told = new Set([...firings.values()].map((m) => m.event.occurrence))
  const shown = moments.filter(({ event: e }) => !(e.kind === "occurrence" && e.state === "told" && told.has(e.occurrence)))
  const isAhead = ({ event }: Moment) => event.kind === "upcoming" || event.at > l.as_of
  return [shown.filter((m) => !isAhead(m)), shown.filter(isAhead)]
}

interface MomentsProps {
  moments: Moment[]
  timeline: Timeline
  showTarget: ShowTarget
  after?: Moment
  ahead?: boolean
}

function Moments({ moments, timeline, showTarget, after, ahead }: MomentsProps) {
  const { zone } = useShared()
  const dayOf = (m?: Moment) => m && dayName(m.event.at, locale(), zone)
  const latest = moments.findLast((m) => m.event.kind === "fired")
  return (
    <>
      {moments.map((m, i) => {
        const { event: e, deliveries } = m
        const day = dayOf(m)
        const head = <Head event={e} timeline={timeline} />
        return (
          <Fragment key={m.key}>
            {day !== dayOf(moments[i - 1] ?? after) && <li class="timeline-day"><h3>{day}</h3></li>}
            <li class={`${toneOf(m, timeline)} ${ahead ? "ahead" : ""}`}>
              <time class="timeline-at" dateTime={e.at} title={exact(e.at, locale(), zone)}>{clock(e.at, locale(), zone)}</time>
              <span class="timeline-mark" />
              {deliveries.length === 0 ? <div class="timeline-text">{head}</div> : (
                <details class="timeline-text" open={m === latest || deliveries.some((steps) => steps.some(comes))}>
                  <summary>
                    {head}
                    <span class="outcomes">{deliveries.map((steps) => <Outcome key={steps[0]!.delivery_id} steps={steps} named />)}</span>
                  </summary>
                  <ul class="deliveries">
                    {deliveries.map((steps) => <Delivery key={steps[0]!.delivery_id} steps={steps} firedAt={e.at} timeline={timeline} showTarget={showTarget} />)}
                  </ul>
                </details>
              )}
            </li>
          </Fragment>
        )
      })}
    </>
  )
}

/** The words for an event, with its reminder and occurrence. */
function Head({ event: e, timeline }: { event: TimelineEvent; timeline: Timeline }) {
  const text = t().timeline
  const reminder = timeline.reminders.find((r) => r.id === e.reminder_id)
  const kind = reminder?.kind ?? "due"
  const details = [
    e.reminder_id && kind === "due" && !(e.before === "0s" && e.occurrence) && (e.before ? t().tasks.before(e.before) : text.removed),
    e.occurrence && (e.kind === "occurrence" ? wallText(e.occurrence, locale()) : text.occurrence(wallText(e.occurrence, locale()))),
    e.late_seconds !== undefined && text.late(duration(e.late_seconds, locale())),
  ].filter(Boolean)
  return (
    <span class="timeline-head">
      <strong>{text.moment(e, kind, e.at <= timeline.as_of, reminder?.job?.state)}</strong>
      {details.length > 0 && <small class="muted"> · {details.join(" · ")}</small>}
    </span>
  )
}

/** Returns the last event about the sending of a delivery. */
const lastOf = (steps: TimelineEvent[]) => steps.findLast((e) => e.kind === "sent" || e.kind === "ended" || comes(e)) ?? steps.at(-1)!

/** The state of a delivery, in a word. With named it is only the channel's name, coloured by the state. */
function Outcome({ steps, named }: { steps: TimelineEvent[]; named?: boolean }) {
  const last = lastOf(steps)
  const state = steps.some((e) => e.kind === "reported" && e.state !== "delivered") ? "bounced" : last.kind === "held" && last.state !== "bundled" ? "held" : (last.state ?? "")
  const word = last.channel === "in_app" && state === "sent" ? t().timeline.inInbox : (t().timeline.state[state] ?? state)
  if (!named) return <span class={`tag ${state}`}>{word}</span>
  return <span class={`tag ${state}`} title={word}>{t().channels[last.channel!]}<span class="visually-hidden">: {word}</span></span>
}

interface DeliveryProps {
  steps: TimelineEvent[]
  firedAt: string
  timeline: Timeline
  showTarget: ShowTarget
}

function Delivery({ steps, firedAt, timeline, showTarget }: DeliveryProps) {
  const { zone } = useShared()
  const now = useNow(30_000)
  const { channel, target } = steps[0]!
  const shown = target && showTarget(channel!, target)
  // A provider's answer may name the target, so it is masked, too. A text that is not from the provider
  // is left out: the step says the same.
  const answer = (e: TimelineEvent) => (["held", "unverified", "suppressed"].includes(e.state ?? "") ? "" : target && shown ? e.error?.replaceAll(target, shown) : e.error)
  const words = (e: TimelineEvent) => {
    const snoozed = e.kind === "acknowledged" && snoozedBy(e, timeline)
    return snoozed ? t().inbox.snoozedUntil(short(snoozed, now, locale(), zone)) : t().timeline.step(e, until(e.until, e.at, locale(), zone))
  }
  return (
    <li>
      <p class="delivery-head">
        <b>{t().channels[channel!]}</b>
        {shown && <span class="muted" dir="auto">{shown}</span>}
        <Outcome steps={steps} />
      </p>
      <ol class="steps">
        {steps.map((e, i) => (
          <li key={i} class={comes(e) ? "ahead" : undefined}>
            <time dateTime={e.at} title={exact(e.at, locale(), zone)}>{until(e.at, firedAt, locale(), zone) || clock(e.at, locale(), zone)}</time>
            <span>
              {words(e)}
              {answer(e) && <> <q class="answer" lang="en" dir="auto">{answer(e)}</q></>}
            </span>
          </li>
        ))}
      </ol>
    </li>
  )
}

/** Returns the colour of a moment: it went well, waits, or did not arrive. */
function toneOf({ event: e, deliveries }: Moment, timeline: Timeline): string {
  switch (e.kind) {
    case "fired": {
      const states = deliveries.map((steps) => lastOf(steps))
      if (states.some((s) => s.kind === "ended" && s.state !== "cancelled")) return "danger"
      return states.some(comes) ? "warning" : "good"
    }
    case "missed": return "warning"
    case "occurrence": return e.state === "missed" ? "warning" : ""
    case "upcoming": return e.at <= timeline.as_of ? "warning" : "accent"
    case "due": return "accent"
    default: return ""
  }
}
