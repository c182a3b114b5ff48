// The defaults for tasks that name no reminders or are due on a whole day.
import { t } from "../../text"
import { Field, Wrong } from "../../ui/parts"
import { Reminders } from "../tasks/form"
import { useDraft } from "./draft"
import type { Part } from "./preferences"
import { TimeInput } from "./quiet-hours"

export function TaskDefaults({ value, save }: Part) {
  const text = t().preferences.tasks
  const allDay = useDraft(value.all_day_at, (all_day_at, onWrong) => save(() => ({ all_day_at }), onWrong))
  const reminders = useDraft(value.default_reminders ?? ["0s"], (default_reminders, onWrong) => save(() => ({ default_reminders }), onWrong))
  return (
    <section class="card" aria-label={text.title}>
      <h2>{text.title}</h2>
      <div class="stack">
        <Reminders chosen={reminders.draft} onChange={(next) => reminders.change(next, true)} />
        <small class="muted">{text.remindersText}</small>
        <Wrong text={reminders.wrong} />
        <div class="short">
          <Field label={text.allDay} hint={text.allDayText} error={allDay.wrong}>
            {(ids) => <TimeInput ids={ids} value={allDay.draft} onChange={(at) => allDay.change(at)} onLeave={allDay.flush} />}
          </Field>
        </div>
      </div>
    </section>
  )
}
