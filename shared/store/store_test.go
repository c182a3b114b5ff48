package store_test

import (
	"context"
	"fmt"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/duebell/duebell/local/postgres/pgtest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/store/migrate"
	"github.com/duebell/duebell/shared/task"
)

// forever is the end of the horizon in tests that have none.
var forever = task.Horizon{}.Until(time.Time{})

func TestMain(m *testing.M) { storetest.Main(m) }

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	c, err := pgx.Connect(context.Background(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close(context.Background()) })
	return c
}

// insert stores a task of ada's with one armed reminder.
func insert(t *testing.T, s *store.Store) task.Task {
	t.Helper()
	if err := s.SaveUser(t.Context(), store.User{ID: "ada"}); err != nil {
		t.Fatal(err)
	}
	now := task.Instant(time.Now())
	due := now.Add(time.Hour)
	d := task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()}
	newID := func() uuid.UUID { return uuid.Must(uuid.NewV7()) }
	made := task.Task{ID: newID(), UserID: "ada", Draft: d, Version: 1, CreatedAt: now, UpdatedAt: now, Reminders: task.Plan(nil, d, now, 0, newID, task.Clock{})}
	if err := s.InTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
		_, err := tx.InsertTasks(ctx, []task.Task{made}, forever, 0)
		return err
	}); err != nil {
		t.Fatal(err)
	}
	return made
}

