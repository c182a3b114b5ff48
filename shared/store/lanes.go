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

// Lane is a group of deliveries that wait for parties of one kind. Each channel belongs to one,
// except in-app, which needs no sender.
type Lane string

// The lanes.
const (
	Hosts     Lane = "hosts"     // those that users choose: webhooks, and the push services of browsers
	Providers Lane = "providers" // the operator's, for e-mail, SMS and push to apps
	Events    Lane = "events"
)

// Lanes lists every lane there is.
var Lanes = []Lane{Hosts, Providers, Events}

// isBrowser is the condition for a delivery d to a browser. Its push service is a host that the
// user has chosen.
const isBrowser = `d.channel = 'push' and d.target like 'webpush:%'`

// in returns the condition for deliveries d of a lane. It implies the condition of the lane's index
// of due deliveries.
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

// host returns the SQL for whom a delivery d is sent to: the host of a URL for webhooks and
// browsers, or else a name for the provider.
func (l Lane) host() string {
	switch l {
	case Hosts:
		// The port 443, a dot at the end, and a missing path make no difference.
		return `rtrim(replace(split_part(lower(split_part(d.target, '/', 3)), '?', 1) || '/', ':443/', ''), './')`
	case Providers:
		return `case d.channel when 'push' then split_part(d.target, ':', 1) else d.channel end`
	default:
		return `d.channel`
	}
}

// isOpen is the condition for a delivery d that is still to be sent.
const isOpen = `d.state in ('planned', 'sending', 'unknown')`

// isUnsent is the condition for a delivery d that is open, or that waits in a bundle.
const isUnsent = `d.finished_at is null`

// UserHost is a host, as one user's deliveries go to it.
type UserHost struct{ User, Host string }

// PassedOver lists hosts that are skipped: for all users, and for one user each.
type PassedOver struct {
	Hosts []string
	Of    []UserHost
}

// DueDelivery is a delivery that may be leased, with its user and its host, as [Lane] groups them.
type DueDelivery struct {
	ID           uuid.UUID
	UserID, Host string
	Channel      task.Channel
	Target       string
	Bundle       bool // it carries a bundle
}

// DueDeliveries returns up to limit deliveries of a lane that may be leased: the earliest of each
// user, then the second of each, and so on. Deliveries to hosts in over are skipped. soon is how
// long until the next delivery of the lane becomes due; nil if there is none.
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

// AnyDueWithin reports whether any delivery may be leased now, or within d.
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
