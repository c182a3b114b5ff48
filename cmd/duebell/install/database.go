package install

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/duebell/duebell/shared/store/migrate"
)

// database checks whether the database is suitable.
func (i *inspection) database(ctx context.Context) (found []Finding) {
	url, theirs := i.databaseURL()
	if url == "" {
		return []Finding{hint("export DATABASE_URL=postgres://duebell:PASSWORD@HOST:5432/duebell", "DATABASE_URL is not set here, and no secret has it: the database was not looked at")}
	}
	if f := badURL(url); f != nil {
		return []Finding{*f}
	}
	ctx, cancel := context.WithTimeout(ctx, 2*patience)
	defer cancel()
	first, err := connect(ctx, url.Reveal())
	if err != nil {
		if theirs {
			return []Finding{hint("", "the database of the secret can't be reached from here, which says little: %v; set DATABASE_URL to look at it", err)}
		}
		return []Finding{bad(`psql "$DATABASE_URL" -c 'select 1'`, "it can't be reached: %v", err)}
	}
	defer first.Close(context.WithoutCancel(ctx))

	var facts struct {
		version             int
		name, user          string
		standby, mayCreate  bool
		connections, limits int
	}
	// Each of these limits the user's connections. The smallest counts.
	err = first.QueryRow(ctx, `
		select current_setting('server_version_num')::int, current_database(), current_user, pg_is_in_recovery(),
			coalesce(has_schema_privilege(current_schema(), 'create'), false),
			current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int - coalesce(current_setting('reserved_connections', true), '0')::int,
			(select least(nullif(r.rolconnlimit, -1), nullif(d.datconnlimit, -1), 1000000) from pg_roles r, pg_database d where r.rolname = current_user and d.datname = current_database())`).Scan(
		&facts.version, &facts.name, &facts.user, &facts.standby, &facts.mayCreate, &facts.connections, &facts.limits)
	if err != nil {
		return []Finding{bad(`psql "$DATABASE_URL" -c 'select 1'`, "it does not answer: %v", explain(err))}
	}
	number := strconv.Itoa(facts.version/10000) + "." + strconv.Itoa(facts.version%10000)
	switch {
	case facts.standby:
		found = append(found, bad(`psql "$DATABASE_URL" -c 'select pg_is_in_recovery()'`, "it is a copy that can only be read: DATABASE_URL must name the primary"))
	case facts.version < 150000:
		found = append(found, bad("", "Postgres %s answers; Duebell needs 15 or later", number))
	default:
		found = append(found, good("Postgres %s answers", number))
	}
	found = append(found, i.schema(ctx, first, facts.mayCreate && !facts.standby, facts.user)...)
	found = append(found, i.connections(min(facts.connections, facts.limits))...)
	return append(found, i.pooler(ctx, first, url.Reveal())...)
}

func connect(ctx context.Context, url string) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	cfg, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, errors.New("DATABASE_URL can't be read")
	}
	cfg.DefaultQueryExecMode = pgx.QueryExecModeExec // stores nothing in a session, which a pooler may not keep
	c, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return nil, explain(err)
	}
	return c, nil
}

// explain returns why the database refused, without parts of its URL, which pgx's errors have.
func explain(err error) error {
	var refused *pgconn.PgError
	var cause interface{ Unwrap() error }
	switch {
	case errors.As(err, &refused):
		return fmt.Errorf("%s (SQLSTATE %s)", refused.Message, refused.Code)
	case errors.Is(err, context.DeadlineExceeded):
		return errors.New("no answer in time")
	case errors.As(err, &cause) && cause.Unwrap() != nil:
		return cause.Unwrap()
	}
	return err
}