// The schema refuses rows that the code must never write.
func TestSchemaRefuses(t *testing.T) {
	s, url := storetest.Open(t)
	made := insert(t, s)
	c := connect(t, url)
	if err := s.InTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
		p := preferences.Default(true)
		p.Version = 1
		return tx.SavePreferences(ctx, "ada", p)
	}); err != nil {
		t.Fatal(err)
	}
	reminder, taskID := made.Reminders[0].ID.String(), made.ID.String()
	delivery := `insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, state, next_attempt_at, finished_at) values (gen_random_uuid(), '` + reminder + `', 1, '` + taskID + `', 'ada', 'email', `
	if _, err := c.Exec(t.Context(), delivery+`'planned', now(), null)`); err != nil {
		t.Fatal(err)
	}
	for what, sql := range map[string]string{
		"an empty title":                        `update tasks set title = ''`,
		"a title that is too long":              `update tasks set title = repeat('x', 501)`,
		"a due date beyond 9999":                `update tasks set due_date = '10000-01-01Z'`,
		"no channel at all":                     `update tasks set channels = '{}'`,
		"a task of nobody":                      `update tasks set user_id = 'nobody'`,
		"an unknown state of a reminder":        `update reminders set state = 'sleeping'`,
		"a reminder armed without an instant":   `update reminders set fire_at = null`,
		"a reminder armed and removed":          `update reminders set removed_at = now()`,
		"a reminder fired at no time":           `update reminders set state = 'fired'`,
		"a reminder confirmed ahead":            `update reminders set confirmed_revision = 2`,
		"two reminders at one offset":           `insert into reminders (id, task_id, user_id, before, state, revision) select gen_random_uuid(), task_id, user_id, before, 'cancelled', 0 from reminders`,
		"an offset too far after the due date":  `update reminders set before = '-367 days'`,
		"a second delivery of the same":         delivery + `'planned', now(), null)`,
		"a delivery that waits for no time":     `update deliveries set next_attempt_at = null`,
		"a finished delivery that still waits":  `update deliveries set state = 'sent', finished_at = now()`,
		"a delivery on an unknown channel":      `update deliveries set channel = 'pigeon'`,
		"a reminder gone before its deliveries": `delete from reminders`,
		"preferences of nobody":                 `update preferences set user_id = 'nobody'`,
		"preferences on an unknown channel":     `update preferences set channels = '{in_app,pigeon}'`,
		"preferences on no known channel":       `update preferences set channels = '{in_app,null}'`,
		"more addresses than there may be":      `update preferences set emails = array_fill('a@x.org'::text, '{6}')`,
		"an address that is null":               `update preferences set emails = '{null}'`,
		"a number that is null":                 `update preferences set phones = '{null}'`,
		"more devices than there may be":        `update preferences set devices = (select jsonb_agg(n) from generate_series(1, 21) n)`,
		"devices that are no list":              `update preferences set devices = '{}'`,
		"a delivery that stays with nobody":     `update deliveries set provider_fixed = true`,
		"an old secret of no webhook":           `update preferences set webhook_old_secret = 'x', webhook_old_secret_until = now()`,
		"an old secret for ever":                `update preferences set webhook_url = 'https://x.org', webhook_old_secret = 'x'`,
		"a webhook that is on and gone":         `update preferences set channels = '{webhook}', webhook_gone = true`,
		"a secret of no webhook":                `update preferences set webhook_secret = 'x'`,
		"e-mail that is on and unsubscribed":    `update preferences set unsubscribed = true`,
		"a second row of preferences":           `insert into preferences select * from preferences`,
	} {
		_, err := c.Exec(t.Context(), sql)
		if pg, ok := err.(*pgconn.PgError); !ok || !strings.HasPrefix(pg.Code, "23") { //nolint:errorlint // pgx returns it as it is
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestConfirmHoldsOnlyForWhatIsScheduled(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	tests := map[string]struct {
		meanwhile  string
		stale      bool
		wantStatus string
	}{
		"still so":   {``, false, "scheduled"},
		"armed anew": {`update reminders set revision = 2 where id = $1`, true, "pending"},
		"cancelled":  {`update reminders set state = 'cancelled' where id = $1`, true, "cancelled"},
		"fired":      {`update reminders set state = 'fired', fired_at = now() where id = $1`, false, "fired"},
	}
	for name, tt := range tests {
		made := insert(t, s)
		r := made.Reminders[0]
		if tt.meanwhile != "" {
			if _, err := c.Exec(t.Context(), tt.meanwhile, r.ID); err != nil {
				t.Fatal(err)
			}
		}
		stale, err := s.Confirm(t.Context(), store.Alone, []task.Revision{{ReminderID: r.ID, Number: 1}}, 0)
		if err != nil || (len(stale) == 1) != tt.stale {
			t.Errorf("%s: stale %v, %v", name, stale, err)
		}
		stored, err := s.GetTask(t.Context(), "ada", made.ID)
		if err != nil || stored.Reminders[0].Status(forever) != tt.wantStatus {
			t.Errorf("%s: stored as %s, %v", name, stored.Reminders[0].Status(forever), err)
		}
	}
}

func TestMigratingAtTheSameTimeAndTwice(t *testing.T) {
	url := pgtest.URL(t)
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `drop schema public cascade; create schema public`); err != nil {
		t.Fatal(err)
	}
	s, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ping(t.Context()); fault.CodeOf(err) != fault.CodeUnavailable || !strings.Contains(err.Error(), "duebell migrate") {
		t.Errorf("before: %v", err)
	}
	var group sync.WaitGroup
	var mu sync.Mutex
	applied := 0
	for range 4 {
		group.Go(func() {
			done, err := migrate.Up(context.Background(), url)
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			if len(done) > 0 {
				applied++
			}
		})
	}
	group.Wait()
	if applied != 1 {
		t.Errorf("%d of 4 migrated", applied)
	}
	if err := s.Ping(t.Context()); err != nil {
		t.Errorf("after: %v", err)
	}
}

func TestConfig(t *testing.T) {
	err := store.Config{URL: "postgres://duebell:hunter2@host:notaport/x", MaxConns: 0}.Validate()
	if err == nil || !strings.Contains(err.Error(), "DATABASE_URL") || !strings.Contains(err.Error(), "DATABASE_MAX_CONNS") || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("got %v", err)
	}
}

