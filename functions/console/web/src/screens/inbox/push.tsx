import { useEffect, useState } from "preact/hooks"
import { isOutdated, pushState, switchOff, switchOn, type PushState } from "../../push"
import { t } from "../../text"
import { asProblem, useShared } from "../../ui/context"
import { Button } from "../../ui/parts"

/** Switches Web Push in this browser on and off. */
export function PushSwitch() {
  const { client, preferences, setPreferences, say } = useShared()
  const [state, setState] = useState<PushState>("unsupported")
  const [busy, setBusy] = useState(false)
  const text = t().inbox.push
  const change = async (on: boolean) => {
    setBusy(true)
    try {
      const saved = await (on ? switchOn(client) : switchOff(client))
      if (saved) setPreferences(saved.value, saved.etag)
      else setState(await pushState(preferences.value))
    } catch (error) {
      say(t().problem(asProblem(error)), "problem")
    }
    setBusy(false)
  }
  useEffect(() => {
    let shown = true
    void pushState(preferences.value).then(async (state) => {
      if (!shown) return
      setState(state)
      if (state === "on" && (await isOutdated(preferences.value))) await change(true)
    })
    return () => { shown = false }
  }, [preferences.value])
  if (state === "unsupported") return null
  if (state === "uninstalled") return <p class="muted push">{t().inbox.install}</p>
  if (state === "blocked") return <p class="muted push">{text.blocked}</p>
  return (
    <p class="push">
      {state === "on" && <span>{text.on}</span>}
      <Button kind={state === "on" ? "quiet" : undefined} disabled={busy} onClick={() => void change(state === "off")}>{state === "on" ? text.switchOff : text.switchOn}</Button>
    </p>
  )
}
