// Package store keeps Duebell's truth in Postgres: users, tasks, reminders,
// deliveries and notifications. It holds all the SQL and none of the rules;
// packages schedule, fire, deliver and upkeep compose the two.
//
// A row is always locked in the order task, reminder, leftover job, delivery, user,
// notification, counts of notifications, and several of one kind in the order of their ids;
// notifications in their users' order. An agenda is locked after its user; who has done that waits for no
// delivery. Errors are faults: not_found for
// what isn't there or is another user's, unavailable while the database is away.
package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"

	"github.com/cenkalti/backoff/v5"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/metrics"
)

// Config says where the database is and how much of it one process may use.
type Config struct {
	URL      config.Secret `env:"DATABASE_URL,required" help:"the database, like postgres://user:password@host:5432/duebell"`
	MaxConns int32         `env:"DATABASE_MAX_CONNS" envDefault:"8" help:"how many connections one process keeps at most"`
}

// CheckURL reports why a URL is not that of a database. Its error does not repeat what it is
// about; pgx's own would, and what connects to it would tell parts of a password for names of
// hosts and databases.
func CheckURL(url config.Secret) error {
	_, err := parseURL(url)
	return err
}

func parseURL(url config.Secret) (*pgxpool.Config, error) {
	wrong := errors.New("DATABASE_URL is not a Postgres URL; write it like postgres://user:password@host:5432/duebell")
	if !strings.HasPrefix(url.Reveal(), "postgres://") && !strings.HasPrefix(url.Reveal(), "postgresql://") {
		return nil, wrong
	}
	parsed, err := pgxpool.ParseConfig(url.Reveal())
	if err != nil {
		return nil, wrong
	}
	names := []string{parsed.ConnConfig.Host, parsed.ConnConfig.Database}
	for _, other := range parsed.ConnConfig.Fallbacks {
		names = append(names, other.Host)
	}
	if strings.Contains(strings.Join(names, ""), "@") || strings.Contains(parsed.ConnConfig.Database, "/") {
		return nil, errors.New("DATABASE_URL has an @ or / where none can be; in a password write @ as %40, / as %2F, # as %23, ? as %3F and % as %25")
	}
	return parsed, nil
}

// Validate reports what is wrong with the configuration.
func (c Config) Validate() error {
	var problems []error
	if err := CheckURL(c.URL); err != nil {
		problems = append(problems, err)
	}
	if c.MaxConns < 1 {
		problems = append(problems, errors.New("DATABASE_MAX_CONNS must be at least 1"))
	}
	return errors.Join(problems...)
}

// Limits that keep a stuck function from holding up the others. Both end the
// session's transaction on the server's side, so they hold for a function that
// is paused or cut off, too.
const (
	statementTimeout = 10 * time.Second
	idleInTxTimeout  = 10 * time.Second
	// lockTimeout is how long a statement waits for a lock that somebody else holds.
	lockTimeout = 2 * time.Second
	// batchLockTimeout is the same where the statement is for many who do not know each
	// other: it fails soon, and each of them then tries alone.
	batchLockTimeout = 250 * time.Millisecond
	// patience is how long an operation goes on trying to reach a database that
	// refuses connections, as one does that is just starting.
	patience = 1500 * time.Millisecond
	// operationTimeout bounds an operation with all its tries and the wait for
	// a free connection.
	operationTimeout = 15 * time.Second
)

// session is how every connection of the pool begins. It is said once there is a
// connection, and not with the parameters that it starts with: of these a pooler in
// between, such as PgBouncer, knows few, and refuses the others.
var session = fmt.Sprintf(`
	set statement_timeout = %d;
	set lock_timeout = %d;
	set idle_in_transaction_session_timeout = %d;
	-- Every statement has its index. Before Postgres has counted the rows of tables that
	-- have just begun to grow, it takes them for tiny, and would read them from end to end.
	set enable_seqscan = off;
	-- Compiling a statement takes longer than any of ours runs.
	set jit = off`, statementTimeout.Milliseconds(), lockTimeout.Milliseconds(), idleInTxTimeout.Milliseconds())