// No error and no log shows the password of DATABASE_URL. One that is not escaped may be parsed as
// another part of the URL, such as the host, which errors name.
func TestNoErrorTellsThePassword(t *testing.T) {
	for _, url := range []string{
		"postgres://duebell:hunt@er2@127.0.0.1:1/db", "postgres://duebell:hunt/er2@127.0.0.1:1/db", "postgres://duebell:12/hunt@er2@127.0.0.1:1/db", "postgres://duebell:12@127.0.0.1/hunt@er2/db",
		"postgres://duebell:hunt#er2@127.0.0.1:1/db", "postgres://duebell:hunt?er2@127.0.0.1:1/db", "postgres://duebell:hunt%er2@127.0.0.1:1/db", "postgres://duebell:hunt er2@127.0.0.1:1/db",
		"postgres://duebell:hunt:er2@127.0.0.1:1/db", "postgres://duebell:hunt[er2@127.0.0.1:1/db", "postgres://duebell:hunt,er2@127.0.0.1:1/db", "postgres://duebell:x@hunt,er2@127.0.0.1:1/db",
		"postgres://duebell:hunter2@127.0.0.1:notaport/db", "postgres://duebell:hunter2@127.0.0.1:1/db?sslmode=hunter2", "postgres://duebell:hunter2@127.0.0.1:1/db?connect_timeout=hunter2",
		"postgres://duebell@127.0.0.1:1/db?password=hunter2&x", "host=127.0.0.1 port=1 user=duebell password=hunt er2=x", "host=127.0.0.1 password='hunter2", "duebell:hunter2@127.0.0.1/db",
		"postgres//duebell:hunter2@127.0.0.1", "mysql://duebell:hunter2@127.0.0.1/db", "postgres://duebell:hunter2@127.0.0.1:1/db",
	} {
		cfg := store.Config{URL: config.Secret(url), MaxConns: 1}
		err := cfg.Validate()
		s, openErr := store.Open(cfg)
		if (openErr == nil) != (err == nil) {
			t.Errorf("%s: valid %v, opened %v", url, err, openErr)
		}
		errs := []error{err, openErr}
		if openErr == nil {
			ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
			errs = append(errs, s.Ping(ctx))
			cancel()
			s.Close()
		}
		for _, err := range errs {
			if told := fmt.Sprint(err); strings.Contains(told, "hunt") || strings.Contains(told, "er2") {
				t.Errorf("%s: %s", url, told)
			}
		}
	}
}

// The secret is set, kept or removed as the caller asks, and LockPreferences never reads it.
func TestWebhookSecretIsKept(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	if err := s.SaveUser(t.Context(), store.User{ID: "ada"}); err != nil {
		t.Fatal(err)
	}
	for i, step := range []struct {
		webhook *preferences.Webhook
		want    string
	}{
		{&preferences.Webhook{URL: "https://a.example"}, ""},
		{&preferences.Webhook{URL: "https://a.example", Secret: "one"}, "one"},
		{&preferences.Webhook{URL: "https://a.example", KeepSecret: true}, "one"},
		{&preferences.Webhook{URL: "https://a.example", Secret: "two"}, "two"},
		{&preferences.Webhook{URL: "https://b.example", KeepSecret: true}, ""},
		{&preferences.Webhook{URL: "https://b.example", Secret: "three"}, "three"},
		{&preferences.Webhook{URL: "https://b.example"}, ""},
		{&preferences.Webhook{URL: "https://b.example", Secret: "four"}, "four"},
		{nil, ""},
		{&preferences.Webhook{URL: "https://b.example", KeepSecret: true}, ""},
	} {
		err := s.InTx(t.Context(), func(ctx context.Context, tx store.Tx) error {
			p, _, err := tx.LockPreferences(ctx, "ada")
			if err != nil {
				return err
			}
			if p.Webhook != nil && p.Webhook.Secret != "" {
				t.Errorf("step %d: the secret was read", i)
			}
			p.Webhook = step.webhook
			p.Version++
			return tx.SavePreferences(ctx, "ada", p)
		})
		if err != nil {
			t.Fatal(err)
		}
		var got string
		if err := c.QueryRow(t.Context(), `select coalesce(webhook_secret, '') from preferences`).Scan(&got); err != nil || got != step.want {
			t.Errorf("step %d: %q, %v, want %q", i, got, err, step.want)
		}
	}
}

