package main

import (
	"testing"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/zone"
)

// The status is computed from rows: how much is waiting, how late the last hour's reminders were,
// what providers answered, and what the last sweep found.
func TestStatus(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	read := func() status {
		t.Helper()
		return functiontest.Decode[status](w, s.Call("GET", "/api/status", nil, "Authorization", "Bearer "+w.AdminToken()), 200)
	}
	empty := read()
	if empty.LastSweep != nil || empty.LastCleanup != nil || empty.Dapr.State != "unknown" || empty.Lateness.P50Seconds != nil || empty.Versions.Schema < 30 ||
		empty.Versions.TimeZones != zone.Release() || empty.Database.Version == "" || empty.Database.AnswerSeconds <= 0 || empty.DeadLetters["dead"] != 0 || empty.OldestWaitingSeconds["firing"] != 0 {
		t.Errorf("of an empty database: %+v", empty)
	}

	made := w.Seed("ada", task.Draft{Title: "x"})
	reminder := `insert into reminders (id, task_id, user_id, before, fire_at, state, revision) select gen_random_uuid(), '` + made.ID.String() + `', 'ada', '2 h', now() - interval '90 s', 'armed', 1`
	w.Exec(reminder)
	// Ids are in the order of time. There are 100 reminders that were 1 to 100 s late, each with
	// two deliveries, and one of the day before.
	w.Exec(`
		with t as (select (extract(epoch from now()) * 1000)::bigint as ms), r as (
			insert into reminders (id, task_id, user_id, before, state, revision) select gen_random_uuid(), '` + made.ID.String() + `', 'ada', '1 h', 'cancelled', 1 returning id
		)
		insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, provider, last_error, due_at, finished_at, created_at)
		select (lpad(to_hex(t.ms - age), 12, '0') || '7000' || '8000' || lpad(to_hex(n * 2 + k), 12, '0'))::uuid, r.id, n, '` + made.ID.String() + `', 'ada', 'email', k::text,
			case k when 0 then 'sent' else 'failed' end, case k when 0 then 'ses' else 'sendgrid' end, case k when 1 then 'error ' || n end,
			now() - (late + age / 1000.0) * interval '1 s', now() - age * interval '1 ms' - (101 - n) * interval '1 ms', now() - age * interval '1 ms'
		from t, r, (select n, n as late, 0 as age from generate_series(1, 100) n union all select 101, 5000, 86400000) l, generate_series(0, 1) k`)
	if err := w.Store.SaveRun(t.Context(), store.CleanupRun, store.Run{Complete: true}); err != nil {
		t.Fatal(err)
	}
	for _, complete := range []bool{true, false} { // the latest counts
		if err := w.Store.SaveRun(t.Context(), store.SweepRun, store.Run{
			Complete: complete, Failed: []string{"check_sentinel"}, Sentinel: "lost", Pending: 7, Providers: map[task.Channel][]string{task.Email: {"ses"}, task.SMS: {"twilio"}},
		}); err != nil {
			t.Fatal(err)
		}
	}
	got := read()
	if waits := got.OldestWaitingSeconds["firing"]; waits < 90 || waits > 600 {
		t.Errorf("the oldest waits for %v s", waits)
	}
	if l := got.Lateness; l.Reminders != 100 || l.P50Seconds == nil || *l.P50Seconds < 50 || *l.P50Seconds > 51 || *l.P99Seconds < 99 || *l.P99Seconds > 100 {
		t.Errorf("late: %+v", l)
	}
	want := []provider{
		{store.ProviderStatus{Channel: task.Email, Provider: "sendgrid", Failed: 100, LatestError: "error 100"}, false},
		{store.ProviderStatus{Channel: task.Email, Provider: "ses", Sent: 100}, true},
		{store.ProviderStatus{Channel: task.SMS, Provider: "twilio"}, true},
	}
	if len(got.Providers) != 3 || got.Providers[0] != want[0] || got.Providers[1] != want[1] || got.Providers[2] != want[2] {
		t.Errorf("providers: %+v", got.Providers)
	}
	if got.Dapr != (dapr{"lost", 7}) || got.LastSweep == nil || got.LastSweep.Complete || len(got.LastSweep.Failed) != 1 || got.LastCleanup == nil || !got.LastCleanup.Complete {
		t.Errorf("sweep %+v, cleanup %+v, Dapr %+v", got.LastSweep, got.LastCleanup, got.Dapr)
	}

	w.WantProblem(s.As("ada", "GET", "/api/status", nil), 403, "forbidden", "scope admin")
	w.WantProblem(s.Call("GET", "/api/status", nil), 401, "unauthenticated", "")
}