// Store is a pool of connections to Duebell's database. It is safe for
// concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	forget func() // its metrics
}

// Open makes a Store. It does not connect: that happens on first use, so that a
// function starts while the database is away, and recovers when it comes back.
func Open(cfg Config) (*Store, error) {
	pc, err := parseURL(cfg.URL)
	if err != nil {
		return nil, err
	}
	pc.MaxConns = cfg.MaxConns
	pc.MaxConnIdleTime = 5 * time.Minute
	pc.ConnConfig.ConnectTimeout = 2 * time.Second
	pc.ConnConfig.RuntimeParams["application_name"] = "duebell"
	pc.AfterConnect = func(ctx context.Context, c *pgx.Conn) error {
		// Times are in UTC, whatever zone the process runs in.
		c.TypeMap().RegisterType(&pgtype.Type{
			Name: "timestamptz", OID: pgtype.TimestamptzOID, Codec: &pgtype.TimestamptzCodec{ScanLocation: time.UTC},
		})
		_, err := c.Exec(ctx, session, pgx.QueryExecModeSimpleProtocol)
		return err
	}
	pool, err := pgxpool.NewWithConfig(context.Background(), pc)
	if err != nil {
		return nil, fmt.Errorf("open the database pool: %w", err)
	}
	return &Store{pool: pool, forget: metrics.WatchPool(func() metrics.Pool {
		s := pool.Stat()
		return metrics.Pool{
			Acquired: int(s.AcquiredConns()), Idle: int(s.IdleConns()), Max: int(s.MaxConns()),
			Waits: s.EmptyAcquireCount(), Waited: s.EmptyAcquireWaitTime(),
		}
	})}, nil
}

// Close ends the pool's connections, once those in use are given back.
func (s *Store) Close() {
	s.forget()
	s.pool.Close()
}

// Ping reports whether the database answers and has Duebell's tables.
func (s *Store) Ping(ctx context.Context) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		_, err := c.Exec(ctx, `select from tasks limit 0`)
		return err
	})
}

// Tx is a transaction. Its methods take the locks they name; all locks are held
// until the transaction ends.
type Tx struct{ tx pgx.Tx }

// InTx runs fn in a transaction at the isolation level read committed, commits
// if it returns nil, and rolls back otherwise. fn runs again if the server chose
// the transaction as a deadlock's victim, so it must have no effect outside the
// transaction before it returns.
func (s *Store) InTx(ctx context.Context, fn func(context.Context, Tx) error) error {
	return again(func() error {
		return s.inTx(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error { return fn(ctx, Tx{tx}) })
	})
}

// again runs a transaction, and runs it again while the server undoes it for the sake of
// others, three times in all.
func again(transaction func() error) (err error) {
	for range 3 {
		if err = transaction(); !isRollback(err) {
			break
		}
	}
	return err
}

// Sharing says whether a transaction is for many who do not know each other.
type Sharing bool

// The two kinds. What is Shared waits only a quarter of a second for a lock, so that who
// holds it holds up the others no longer; what is done Alone waits two seconds. Either
// fails then with an error of which [IsHeld] is true.
const (
	Shared Sharing = true
	Alone  Sharing = false
)

// queue has the transaction keep to it.
func (s Sharing) queue(batch *pgx.Batch) {
	if s == Shared {
		batch.Queue(`select set_config('lock_timeout', $1, true)`, fmt.Sprint(batchLockTimeout.Milliseconds()))
	}
}

// exchange runs the statements that fill queues in one exchange with the server, as one
// transaction. It tries again as InTx does.
func (s *Store) exchange(ctx context.Context, fill func(*pgx.Batch)) error {
	return again(func() error {
		return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
			var batch pgx.Batch
			fill(&batch)
			return c.SendBatch(ctx, &batch).Close()
		})
	})
}

