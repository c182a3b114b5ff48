// The inbox by keyboard: single keys, which can be switched off, as some people's speech input types them.
import { useEffect, useState } from "preact/hooks"
import type { Notification } from "../../api/client"
import { go } from "../../router"
import { t } from "../../text"
import { useShared } from "../../ui/context"
import { Button, Dialog } from "../../ui/parts"
import type { Acts } from "./acts"

const keptOff = "duebell.keys-off"

export function useKeys(items: Notification[], acts: Acts) {
  const { undo } = useShared()
  const [shown, setShown] = useState(false)
  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      const target = e.target as Element
      if (e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented || localStorage.getItem(keptOff)) return
      if (target.closest("input, select, textarea, dialog")) return
      const row = document.activeElement?.closest<HTMLElement>(".notification")
      const n = items.find((n) => n.id === row?.dataset.id)
      const does: Record<string, (() => unknown) | false | undefined> = {
        "?": () => setShown(true),
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
      const act = does[e.key]
      if (!act || e.repeat && e.key !== "j" && e.key !== "k") return
      e.preventDefault()
      act()
    }
    addEventListener("keydown", pressed)
    return () => removeEventListener("keydown", pressed)
  })
  return { shown, show: () => setShown(true), hide: () => setShown(false) }
}

/** Goes to the next notification or the one before; from elsewhere to the first. */
function move(from: HTMLElement | null | undefined, by: 1 | -1) {
  const to = from ? (by > 0 ? from.nextElementSibling : from.previousElementSibling) : document.querySelector(".notification")
  if (to instanceof HTMLElement) {
    to.focus()
    to.scrollIntoView({ block: "nearest" })
  }
}

/** Tells which keys there are. */
export function Keys({ onClose }: { onClose(): void }) {
  const [off, setOff] = useState(localStorage.getItem(keptOff) !== null)
  const text = t().inbox.keys
  const toggle = () => {
    if (off) localStorage.removeItem(keptOff)
    else localStorage.setItem(keptOff, "yes")
    setOff(!off)
  }
  return (
    <Dialog title={text.title} onClose={onClose}>
      <dl class="keys">
        {text.list.map(([keys, does]) => (
          <div key={does}>
            <dt>{keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dt>
            <dd>{does}</dd>
          </div>
        ))}
      </dl>
      <label class="option"><input type="checkbox" role="switch" checked={!off} onChange={toggle} /> {text.on}</label>
      <div class="actions"><Button onClick={onClose} autofocus>{t().close}</Button></div>
    </Dialog>
  )
}
