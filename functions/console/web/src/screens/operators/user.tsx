// A user's tasks and preferences, for support. They can only be read, and addresses are masked. The API records
// each request that is made for another user.
import type { ComponentChildren } from "preact"
import { useEffect, useState } from "preact/hooks"
import { answered, ok, readingAs, type Preferences, type Problem, type Task, type Timeline } from "../../api/client"
import { to } from "../../router"
import { locale, t } from "../../text"
import { wallText } from "../../times"
import { asProblem, useFetched, useShared } from "../../ui/context"
import { Button, Loading, Screen, Time, Trouble } from "../../ui/parts"
import { maskedTarget } from "../../ui/targets"
import { Reminders, TimelineCard, useTimeline } from "../tasks/timeline"
import "../tasks/tasks.css"

/** Returns the path of a user's screen, or of the screen of one of the user's tasks. */
export const userPath = (user: string, task?: string) => `/operators/users/${encodeURIComponent(user)}${task ? `/tasks/${task}` : ""}`

export function UserScreen({ id }: { id: string }) {
  const text = t().operators
  return (
    <Screen title={text.user(id)} aside={<a href={to("/operators")}>{text.title}</a>}>
      <p class="reading">{text.reading}</p>
      <Tasks user={id} />
      <PreferencesCard user={id} />
    </Screen>
  )
}

function Tasks({ user }: { user: string }) {
  const { client } = useShared()
  const [tasks, setTasks] = useState<Task[]>()
  const [cursor, setCursor] = useState<string | null>(null)
  const [problem, setProblem] = useState<Problem>()
  const text = t().operators
  const load = async (after?: string) => {
    setProblem(undefined)
    try {
      const page = await ok(client.GET("/api/tasks", { params: { query: { limit: 50, cursor: after }, header: readingAs(user) } }))
      setTasks((old) => [...(after ? (old ?? []) : []), ...page.tasks])
      setCursor(page.next_cursor)
    } catch (error) {
      setProblem(asProblem(error))
    }
  }
  useEffect(() => void load(), [user])
  return (
    <section class="card" aria-label={t().tasks.title}>
      <h2>{t().tasks.title}</h2>
      {problem && <Trouble problem={problem} retry={() => void load()} />}
      {!tasks && !problem && <Loading />}
      {tasks?.length === 0 && <p class="muted">{text.noTasks}</p>}
      <ul class="rows">
        {tasks?.map((task) => (
          <li key={task.id}>
            <a href={to(userPath(user, task.id))} dir="auto">{task.title}</a>
            {task.due_date ? <Time at={task.due_date} class="muted" /> : <span class="muted">{t().tasks.noDue}</span>}
            <span class="muted">{task.completed ? text.completed : t().tasks.reminders(task.reminders.length)}</span>
          </li>
        ))}
      </ul>
      {cursor && <Button onClick={() => void load(cursor)}>{t().more}</Button>}
    </section>
  )
}

function PreferencesCard({ user }: { user: string }) {
  const { client } = useShared()
  const { value, problem, reload } = useFetched(() => answered(client.GET("/api/preferences", { params: { header: readingAs(user) } })), [user])
  const text = t().operators
  return (
    <section class="card" aria-label={text.preferences}>
      <h2>{text.preferences}</h2>
      {problem && <Trouble problem={problem} retry={reload} />}
      {!value && !problem && <Loading />}
      {value?.etag === '"0"' && <p class="muted">{text.noPreferences}</p>}
      {value && <PreferenceList of={value.data} />}
    </section>
  )
}

function PreferenceList({ of }: { of: Preferences }) {
  const text = t().operators
  const on = (Object.keys(of.channels) as (keyof Preferences["channels"])[]).filter((c) => of.channels[c]).map((c) => t().channels[c])
  const addresses = (channel: "email" | "sms", list: Preferences["emails"]) =>
    list.map((a) => <li key={a.address}>{maskedTarget(channel, a.address)} <span class={`tag ${a.state}`}>{t().preferences.state[a.state]}</span></li>)
  const rows: [string, ComponentChildren[]][] = [
    [text.field.zone, of.time_zone ? [<li>{of.time_zone}</li>] : []],
    [text.field.language, [<li>{of.language}</li>]],
    [text.field.channels, on.map((c) => <li key={c}>{c}</li>)],
    [text.field.emails, addresses("email", of.emails)],
    [text.field.phones, addresses("sms", of.phones)],
    [text.field.devices, of.devices.map((d) => <li key={d.id}>{maskedTarget("push", `${d.provider}:${d.subscription?.endpoint ?? d.token ?? ""}`)}</li>)],
    [text.field.webhook, of.webhook ? [<li>{maskedTarget("webhook", of.webhook.url)}</li>] : []],
    [text.field.quiet, of.quiet_hours.map((q, i) => <li key={i}>{q.from}–{q.to}, {q.days.map(dayName).join(", ")}</li>)],
    [text.field.bundle, (Object.entries(of.bundle) as ["email" | "push" | "sms", string][]).map(([c, time]) => <li key={c}>{t().channels[c]}: {time}</li>)],
  ]
  return (
    <dl class="preference-list">
      {rows.map(([name, values]) => <div key={name}><dt>{name}</dt><dd>{values.length > 0 ? <ul>{values}</ul> : <span class="muted">{text.noneOf}</span>}</dd></div>)}
    </dl>
  )
}

