package store

import (
	"context"
	"errors"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// Linked is the task of a link in a message.
type Linked struct {
	Task    task.Task // without its reminders
	Deleted bool      // the task is deleted
	// Settled says what became of the occurrence; "" if nothing is recorded.
	Settled  task.Settled
	Language string // the user's, "" if none is chosen
}

// FindLinked returns the task of a reminder, whichever user it belongs to: the caller has to check
// the link's signature. series and occurrence are those of a recurring task, 0 and nil for others.
// It returns nil if the reminder is gone.
func (s *Store) FindLinked(ctx context.Context, reminderID uuid.UUID, series int64, occurrence *wallclock.Time) (*Linked, error) {
	var row taskRow
	var habits habitRow
	var l Linked
	err := s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		row, habits = taskRow{}, habitRow{}
		return c.QueryRow(ctx, `
			select `+taskColumns+`, `+habitColumns+`, t.deleted_at is not null, coalesce(p.language, ''),
				coalesce((select o.state from occurrences o where o.task_id = t.id and o.series = $2 and o.occurrence = $3), '')
			from reminders r join tasks t on t.id = r.task_id left join preferences p on p.user_id = t.user_id
			where r.id = $1`, reminderID, series, pgOccurrence(occurrence)).
			Scan(append(append(row.fields(), habits.fields()...), &l.Deleted, &l.Language, &l.Settled)...)
	})
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, nil //nolint:nilnil // Find may come back empty
	}
	if err != nil {
		return nil, err
	}
	h, err := habits.habits()
	if err != nil {
		return nil, err
	}
	l.Task, err = row.task()
	l.Task.Clock = h.Clock
	return &l, err
}
