package store

import (
	"context"
	"errors"
	"maps"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/task"
)

// DeadLetterState is what has become of a dead letter.
type DeadLetterState string

// The states.
const (
	Retrying  DeadLetterState = "retrying"  // it is tried again by itself
	Dead      DeadLetterState = "dead"      // it was given up, or never made sense: an operator's turn
	Resolved  DeadLetterState = "resolved"  // it worked out later, or is not wanted any more
	Discarded DeadLetterState = "discarded" // an operator has let go of it
)

// DeadLetterStates lists every state there is.
var DeadLetterStates = []DeadLetterState{Retrying, Dead, Resolved, Discarded}

// DeadLetter is something that did not work out: a delivery, or a callback that
// made no sense.
type DeadLetter struct {
	ID         uuid.UUID       `json:"id"`
	State      DeadLetterState `json:"state"`
	JobName    string          `json:"job_name"`
	Data       string          `json:"data"` // what the job carried
	Error      string          `json:"error"`
	Attempts   int             `json:"attempts"`
	DeliveryID *uuid.UUID      `json:"delivery_id"` // null for a malformed callback
	Channel    *task.Channel   `json:"channel"`     // of the delivery
	Provider   *string         `json:"provider"`    // of its latest attempt
	CreatedAt  time.Time       `json:"created_at"`
	UpdatedAt  time.Time       `json:"updated_at"`
}

const deadLetterColumns = `l.id, l.state, l.job_name, l.data, l.error, l.attempts, l.delivery_id, d.channel, d.provider, l.created_at, l.updated_at`

const fromDeadLetters = `dead_letters l left join deliveries d on d.id = l.delivery_id`

func scanDeadLetter(row pgx.CollectableRow) (l DeadLetter, err error) {
	err = row.Scan(&l.ID, &l.State, &l.JobName, &l.Data, &l.Error, &l.Attempts, &l.DeliveryID, &l.Channel, &l.Provider, &l.CreatedAt, &l.UpdatedAt)
	return l, err
}

// maxDeadData bounds what is kept of a malformed callback.
const maxDeadData = 64 << 10

// KeepMalformed stores a callback that made no sense as a dead letter that is never
// retried by itself. One that came before is counted.
func (s *Store) KeepMalformed(ctx context.Context, jobName string, data []byte, reason string) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `
			insert into dead_letters as l (id, state, job_name, data, error, attempts) values ($1, 'dead', $2, $3, $4, 1)
			on conflict (job_name, data_hash) where delivery_id is null
			do update set attempts = l.attempts + 1, error = excluded.error, updated_at = now()`,
			uuid.Must(uuid.NewV7()), storable(jobName, 500), storable(string(data), maxDeadData), storable(reason, 500))
		return err
	})
}

// storable cuts a text to a number of bytes and takes out what Postgres can't store.
func storable(s string, most int) string {
	s = strings.ToValidUTF8(strings.ReplaceAll(s, "\x00", "\uFFFD"), "\uFFFD")
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "")
	}
	return s
}

// DeadLetterFilter narrows a list of dead letters. The zero value of each field means any.
type DeadLetterFilter struct {
	State    DeadLetterState
	Channel  task.Channel // on which its delivery was to go
	Provider string       // that carried its delivery last
	// Since and Until are when it first did not work out: at Since or later, and before Until.
	Since, Until time.Time
}

// isOfFilter says of a dead letter l and its delivery d, which a callback that made no sense has not, that they are what a filter asks for.
const isOfFilter = `(@state = '' or l.state = @state) and (@channel = '' or d.channel = @channel) and (@provider = '' or d.provider = @provider)
	and l.id > @since and l.id < @until`

