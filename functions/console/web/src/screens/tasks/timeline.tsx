// What has become of a task and what is to come, as one line through time: from its rule to what the
// providers have answered.
import { Fragment } from "preact"
import { useEffect } from "preact/hooks"
import { ok, type Timeline, type TimelineEvent } from "../../api/client"
import { locale, t } from "../../text"
import { clock, dayName, exact } from "../../times"
import { useFetched, useShared, type Fetched } from "../../ui/context"
import { Loading, Time, Trouble } from "../../ui/parts"
import { beforeText } from "./form"
import "./timeline.css"

/** Fetches a task's timeline, and again every few seconds while something of it is about to happen. */
export function useTimeline(id: string): Fetched<Timeline> {
  const { client } = useShared()
  const fetched = useFetched(() => ok(client.GET("/api/tasks/{task_id}/timeline", { params: { path: { task_id: id } } })), [id])
  const soon = fetched.value?.events.some((e) => comes(e) && Date.parse(e.at) < Date.now() + 60_000) ?? false
  useEffect(() => {
    if (!soon) return
    const timer = setInterval(() => { if (!document.hidden) fetched.reload() }, 3000)
    return () => clearInterval(timer)
  }, [soon, id])
  return fetched
}

const comes = (e: TimelineEvent) => e.kind === "waiting" || e.kind === "upcoming"

export function Reminders({ timeline }: { timeline: Timeline }) {
  const text = t().task
  const reminders = timeline.reminders.filter((r) => !r.removed)
  return (
    <section class="card">
      <h2>{text.reminders}</h2>
      {timeline.rule && <p lang="en">{timeline.rule.text}</p>}
      {reminders.length === 0 && <p class="muted">{t().tasks.noReminders}</p>}
      <ul class="rows">
        {reminders.map((r) => (
          <li key={r.id}>
            <span>{r.kind === "due" ? beforeText(r.before) : text.kind[r.kind]}</span>
            {r.fire_at && <Time at={r.fire_at} class="muted" />}
            <span class={`tag ${r.state}`}>{text.state[r.state]}</span>
            {r.job && <small class="why">{t().timeline.job[r.job.state]} <code>{r.job.name}</code></small>}
          </li>
        ))}
      </ul>
    </section>
  )
}

export function TimelineCard({ fetched }: { fetched: Fetched<Timeline> }) {
  const text = t().timeline
  const { value, problem } = fetched
  const ahead = value ? value.events.filter((e) => isAhead(e, value)) : []
  const been = value ? value.events.filter((e) => !isAhead(e, value)) : []
  return (
    <section class="card" aria-label={text.title}>
      <h2>{text.title}</h2>
      {problem && <Trouble problem={problem} retry={fetched.reload} />}
      {!value && !problem && <Loading />}
      {value?.more && <p class="muted">{text.more}</p>}
      {value && (
        <ol class="timeline">
          <Events events={been} />
          <li class="timeline-now"><span class="timeline-at">{text.now}</span><span class="timeline-mark" /><span /></li>
          {ahead.length === 0 && <li class="muted"><span class="timeline-at" /><span class="timeline-mark" /><span>{text.nothingAhead}</span></li>}
          <Events events={ahead} after={been.at(-1)} ahead />
        </ol>
      )}
    </section>
  )
}

/** What waits and should have gone on by now still lies ahead. */
const isAhead = (e: TimelineEvent, l: Timeline) => comes(e) || e.at > l.as_of

function Events({ events, after, ahead }: { events: readonly TimelineEvent[]; after?: TimelineEvent; ahead?: boolean }) {
  const { zone } = useShared()
  const dayOf = (e?: TimelineEvent) => e && dayName(e.at, locale(), zone)
  return (
    <>
      {events.map((e, i) => {
        const day = dayOf(e)
        return (
          <Fragment key={i}>
            {day !== dayOf(events[i - 1] ?? after) && <li class="timeline-day"><h3>{day}</h3></li>}
            <li class={`${toneOf(e)} ${ahead ? "ahead" : ""}`}>
              <time class="timeline-at" dateTime={e.at} title={exact(e.at, locale(), zone)}>{clock(e.at, locale(), zone)}</time>
              <span class="timeline-mark" />
              <span class="timeline-text" dir="auto">
                {e.channel && <><span class="tag">{t().channels[e.channel]}</span> </>}
                {t().timeline.event(e)}
                {e.until && <> {t().timeline.next} <time dateTime={e.until} title={exact(e.until, locale(), zone)}>{clock(e.until, locale(), zone)}</time></>}
              </span>
            </li>
          </Fragment>
        )
      })}
    </>
  )
}

/** How an event is coloured: what went well, what waits, what did not arrive. */
function toneOf(e: TimelineEvent): string {
  switch (e.kind) {
    case "sent": case "fired": return "good"
    case "tried": case "held": case "waiting": case "missed": return "warning"
    case "ended": return e.state === "cancelled" ? "" : "danger"
    case "reported": return e.state === "delivered" ? "good" : "danger"
    case "occurrence": return e.state === "missed" ? "warning" : ""
    case "upcoming": case "due": case "replayed": return "accent"
    default: return ""
  }
}
