// The live inbox: server-sent events, opened with a ticket, as a browser can't send a token
// there. Each ticket is good once, so a stream that has ended is opened anew with another one,
// after the last notification that was seen.
import { ok, Problem, type Client, type Notification } from "./api/client"

/** connecting: for the first time. waiting: after an error, until it is tried again. */
export type LiveState = "connecting" | "open" | "waiting" | "offline"

export interface Listener {
  state(state: LiveState): void
  notification(n: Notification): void
  /** A notification has changed; n is its new state. */
  changed(n: Notification): void
  /** Something may have changed that is not told: read the list again. */
  stale(): void
}

const firstPause = 1000
const longestPause = 30_000
const nothingYet = "00000000-0000-0000-0000-000000000000"

export class Live {
  private source: EventSource | null = null
  private timer = 0
  private pause = firstPause
  private attempt = 0 // which one is under way: an older one that answers late is ignored
  private opened = false

  constructor(
    private readonly client: Client,
    private readonly listener: Listener,
    private last: string | undefined,
  ) {
    this.last ??= nothingYet
    addEventListener("online", this.retryNow)
    addEventListener("offline", this.goOffline)
    document.addEventListener("visibilitychange", this.shown)
    void this.open()
  }

  close() {
    removeEventListener("online", this.retryNow)
    removeEventListener("offline", this.goOffline)
    document.removeEventListener("visibilitychange", this.shown)
    this.drop()
  }

  private drop() {
    this.attempt++
    clearTimeout(this.timer)
    this.source?.close()
    this.source = null
  }

  private readonly goOffline = () => {
    this.drop()
    this.listener.state("offline")
  }

  private readonly retryNow = () => {
    this.drop()
    this.pause = firstPause
    void this.open()
  }

  private readonly shown = () => {
    if (document.visibilityState === "visible" && this.source === null && navigator.onLine) this.retryNow()
  }

  private async open() {
    const attempt = ++this.attempt
    if (!navigator.onLine) return this.listener.state("offline")
    if (!this.opened) this.listener.state("connecting")
    let ticket: string
    try {
      ticket = (await ok(this.client.POST("/api/notifications/ticket"))).ticket
    } catch (error) {
      if (attempt === this.attempt && !(error instanceof Problem && error.status === 401)) this.wait()
      return
    }
    if (attempt !== this.attempt) return
    const source = new EventSource(`/api/notifications/stream?${new URLSearchParams({ ticket, after: this.last! })}`)
    this.source = source
    source.addEventListener("start", () => {
      this.pause = firstPause
      if (this.opened) this.listener.stale()
      this.opened = true
      this.listener.state("open")
    })
    source.addEventListener("notification", (e: MessageEvent<string>) => {
      const n = JSON.parse(e.data) as Notification
      this.last = n.id
      this.listener.notification(n)
    })
    source.addEventListener("change", (e: MessageEvent<string>) => {
      const change = JSON.parse(e.data) as Notification | { read_again: true }
      if ("read_again" in change) this.listener.stale()
      else this.listener.changed(change)
    })
    source.addEventListener("reset", () => this.listener.stale())
    source.onerror = () => {
      if (this.source === source) this.wait()
    }
  }

  private wait() {
    this.drop()
    this.listener.state(navigator.onLine ? "waiting" : "offline")
    this.timer = window.setTimeout(() => void this.open(), this.pause * (0.5 + Math.random()))
    this.pause = Math.min(2 * this.pause, longestPause)
  }
}
