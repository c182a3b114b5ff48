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

// DeadLetterState is the state of a dead letter.
type DeadLetterState string

// The states.
const (
	Retrying  DeadLetterState = "retrying"  // it is tried again by itself
	Dead      DeadLetterState = "dead"      // it was given up, or is malformed: an operator has to act
	Resolved  DeadLetterState = "resolved"  // it was sent later, or is not wanted any more
	Discarded DeadLetterState = "discarded" // an operator has discarded it
)

// DeadLetterStates lists every state there is.
var DeadLetterStates = []DeadLetterState{Retrying, Dead, Resolved, Discarded}

// DeadLetter is a delivery that failed, or a malformed callback.
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

// KeepMalformed stores a malformed callback as a dead letter. Nothing retries it. If the same
// callback comes again, KeepMalformed only counts it.
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

// storable cuts a text to a number of bytes, and removes what Postgres can't store.
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
	Channel  task.Channel // the delivery's
	Provider string       // of the delivery's latest attempt
	// Since and Until bound the time of its first failure: at Since or later, and before Until.
	Since, Until time.Time
}

// isOfFilter is the condition for a dead letter l that a filter asks for. d is its delivery; a
// malformed callback has none, so d is null.
const isOfFilter = `(@state = '' or l.state = @state) and (@channel = '' or d.channel = @channel) and (@provider = '' or d.provider = @provider)
	and l.id > @since and l.id < @until`

// args returns the arguments of isOfFilter, and more. It compares times with ids, which are in the
// order of time.
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

// ListDeadLetters returns up to limit dead letters that f asks for, the newest first. after is the
// last id of the page before. more reports whether there are more.
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

// MostReplayed is how many dead letters one call of ReplayDeadLetters replays at most.
const MostReplayed = 10_000

const (
	// isWanted is the condition for a dead letter l whose delivery is still wanted. A bundle is wanted if
	// at least one of its reminders is. An agenda always is, since it tells what is true when it is sent.
	isWanted = `(
		exists (select from deliveries d where d.id = l.delivery_id and d.agenda_id is not null)
		or exists (
			select from deliveries d join reminders r on r.id = d.reminder_id join tasks t on t.id = r.task_id
			where (d.id = l.delivery_id or d.bundle_id = l.delivery_id) and not (` + notWanted + `)))`
	// isReplayable is the condition for a dead letter l with delivery d that can be replayed without
	// force.
	isReplayable = `d.state in ('planned', 'exhausted') and l.state in ('retrying', 'dead') and ` + isWanted
)

// CountReplayable counts the dead letters that f asks for and that can be replayed without force.
// It stops at [MostReplayed].
func (s *Store) CountReplayable(ctx context.Context, f DeadLetterFilter) (n int, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `select count(*) from (select from `+fromDeadLetters+` where `+isOfFilter+` and `+isReplayable+` limit @limit) l`,
			f.args(pgx.NamedArgs{"limit": MostReplayed})).Scan(&n)
	})
	return n, err
}

// anew resets a delivery d to how it was planned. The caller adds next_attempt_at.
const anew = `state = 'planned', attempts = 0, round = 0, round_over = true, finished_at = null, counted = 0, reason = null`

// mostReplayedTogether is how many are replayed in one transaction.
const mostReplayedTogether = 500

