package store_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// disagreeing returns the users whose counts differ from their rows, in one snapshot.
const disagreeing = `
	select x.id || ': counted ' || c::text || ', there are ' || r::text
	from users x
	cross join lateral (%s) c (unread, total)
	cross join lateral (
		select count(*) filter (where read_at is null and archived_at is null), count(*) filter (where archived_at is null)
		from notifications n where n.user_id = x.id
	) r (unread, total)
	where c is distinct from r`

// The counts agree with the rows in every snapshot, whatever is changed concurrently. A client that
// keeps reading from its latest change on ends up with the state of the rows.
func TestCountsAgreeWithTheRows(t *testing.T) {
	s, url := storetest.Open(t)
	users := []string{"ada", "bob", "eve", "zoe"}
	for _, user := range users {
		if err := s.SaveUser(t.Context(), store.User{ID: user}); err != nil {
			t.Fatal(err)
		}
	}
	all := func(user string) []store.Received {
		list, _, err := s.NotificationsAfter(t.Context(), []store.Reader{{UserID: user}}, 100_000)
		if err != nil {
			t.Error(err)
		}
		return list
	}
	pick := func() string { return users[rand.N(len(users))] }
	var changed, readAll, purged, deleted atomic.Int64
	operator := connect(t, url)
	work := map[string]func() error{
		"fire": func() error {
			var firings []store.Firing
			for range 1 + rand.N(4) {
				firings = append(firings, store.Firing{InApp: &store.Notification{ID: uuid.Must(uuid.NewV7()), UserID: pick(), TaskID: uuid.New(), Title: "x"}})
			}
			return s.Fire(t.Context(), nil, store.Neighbours{}, func([]store.LockedReminder, store.Look) ([]store.Firing, error) { return firings, nil })
		},
		"change": func() error {
			user := pick()
			list := all(user)
			if len(list) == 0 {
				return nil
			}
			change := []store.InboxChange{store.MarkRead, store.MarkUnread, store.Archive, store.Unarchive}[rand.N(4)]
			_, did, err := s.ChangeNotification(t.Context(), user, list[rand.N(len(list))].ID, change)
			if did {
				changed.Add(1)
			}
			return err
		},
		"read all": func() error {
			user := pick()
			list := all(user)
			if len(list) == 0 || rand.N(5) > 0 {
				return nil
			}
			did, err := s.ReadAll(t.Context(), user, list[rand.N(len(list))].ID)
			if did {
				readAll.Add(1)
			}
			return err
		},
		"purge": func() error {
			n, err := s.Purge(t.Context(), store.ReadNotifications, 0, 1+rand.N(5))
			purged.Add(int64(n))
			return err
		},
		"an operator": func() error {
			tag, err := operator.Exec(t.Context(), `delete from notifications where id = (select id from notifications where user_id = $1 limit 1)`, pick())
			deleted.Add(tag.RowsAffected())
			return err
		},
	}
	var workers, watchers sync.WaitGroup
	for what, do := range work {
		copies := 2
		if what == "an operator" {
			copies = 1 // of the connection
		}
		for range copies {
			workers.Go(func() {
				for range 200 {
					if err := do(); err != nil && fault.CodeOf(err) != fault.CodeNotFound {
						t.Errorf("%s: %v", what, err)
					}
				}
			})
		}
	}
	done := make(chan struct{})
	compare := fmt.Sprintf(disagreeing, strings.ReplaceAll(store.SelectCounts, "$1", "x.id"))
	checker, checks := connect(t, url), 0
	check := func() {
		rows, err := checker.Query(context.Background(), compare)
		if err != nil {
			t.Error(err)
			return
		}
		defer rows.Close()
		for rows.Next() {
			var wrong string
			if err := rows.Scan(&wrong); err != nil {
				t.Error(err)
			}
			t.Error(wrong)
		}
		checks++
	}
	watchers.Go(func() {
		for !t.Failed() {
			select {
			case <-done:
				return
			default:
				check()
			}
		}
	})
	copies := map[string]map[uuid.UUID]store.Received{}
	readers := make([]store.Reader, len(users))
	for i, user := range users {
		copies[user], readers[i] = map[uuid.UUID]store.Received{}, store.Reader{UserID: user}
	}
	follow := func() {
		came, changes, err := s.NotificationsAfter(context.Background(), readers, 100_000)
		if err != nil {
			t.Error(err)
		}
		for _, n := range append(came, changes...) {
			copies[n.UserID][n.ID] = n
			r := &readers[slices.Index(users, n.UserID)]
			r.Seq, r.ChangeSeq = max(r.Seq, n.Seq), max(r.ChangeSeq, n.ChangeSeq)
		}
	}
	watchers.Go(func() {
		for {
			select {
			case <-done:
				return
			default:
				follow()
			}
		}
	})
	workers.Wait()
	close(done)
	watchers.Wait()
	check()
	follow()
	for _, user := range users {
		want := store.Counts{}
		for _, n := range all(user) {
			if n.ArchivedAt == nil {
				want.Total++
				if n.ReadAt == nil {
					want.Unread++
				}
			}
			if c := copies[user][n.ID]; c.ChangeSeq != n.ChangeSeq || (c.ReadAt == nil) != (n.ReadAt == nil) || (c.ArchivedAt == nil) != (n.ArchivedAt == nil) {
				t.Errorf("a reader has %+v, the row is %+v", c, n)
			}
		}
		if got, err := s.CountNotifications(t.Context(), user); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", user, got, err, want)
		}
	}
	if changed.Load() == 0 || readAll.Load() == 0 || purged.Load() == 0 || deleted.Load() == 0 || checks < 10 {
		t.Errorf("too little was done: %d changes, %d times all read, %d purged, %d deleted, %d checks",
			changed.Load(), readAll.Load(), purged.Load(), deleted.Load(), checks)
	}
}

