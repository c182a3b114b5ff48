// Single keys. One switch turns them off on all screens, since speech input can type them by accident (WCAG
// 2.1.4).
import { useEffect, useState } from "preact/hooks"
import { t } from "../text"
import { useShared } from "./context"
import { Button, Dialog } from "./parts"

/** Runs the action of a key, unless single keys are switched off, the user is typing in a field, or a dialog is open.
 * find returns the action; nothing for other keys. */
export function useKeys(find: (e: KeyboardEvent) => (() => unknown) | false | undefined) {
  const { keys } = useShared()
  useEffect(() => {
    const pressed = (e: KeyboardEvent) => {
      if (!keys || e.ctrlKey || e.metaKey || e.altKey || e.defaultPrevented) return
      if ((e.target as Element).closest("input:not([type=checkbox]), select, textarea, dialog")) return
      const act = find(e)
      if (!act) return
      e.preventDefault()
      act()
    }
    addEventListener("keydown", pressed)
    return () => removeEventListener("keydown", pressed)
  })
}

/** A button that opens the list of a screen's keys, as "?" does. The list has the switch for single keys. */
export function KeysHelp({ list }: { list: [keys: string, does: string][] }) {
  const { keys, setKeys } = useShared()
  const [shown, setShown] = useState(false)
  useKeys((e) => e.key === "?" && (() => setShown(true)))
  const text = t().keys
  return (
    <>
      <Button kind="quiet" class="keys-button" aria-keyshortcuts={keys ? "?" : undefined} onClick={() => setShown(true)}>{text.title}</Button>
      {shown && (
        <Dialog title={text.title} onClose={() => setShown(false)}>
          <dl class="keys">
            {[...list, ["?", text.show] as const].map(([keys, does]) => (
              <div key={does}>
                <dt>{keys.split(" ").map((key) => <kbd key={key}>{key}</kbd>)}</dt>
                <dd>{does}</dd>
              </div>
            ))}
          </dl>
          <label class="option"><input type="checkbox" role="switch" checked={keys} onChange={(e) => setKeys(e.currentTarget.checked)} /> {text.on}</label>
          <div class="actions"><Button onClick={() => setShown(false)} autofocus>{t().close}</Button></div>
        </Dialog>
      )}
    </>
  )
}
