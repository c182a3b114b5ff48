// The inbox by keyboard.
import type { Notification } from "../../api/client"
import { go } from "../../router"
import { useShared } from "../../ui/context"
import { useKeys } from "../../ui/keys"
import type { Acts } from "./acts"

export function useInboxKeys(items: Notification[], acts: Acts) {
  const { undo } = useShared()
  useKeys((e) => {
    const target = e.target as Element
    const row = document.activeElement?.closest<HTMLElement>(".notification")
    const n = items.find((n) => n.id === row?.dataset.id)
    const does: Record<string, (() => unknown) | false | undefined> = {
      z: undo,
      j: () => move(row, 1),
      k: () => move(row, -1),
      Enter: n && target === row && n.task_id !== null && (() => go(`/tasks/${n.task_id}`)),
      r: n && (() => acts.mark(n, n.read_at === null)),
      e: n && (() => acts.archive(n)),
      d: n && n.task_id !== null && (() => acts.done(n)),
      s: n && n.task_id !== null && (() => acts.snooze(n)),
      a: n && n.task_id !== null && (() => acts.acknowledge(n)),
    }
    return (!e.repeat || e.key === "j" || e.key === "k") && does[e.key]
  })
}

/** Moves the focus to the next or the previous notification, or to the first one if none has the focus. */
function move(from: HTMLElement | null | undefined, by: 1 | -1) {
  const to = from ? (by > 0 ? from.nextElementSibling : from.previousElementSibling) : document.querySelector(".notification")
  if (to instanceof HTMLElement) {
    to.focus()
    to.scrollIntoView({ block: "nearest" })
  }
}