/** Returns the short name of a day of the week. 1 January 2024 was a Monday. */
const dayName = (day: string) =>
  new Intl.DateTimeFormat(locale(), { weekday: "short", timeZone: "UTC" }).format(Date.UTC(2024, 0, 1 + ["mo", "tu", "we", "th", "fr", "sa", "su"].indexOf(day)))

export function UserTaskScreen({ user, id }: { user: string; id: string }) {
  const { client } = useShared()
  const params = { params: { path: { task_id: id }, header: readingAs(user) } }
  const task = useFetched(() => ok(client.GET("/api/tasks/{task_id}", params)), [user, id])
  const timeline = useTimeline(id, user)
  const text = t().operators
  return (
    <Screen title={task.value?.title ?? t().tasks.title} aside={<a href={to(userPath(user))}>{text.user(user)}</a>}>
      <p class="reading">{text.reading}</p>
      {task.problem && (task.problem.status === 404 ? <p class="trouble">{t().task.gone}</p> : <Trouble problem={task.problem} retry={task.reload} />)}
      {!task.value && !task.problem && <Loading />}
      {task.value && timeline.value?.rule && <RuleText rule={timeline.value.rule} />}
      {task.value && timeline.value && <Reminders timeline={timeline.value} technical />}
      {task.value && <TimelineCard fetched={timeline} showTarget={maskedTarget} />}
      {task.value && <Button onClick={timeline.reload}>{text.readAgain}</Button>}
      {task.value && <Deliveries user={user} id={id} />}
    </Screen>
  )
}

/** A task's rule, in the words of the API. */
function RuleText({ rule }: { rule: NonNullable<Timeline["rule"]> }) {
  return (
    <p>
      <span lang="en">{rule.text}</span> {rule.next_occurrence && <span class="muted">{t().timeline.nextOccurrence(wallText(rule.next_occurrence, locale()))}</span>}
    </p>
  )
}

function Deliveries({ user, id }: { user: string; id: string }) {
  const { client } = useShared()
  const { value, problem, reload } = useFetched(() => ok(client.GET("/api/tasks/{task_id}/deliveries", { params: { path: { task_id: id }, header: readingAs(user) } })), [user, id])
  const text = t().operators
  return (
    <section class="card">
      <h2>{text.sentLog}</h2>
      {problem && <Trouble problem={problem} retry={reload} />}
      {!value && !problem && <Loading />}
      {value?.deliveries.length === 0 && <p class="muted">{text.noDeliveries}</p>}
      {value && value.deliveries.length > 0 && (
        <div class="scroll" tabIndex={0} role="region" aria-label={text.sentLog}>
          <table>
            <thead>
              <tr>
                <th scope="col">{text.when}</th><th scope="col">{text.channel}</th><th scope="col">{text.target}</th><th scope="col">{text.stateLabel}</th>
                <th scope="col">{t().health.provider}</th><th scope="col" class="number">{text.attemptsColumn}</th><th scope="col">{text.note}</th>
              </tr>
            </thead>
            <tbody>
              {value.deliveries.toReversed().map((d) => (
                <tr key={d.id}>
                  <td><Time at={d.created_at} /></td>
                  <td>{t().channels[d.channel]}</td>
                  <td>{maskedTarget(d.channel, d.target) || "–"}</td>
                  <td><span class={`tag ${d.state}`}>{d.channel === "in_app" && d.state === "sent" ? t().timeline.inInbox : (t().timeline.state[d.state] ?? d.state)}</span></td>
                  <td>{d.provider || "–"}</td>
                  <td class="number">{d.attempts}</td>
                  <td>{d.reason ? (t().timeline.reason[d.reason] ?? d.reason) : <span lang="en">{d.last_error.replaceAll(d.target || "\n", maskedTarget(d.channel, d.target)) || "–"}</span>}</td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </section>
  )
}
