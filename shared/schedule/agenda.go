package schedule

import (
	"context"
	"log/slog"
	"time"

	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// MoveAgenda arms, moves or cancels a user's agenda after the preferences have changed from before to after.
// If these are the same, it moves the agenda to the user's clock. tx must have locked the user. The sweep
// schedules the job.
//
// A new zone or a new time of day can move an agenda into the past. If its day is not settled, it is armed
// all the same, up to preferences.MostLate after its time. The sweep fires it.
func MoveAgenda(ctx context.Context, tx store.Tx, userID string, before, after preferences.Preferences, clock task.Clock, now time.Time) error {
	if before.Agenda == nil && after.Agenda == nil {
		return nil
	}
	armed, settled, err := tx.Agendas(ctx, userID)
	if err != nil {
		return err
	}
	if after.Agenda == nil {
		if err := tx.ArmAgenda(ctx, userID, armed, nil, clock.Release()); err != nil {
			return err
		}
		return tx.StopAgendas(ctx, userID)
	}
	travelled := before.Agenda != nil && before.TimeZone != after.TimeZone
	next, ok := after.Agenda.Next(now, clock.Location(), settled, func(d preferences.AgendaDay) bool {
		return now.Sub(d.At) <= preferences.MostLate && (travelled || armed != nil && d.Day == armed.Day)
	})
	if armed != nil {
		still, any := after.Agenda.On(armed.Day, clock.Location())
		if any && still.At.Equal(armed.At) && (!ok || !next.At.Before(armed.At)) {
			return tx.RenewAgenda(ctx, *armed, clock.Release())
		}
	}
	if !ok {
		return tx.ArmAgenda(ctx, userID, armed, nil, clock.Release())
	}
	return tx.ArmAgenda(ctx, userID, armed, &next, clock.Release())
}

// NextAgenda arms the user's next agenda, in the transaction that has settled one. After an outage its time may have
// passed. It is armed all the same, unless it is too late ([preferences.AgendaDay.TooLate]).
func NextAgenda(ctx context.Context, tx store.Tx, settled store.Agenda, a preferences.Agenda, clock task.Clock, now time.Time) error {
	_, days, err := tx.Agendas(ctx, settled.UserID)
	if err != nil {
		return err
	}
	next, ok := a.Next(now, clock.Location(), days, func(d preferences.AgendaDay) bool {
		return d.Day.After(settled.Day) && !d.TooLate(now, clock.Location())
	})
	if !ok {
		return nil
	}
	return tx.ArmAgenda(ctx, settled.UserID, nil, &next, clock.Release())
}

// MoveAgenda moves a user's agenda to the user's clock, by the Mover's release of the time zones. It does not check
// whether the agenda was derived by a later release. A user who is gone is no error.
func (m *Mover) MoveAgenda(ctx context.Context, userID string) error {
	err := m.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		p, _, err := tx.LockPreferences(ctx, userID)
		if err != nil {
			return err
		}
		return MoveAgenda(ctx, tx, userID, p, p, m.Clock(p), m.now())
	})
	if store.IsGone(err) { // the user
		return nil
	}
	return err
}

// agendaHorizon is how far ahead agendas have jobs. It is short: each user who wants agendas always has one that
// is armed, and each job costs Dapr memory while it waits.
const agendaHorizon = time.Hour

// ScheduleAgendas claims a page of agendas that are due within agendaHorizon and whose jobs Dapr has not confirmed,
// and schedules their jobs. It returns how many agendas it has claimed, and how many of their jobs Dapr has taken.
func (j Jobs) ScheduleAgendas(ctx context.Context) (claimed, scheduled int, err error) {
	pending, err := j.store.ClaimAgendas(ctx, j.now().Add(agendaHorizon), page)
	if err != nil || len(pending) == 0 {
		return 0, 0, err
	}
	inTime, cancel := context.WithTimeout(ctx, pageTimeout)
	defer cancel()
	taken, left, refusal := j.schedule(inTime, pending)
	if len(left) > 0 {
		slog.WarnContext(ctx, "agendas stay without a job for now: Dapr did not take these", "agendas", len(left), "error", refusal)
	}
	confirm, cancelConfirm := context.WithTimeout(context.WithoutCancel(ctx), confirmTimeout) // also when ctx or inTime has ended
	defer cancelConfirm()
	return len(pending), len(taken), j.store.ConfirmAgendas(confirm, taken)
}
