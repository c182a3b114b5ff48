// How long bundles gather, for each channel.
import { useState } from "preact/hooks"
import type { Preferences } from "../../api/client"
import { t } from "../../text"
import { Choice, Wrong } from "../../ui/parts"
import type { Part } from "./preferences"

type Bundled = keyof Preferences["bundle"]

const bundled: Bundled[] = ["email", "push", "sms"]

export function Bundles({ value, save }: Part) {
  const [wrong, setWrong] = useState<string>()
  const text = t().preferences.bundle
  const choose = (channel: Bundled, length: string) => void save((now) => ({ bundle: { ...now.bundle, [channel]: length === "" ? null : length } }), setWrong)
  return (
    <section class="card" aria-label={text.title}>
      <h2>{text.title}</h2>
      <p class="muted">{text.text}</p>
      <div class="bundles">
        {bundled.map((channel) => {
          const chosen = value.bundle[channel] ?? ""
          return <Choice key={channel} label={t().channels[channel]} value={chosen} options={{ ...text.length, ...(!(chosen in text.length) && { [chosen]: chosen }) }} onChange={(length) => choose(channel, length)} />
        })}
      </div>
      <Wrong text={wrong} />
    </section>
  )
}
