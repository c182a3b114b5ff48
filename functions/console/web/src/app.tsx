import type { FunctionComponent } from "preact"
import { useEffect, useMemo, useRef, useState } from "preact/hooks"
import { answered, connect, Problem, type Client, type Preferences } from "./api/client"
import { followWorker } from "./push"
import { go, here, to, usePath } from "./router"
import { InboxScreen } from "./screens/inbox/inbox"
import { InboxStore, unread, type Inbox } from "./screens/inbox/store"
import { PreferencesScreen } from "./screens/preferences/preferences"
import { TaskScreen } from "./screens/tasks/task"
import { TasksScreen } from "./screens/tasks/tasks"
import { start, type Session, type SignedOut } from "./sign-in"
import { language, t } from "./text"
import { sameClock } from "./times"
import { asProblem, SharedProvider, useShared, type Shared } from "./ui/context"
import { InboxIcon, OperatorsIcon, PreferencesIcon, TasksIcon } from "./ui/icons"
import { later } from "./ui/later"
import { Button, Empty, Loading, Screen, Trouble } from "./ui/parts"
import { useRemembered } from "./ui/remembered"

const OperatorsScreen = later(() => import("./screens/operators/operators").then((m) => m.OperatorsScreen))

/** Finds out who is there, and shows the console or the way in. */
export function Root() {
  const [who, setWho] = useState<Session | SignedOut>()
  const [away, setAway] = useState<string>()
  const begin = () => {
    setAway(undefined)
    start().then(setWho, (error: unknown) => setAway(error instanceof Error ? error.message : String(error)))
  }
  useEffect(begin, [])
  useEffect(followWorker, [])
  if (away !== undefined) return <Welcome problem={`${t().welcome.away} (${away})`} action={t().retry} onAction={begin} />
  if (!who) return <main class="welcome"><p role="status">{t().welcome.loading}</p></main>
  if ("token" in who) return <Console session={who} />
  const signIn = () => who.signIn().catch((error: unknown) => setAway(error instanceof Error ? error.message : String(error)))
  return <Welcome problem={who.problem && `${t().welcome.failed} ${who.problem}`} action={t().welcome.signIn} onAction={() => void signIn()} />
}

function Welcome({ problem, action, onAction }: { problem?: string; action: string; onAction(): void }) {
  useEffect(() => { document.title = "Duebell" }, [])
  return (
    <main class="welcome">
      <p class="brand">Duebell</p>
      <h1>{t().welcome.title}</h1>
      <p>{t().welcome.text}</p>
      {problem && <p class="trouble" role="alert">{problem}</p>}
      <Button kind="primary" onClick={onAction}>{action}</Button>
    </main>
  )
}

interface Notice {
  text: string
  kind?: "problem"
  undo?: () => void
}

/** All of the console, for who is signed in. */
function Console({ session }: { session: Session }) {
  const client = useMemo(() => connect(() => session.token, session.renew), [session])
  const [inbox, setInbox] = useState<Inbox>({ more: false, live: "connecting", fresh: new Set() })
  const [notice, setNotice] = useState<Notice>()
  const [preferences, setPreferences] = useState<Shared["preferences"]>()
  const [problem, setProblem] = useState<Problem>()
  const [keysOff, setKeysOff] = useRemembered("duebell.keys-off")
  const noticeBox = useRef<HTMLDivElement>(null)
  const say = (text: string, kind?: "problem", undo?: () => void) => setNotice({ text, kind, undo: undo && (() => { setNotice(undefined); undo() }) })

  const store = useRef<InboxStore | undefined>(undefined)
  useEffect(() => {
    store.current = new InboxStore(client, (state, arrived) => {
      setInbox(state)
      if (arrived) setNotice((old) => (old?.undo ? old : { text: t().inbox.arrived(arrived.title) })) // a notice with an undo stays
    })
    return () => store.current?.close()
  }, [client])
  useEffect(() => {
    readPreferences(client).then(setPreferences, (error: unknown) => setProblem(asProblem(error)))
  }, [client])
  useEffect(() => {
    if (!notice) return
    // It stays while the pointer or the focus is on it.
    const timer = setInterval(() => { if (!noticeBox.current?.matches(":hover, :focus-within")) setNotice(undefined) }, notice.kind || notice.undo ? 10_000 : 4000)
    return () => clearInterval(timer)
  }, [notice])
  useEffect(() => {
    // Some seconds early; never at once, whatever a token says; and no later than a timer can be set for.
    const wait = Math.min(Math.max(session.expiresAt - Date.now() - 10_000, 30_000), 2 ** 31 - 1)
    const timer = setTimeout(session.renew, wait)
    return () => clearTimeout(timer)
  }, [session])

  if (problem) return <main class="welcome"><Trouble problem={problem} retry={() => location.reload()} /></main>
  if (!preferences || !store.current) return <main class="welcome"><Loading /></main>
  const shared: Shared = {
    client, session, inbox, preferences, say, undo: notice?.undo, keys: !keysOff,
    zone: preferences.value.time_zone ?? Intl.DateTimeFormat().resolvedOptions().timeZone,
    setPreferences: (value, etag) => setPreferences({ value, etag }),
    setKeys: (on) => setKeysOff(!on),
  }
  return (
    <SharedProvider value={shared}>
      <Shell session={session} count={unread(inbox)} store={store.current} />
      <div ref={noticeBox} class={`notice ${notice?.kind ?? ""}`} role={notice?.kind ? "alert" : "status"} aria-live={notice?.kind ? "assertive" : "polite"}>
        {notice && <p dir="auto">{notice.text} {notice.undo && <Button onClick={notice.undo}>{t().inbox.undo}</Button>}</p>}
      </div>
    </SharedProvider>
  )
}