// A user with thousands of notifications is told of a new one without waiting for a reader, and a
// reader does not wait for it. The counts are read, not counted.
func TestCountsHoldUpNobody(t *testing.T) {
	s, url := storetest.Open(t)
	list := tell(t, s, "ada", 2)
	if _, _, err := s.ChangeNotification(t.Context(), "ada", list[0].ID, store.MarkRead); err != nil {
		t.Fatal(err)
	}
	c := connect(t, url)
	exec(t, c, `begin`)
	exec(t, c, `select from notification_counts where user_id = 'ada' for update`)
	tell(t, s, "ada", 1)
	exec(t, c, `rollback; begin`)
	exec(t, c, `select from users where id = 'ada' for no key update`) // as firing does
	if _, _, err := s.ChangeNotification(t.Context(), "ada", list[1].ID, store.MarkRead); err != nil {
		t.Error(err)
	}
	exec(t, c, `rollback; begin; lock table notifications in access exclusive mode`)
	if n, err := s.CountNotifications(t.Context(), "ada"); err != nil || n != (store.Counts{Unread: 1, Total: 3}) {
		t.Errorf("%+v, %v", n, err)
	}
	exec(t, c, `rollback`)
	for _, user := range []string{"nobody", "bob"} {
		if n, err := s.CountNotifications(t.Context(), user); err != nil || n != (store.Counts{}) {
			t.Errorf("%s: %+v, %v", user, n, err)
		}
		if err := s.SaveUser(t.Context(), store.User{ID: "bob"}); err != nil {
			t.Fatal(err)
		}
	}
}

// In a large inbox each statement reads only the rows that it needs, by its own index. Any number
// of notifications can be marked as read with one call.
func TestLargeInbox(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	const rows, read = 20_000, 5_000 // more than one transaction marks
	exec(t, c, `insert into users (id, last_seq) values ('ada', $1)`, rows)
	exec(t, c, `
		insert into notifications (id, user_id, seq, task_id, title, body)
		select gen_random_uuid(), 'ada', i, gen_random_uuid(), 'x', 'y' from generate_series(1, $1) i`, rows)
	var last uuid.UUID
	if err := c.QueryRow(t.Context(), `select id from notifications where seq = $1`, read).Scan(&last); err != nil {
		t.Fatal(err)
	}
	for _, want := range []bool{true, false} {
		if changed, err := s.ReadAll(t.Context(), "ada", last); err != nil || changed != want {
			t.Errorf("%v, %v, want %v", changed, err, want)
		}
		if n, err := s.CountNotifications(t.Context(), "ada"); err != nil || n != (store.Counts{Unread: rows - read, Total: rows}) {
			t.Errorf("%+v, %v", n, err)
		}
	}
	exec(t, c, `update notifications set archived_at = now() where seq % 10 = 0`)
	exec(t, c, `update notifications set read_at = now() where seq % 10 between 1 and 3`)
	exec(t, c, `update notifications set change_seq = seq where seq > 19900`)
	exec(t, c, `vacuum analyze notifications`)
	exec(t, c, `set enable_seqscan = off`)                 // as the store has it
	exec(t, c, `set plan_cache_mode = force_generic_plan`) // one for all users and places
	for what, statement := range store.InboxStatements {
		exec(t, c, `prepare x as `+statement.SQL)
		args := `('ada', 10000, 100)`
		if strings.Contains(statement.SQL, "unnest") {
			args = `('{ada}', '{19950}', 100)`
		}
		var plan strings.Builder
		r, err := c.Query(t.Context(), `explain (analyze, timing off, summary off) execute x `+args)
		if err != nil {
			t.Fatal(err)
		}
		for r.Next() {
			var line string
			if err := r.Scan(&line); err != nil {
				t.Fatal(err)
			}
			plan.WriteString(line + "\n")
		}
		if err := r.Err(); err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(plan.String(), " using "+statement.Index+" ") || strings.Contains(plan.String(), "Seq Scan on notif") || strings.Contains(plan.String(), "Removed by Filter") {
			t.Errorf("%s is not read by %s alone:\n%s", what, statement.Index, plan.String())
		}
		exec(t, c, `deallocate x`)
	}
}

