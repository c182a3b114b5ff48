// The dialog that asks until when to snooze.
import { useState } from "preact/hooks"
import type { SnoozeInput } from "../../api/client"
import { locale, t } from "../../text"
import { instantOf, localOf, short } from "../../times"
import { asProblem, useNow, useShared } from "../../ui/context"
import { Button, Dialog, Field } from "../../ui/parts"
import { presets } from "./presets"
import "./snooze.css"

/** onSnooze snoozes. If it fails, the dialog stays open and says why. */
export function SnoozeDialog({ title, onSnooze, onClose }: { title: string; onSnooze(until: SnoozeInput): Promise<void>; onClose(): void }) {
  const { zone } = useShared()
  const now = useNow(30_000)
  const offered = presets(now, zone)
  const [chosen, setChosen] = useState(() => localOf(offered.find((p) => p.name === "tomorrow")!.at, zone))
  const [busy, setBusy] = useState(false)
  const [error, setError] = useState<string>()
  const text = t().inbox.snooze
  const snooze = async (until: SnoozeInput) => {
    setBusy(true)
    setError(undefined)
    try {
      await onSnooze(until)
      onClose()
    } catch (error) {
      setError(t().problem(asProblem(error)))
      setBusy(false)
    }
  }
  const snoozeUntil = (local: string) => {
    const at = instantOf(local, zone)
    if (at.getTime() > Date.now()) void snooze({ until: at.toISOString() })
    else setError(text.notLater)
  }
  return (
    <Dialog title={text.title} class="snooze" onClose={onClose}>
      <p class="muted" dir="auto">{title}</p>
      <ul>
        {offered.map(({ name, at, input }) => (
          <li key={name}>
            <Button disabled={busy} onClick={() => void snooze(input)}>
              <span>{text.preset[name]}</span> <small>{name === "week" ? weekday(at, zone) : short(at.toISOString(), now, locale(), zone)}</small>
            </Button>
          </li>
        ))}
      </ul>
      <form noValidate onSubmit={(e) => { e.preventDefault(); snoozeUntil(chosen) }}>
        <Field label={text.at} hint={t().tasks.field.zone(zone)} error={error}>
          {(ids) => <input {...ids} name="until" type="datetime-local" required value={chosen} onInput={(e) => { setChosen(e.currentTarget.value); setError(undefined) }} />}
        </Field>
        <div class="actions">
          <Button onClick={onClose}>{t().cancel}</Button>
          <Button kind="primary" type="submit" disabled={busy}>{text.action}</Button>
        </div>
      </form>
    </Dialog>
  )
}

const weekday = (at: Date, zone: string) => at.toLocaleString(locale(), { weekday: "long", hour: "numeric", minute: "2-digit", timeZone: zone })