// Migrations can be undone, with rows that were written meanwhile.
func TestMigrationsGoDown(t *testing.T) {
	s, url := storetest.Open(t)
	made := insert(t, s)
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, finished_at)
		select gen_random_uuid(), $1, 1, $2, 'ada', 'sms', (select string_agg(md5(n::text), '') from generate_series(1, length) n), 'failed', now()
		from (values (1), (120)) as lengths (length)`, made.Reminders[0].ID, made.ID); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Exec(t.Context(), `update deliveries set channel = 'event'`); err != nil {
		t.Fatal(err)
	}
	var ups []string
	for _, name := range []string{"0016_audit_acts", "0010_providers", "0009_events", "0003_preferences"} {
		sql, err := os.ReadFile("migrate/" + name + ".sql")
		if err != nil {
			t.Fatal(err)
		}
		up, down, _ := strings.Cut(string(sql), "-- +goose Down")
		if _, err := c.Exec(t.Context(), down); err != nil {
			t.Fatal(name, err)
		}
		ups = append([]string{up}, ups...)
	}
	for _, up := range ups {
		if _, err := c.Exec(t.Context(), up); err != nil {
			t.Fatal(err)
		}
	}
}

// Texts were stored before control characters were refused. The store removes those, so that such
// tasks can be changed.
func TestOldTextsAreMended(t *testing.T) {
	_, url := storetest.Open(t)
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `insert into users (id) values ('ada'); insert into tasks (id, user_id, title, notes, created_at, updated_at) select gen_random_uuid(), 'ada', title, notes, now(), now() from (values
		(E'invoice\u202efdp.exe', E'a\r\n\tb\rc\u2066\u0085\u200d'), (E'two\n\tlines', ''), (E'\u001b', E'\u0007'), ('Pay rent 👨‍👩‍👧', 'Bank')) as old (title, notes)`); err != nil {
		t.Fatal(err)
	}
	sql, err := os.ReadFile("migrate/0012_texts.sql")
	if err != nil {
		t.Fatal(err)
	}
	up, _, _ := strings.Cut(string(sql), "-- +goose Down")
	for range 2 {
		if _, err := c.Exec(t.Context(), up); err != nil {
			t.Fatal(err)
		}
		rows, _ := c.Query(t.Context(), `select title, notes from tasks`)
		got := map[string]string{}
		var title, notes string
		if _, err := pgx.ForEachRow(rows, []any{&title, &notes}, func() error {
			got[title] = notes
			d := task.Draft{Title: title, Notes: notes}
			return d.Validate()
		}); err != nil {
			t.Error(err)
		}
		want := map[string]string{"invoice fdp.exe": "a\n\tb\nc\u200d", "two lines": "", "?": "", "Pay rent 👨‍👩‍👧": "Bank"}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Error(diff)
		}
	}
}

// InsertTasks stores the users of the tasks, with the latest address of each. A sign-in without an
// address leaves the stored one.
func TestInsertTasksRecordsUsers(t *testing.T) {
	s, url := storetest.Open(t)
	address := func(text string) *string { return &text }
	insert := func(users ...store.User) {
		t.Helper()
		var tasks []task.Task
		for _, u := range users {
			tasks = append(tasks, task.Task{ID: uuid.Must(uuid.NewV7()), UserID: u.ID, Draft: task.Draft{Title: "x"}, Version: 1})
		}
		if _, err := s.InsertTasks(t.Context(), store.Alone, users, tasks, nil, forever, 0); err != nil {
			t.Fatal(err)
		}
	}
	insert(store.User{ID: "new"}, store.User{ID: "kept", Email: address("k@example.com")}, store.User{ID: "twice", Email: address("1@example.com")},
		store.User{ID: "twice", Email: address("2@example.com")}, store.User{ID: "twice", KeepEmail: true}, store.User{ID: "gone", Email: address("g@example.com")}, store.User{ID: "unknown", KeepEmail: true})
	insert(store.User{ID: "kept", KeepEmail: true}, store.User{ID: "gone"}, store.User{ID: "new", Email: address("n@example.com")})

	c := connect(t, url)
	rows, _ := c.Query(t.Context(), `select id || ' ' || coalesce(email, '-') from users order by id`)
	got, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"gone -", "kept k@example.com", "new n@example.com", "twice 2@example.com", "unknown -"}
	if !slices.Equal(got, want) {
		t.Errorf("%q, want %q", got, want)
	}
	bad := task.Task{ID: uuid.Must(uuid.NewV7()), UserID: "late", Version: 1} // without a title
	if _, err := s.InsertTasks(t.Context(), store.Alone, []store.User{{ID: "late"}}, []task.Task{bad}, nil, forever, 0); err == nil {
		t.Error("a task without a title is stored")
	}
	var there bool
	if err := c.QueryRow(t.Context(), `select exists (select from users where id = 'late')`).Scan(&there); err != nil || there {
		t.Errorf("its user is recorded: %v, %v", there, err)
	}
}

// Every error that the server answers a new connection with counts as "the database is away": the
// request can't repair it, and can be repeated.
func TestServerThatTakesNoConnections(t *testing.T) {
	_, address := storetest.Open(t)
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	u.Path = "template0" // which never does
	s, err := store.Open(store.Config{URL: config.Secret(u.String()), MaxConns: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Ping(t.Context()); fault.CodeOf(err) != fault.CodeUnavailable {
		t.Error(err)
	}
}

// The address of the latest sign-in is stored, in whatever order the sign-ins come.
func TestAddressOfTheLatestSignIn(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	at := func(minute int) time.Time { return time.Date(2026, 11, 28, 12, minute, 0, 0, time.UTC) }
	address := func(a string) *string { return &a }
	if on, err := s.UpdateAddress(t.Context(), store.User{ID: "ada", Email: address("a@example.com"), AsOf: at(0)}); err != nil || on {
		t.Errorf("somebody who is not on record: %v, %v", on, err)
	}
	for i, step := range []struct {
		user store.User
		want string
	}{
		{store.User{ID: "ada", KeepEmail: true, AsOf: at(9)}, ""},
		{store.User{ID: "ada", Email: address("a@example.com"), AsOf: at(1)}, "a@example.com"},
		{store.User{ID: "ada", KeepEmail: true, AsOf: at(9)}, "a@example.com"},
		{store.User{ID: "ada", Email: address("b@example.com"), AsOf: at(3)}, "b@example.com"},
		{store.User{ID: "ada", Email: address("a@example.com"), AsOf: at(1)}, "b@example.com"},
		{store.User{ID: "ada", AsOf: at(2)}, "b@example.com"},
		{store.User{ID: "ada", AsOf: at(4)}, ""},
		{store.User{ID: "ada", Email: address("b@example.com"), AsOf: at(3)}, ""},
		{store.User{ID: "ada", Email: address("c@example.com"), AsOf: at(4)}, "c@example.com"},
	} {
		for what, save := range map[string]func(context.Context, store.User) error{
			"save": s.SaveUser,
			"update": func(ctx context.Context, u store.User) error {
				if u.KeepEmail {
					return nil
				}
				on, err := s.UpdateAddress(ctx, u)
				if err == nil && !on {
					t.Errorf("step %d: ada is not on record", i)
				}
				return err
			},
		} {
			if i == 0 && what == "update" {
				continue
			}
			if err := save(t.Context(), step.user); err != nil {
				t.Fatal(err)
			}
			var got string
			if err := c.QueryRow(t.Context(), `select coalesce(email, '') from users where id = 'ada'`).Scan(&got); err != nil || got != step.want {
				t.Errorf("step %d, %s: the address is %q, want %q (%v)", i, what, got, step.want, err)
			}
		}
	}
}

// An address that comes again is the latest one, whatever address came in between.
func TestAddressThatIsStillTheSame(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	at := func(minute int) time.Time { return time.Date(2026, 11, 28, 12, minute, 0, 0, time.UTC) }
	a, b := "a@example.com", "b@example.com"
	if err := s.SaveUser(t.Context(), store.User{ID: "ada", Email: &a, AsOf: at(0)}); err != nil {
		t.Fatal(err)
	}
	update := func(u store.User) {
		t.Helper()
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		if on, err := s.UpdateAddress(ctx, u); err != nil || !on {
			t.Fatal(on, err)
		}
	}
	update(store.User{ID: "ada", Email: &a, AsOf: at(20)})
	update(store.User{ID: "ada", Email: &b, AsOf: at(10)})
	var got string
	if err := c.QueryRow(t.Context(), `select email from users where id = 'ada'`).Scan(&got); err != nil || got != a {
		t.Errorf("the address is %q (%v)", got, err)
	}
	// A request doesn't wait for a transaction that has locked the user's row, such as a firing.
	if _, err := c.Exec(t.Context(), `begin; select from users where id = 'ada' for no key update`); err != nil {
		t.Fatal(err)
	}
	update(store.User{ID: "ada", Email: &a, AsOf: at(40)})
	if _, err := c.Exec(t.Context(), `rollback`); err != nil {
		t.Fatal(err)
	}
}
