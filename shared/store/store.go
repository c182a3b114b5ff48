// Package store keeps users, tasks, reminders, deliveries and notifications in Postgres. It has all
// of the SQL and none of the rules. Packages schedule, fire, deliver and upkeep call both.
//
// Rows are always locked in the order task, reminder, leftover job, delivery, user, notification,
// notification counts. Rows of one kind are locked in the order of their ids, but notifications in the
// order of their numbers. An agenda is locked after its user. A transaction that has locked an agenda
// waits for no delivery.
//
// Errors are faults: not_found for what does not exist or is another user's, unavailable while the
// database is away.
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

// Config has the database's URL, and how many connections one process may use.
type Config struct {
	URL      config.Secret `env:"DATABASE_URL,required" help:"the database, like postgres://user:password@host:5432/duebell"`
	MaxConns int32         `env:"DATABASE_MAX_CONNS" envDefault:"8" help:"how many connections one process has at most"`
}

// CheckURL reports what is wrong with a database URL. Its error never quotes the URL: pgx's own
// errors would show parts of a password that it mistakes for a host or a database.
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

// Limits that keep a stuck function from blocking others. The server enforces the first two, so
// they also hold for a process that is paused or cut off.
const (
	statementTimeout = 10 * time.Second
	idleInTxTimeout  = 10 * time.Second
	// lockTimeout is how long a statement waits for a lock that somebody else holds.
	lockTimeout = 2 * time.Second
	// batchLockTimeout is the lock timeout of transactions that serve several callers. They fail
	// soon, and then each caller tries alone.
	batchLockTimeout = 250 * time.Millisecond
	// patience is how long an operation retries while the database refuses connections, as it does
	// when it is starting.
	patience = 1500 * time.Millisecond
	// operationTimeout bounds an operation, with all its tries and the wait for a connection.
	operationTimeout = 15 * time.Second
)

// session is run on each new connection. These settings are not sent as start-up parameters: a
// pooler such as PgBouncer knows few of those, and refuses the others.
var session = fmt.Sprintf(`
	set statement_timeout = %d;
	set lock_timeout = %d;
	set idle_in_transaction_session_timeout = %d;
	-- Every statement has its index. While new tables grow, Postgres does not yet know their size.
	-- It takes them for tiny, and would scan them.
	set enable_seqscan = off;
	-- Compiling takes longer than any of our statements.
	set jit = off`, statementTimeout.Milliseconds(), lockTimeout.Milliseconds(), idleInTxTimeout.Milliseconds())

// Store is a pool of connections to Duebell's database. It is safe for
// concurrent use.
type Store struct {
	pool   *pgxpool.Pool
	forget func() // unregisters its metrics
}

// Open returns a Store without connecting. The first use connects, so a function can start while
// the database is away.
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

// Tx is a transaction. Its methods say which locks they take; locks are held until the transaction
// ends.
type Tx struct{ tx pgx.Tx }

// InTx runs fn in a transaction (read committed). It commits if fn returns nil, and rolls back
// otherwise. It runs fn again if the server chose the transaction as a deadlock's victim, so fn
// must have no effect outside the transaction.
func (s *Store) InTx(ctx context.Context, fn func(context.Context, Tx) error) error {
	return again(func() error {
		return s.inTx(ctx, pgx.TxOptions{}, func(ctx context.Context, tx pgx.Tx) error { return fn(ctx, Tx{tx}) })
	})
}

// again runs a transaction up to three times, as long as the server rolls it back because of a
// conflict.
func again(transaction func() error) (err error) {
	for range 3 {
		if err = transaction(); !isRollback(err) {
			break
		}
	}
	return err
}

// Sharing says whether a transaction serves several callers.
type Sharing bool

// A Shared transaction waits for a lock for a quarter of a second, so that the holder of one row
// does not delay all callers. An Alone one waits for two seconds. After that the error is one that
// [IsHeld] reports.
const (
	Shared Sharing = true
	Alone  Sharing = false
)

// queue sets the lock timeout of the transaction.
func (s Sharing) queue(batch *pgx.Batch) {
	if s == Shared {
		batch.Queue(`select set_config('lock_timeout', $1, true)`, fmt.Sprint(batchLockTimeout.Milliseconds()))
	}
}

// exchange sends the statements that fill queues in one exchange with the server, as one
// transaction. It retries as InTx does.
func (s *Store) exchange(ctx context.Context, fill func(*pgx.Batch)) error {
	return again(func() error {
		return s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
			var batch pgx.Batch
			fill(&batch)
			return c.SendBatch(ctx, &batch).Close()
		})
	})
}

// snapshot runs fn in a read-only transaction that sees one consistent state of the database.
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
			// pgx may call it safe to retry a commit that was sent but not answered.
			return backoff.Permanent(err)
		}
		return nil
	})
}

// notBegun is the error of a transaction that did not begin, for example because the pooled
// connection's server is gone. Nothing has happened, so another connection may be tried.
type notBegun struct{ error }

// SafeToRetry is called by pgconn.SafeToRetry. It is false if the server answered with an error and
// kept the connection: it would answer the same again.
func (n notBegun) SafeToRetry() bool {
	pg, ok := errors.AsType[*pgconn.PgError](n.error)
	return !ok || pg.SeverityUnlocalized != "ERROR"
}

// Unwrap returns the cause.
func (n notBegun) Unwrap() error { return n.error }

// isRollback reports whether the server rolled back a transaction that may succeed when run again:
// serialization_failure or deadlock_detected.
func isRollback(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == "40001" || pg.Code == "40P01")
}

// do runs fn on a connection, and returns its error as a fault. It retries for up to patience while
// nothing has reached the server.
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

// IsHeld reports whether err says that another transaction held a lock for too long. Nothing was
// changed then.
func IsHeld(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && pg.Code == "55P03" // lock_not_available
}

// IsAway reports whether err says that the database is away, so that any other operation would
// fail, too.
func IsAway(err error) bool { return fault.CodeOf(err) == fault.CodeUnavailable && !IsHeld(err) }

// asFault turns database errors into faults. Faults and other errors are returned as they are.
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
	// Errors that are neither the server's nor ours come from the network: no connection, a broken
	// one, or a timeout.
	var network net.Error
	if unconnected || errors.As(err, &network) || pgconn.Timeout(err) ||
		errors.Is(err, pgconn.ErrConnClosed) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) ||
		errors.Is(err, context.DeadlineExceeded) {
		return fault.Unavailable(err, "the database is not available; try again")
	}
	return err
}