// A change to a state that the notification already has is not a change. A call that waited for a
// concurrent change sees its result.
func TestChangesAreIdempotent(t *testing.T) {
	s, url := storetest.Open(t)
	n := tell(t, s, "ada", 1)[0]
	change := func(c store.InboxChange, want bool) store.Received {
		t.Helper()
		got, changed, err := s.ChangeNotification(t.Context(), "ada", n.ID, c)
		if err != nil || changed != want {
			t.Errorf("changed: %v, %v, want %v", changed, err, want)
		}
		return got
	}
	change(store.MarkUnread, false)
	change(store.Unarchive, false)
	first := change(store.MarkRead, true)
	if again := change(store.MarkRead, false); first.ReadAt == nil || !first.ReadAt.Equal(*again.ReadAt) || again.ChangeSeq != first.ChangeSeq {
		t.Errorf("%+v, then %+v", first, again)
	}
	archived := change(store.Archive, true)
	if archived.ArchivedAt == nil || !archived.ReadAt.Equal(*first.ReadAt) || archived.ChangeSeq <= first.ChangeSeq {
		t.Errorf("archived: %+v", archived)
	}
	if back := change(store.Unarchive, true); back.ArchivedAt != nil || !back.ReadAt.Equal(*first.ReadAt) {
		t.Errorf("brought back: %+v", back)
	}
	if unread := change(store.MarkUnread, true); unread.ReadAt != nil {
		t.Errorf("unread: %+v", unread)
	}

	c := connect(t, url)
	for _, other := range []struct {
		set      string // what the other changes
		want     bool   // that there is still something to do
		undo     store.InboxChange
		archived bool
	}{
		{`read_at = '2020-01-01Z'`, false, store.MarkUnread, false}, // the same
		{`archived_at = now()`, true, store.Unarchive, true},
	} {
		exec(t, c, `begin`)
		exec(t, c, `update notifications set `+other.set)
		answered := make(chan store.Received)
		go func() { answered <- change(store.MarkRead, other.want) }()
		for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && count(t, c, `pg_locks where not granted`) == 0; {
			time.Sleep(time.Millisecond)
		}
		exec(t, c, `commit`)
		if got := <-answered; got.ReadAt == nil || (got.ReadAt.Year() == 2020) == other.want || (got.ArchivedAt != nil) != other.archived {
			t.Errorf("after %s: %+v", other.set, got)
		}
		change(other.undo, true)
	}

	for _, id := range []uuid.UUID{uuid.New(), tell(t, s, "eve", 1)[0].ID} {
		if _, changed, err := s.ChangeNotification(t.Context(), "ada", id, store.MarkRead); changed || fault.CodeOf(err) != fault.CodeNotFound {
			t.Errorf("%v, %v", changed, err)
		}
		if changed, err := s.ReadAll(t.Context(), "ada", id); changed || fault.CodeOf(err) != fault.CodeNotFound {
			t.Errorf("%v, %v", changed, err)
		}
	}
	if n, err := s.CountNotifications(t.Context(), "eve"); err != nil || n != (store.Counts{Unread: 1, Total: 1}) {
		t.Errorf("another's: %+v, %v", n, err)
	}
}