// schema checks whether the database is migrated, or can be.
func (i *inspection) schema(ctx context.Context, c *pgx.Conn, mayCreate bool, user string) []Finding {
	named := func(f Finding) []Finding { f.Name = "schema"; return []Finding{f} }
	const (
		asks = `psql "$DATABASE_URL" -c 'select * from goose_db_version'`
		ours = "build/bin/duebell migrate"
	)
	want, err := migrate.Version()
	if err != nil {
		return named(bad(asks, "%v", err))
	}
	has, err := schemaOf(ctx, c)
	switch {
	case err != nil:
		return named(bad(asks, "which schema it has can't be told: %v", explain(err)))
	case has > want:
		return named(hint("build/bin/duebell version", "its schema is %d, later than this program's %d", has, want))
	case has == want:
		return named(good("it is migrated, to %d", has))
	case !mayCreate:
		return named(bad(`psql "$ADMIN_DATABASE_URL" -c 'grant create, usage on schema public to "`+user+`"'`, "its schema is %d of %d, and the user %s may not create tables: the migration would fail", has, want, user))
	case has == 0:
		return named(hint(ours, "it is not migrated yet; an installation begins with that"))
	default:
		return named(hint(ours, "its schema is %d of %d; an upgrade begins with the migration", has, want))
	}
}

// schemaOf returns the number of the database's latest migration, 0 for none.
func schemaOf(ctx context.Context, c *pgx.Conn) (version int64, err error) {
	var there bool
	if err = c.QueryRow(ctx, `select to_regclass('goose_db_version') is not null`).Scan(&there); err == nil && there {
		err = c.QueryRow(ctx, `select coalesce(max(version_id), 0) from goose_db_version where is_applied`).Scan(&version)
	}
	return version, err
}

// connections checks whether there are enough for what the manifests may open.
func (i *inspection) connections(has int) []Finding {
	one, all := i.opens()
	if all == 0 {
		return nil
	}
	next := fmt.Sprintf(`psql "$ADMIN_DATABASE_URL" -c 'alter system set max_connections = %d' # then restart Postgres`, (all+one)/50*50+100)
	f := good("%d connections are allowed, and the functions open %d at most", has, all)
	switch {
	case has < one:
		f = bad(next, "%d connections are allowed, and one copy of each function opens %d: requests would fail", has, one)
	case has < all:
		f = hint(next, "%d connections are allowed, and the functions open %d if all are at their max-scale: in a spike some would wait and try again", has, all)
	}
	f.Name = "connections"
	return []Finding{f}
}

// opens returns how many connections to the database one copy of each function may open, and how
// many all copies.
func (i *inspection) opens() (one, all int) {
	for _, o := range i.objects {
		if o.Kind != "Service" && o.Kind != "Function" {
			continue
		}
		annotations, containers, err := o.pods()
		if err != nil || len(containers) == 0 {
			continue
		}
		conns, copies := 8, 1 // the function's defaults; without a limit there is nothing to count
		if n, err := strconv.Atoi(containers[0].value("DATABASE_MAX_CONNS")); err == nil {
			conns = n
		}
		if n, err := strconv.Atoi(annotations["autoscaling.knative.dev/max-scale"]); err == nil {
			copies = n
		}
		one, all = one+conns, all+conns*copies
	}
	return one, all
}

// pooler checks whether a pooler gives a connection to others between two statements. Duebell would
// then lose its settings and prepared statements. Only with such a pooler does one process of
// Postgres serve two clients that are connected at the same time.
func (i *inspection) pooler(ctx context.Context, first *pgx.Conn, url string) []Finding {
	named := func(f Finding) []Finding { f.Name = "pooler"; return []Finding{f} }
	second, err := connect(ctx, url)
	if err != nil {
		return named(bad(`psql "$DATABASE_URL" -c 'select 1'`, "a second connection is refused: %v", err))
	}
	defer second.Close(context.WithoutCancel(ctx))
	var pids [2]map[int]bool
	for n, c := range []*pgx.Conn{first, second, first, second, first, second} {
		var pid int
		if err := c.QueryRow(ctx, `select pg_backend_pid()`).Scan(&pid); err != nil {
			return named(bad(`psql "$DATABASE_URL" -c 'select 1'`, "it does not answer: %v", explain(err)))
		}
		if pids[n%2] == nil {
			pids[n%2] = map[int]bool{}
		}
		pids[n%2][pid] = true
	}
	shared := len(pids[0]) > 1 || len(pids[1]) > 1
	for pid := range pids[0] {
		shared = shared || pids[1][pid]
	}
	if shared {
		return named(bad("export DATABASE_URL=postgres://duebell:PASSWORD@HOST:5432/duebell # Postgres itself, or pool_mode = session",
			"DATABASE_URL leads through a pooler in transaction mode: notices to the inbox would be lost, and statements fail"))
	}
	return named(good("each connection has a session of its own"))
}
