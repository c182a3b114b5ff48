package store_test

import (
	"testing"
	"time"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// A page of a list by due date reads about as many rows as it returns, also for a user with many
// tasks. A user can't have so many recurring tasks that a page would be slow: they are refused.
func TestListsReadLittle(t *testing.T) {
	_, url := storetest.Open(t)
	c := connect(t, url)
	exec(t, c, `insert into users (id) values ('ada'), ('eve'), ('rex')`)
	const rows = 20_000
	exec(t, c, `
		insert into tasks (id, user_id, title, due_date, due_local, time_zone, completed, created_at, updated_at)
		select gen_random_uuid(), case when i % 2 = 0 then 'ada' else 'eve' end, 'task ' || i, at, case when i % 4 = 0 then at at time zone 'UTC' end, case when i % 4 = 0 then 'UTC' end, i % 3 = 0, now(), now()
		from generate_series(1, $1) i, lateral (select '2090-01-01T00:00Z'::timestamptz + i * interval '1 h') as d (at)`, rows)
	exec(t, c, `
		insert into tasks (id, user_id, title, due_date, due_local, time_zone, recurrence, created_at, updated_at)
		select gen_random_uuid(), 'rex', 'task', now(), now() at time zone 'UTC', 'UTC', '{"rule":"FREQ=DAILY","skip":"omit","from":"schedule"}', now(), now()
		from generate_series(1, 10001)`)
	exec(t, c, `analyze`)

	s, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 1})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	all := map[bool]int{}
	pages := 0
	for _, ascending := range []bool{true, false} {
		for f := (store.Filter{Sort: store.ByDueDate, Ascending: ascending, Limit: 500}); ; pages++ {
			tasks, next, err := s.ListTasks(t.Context(), "ada", f)
			if err != nil {
				t.Fatal(err)
			}
			if all[ascending] += len(tasks); next == nil {
				break
			}
			f.After = next
		}
	}
	if all[true] != rows/2 || all[false] != rows/2 {
		t.Errorf("listed %v", all)
	}
	if _, _, err := s.ListTasks(t.Context(), "rex", store.Filter{Sort: store.ByDueDate, Limit: 1}); fault.CodeOf(err) != fault.CodeInvalid {
		t.Errorf("of too many recurring tasks: %v", err)
	}
	if tasks, next, err := s.ListTasks(t.Context(), "rex", store.Filter{Limit: 1}); err != nil || len(tasks) != 1 || next == nil {
		t.Errorf("by creation: %v, %v, %v", tasks, next, err)
	}
	s.Close() // A connection reports the rows that it has read when it is closed.
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline) && count(t, c, `pg_stat_activity where datname = current_database() and application_name = 'duebell'`) > 0; {
		time.Sleep(10 * time.Millisecond)
	}
	var read, scans int
	if err := c.QueryRow(t.Context(), `
		select i.idx_tup_read, t.seq_scan from pg_stat_user_indexes i join pg_stat_user_tables t on t.relid = i.relid where i.indexrelname = 'tasks_by_due'`).Scan(&read, &scans); err != nil {
		t.Fatal(err)
	}
	// Instants and wall-clock times are read separately. For wall-clock times some more rows are
	// read than the page has.
	if most := 10 * rows; read == 0 || read > most {
		t.Errorf("%d rows were read by tasks_by_due for %d pages, want at most %d", read, pages, most)
	}
	if scans > 0 {
		t.Error("the table was read from end to end")
	}
}
