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

  /** Shows one as it is now; one that has come back into the inbox has its place among the others. */
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

  /** Marks one as read or unread: at once here, and then there. If that fails, it is as before. */
  async mark(n: Notification, read: boolean) {
    this.replace({ ...n, read_at: read ? new Date().toISOString() : null })
    try {
      this.replace(await ok(this.client.POST(read ? "/api/notifications/{id}/read" : "/api/notifications/{id}/unread", of(n))))
    } catch (error) {
      this.replace(n)
      throw error
    }
  }

  /** Marks as read what is unread and was listed. */
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

  /** Snoozes what one tells of, and returns it as it is then. */
  async snooze(n: Notification, until: SnoozeInput): Promise<Notification> {
    const snoozed = await ok(this.client.POST("/api/notifications/{id}/snooze", { ...of(n), body: until }))
    this.replace(snoozed)
    await this.seen(snoozed)
    return snoozed
  }

  /** Whoever does something about a notification has read it. */
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

  /** Completes what a notification tells of, and takes all that was told of it out of the inbox. If only
   * the first of that is done, doing it again does the rest. */
  async complete(n: Notification): Promise<{ task: Task; archived: Notification[] }> {
    const task = await ok(this.client.POST("/api/tasks/{task_id}/complete", { params: { path: { task_id: n.task_id! } }, body: { occurrence: n.occurrence } }))
    const archived = this.state.items?.filter((item) => item.task_id === n.task_id && item.occurrence === n.occurrence) ?? []
    for (const item of archived) await this.archive(item)
    return { task, archived }
  }

  /** Opens a task again that was completed, and brings back what was told of it. */
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