/** Reads the preferences. Who has none yet gets the zone and the language of their browser. */
async function readPreferences(client: Client): Promise<{ value: Preferences; etag: string }> {
  const read = await answered(client.GET("/api/preferences"))
  if (read.etag !== '"0"') return { value: read.data, etag: read.etag }
  const { data, etag } = await answered(client.PUT("/api/preferences", {
    params: { header: { "If-Match": read.etag } },
    body: { time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone, language: language() },
  }))
  return { value: data, etag }
}

interface ScreenEntry {
  path: string
  title: string
  Icon: FunctionComponent
}

/** The navigation, and the screen that the address names. */
function Shell({ session, count, store }: { session: Session; count: number; store: InboxStore }) {
  const path = usePath()
  const screens: ScreenEntry[] = [
    { path: "/inbox", title: t().nav.inbox, Icon: InboxIcon },
    { path: "/tasks", title: t().nav.tasks, Icon: TasksIcon },
    { path: "/preferences", title: t().nav.preferences, Icon: PreferencesIcon },
  ]
  if (session.operator) screens.push({ path: "/operators", title: t().nav.operators, Icon: OperatorsIcon })
  const shown = screens.find((s) => path === s.path || path.startsWith(s.path + "/"))
  useEffect(() => {
    document.title = `${count > 0 ? `(${count}) ` : ""}${shown?.title ?? t().notFound.title} · Duebell`
  }, [count, shown?.title])
  useEffect(() => {
    if (location.pathname === "/" || location.pathname === "/console" || location.pathname === "/console/") {
      history.replaceState(null, "", to(here()))
    }
  }, [])
  return (
    <div class="shell">
      <a class="skip" href="#content">{t().skip}</a>
      <nav aria-label={t().nav.label}>
        <p class="brand">Duebell</p>
        <ul>
          {screens.map(({ path, title, Icon }) => (
            <li key={path}>
              <a href={to(path)} aria-current={shown?.path === path ? "page" : undefined}>
                <Icon />
                <span>{title}</span>
                {path === "/inbox" && count > 0 && <><span class="count" aria-hidden="true">{count}</span><span class="visually-hidden">{t().inbox.unread(count)}</span></>}
              </a>
            </li>
          ))}
        </ul>
        <div class="who">
          <span title={t().signedInAs(session.name)}>{session.name}</span>
          <Button kind="quiet" onClick={session.signOut}>{t().signOut}</Button>
        </div>
      </nav>
      <main id="content" tabIndex={-1}>
        <ZoneOffer />
        <CurrentScreen key={path} path={path} store={store} operator={session.operator} />
      </main>
    </div>
  )
}

const keptZone = "duebell.zone-kept"

/** Offers to take the zone of this device, where it is another than the preferences'. */
function ZoneOffer() {
  const { client, preferences, setPreferences, zone, say } = useShared()
  const theirs = Intl.DateTimeFormat().resolvedOptions().timeZone
  const [kept, setKept] = useState(localStorage.getItem(keptZone))
  if (theirs === zone || kept === `${theirs} ${zone}` || sameClock(theirs, zone)) return null
  const keep = () => {
    localStorage.setItem(keptZone, `${theirs} ${zone}`)
    setKept(`${theirs} ${zone}`)
  }
  const take = async () => {
    try {
      const saved = await answered(client.PUT("/api/preferences", {
        params: { header: { "If-Match": preferences.etag } }, body: { ...preferences.value, time_zone: theirs },
      }))
      setPreferences(saved.data, saved.etag)
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    }
  }
  return (
    <aside class="offer">
      <p>{t().preferences.zoneDiffers(zone, theirs)}</p>
      <div class="actions">
        <Button onClick={() => void take()}>{t().preferences.takeZone(theirs)}</Button>
        <Button kind="quiet" onClick={keep}>{t().preferences.keepZone}</Button>
      </div>
    </aside>
  )
}

function CurrentScreen({ path, store, operator }: { path: string; store: InboxStore; operator: boolean }) {
  const [, screen, id, ...rest] = path.split("/")
  if (rest.length === 0) {
    if (screen === "inbox" && !id) return <InboxScreen store={store} />
    if (screen === "tasks" && !id) return <TasksScreen />
    if (screen === "tasks" && id) return <TaskScreen id={id} />
    if (screen === "preferences" && !id) return <PreferencesScreen />
  }
  if (screen === "operators") {
    return operator ? <OperatorsScreen path={path.split("/").slice(2)} /> : <Screen title={t().operators.title}><p>{t().operators.forbidden}</p></Screen>
  }
  return (
    <Screen title={t().notFound.title}>
      <Empty title={t().notFound.title} text={t().notFound.text}><Button kind="primary" onClick={() => go("/inbox")}>{t().notFound.back}</Button></Empty>
    </Screen>
  )
}
