import { useState } from "preact/hooks"
import type { Notification } from "../../api/client"
import { to } from "../../router"
import { t } from "../../text"
import { asProblem, useShared } from "../../ui/context"
import { BellIcon, CheckIcon } from "../../ui/icons"
import { Button, Choice, Empty, Loading, Screen, Time, Trouble } from "../../ui/parts"
import { PushSwitch } from "./push"
import { unread, type InboxStore } from "./store"
import "./inbox.css"

export function InboxScreen({ store }: { store: InboxStore }) {
  const { inbox } = useShared()
  const [filter, setFilter] = useState<"all" | "unread">("all")
  const text = t().inbox
  const items = inbox.items?.filter((n) => filter === "all" || n.read_at === null)
  return (
    <Screen title={text.title} aside={<LiveBadge />}>
      <div class="bar">
        <Choice label={t().tasks.filters} value={filter} options={{ all: text.all, unread: `${text.onlyUnread} (${unread(inbox)})` }} onChange={setFilter} />
        <PushSwitch />
      </div>
      {inbox.problem && <Trouble problem={inbox.problem} retry={store.retry} />}
      {!items && !inbox.problem && <Loading />}
      {items?.length === 0 && (filter === "all"
        ? <Empty title={text.empty} text={text.emptyText}><a class="button primary" href={to("/tasks")}>{text.newTask}</a></Empty>
        : <Empty title={text.noneUnread} text={text.noneUnreadText} />)}
      {items && items.length > 0 && (
        <ul class="notifications">
          {items.map((n) => <Item key={n.id} n={n} fresh={inbox.fresh.has(n.id)} store={store} />)}
        </ul>
      )}
      {inbox.more && filter === "all" && <Button onClick={store.showMore}>{t().more}</Button>}
    </Screen>
  )
}

function Item({ n, fresh, store }: { n: Notification; fresh: boolean; store: InboxStore }) {
  const { say } = useShared()
  const text = t().inbox
  const read = () => store.markRead(n).catch((error: unknown) => say(t().problem(asProblem(error)), "problem"))
  const isUnread = n.read_at === null
  return (
    <li class={`notification ${isUnread ? "unread" : ""} ${fresh ? "fresh" : ""}`}>
      <span class="dot" aria-hidden="true" />
      <div class="notification-text">
        <h2 dir="auto">
          {n.task_id ? <a href={to(`/tasks/${n.task_id}`)}>{n.title}</a> : n.title}
          {isUnread && <span class="visually-hidden"> ({text.isUnread})</span>}
        </h2>
        {n.body && <p dir="auto">{n.body}</p>}
      </div>
      <Time at={n.created_at} class="notification-time" />
      {isUnread && (
        <Button kind="quiet" class="icon-button" title={text.markRead} aria-label={`${text.markRead}: ${n.title}`} onClick={() => void read()}>
          <CheckIcon />
        </Button>
      )}
    </li>
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