// snapshot runs fn, which only reads, on one consistent state of the database.
func (s *Store) snapshot(ctx context.Context, fn func(context.Context, pgx.Tx) error) error {
	return s.inTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}, fn)
}

func (s *Store) inTx(ctx context.Context, options pgx.TxOptions, fn func(context.Context, pgx.Tx) error) error {
	return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		tx, err := c.BeginTx(ctx, options)
		if err != nil {
			return notBegun{err}
		}
		defer func() { _ = tx.Rollback(ctx) }() // does nothing after the commit
		if err := fn(ctx, tx); err != nil {
			return err
		}
		if err := tx.Commit(ctx); err != nil {
			// pgx may call a commit that was sent and not answered safe to retry.
			return backoff.Permanent(err)
		}
		return nil
	})
}

// notBegun is why a transaction did not begin: on a connection, say, that the
// pool still had of a server that is gone. Nothing has happened, so the next try
// may be on another one.
type notBegun struct{ error }

// SafeToRetry is what pgconn.SafeToRetry asks. A statement that the server refuses, and
// the connection with it goes on, it would refuse again.
func (n notBegun) SafeToRetry() bool {
	pg, ok := errors.AsType[*pgconn.PgError](n.error)
	return !ok || pg.SeverityUnlocalized != "ERROR"
}

// Unwrap returns the cause.
func (n notBegun) Unwrap() error { return n.error }

// isRollback reports whether the server undid a transaction that may succeed
// when run again: serialization_failure or deadlock_detected.
func isRollback(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}

// do runs fn on a connection. It tries again while nothing has reached the
// server, for as long as its patience lasts, and turns what is left into a fault.
func (s *Store) do(ctx context.Context, fn func(context.Context, *pgxpool.Conn) error) error {
	ctx, cancel := context.WithTimeout(ctx, operationTimeout)
	defer cancel()
	attempt := func() (struct{}, error) {
		c, err := s.pool.Acquire(ctx)
		if err != nil {
			return struct{}{}, err
		}
		defer c.Release()
		err = fn(ctx, c)
		if err != nil && !pgconn.SafeToRetry(err) {
			err = backoff.Permanent(err)
		}
		return struct{}{}, err
	}
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval = 20*time.Millisecond, 200*time.Millisecond
	_, err := backoff.Retry(ctx, attempt, backoff.WithBackOff(pause), backoff.WithMaxElapsedTime(patience))
	return asFault(err)
}

// IsHeld reports whether err says that somebody else held a lock for too long. Nothing was
// changed then.
func IsHeld(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "55P03" // lock_not_available
}

// IsAway reports whether err says that the database is away: whoever tries the same meets
// the same.
func IsAway(err error) bool { return fault.CodeOf(err) == fault.CodeUnavailable && !IsHeld(err) }

// asFault says in Duebell's terms what a database error means. Faults and
// errors of other origins pass through.
func asFault(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	_, unconnected := errors.AsType[*pgconn.ConnectError](err)
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok && !unconnected {
		switch {
		case IsHeld(err):
			return fault.Unavailable(err, "somebody else is changing the same at this moment; try again")
		case pg.Code == "42P01" || pg.Code == "42703" || pg.Code == "3F000": // undefined table, column, schema
			return fault.Unavailable(err, "the database lacks Duebell's tables; run `duebell migrate`")
		case pg.Code[:2] == "08", pg.Code[:2] == "53", pg.Code[:2] == "57", // connection, resources, operator intervention
			isRollback(err), pg.Code == "25P03": // idle in transaction
			return fault.Unavailable(err, "the database is not available; try again")
		}
		return err
	}
	// What is neither the server's answer nor ours comes from the way there: no
	// connection, whatever the server says to that, one that broke, or a time limit.
	var network net.Error
	if unconnected || errors.As(err, &network) || pgconn.Timeout(err) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) {
		return fault.Unavailable(err, "the database is not available; try again")
	}
	return err
}
