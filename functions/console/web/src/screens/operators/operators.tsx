// The operators' screens: the state of the installation, dead letters, fired reminders, and a user's tasks
// and preferences. The API demands the scope admin.
import { useEffect, useState } from "preact/hooks"
import { ok, type Status } from "../../api/client"
import { go } from "../../router"
import { t } from "../../text"
import { useFetched, useShared, type Fetched } from "../../ui/context"
import { Button, Empty, Field, Screen } from "../../ui/parts"
import { Analytics } from "./charts"
import { DeadLetters } from "./dead-letters"
import { Health } from "./health"
import { userPath, UserScreen, UserTaskScreen } from "./user"
import "./operators.css"

/** The operators' screen for the rest of a path. */
export function OperatorsScreen({ path }: { path: string[] }) {
  const [what, user, of, task] = path
  if (!what) return <Overview />
  if (what === "users" && user && !of) return <UserScreen key={user} id={decoded(user)} />
  if (what === "users" && user && of === "tasks" && task && path.length === 4) return <UserTaskScreen key={task} user={decoded(user)} id={task} />
  return <Screen title={t().notFound.title}><Empty title={t().notFound.title} text={t().notFound.text} /></Screen>
}

/** Returns the decoded part of a path; the part itself if it can't be decoded. */
function decoded(part: string): string {
  try {
    return decodeURIComponent(part)
  } catch {
    return part
  }
}

function Overview() {
  const status = useStatus()
  return (
    <Screen title={t().operators.title}>
      <Health fetched={status} />
      <LookUp />
      <DeadLetters providers={status.value?.providers.map((p) => p.provider) ?? []} />
      <Analytics />
    </Screen>
  )
}

function useStatus(): Fetched<Status> {
  const { client } = useShared()
  const fetched = useFetched(() => ok(client.GET("/api/status")), [])
  useEffect(() => {
    const timer = setInterval(() => { if (!document.hidden) fetched.reload() }, 15_000)
    return () => clearInterval(timer)
  }, [])
  return fetched
}

function LookUp() {
  const [id, setId] = useState("")
  const text = t().operators
  return (
    <section class="card" aria-label={text.lookUp}>
      <h2>{text.lookUp}</h2>
      <p class="muted">{text.lookUpText}</p>
      <form class="look-up" onSubmit={(e) => { e.preventDefault(); if (id.trim()) go(userPath(id.trim())) }}>
        <Field label={text.userId}>
          {(ids) => <input {...ids} value={id} maxLength={255} required autocomplete="off" spellcheck={false} onInput={(e) => setId(e.currentTarget.value)} />}
        </Field>
        <Button type="submit">{text.show}</Button>
      </form>
    </section>
  )
}
