import { useState } from "preact/hooks"
import { ok, type Notification } from "../../api/client"
import { to } from "../../router"
import { locale, t } from "../../text"
import { short, shortWithDay } from "../../times"
import { useFetched, useNow, useShared } from "../../ui/context"
import { ArchiveIcon, BackIcon, BellIcon, CheckIcon, ClockIcon, EyeIcon } from "../../ui/icons"
import { KeysHelp } from "../../ui/keys"
import { Button, Choice, Empty, Loading, Screen, Time, Trouble } from "../../ui/parts"
import { useActs, type Acts } from "./acts"
import { useInboxKeys } from "./keys"
import { NothingYet } from "./nothing-yet"
import { PushSwitch } from "./push"
import { SnoozeDialog } from "./snooze"
import { unread, type InboxStore } from "./store"
import "./inbox.css"

type Filter = "all" | "unread" | "archived"

export function InboxScreen({ store }: { store: InboxStore }) {
  const { inbox } = useShared()
  const [filter, setFilter] = useState<Filter>("all")
  const [snoozing, setSnoozing] = useState<Notification>()
  const acts = useActs(store, setSnoozing)
  const items = inbox.items?.filter((n) => filter === "all" || n.read_at === null)
  useInboxKeys(filter === "archived" ? [] : (items ?? []), acts)
  const text = t().inbox
  return (
    <Screen title={text.title} aside={<LiveBadge />}>
      <div class="bar inbox-bar">
        <Choice label={t().tasks.filters} value={filter} options={{ all: text.all, unread: `${text.onlyUnread} (${unread(inbox)})`, archived: text.archived }} onChange={setFilter} />
        {unread(inbox) > 1 && filter !== "archived" && <Button kind="quiet" onClick={() => void acts.readAll()}>{text.readAll}</Button>}
        <PushSwitch />
        <KeysHelp list={t().keys.inbox} />
      </div>
      {inbox.problem && <Trouble problem={inbox.problem} retry={store.retry} />}
      {!items && !inbox.problem && <Loading />}
      {filter === "archived" && <Archived acts={acts} />}
      {filter !== "archived" && items?.length === 0 && (filter === "all" ? <NothingYet /> : <Empty title={text.noneUnread} text={text.noneUnreadText} />)}
      {filter !== "archived" && items && items.length > 0 && (
        <ul class="notifications">
          {items.map((n) => <Item key={n.id} n={n} fresh={inbox.fresh.has(n.id)} acts={acts} />)}
        </ul>
      )}
      {inbox.more && filter === "all" && <Button onClick={store.showMore}>{t().more}</Button>}
      {snoozing && <SnoozeDialog title={snoozing.title} onSnooze={(until) => acts.snoozed(snoozing, until)} onClose={() => setSnoozing(undefined)} />}
    </Screen>
  )
}

/** The archived notifications, the newest first. */
function Archived({ acts }: { acts: Acts }) {
  const { client, inbox } = useShared()
  const { value, problem, reload } = useFetched(
    () => ok(client.GET("/api/notifications", { params: { query: { state: "archived", order: "desc", limit: 100 } } })), [inbox.items?.length],
  )
  const text = t().inbox
  if (problem) return <Trouble problem={problem} retry={reload} />
  if (!value) return <Loading />
  if (value.notifications.length === 0) return <Empty title={text.noneArchived} text={text.noneArchivedText} />
  return (
    <ul class="notifications">
      {value.notifications.map((n) => (
        <li key={n.id} class="notification">
          <span />
          <What n={n} />
          <Time at={n.created_at} class="notification-time" />
          <div class="notification-acts"><Act label={text.act.back} of={n} onClick={() => void acts.back(n)}><BackIcon /></Act></div>
        </li>
      ))}
    </ul>
  )
}

function Item({ n, fresh, acts }: { n: Notification; fresh: boolean; acts: Acts }) {
  const text = t().inbox
  const isUnread = n.read_at === null
  const mark = isUnread ? text.markRead : text.markUnread
  return (
    <li class={`notification ${isUnread ? "unread" : ""} ${fresh ? "fresh" : ""}`} tabIndex={-1} data-id={n.id} aria-busy={acts.busy === n.id}>
      <button type="button" class="dot" title={mark} aria-label={`${mark}: ${n.title}`} onClick={() => void acts.mark(n, isUnread)} />
      <What n={n} onOpen={() => { if (isUnread) void acts.mark(n, true) }} />
      <Time at={n.created_at} class="notification-time" />
      <div class="notification-acts">
        {n.task_id && !n.acknowledged_at && <Act label={text.act.acknowledge} word={text.act.acknowledgeWord} hotkey="a" of={n} onClick={() => void acts.acknowledge(n)}><EyeIcon /></Act>}
        {n.task_id && <Act label={text.act.done} hotkey="d" of={n} onClick={() => void acts.done(n)}><CheckIcon /></Act>}
        {n.task_id && <Act label={text.act.snooze} hotkey="s" of={n} onClick={() => acts.snooze(n)}><ClockIcon /></Act>}
        <Act label={text.act.archive} hotkey="e" of={n} onClick={() => void acts.archive(n)}><ArchiveIcon /></Act>
      </div>
    </li>
  )
}

/** A notification's texts and its state. The due date is in few words, and in full on hover. */
function What({ n, onOpen }: { n: Notification; onOpen?(): void }) {
  const { zone } = useShared()
  const now = useNow(30_000)
  const text = t().inbox
  return (
    <div class="notification-text">
      <h2 dir="auto">
        {n.task_id ? <a href={to(`/tasks/${n.task_id}`)} onClick={onOpen}>{n.title}</a> : n.title}
        {n.read_at === null && <span class="visually-hidden"> ({text.isUnread})</span>}
      </h2>
      {n.due_date ? <p title={n.body}>{text.due(shortWithDay(n.due_date, now, locale(), zone))}</p> : n.body && <p dir="auto">{n.body}</p>}
      <p class="notification-state">
        {n.kind !== "due" && <span class="tag">{text.kind[n.kind]}</span>}
        {n.snoozed_until && Date.parse(n.snoozed_until) > now
          ? <span class="tag scheduled">{text.snoozedUntil(short(n.snoozed_until, now, locale(), zone))}</span>
          : n.acknowledged_at && <span class="tag">{text.acknowledged}</span>}
      </p>
    </div>
  )
}

interface ActProps {
  label: string
  /** A short label, which is shown if there is room. */
  word?: string
  hotkey?: string
  of: Notification
  onClick(): void
  children: preact.ComponentChildren
}

function Act({ label, word, hotkey, of, onClick, children }: ActProps) {
  const { keys } = useShared()
  const key = keys ? hotkey : undefined
  return (
    <Button kind="quiet" class="icon-button" title={key ? `${label} (${key})` : label} aria-label={`${label}: ${of.title}`} aria-keyshortcuts={key} onClick={onClick}>
      {children}{word && <span class="word">{word}</span>}
    </Button>
  )
}

/** Whether what comes appears by itself. */
function LiveBadge() {
  const { inbox } = useShared()
  const text = t().inbox
  return (
    <span class={`live ${inbox.live}`} role="status" title={text.liveText[inbox.live]}>
      <BellIcon /> {text.live[inbox.live]}
    </span>
  )
}
