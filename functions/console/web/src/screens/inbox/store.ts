// The inbox: what is in it, and what comes while it is open. It lives as long as the page, so
// that its number is in the title on every screen.
import { ok, Problem, type Client, type Notification } from "../../api/client"
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
      stale: () => void this.reload(),
    }, this.state.items[0]?.id)
  }

  private arrive(n: Notification) {
    const items = this.state.items ?? []
    if (items.some((item) => item.id === n.id)) return
    this.set({ items: [n, ...items], fresh: new Set([...this.state.fresh, n.id]) }, n)
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

  /** Marks one as read: at once here, and then there. If that fails, it is unread again. */
  async markRead(n: Notification) {
    this.replace({ ...n, read_at: new Date().toISOString() })
    try {
      this.replace(await ok(this.client.POST("/api/notifications/{id}/read", { params: { path: { id: n.id } } })))
    } catch (error) {
      this.replace(n)
      throw error
    }
  }

  private replace(n: Notification) {
    this.set({ items: this.state.items?.map((item) => (item.id === n.id ? n : item)) })
  }
}

export const unread = (inbox: Inbox) => inbox.items?.filter((n) => n.read_at === null).length ?? 0
