// The user's agenda: one message a day about what is overdue and what is due.
import type { Channel } from "../../api/client"
import { t } from "../../text"
import { Field, Wrong } from "../../ui/parts"
import { channels } from "../tasks/form"
import { useDraft } from "./draft"
import type { Part } from "./preferences"
import { Days, days, TimeInput } from "./quiet-hours"

export function Agenda({ value, save }: Part) {
  const text = t().preferences.agenda
  const { draft, wrong, change, flush } = useDraft(value.agenda, (agenda, onWrong) => save(() => ({ agenda }), onWrong))
  return (
    <section class="card" aria-label={text.title}>
      <h2>{text.title}</h2>
      <p class="muted">{text.text}</p>
      <label class="option"><input type="checkbox" role="switch" checked={draft !== null} onChange={(e) => change(e.currentTarget.checked ? { channel: "email", at: "08:00", days } : null, true)} /> {text.on}</label>
      {draft && (
        <div class="window-fields agenda-fields">
          <Field label={text.channel}>
            {(ids) => <select {...ids} value={draft.channel} onChange={(e) => change({ ...draft, channel: e.currentTarget.value as Channel }, true)}>{channels.map((channel) => <option key={channel} value={channel}>{t().channels[channel]}</option>)}</select>}
          </Field>
          <Field label={text.at}>{(ids) => <TimeInput ids={ids} value={draft.at} onChange={(at) => change({ ...draft, at })} onLeave={flush} />}</Field>
          <Days label={text.days} chosen={draft.days} onChange={(days) => change({ ...draft, days })} />
        </div>
      )}
      <Wrong text={wrong} />
    </section>
  )
}
