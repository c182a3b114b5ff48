// The inbox: what is in it, and what comes while it is open. It lives as long as the page, so
// that its number is in the title on every screen.
import { ok, Problem, type Client, type Notification, type SnoozeInput, type Task } from "../../api/client"
import { Live, type LiveState } from "../../live"

export interface Inbox {
  /** The newest first; undefined until they are there. */
  items?: Notification[]
  /** Whether there may be older ones than those. */
  more: boolean
  problem?: Problem
  live: LiveState
  /** Those that came while the page was open. */
  fresh: ReadonlySet<string>
}

const firstPage = 100
/** The most that one call gives. */
const most = 1000

export class InboxStore {
  private state: Inbox = { more: false, live: "connecting", fresh: new Set() }
  private limit = firstPage
  private live?: Live
  private closed = false
  private turn = 0 // of reloads

  constructor(
    private readonly client: Client,
    private readonly changed: (state: Inbox, arrived?: Notification) => void,
  ) {
    void this.begin()
  }

  close() {
    this.closed = true
    this.live?.close()
  }

  private set(change: Partial<Inbox>, arrived?: Notification) {
    if (this.closed) return
    this.state = { ...this.state, ...change }
    this.changed(this.state, arrived)
  }

  /** Lists, and then listens from the newest one on: so none is missed in between. */
  private async begin() {
    await this.reload()
    if (this.closed || this.live || !this.state.items) return
    this.live = new Live(this.client, {
      state: (live) => this.set({ live }),
      notification: (n) => this.arrive(n),
      changed: (n) => this.change(n),
      stale: () => void this.reload(),
    }, this.state.items[0]?.id)
  }

  private arrive(n: Notification) {
    const items = this.state.items ?? []
    if (items.some((item) => item.id === n.id)) return
    this.set({ items: [n, ...items], fresh: new Set([...this.state.fresh, n.id]) }, n)
  }

  /** Shows a notification's new state. One that came back into the inbox gets its old place. */
  private change(n: Notification) {
    if (n.archived_at !== null) this.remove(n)
    else if (this.state.items?.some((item) => item.id === n.id)) this.replace(n)
    else void this.reload()
  }

  retry = () => void this.begin()

  private async reload() {
    const turn = ++this.turn
    const before = new Set(this.state.items?.map((n) => n.id))
    try {
      const { notifications } = await ok(this.client.GET("/api/notifications", { params: { query: { limit: this.limit } } }))
      if (turn !== this.turn) return // a later one has been asked for
      const listed = new Set(notifications.map((n) => n.id))
      const meanwhile = (this.state.items ?? []).filter((n) => !before.has(n.id) && !listed.has(n.id))
      this.set({ items: [...meanwhile, ...notifications.toReversed()], more: notifications.length === this.limit && this.limit < most, problem: undefined })
    } catch (error) {
      if (!(error instanceof Problem)) throw error
      this.set({ problem: error })
    }
  }

  showMore = () => {
    this.limit = most
    void this.reload()
  }

  /** Marks a notification as read or unread, first on the screen and then by the API. If the API fails, it undoes the
   * mark on the screen. */
  async mark(n: Notification, read: boolean) {
    this.replace({ ...n, read_at: read ? new Date().toISOString() : null })
    try {
      this.replace(await ok(this.client.POST(read ? "/api/notifications/{id}/read" : "/api/notifications/{id}/unread", of(n))))
    } catch (error) {
      this.replace(n)
      throw error
    }
  }

  /** Marks all listed unread notifications as read. */
  async markAllRead() {
    const newest = this.state.items?.[0]
    if (!newest) return
    await ok(this.client.POST("/api/notifications/read-all", { body: { up_to: newest.id } }))
    await this.reload()
  }

  async acknowledge(n: Notification) {
    this.replace(await ok(this.client.POST("/api/notifications/{id}/acknowledge", of(n))))
    await this.seen(n)
  }

  /** Snoozes the occurrence of a notification, and returns the notification as it is afterwards. */
  async snooze(n: Notification, until: SnoozeInput): Promise<Notification> {
    const snoozed = await ok(this.client.POST("/api/notifications/{id}/snooze", { ...of(n), body: until }))
    this.replace(snoozed)
    await this.seen(snoozed)
    return snoozed
  }

  /** Marks a notification as read, since its user has acted on it. */
  private async seen(n: Notification) {
    if (n.read_at === null) this.replace(await ok(this.client.POST("/api/notifications/{id}/read", of(n))))
  }

  async archive(n: Notification) {
    await ok(this.client.POST("/api/notifications/{id}/archive", of(n)))
    this.remove(n)
  }

  async unarchive(n: Notification) {
    await ok(this.client.DELETE("/api/notifications/{id}/archive", of(n)))
    await this.reload()
  }

  /** Completes the task or occurrence of a notification, and archives all notifications of it. If it fails after the
   * first of these, calling it again does the rest. */
  async complete(n: Notification): Promise<{ task: Task; archived: Notification[] }> {
    const task = await ok(this.client.POST("/api/tasks/{task_id}/complete", { params: { path: { task_id: n.task_id! } }, body: { occurrence: n.occurrence } }))
    const archived = this.state.items?.filter((item) => item.task_id === n.task_id && item.occurrence === n.occurrence) ?? []
    for (const item of archived) await this.archive(item)
    return { task, archived }
  }

  /** Reopens a completed task, and brings its archived notifications back. */
  async reopen(task: Task, archived: Notification[]) {
    await ok(this.client.PATCH("/api/tasks/{task_id}", { params: { path: { task_id: task.id } }, body: { completed: false, version: task.version } }))
    for (const item of archived) await this.unarchive(item)
  }

  private replace(n: Notification) {
    this.set({ items: this.state.items?.map((item) => (item.id === n.id ? n : item)) })
  }

  private remove(n: Notification) {
    this.set({ items: this.state.items?.filter((item) => item.id !== n.id) })
  }
}

const of = (n: Notification) => ({ params: { path: { id: n.id } } })

export const unread = (inbox: Inbox) => inbox.items?.filter((n) => n.read_at === null).length ?? 0
