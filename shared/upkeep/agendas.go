package upkeep

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/google/uuid"
)

// agendas moves agendas that were derived by an earlier release of the time zones, fires those whose callback has not
// come, and schedules the jobs of those that are due within the hour.
func (s *Sweeper) agendas(ctx context.Context) (fired int, complete bool, err error) {
	moved, err := s.moveAgendas(ctx)
	if err != nil {
		return 0, false, err
	}
	fired, complete, err = s.firer.FireAgendas(ctx, s.now().Add(-s.rules.Grace))
	if err != nil {
		return fired, false, err
	}
	for ctx.Err() == nil {
		claimed, scheduled, err := s.jobs.ScheduleAgendas(ctx)
		switch {
		case err != nil, claimed == 0:
			return fired, complete && moved, err
		case scheduled == 0:
			return fired, false, fmt.Errorf("Dapr has taken none of %d jobs", claimed) //nolint:staticcheck // its name
		}
	}
	return fired, false, ctx.Err()
}

func (s *Sweeper) moveAgendas(ctx context.Context) (complete bool, err error) {
	complete = true
	for last := uuid.Nil; ctx.Err() == nil; {
		stale, err := s.store.StaleAgendas(ctx, s.mover.Release(), last, page)
		if err != nil || len(stale) == 0 {
			return complete, err
		}
		last = stale[len(stale)-1].ReminderID
		for _, r := range stale {
			if err := s.mover.MoveAgenda(ctx, r.UserID); err != nil {
				slog.WarnContext(ctx, "an agenda is left where it is, for the next sweep to move", "agenda_id", r.ReminderID, "error", err)
				complete = false
			}
		}
	}
	return false, nil // the next sweep goes on
}