// args are those of isOfFilter. Ids are in the order of time.
func (f DeadLetterFilter) args(more pgx.NamedArgs) pgx.NamedArgs {
	first, last := uuid.Nil, uuid.Max
	if !f.Since.IsZero() {
		first = since(f.Since)
	}
	if !f.Until.IsZero() {
		last = since(f.Until)
	}
	args := pgx.NamedArgs{"state": f.State, "channel": f.Channel, "provider": f.Provider, "since": first, "until": last}
	maps.Copy(args, more)
	return args
}

// ListDeadLetters returns dead letters that a filter asks for, the newest first, after the given one of
// the page before, and whether there are more.
func (s *Store) ListDeadLetters(ctx context.Context, f DeadLetterFilter, after uuid.UUID, limit int) (list []DeadLetter, more bool, err error) {
	if after == uuid.Nil {
		after = uuid.Max
	}
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select `+deadLetterColumns+` from `+fromDeadLetters+`
			where `+isOfFilter+` and l.id < @after order by l.id desc limit @limit`, f.args(pgx.NamedArgs{"after": after, "limit": limit + 1}))
		list, err = pgx.CollectRows(rows, scanDeadLetter)
		return err
	})
	if len(list) > limit {
		return list[:limit], true, err
	}
	return list, false, err
}

// MostReplayed is how many dead letters are replayed together at most.
const MostReplayed = 10_000

// isReplayable says of a dead letter l with its delivery d, reminder r and task t that it can be replayed without force.
const isReplayable = `d.state in ('planned', 'exhausted') and l.state in ('retrying', 'dead') and not (` + notWanted + `)`

const fromReplayable = `dead_letters l join deliveries d on d.id = l.delivery_id join reminders r on r.id = d.reminder_id join tasks t on t.id = r.task_id`

// CountReplayable counts the dead letters that a filter asks for and that can be replayed without force, as far as [MostReplayed].
func (s *Store) CountReplayable(ctx context.Context, f DeadLetterFilter) (n int, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `select count(*) from (select from `+fromReplayable+` where `+isOfFilter+` and `+isReplayable+` limit @limit) l`,
			f.args(pgx.NamedArgs{"limit": MostReplayed})).Scan(&n)
	})
	return n, err
}

// anew has a delivery begin anew, but for when.
const anew = `state = 'planned', attempts = 0, round = 0, round_over = true, finished_at = null, counted = 0, reason = null`

// mostReplayedTogether is how many are replayed in one transaction.
const mostReplayedTogether = 500

// ReplayDeadLetters replays so many of the dead letters that a filter asks for, those first that came first, as
// [Store.ReplayDeadLetter] does without force. They become due one after the other, perSecond of them in each
// second, so that what has just come back is not overrun. What somebody is changing at that moment is passed
// over. If it fails, those that are counted are replayed, and no others.
func (s *Store) ReplayDeadLetters(ctx context.Context, f DeadLetterFilter, most, perSecond int) (replayed int, err error) {
	var last uuid.UUID
	for most = min(most, MostReplayed); replayed < most; {
		limit := min(mostReplayedTogether, most-replayed)
		var seen, done int
		err := s.InTx(ctx, func(ctx context.Context, tx Tx) error {
			// Until this is over nobody changes the tasks. The next statement sees what was committed before.
			rows, _ := tx.tx.Query(ctx, `
				select l.id from `+fromReplayable+` where `+isOfFilter+` and `+isReplayable+` and l.id > @last order by l.id limit @limit`,
				f.args(pgx.NamedArgs{"last": last, "limit": limit}))
			ids, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			if seen = len(ids); err != nil || seen == 0 {
				return err
			}
			rows, _ = tx.tx.Query(ctx, `
				select id from tasks where id in (select d.task_id from dead_letters l join deliveries d on d.id = l.delivery_id where l.id = any ($1))
				order by id for share skip locked`, pgUUIDs(ids))
			tasks, err := pgx.CollectRows(rows, pgx.RowTo[uuid.UUID])
			if err != nil {
				return err
			}
			if err := tx.tx.QueryRow(ctx, `
				with chosen as materialized (
					select l.id as letter, d.id from `+fromReplayable+`
					where l.id = any (@ids) and d.task_id = any (@tasks) and `+isReplayable+` order by d.id for no key update of d skip locked
				), replayed as (
					update deliveries d set `+anew+`,
						next_attempt_at = now() + (@before + chosen.place) / @rate::float8 * interval '1 s',
						tries = `+triedAs("'replayed'", "null::text", "now() + (@before + chosen.place) / @rate::float8 * interval '1 s'")+`,
						provider = case when provider_fixed then provider end
					from (select *, row_number() over (order by letter) - 1 as place from chosen) chosen where d.id = chosen.id
				), settled as (
					update dead_letters l set state = 'retrying', alerted_at = null, updated_at = now() from chosen where l.id = chosen.letter
				)
				select count(*) from chosen`, pgx.NamedArgs{"ids": pgUUIDs(ids), "tasks": pgUUIDs(tasks), "before": replayed, "rate": perSecond}).Scan(&done); err != nil {
				return err
			}
			last = ids[seen-1]
			return nil
		})
		if err != nil {
			return replayed, err
		}
		if replayed += done; seen < limit {
			break
		}
	}
	return replayed, nil
}

var errNoDeadLetter = fault.NotFound("there is no such dead letter")

// GetDeadLetter returns a dead letter.
func (s *Store) GetDeadLetter(ctx context.Context, id uuid.UUID) (l DeadLetter, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `select `+deadLetterColumns+` from `+fromDeadLetters+` where l.id = $1`, id)
		l, err = pgx.CollectExactlyOneRow(rows, scanDeadLetter)
		if errors.Is(err, pgx.ErrNoRows) {
			return errNoDeadLetter
		}
		return err
	})
	return l, err
}

// ReplayDeadLetter makes a dead letter's delivery due at once, with all its attempts
// anew. A bundle's sends the same reminders again, and an agenda's what is true then. What was sent already, is not wanted any more, or may have been taken by its
// provider is refused with a conflict unless it is forced; what is being sent right
// now, a malformed callback, and a verification, always. Not wanted any more is what was cancelled, and
// what was given up before its task was deleted, completed or moved.
func (s *Store) ReplayDeadLetter(ctx context.Context, id uuid.UUID, force bool) (DeadLetter, error) {
	err := s.InTx(ctx, func(ctx context.Context, tx Tx) error {
		var deliveryID *uuid.UUID
		err := tx.tx.QueryRow(ctx, `select delivery_id from dead_letters where id = $1`, id).Scan(&deliveryID)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
			return errNoDeadLetter
		case err != nil:
			return err
		case deliveryID == nil:
			return fault.Conflict("this callback made no sense, so there is nothing to replay; discard it")
		}
		// Until this is over, nobody changes the task, or those of a bundle. The next statement sees
		// what was committed before.
		if _, err := tx.tx.Exec(ctx, `
			select from tasks where id in (select task_id from deliveries where id = $1 or bundle_id = $1) order by id for share`, *deliveryID); err != nil {
			return err
		}
		of := pgUUIDs([]uuid.UUID{*deliveryID})
		if _, err := tx.tx.Exec(ctx, lockOfBundles, of); err != nil {
			return err
		}
		var state DeliveryState
		var leased, wanted, verifies bool
		if err := tx.tx.QueryRow(ctx, `select reminder_id is null and bundle_id is null and agenda_id is null from deliveries where id = $1`, *deliveryID).Scan(&verifies); err != nil {
			return err
		}
		if verifies {
			return fault.Conflict("it asks the owner of an address to verify it, and its code is old by now; its user can ask for another, and you can discard it")
		}
		if err := tx.tx.QueryRow(ctx, `
			select d.state, d.state = 'sending' and d.next_attempt_at > now(), d.agenda_id is not null or exists (
				select from deliveries d join reminders r on r.id = d.reminder_id join tasks t on t.id = r.task_id
				where (d.id = $1 or d.bundle_id = $1) and not (`+notWanted+`))
			from deliveries d where d.id = $1`, *deliveryID).
			Scan(&state, &leased, &wanted); err != nil {
			return err
		}
		switch {
		case leased:
			return fault.Conflict("it is being sent right now; look again in a moment")
		case state == Sent && !force:
			return fault.Conflict("it was sent already; force the replay to send it a second time")
		case state == Cancelled && !force:
			return fault.Conflict("it was cancelled; force the replay to send it all the same")
		case !wanted && !force:
			return fault.Conflict("its task was deleted, completed or moved since; force the replay to send it all the same")
		case state == Unknown && !force:
			return fault.Conflict("its provider may have taken it, and it is tried again by itself; force the replay to send it at once")
		}
		if _, err := tx.tx.Exec(ctx, `
			update deliveries d set `+anew+`, next_attempt_at = now(),
				tries = `+triedAs("'replayed'", "null::text", "now()")+`,
				-- Who may have taken it stays the only one who gets it, unless that is forced, too.
				provider = case when provider_fixed and not $2 then provider end, provider_fixed = provider_fixed and not $2
			where id = $1`, *deliveryID, force); err != nil {
			return err
		}
		if _, err := tx.tx.Exec(ctx, membersFollow, of); err != nil {
			return err
		}
		_, err = tx.tx.Exec(ctx, `update dead_letters set state = 'retrying', alerted_at = null, updated_at = now() where id = $1`, id)
		return err
	})
	if err != nil {
		return DeadLetter{}, err
	}
	return s.GetDeadLetter(ctx, id)
}

// DiscardDeadLetter lets go of a dead letter. A delivery that would be tried again
// is given up with it.
func (s *Store) DiscardDeadLetter(ctx context.Context, id uuid.UUID) error {
	return s.InTx(ctx, func(ctx context.Context, tx Tx) error {
		of, err := collectIDs(tx.tx.Query(ctx, `select delivery_id from dead_letters where id = $1 and delivery_id is not null`, id))
		if err != nil {
			return err
		}
		for _, sql := range []string{lockOfBundles, `
			update deliveries set state = 'cancelled', reason = 'discarded', next_attempt_at = null, finished_at = now()
			where id = any($1) and state in ('planned', 'sending', 'unknown')`, membersFollow} {
			if _, err := tx.tx.Exec(ctx, sql, pgUUIDs(of)); err != nil {
				return err
			}
		}
		tag, err := tx.tx.Exec(ctx, `update dead_letters set state = 'discarded', updated_at = now() where id = $1`, id)
		if err == nil && tag.RowsAffected() == 0 {
			return errNoDeadLetter
		}
		return err
	})
}

// CountDeadLetters counts the dead letters of each state.
func (s *Store) CountDeadLetters(ctx context.Context) (map[string]int, error) {
	counts := map[string]int{}
	err := s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `select state, count(*) from dead_letters group by state`)
		var state string
		var n int
		_, err := pgx.ForEachRow(rows, []any{&state, &n}, func() error {
			counts[state] = n
			return nil
		})
		return err
	})
	return counts, err
}

// Unalerted returns dead letters that the operators have not been told of, the
// oldest first.
func (s *Store) Unalerted(ctx context.Context, limit int) (list []DeadLetter, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select `+deadLetterColumns+` from `+fromDeadLetters+` where l.state = 'dead' and l.alerted_at is null order by l.id limit $1`, limit)
		list, err = pgx.CollectRows(rows, scanDeadLetter)
		return err
	})
	return list, err
}

// MarkAlerted records that the operators were told of a dead letter.
func (s *Store) MarkAlerted(ctx context.Context, id uuid.UUID) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `update dead_letters set alerted_at = now() where id = $1`, id)
		return err
	})
}
