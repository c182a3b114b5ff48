package store

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// Lane is a kind of parties that deliveries wait for. Each channel but the in-app one,
// which needs no sender, belongs to one.
type Lane string

// The lanes.
const (
	Hosts     Lane = "hosts"     // those that users choose: webhooks, and the push services of browsers
	Providers Lane = "providers" // the operator's, for e-mail, SMS and push
	Events    Lane = "events"
)

// Lanes lists every lane there is.
var Lanes = []Lane{Hosts, Providers, Events}

// isBrowser says that a delivery d goes to a browser, whose push service is a host that its user
// has chosen.
const isBrowser = `d.channel = 'push' and d.target like 'webpush:%'`

// in returns the condition for the deliveries d of a lane. Each lane has its index of what
// is due, whose condition follows from this one.
func (l Lane) in() string {
	switch l {
	case Hosts:
		return `(d.channel = 'webhook' or ` + isBrowser + `)`
	case Providers:
		return `d.channel in ('email', 'push', 'sms') and not (` + isBrowser + `)`
	default:
		return `d.channel = 'event'`
	}
}

// host returns whom a lane's delivery d is for: the host of a webhook's or push service's URL,
// or else what stands for the provider.
func (l Lane) host() string {
	switch l {
	case Hosts:
		// However it is written: with the usual port, with a dot at its end, or without a path.
		return `rtrim(replace(split_part(lower(split_part(d.target, '/', 3)), '?', 1) || '/', ':443/', ''), './')`
	case Providers:
		return `case d.channel when 'push' then split_part(d.target, ':', 1) else d.channel end`
	default:
		return `d.channel`
	}
}

// isOpen says that a delivery d still wants something done.
const isOpen = `d.state in ('planned', 'sending', 'unknown')`

// isUnsent says that a delivery d is not finished: it is open, or waits in a bundle.
const isUnsent = `d.finished_at is null`

// UserHost is a host, and for whom.
type UserHost struct{ User, Host string }

// PassedOver names what is not wanted: hosts for everybody, and hosts of one user.
type PassedOver struct {
	Hosts []string
	Of    []UserHost
}

// DueDelivery is a delivery that may be taken, whose it is, and whom it is for: a host, or
// what stands for a provider.
type DueDelivery struct {
	ID           uuid.UUID
	UserID, Host string
	Channel      task.Channel
	Target       string
	Bundle       bool // it is a bundle's
}

// DueDeliveries returns deliveries of a lane that may be taken, at most so many: of each
// user the earliest, then of each the second, and so on. soon is how long until the next
// one may be taken that can't be yet, nil if there is none. Both leave out nothing but what is passed over.
func (s *Store) DueDeliveries(ctx context.Context, lane Lane, over PassedOver, limit int) (due []DueDelivery, soon *time.Duration, err error) {
	hosts := pgtype.FlatArray[string](notNil(over.Hosts))
	users, of := pgtype.FlatArray[string]{}, pgtype.FlatArray[string]{}
	for _, o := range over.Of {
		users, of = append(users, o.User), append(of, o.Host)
	}
	err = s.exchange(ctx, func(batch *pgx.Batch) {
		batch.Queue(`
			select id, user_id, host, channel, target, bundle_id is not null from (
				select d.id, d.user_id, d.host, d.channel, d.target, d.bundle_id, d.next_attempt_at, row_number() over (partition by d.user_id order by d.next_attempt_at, d.id) as turn
				from (select d.*, `+lane.host()+` as host from deliveries d where `+isOpen+` and `+lane.in()+` and d.next_attempt_at <= now()) d
				where d.host <> all ($1) and (d.user_id, d.host) not in (select * from unnest($2::text[], $3::text[]))
			) d order by turn, next_attempt_at limit $4`, hosts, users, of, limit).Query(func(rows pgx.Rows) error {
			due, err = pgx.CollectRows(rows, pgx.RowToStructByPos[DueDelivery])
			return err
		})
		batch.Queue(`
			select d.next_attempt_at - now() from deliveries d
			where ` + isOpen + ` and ` + lane.in() + ` and d.next_attempt_at > now() order by d.next_attempt_at limit 1`).QueryRow(func(row pgx.Row) error {
			err := row.Scan(&soon)
			if errors.Is(err, pgx.ErrNoRows) {
				return nil
			}
			return err
		})
	})
	return due, soon, err
}

// AnyDueWithin reports whether any delivery may be taken now, or within a while.
func (s *Store) AnyDueWithin(ctx context.Context, d time.Duration) (any bool, err error) {
	var lanes []string
	for _, l := range Lanes {
		lanes = append(lanes, `exists (select from deliveries d where `+isOpen+` and `+l.in()+` and d.next_attempt_at <= now() + $1::interval)`)
	}
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		return c.QueryRow(ctx, `select `+strings.Join(lanes, ` or `), d).Scan(&any)
	})
	return any, err
}
