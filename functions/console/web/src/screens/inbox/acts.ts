// What a user does with a notification, the text that says so, and how to undo it.
import { useState } from "preact/hooks"
import type { Notification, SnoozeInput } from "../../api/client"
import { locale, t } from "../../text"
import { short } from "../../times"
import { asProblem, useShared } from "../../ui/context"
import type { InboxStore } from "./store"

export interface Acts {
  /** The id of the notification that an act is under way for. */
  busy?: string
  mark(n: Notification, read: boolean): Promise<void>
  done(n: Notification): Promise<void>
  /** Opens the dialog that asks until when. */
  snooze(n: Notification): void
  /** Snoozes the notification; throws if it can't be snoozed until then. */
  snoozed(n: Notification, until: SnoozeInput): Promise<void>
  acknowledge(n: Notification): Promise<void>
  archive(n: Notification): Promise<void>
  back(n: Notification): Promise<void>
  readAll(): Promise<void>
}

export function useActs(store: InboxStore, ask: (n: Notification) => void): Acts {
  const { say, zone } = useShared()
  const [busy, setBusy] = useState<string>()
  const text = t().inbox
  const attempt = async (what: () => Promise<void>, n?: Notification) => {
    setBusy(n?.id)
    try {
      await what()
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    } finally {
      setBusy(undefined)
    }
  }
  const undone = (what: () => Promise<void>) => () => void attempt(async () => {
    await what()
    say(text.undone)
  })
  return {
    busy,
    mark: (n, read) => attempt(() => store.mark(n, read)),
    done: (n) => attempt(async () => {
      const leave = leaving(n)
      const { task, archived } = await store.complete(n)
      leave()
      // A completed occurrence can't be undone: the API can't reopen it.
      if (!task.recurrence) say(text.done, undefined, undone(() => store.reopen(task, archived)))
      else if (task.completed || !task.due_date) say(text.done)
      else say(text.doneUntil(short(task.due_date, Date.now(), locale(), zone)))
    }, n),
    snooze: ask,
    snoozed: async (n, until) => {
      const { snoozed_until: at } = await store.snooze(n, until)
      say(text.snoozedUntil(short(at!, Date.now(), locale(), zone)))
    },
    acknowledge: (n) => attempt(async () => {
      await store.acknowledge(n)
      say(text.acknowledged)
    }, n),
    archive: (n) => attempt(async () => {
      const leave = leaving(n)
      await store.archive(n)
      leave()
      say(text.archivedNow, undefined, undone(() => store.unarchive(n)))
    }, n),
    back: (n) => attempt(async () => {
      await store.unarchive(n)
      say(text.backNow)
    }, n),
    readAll: () => attempt(() => store.markAllRead()),
  }
}

/** Returns a function that moves the focus from a notification that leaves the list to the next one. So keyboard
 * users continue there. */
function leaving(n: Notification): () => void {
  const row = document.querySelector(`.notification[data-id="${n.id}"]`)
  if (!row?.contains(document.activeElement)) return () => {}
  const next = row.nextElementSibling ?? row.previousElementSibling ?? document.querySelector("h1")
  return () => (next as HTMLElement | null)?.focus()
}