// ReplayDeadLetters replays up to most of the dead letters that f asks for, the oldest first, each
// as [Store.ReplayDeadLetter] does without force. A bundle counts as one. In each second perSecond of
// them become due, so that a provider that has just recovered is not overrun. Dead letters whose rows
// another transaction holds are skipped. On an error, replayed says how many were replayed all the same.
func (s *Store) ReplayDeadLetters(ctx context.Context, f DeadLetterFilter, most, perSecond int) (replayed int, err error) {
	var last uuid.UUID
	for most = min(most, MostReplayed); replayed < most; {
		limit := min(mostReplayedTogether, most-replayed)
		var seen, done int
		err := s.InTx(ctx, func(ctx context.Context, tx Tx) error {
			rows, _ := tx.tx.Query(ctx, `
				select l.id, l.delivery_id from `+fromDeadLetters+` where `+isOfFilter+` and `+isReplayable+` and l.id > @last order by l.id limit @limit`,
				f.args(pgx.NamedArgs{"last": last, "limit": limit}))
			var letter, delivery uuid.UUID
			var letters, deliveries []uuid.UUID
			_, err := pgx.ForEachRow(rows, []any{&letter, &delivery}, func() error {
				letters, deliveries = append(letters, letter), append(deliveries, delivery)
				return nil
			})
			if seen, done = len(letters), 0; err != nil || seen == 0 {
				return err
			}
			// These locks keep everybody from changing the tasks and from sending until the transaction ends. The
			// last statement sees what was committed before.
			tasks, err := collectIDs(tx.tx.Query(ctx, `
				select id from tasks where id in (select task_id from deliveries where id = any ($1) or bundle_id = any ($1)) order by id for share skip locked`, pgUUIDs(deliveries)))
			if err != nil {
				return err
			}
			locked, err := collectIDs(tx.tx.Query(ctx, `
				select id from deliveries where id = any ($1) or bundle_id = any ($1) order by id for no key update skip locked`, pgUUIDs(deliveries)))
			if err != nil {
				return err
			}
			begun, err := collectIDs(tx.tx.Query(ctx, `
				with chosen as materialized (
					select l.id as letter, d.id, row_number() over (order by l.id) - 1 as place from `+fromDeadLetters+`
					where l.id = any (@letters) and `+isReplayable+` and not exists (
						select from deliveries m where (m.id = d.id or m.bundle_id = d.id) and (m.id <> all (@locked) or m.task_id <> all (@tasks)))
				), replayed as (
					update deliveries d set `+anew+`,
						next_attempt_at = now() + (@before + chosen.place) / @rate::float8 * interval '1 s',
						tries = `+triedAs("'replayed'", "null::text", "now() + (@before + chosen.place) / @rate::float8 * interval '1 s'")+`,
						provider = case when provider_fixed then provider end
					from chosen where d.id = chosen.id
				), settled as (
					update dead_letters l set state = 'retrying', alerted_at = null, updated_at = now() from chosen where l.id = chosen.letter
				)
				select id from chosen`,
				pgx.NamedArgs{"letters": pgUUIDs(letters), "tasks": pgUUIDs(tasks), "locked": pgUUIDs(locked), "before": replayed, "rate": perSecond}))
			if err != nil {
				return err
			}
			if _, err := tx.tx.Exec(ctx, membersFollow, pgUUIDs(begun)); err != nil {
				return err
			}
			done = len(begun)
			last = letters[seen-1]
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

// GetDeadLetter returns a dead letter. The error is not_found if there is none.
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

// Tries returns the tries of a delivery, the oldest first. A delivery that does not exist has none.
func (s *Store) Tries(ctx context.Context, deliveryID uuid.UUID) (tries []Try, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		err := c.QueryRow(ctx, `select coalesce((select tries from deliveries where id = $1), '[]')`, deliveryID).Scan(&tries)
		inUTC(tries)
		return err
	})
	return tries, err
}

// ReplayDeadLetter makes a dead letter's delivery due at once, and counts its attempts from zero. A
// bundle's delivery sends the same reminders again, and an agenda's what is true then.
//
// The error is a conflict for a delivery that is being sent right now, a malformed callback, and a
// verification. Unless force is set, it is a conflict too for a delivery that was sent, that its
// provider may have taken, that was cancelled, or whose task was deleted, completed or moved after
// it was given up.
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
			return fault.Conflict("this callback is malformed, so there is nothing to replay; discard it")
		}
		// Nobody changes the task, or the tasks of a bundle, until the transaction ends. The next
		// statement sees what was committed before.
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
			return fault.Conflict("it is a verification, and its code has expired; discard it, its user can ask for another one")
		}
		if err := tx.tx.QueryRow(ctx, `
			select d.state, d.state = 'sending' and d.next_attempt_at > now(), `+isWanted+` from `+fromDeadLetters+` where l.id = $1`, id).
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
				-- A provider that may have taken it stays the only one that gets it, unless force
				-- is set.
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

// DiscardDeadLetter marks a dead letter as discarded. If its delivery would be tried again, that is
// cancelled.
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

// Unalerted returns up to limit dead letters of which no alert was sent, the oldest first.
func (s *Store) Unalerted(ctx context.Context, limit int) (list []DeadLetter, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		rows, _ := c.Query(ctx, `
			select `+deadLetterColumns+` from `+fromDeadLetters+` where l.state = 'dead' and l.alerted_at is null order by l.id limit $1`, limit)
		list, err = pgx.CollectRows(rows, scanDeadLetter)
		return err
	})
	return list, err
}

// MarkAlerted records that the operators were alerted to a dead letter.
func (s *Store) MarkAlerted(ctx context.Context, id uuid.UUID) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `update dead_letters set alerted_at = now() where id = $1`, id)
		return err
	})
}
