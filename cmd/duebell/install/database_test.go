package install

import (
	"context"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgproto3"

	"github.com/duebell/duebell/shared/config"
)

// exec runs statements in the fake's database.
func (f *fake) exec(statements string) {
	f.t.Helper()
	c, err := pgx.Connect(f.t.Context(), f.database)
	if err != nil {
		f.t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(f.t.Context(), statements, pgx.QueryExecModeSimpleProtocol); err != nil {
		f.t.Fatal(err)
	}
}

// as creates a database user with these options, and returns the database's URL for it. The end of
// the test removes the user.
func (f *fake) as(options string) config.Secret {
	f.t.Helper()
	u, err := url.Parse(f.database)
	if err != nil {
		f.t.Fatal(err)
	}
	user := "ada_" + strings.TrimPrefix(u.Path, "/")
	f.exec(`create role "` + user + `" login password 'a-password' ` + options)
	f.t.Cleanup(func() {
		c, err := pgx.Connect(context.Background(), f.database)
		if err != nil {
			f.t.Error(err)
			return
		}
		defer c.Close(context.Background())
		if _, err := c.Exec(context.Background(), `drop owned by "`+user+`"; drop role "`+user+`"`, pgx.QueryExecModeSimpleProtocol); err != nil {
			f.t.Error(err)
		}
	})
	u.User = url.UserPassword(user, "a-password")
	return config.Secret(u.String())
}

const empty = `drop schema public cascade; create schema public`

func TestDatabase(t *testing.T) {
	for name, c := range map[string]struct {
		setUp      func(*fake, *Options)
		want, next string
	}{
		"it is empty": {func(f *fake, _ *Options) { f.exec(empty) }, "! schema: it is not migrated yet", "duebell migrate"},
		"it is older": {
			func(f *fake, _ *Options) { f.exec(`delete from goose_db_version where version_id > 3`) }, "! schema: its schema is 3 of ", "duebell migrate",
		},
		"it is newer": {
			func(f *fake, _ *Options) {
				f.exec(`insert into goose_db_version (version_id, is_applied) values (9999, true)`)
			}, "! schema: its schema is 9999, later", "duebell version",
		},
		"its user may make no tables": {
			func(f *fake, o *Options) { f.exec(empty); o.DatabaseURL = f.as("") }, "✗ schema: its schema is 0 of ", "grant create, usage on schema public",
		},
		"its user may not see the schema": {
			func(f *fake, o *Options) { o.DatabaseURL = f.as("") }, "✗ schema: which schema it has can't be told", "goose_db_version",
		},
		"its user has few connections": {
			func(f *fake, o *Options) { o.DatabaseURL = f.as("superuser connection limit 11") }, "✗ connections: 11 connections are allowed, and one copy of each function opens 12", "max_connections",
		},
		"its user has some connections": {
			func(f *fake, o *Options) { o.DatabaseURL = f.as("superuser connection limit 60") }, "! connections: 60 connections are allowed, and the functions open 100", "max_connections",
		},
		"its user has one connection": {
			func(f *fake, o *Options) { o.DatabaseURL = f.as("connection limit 1") }, "✗ pooler: a second connection is refused: too many connections", "psql",
		},
		"the password is wrong": {
			func(f *fake, o *Options) {
				o.DatabaseURL = config.Secret(strings.Replace(f.as("").Reveal(), "a-password", "c0ffee", 1))
			}, "✗ database: it can't be reached: password authentication failed", "psql",
		},
		"nobody answers": {func(_ *fake, o *Options) { o.DatabaseURL = "postgres://ada:c0ffee@127.0.0.1:1/duebell" }, "✗ database: it can't be reached", "psql"},
		"there is no such": {func(f *fake, o *Options) {
			o.DatabaseURL = config.Secret(strings.Replace(f.database, "?", "_none?", 1))
		}, "✗ database: it can't be reached", "psql"},
		"it is no URL":       {func(_ *fake, o *Options) { o.DatabaseURL = "host=c0ffee" }, "✗ database: DATABASE_URL is not a Postgres URL", "export DATABASE_URL"},
		"it is the secret's": {func(_ *fake, o *Options) { o.DatabaseURL = "" }, "✓ database: Postgres", ""},
		"it is the secret's, elsewhere": {
			func(f *fake, o *Options) {
				o.DatabaseURL = ""
				f.secret("duebell-database", "DATABASE_URL", "postgres://ada:c0ffee@127.0.0.1:1/duebell")
			}, "! database: the database of the secret can't be reached from here", "",
		},
		"it is nobody's":       {func(f *fake, o *Options) { o.DatabaseURL = ""; delete(f.cluster, secretsPath+"duebell-database") }, "! database: DATABASE_URL is not set here", "export DATABASE_URL"},
		"a pooler shares it":   {func(f *fake, o *Options) { o.DatabaseURL = pooled(f.t, f.database) }, "✗ pooler: DATABASE_URL leads through a pooler in transaction mode", "pool_mode = session"},
		"nothing was migrated": {func(f *fake, _ *Options) { f.exec(empty) }, "✗ sweep: the functions are there, and the database is not migrated", "logs job/migrate"},
		"nobody sweeps": {
			func(f *fake, _ *Options) {
				f.exec(`insert into users (id) values ('ada');
					insert into tasks (id, user_id, title, created_at, updated_at) values ('00000000-0000-0000-0000-000000000001', 'ada', 'a', now(), now());
					insert into reminders (id, task_id, user_id, before, fire_at, state, revision) values
						('00000000-0000-0000-0000-00000000000a', '00000000-0000-0000-0000-000000000001', 'ada', '0', '2026-01-02 03:04:05Z', 'armed', 1),
						('00000000-0000-0000-0000-00000000000b', '00000000-0000-0000-0000-000000000001', 'ada', '1', now() - interval '1 minute', 'armed', 1)`)
			}, "✗ sweep: 1 reminder is overdue, the oldest since 2026-01-02T03:04:05Z", "logs",
		},
	} {
		t.Run(name, func(t *testing.T) {
			f := newFake(t)
			o := f.options()
			c.setUp(f, &o)
			f.check(o)
			lines := f.lines()
			_, after, found := strings.Cut(lines, c.want)
			if !found || !strings.Contains(after, c.next) {
				t.Errorf("nothing says %q, and %q:\n%s", c.want, c.next, lines)
			}
			if strings.Contains(lines, "c0ffee") || strings.Contains(lines, "127.0.0.1:") && !strings.Contains(lines, "issuer") {
				t.Errorf("it shows a part of DATABASE_URL:\n%s", lines)
			}
		})
	}
}

// pooled returns the URL of a connection pooler for a database. It has one connection for all
// clients, and gives it to another client after each transaction.
func pooled(t *testing.T, database string) config.Secret {
	t.Helper()
	c, err := pgconn.Connect(t.Context(), database)
	if err != nil {
		t.Fatal(err)
	}
	server, err := c.Hijack()
	if err != nil {
		t.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var turn sync.Mutex
	var clients sync.WaitGroup
	t.Cleanup(func() {
		listener.Close()
		clients.Wait()
		server.Conn.Close()
	})
	clients.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			clients.Go(func() {
				defer client.Close()
				serve(pgproto3.NewBackend(client, client), server.Frontend, &turn)
			})
		}
	})
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.Host, u.RawQuery = listener.Addr().String(), "sslmode=disable"
	return config.Secret(u.String())
}

// serve forwards the messages of a client to the server, one at a time, until the client
// disconnects.
func serve(client *pgproto3.Backend, server *pgproto3.Frontend, turn *sync.Mutex) {
	if _, err := client.ReceiveStartupMessage(); err != nil {
		return
	}
	client.Send(&pgproto3.AuthenticationOk{})
	client.Send(&pgproto3.BackendKeyData{SecretKey: make([]byte, 4)})
	client.Send(&pgproto3.ReadyForQuery{TxStatus: 'I'})
	for client.Flush() == nil {
		said, err := client.Receive()
		if _, ends := said.(*pgproto3.Terminate); err != nil || ends {
			return
		}
		turn.Lock()
		again := transaction(said, client, server)
		turn.Unlock()
		if !again {
			return
		}
	}
}

func transaction(said pgproto3.FrontendMessage, client *pgproto3.Backend, server *pgproto3.Frontend) bool {
	for {
		server.Send(said)
		_, sync := said.(*pgproto3.Sync)
		if _, query := said.(*pgproto3.Query); sync || query {
			break
		}
		var err error
		if said, err = client.Receive(); err != nil {
			return false
		}
	}
	if server.Flush() != nil {
		return false
	}
	for {
		answer, err := server.Receive()
		if err != nil {
			return false
		}
		client.Send(answer)
		if _, ready := answer.(*pgproto3.ReadyForQuery); ready {
			return true
		}
	}
}
