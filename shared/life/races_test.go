package life_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/duebell/duebell/local/postgres/pgtest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// holdOpen runs SQL in a transaction that stays open until release.
func (w *world) holdOpen(sql string) (release func()) {
	w.Helper()
	c, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := c.Exec(context.Background(), "begin; "+sql); err != nil {
		w.Fatal(err)
	}
	return func() {
		_, _ = c.Exec(context.Background(), "commit")
		_ = c.Close(context.Background())
	}
}

// waiting waits until n sessions of the pool wait for a lock, or a channel is closed.
func (w *world) waiting(n int, unless ...<-chan struct{}) {
	w.Helper()
	c, err := pgx.Connect(context.Background(), w.url)
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close(context.Background())
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		var got int
		_ = c.QueryRow(context.Background(), `select count(*) from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`).Scan(&got)
		if got >= n || slices.ContainsFunc(unless, isClosed) {
			return
		}
	}
	w.Fatalf("%d sessions never waited for a lock", n)
}

func TestUpdatesOfATaskWithoutRemindersAreSerial(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{Before: task.Exactly()})
	var group sync.WaitGroup
	for range 20 {
		group.Go(func() {
			_, err := w.planner.Update(context.Background(), ada, created.ID, func(t task.Task) (task.Draft, error) {
				t.Notes += "x"
				return t.Draft, nil
			})
			if err != nil {
				t.Error(err)
			}
		})
	}
	group.Wait()
	if got := w.reload(created.ID); got.Version != 21 || len(got.Notes) != 20 {
		t.Errorf("version %d, %d notes: an update was lost", got.Version, len(got.Notes))
	}
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

func TestCompletedWhileFiring(t *testing.T) {
	for range 20 {
		w := newWorld(t, atNoon)
		created := w.create(task.Draft{DueDate: in(0)})
		release := w.holdOpen(`select from users for update`)
		fired, completed := make(chan struct{}), make(chan struct{})
		go func() { // in its transaction, waiting for the user's row
			defer close(fired)
			if _, err := w.firer.Fire(context.Background(), wake(created)); err != nil && !store.IsHeld(err) {
				t.Error(err)
			}
		}()
		w.waiting(1, fired)
		go func() {
			defer close(completed)
			_, err := w.planner.Update(context.Background(), store.User{ID: "ada", KeepEmail: true}, created.ID, func(t task.Task) (task.Draft, error) {
				t.Completed = true
				return t.Draft, nil
			})
			if err != nil && !store.IsHeld(err) {
				t.Error(err)
			}
		}()
		w.waiting(2, fired, completed)
		release()
		<-fired
		<-completed
		s, told := w.reload(created.ID).Reminders[0].State, len(w.inbox())
		if (s == task.Fired) != (told == 1) || told > 1 {
			t.Errorf("told %d times, and on record as %s", told, s)
		}
		if s == task.Fired {
			return
		}
		// The machine is so busy that the wait for the row was over before: once more.
	}
	t.Error("it never fired")
}

func TestCancellingStopsEveryOpenState(t *testing.T) {
	for _, state := range []string{"planned", "sending", "unknown"} {
		for name, cancel := range map[string]func(*world, task.Task){
			"completed": func(w *world, tk task.Task) { w.update(tk.ID, func(d *task.Draft) { d.Completed = true }) },
			"deleted": func(w *world, tk task.Task) {
				if err := w.planner.Delete(w.Context(), "ada", tk.ID, anyVersion); err != nil {
					w.Fatal(err)
				}
			},
		} {
			w := newWorld(t, atNoon)
			created := w.create(task.Draft{DueDate: in(0)})
			w.fire(wake(created))
			w.exec(fmt.Sprintf(`update deliveries set state = '%s', next_attempt_at = now(), finished_at = null where channel = 'email'`, state))
			cancel(w, created)
			w.fire(wake(created))
			if w.mail.count() != 1 {
				t.Errorf("%s, %s: sent after it was cancelled", state, name)
			}
		}
	}
}

func TestSendIsBounded(t *testing.T) {
	w := newWorld(t, atNoon)
	w.firer = newTeller(w.store, byEmail(deaf{}), w.clock, deliver.Rules{SendTimeout: 100 * time.Millisecond, Lease: 10 * time.Second, MaxAttempts: 3, Concurrent: 64, PerUser: 64})
	created := w.create(task.Draft{DueDate: in(0)})
	_, _ = w.firer.Fire(t.Context(), wake(created))
	if !slices.Contains(w.deliveries(created.ID), "email unknown") { // the deaf one's answer would have it sent
		t.Error(w.deliveries(created.ID))
	}
}

// deaf is a channel whose provider does not answer for a minute.
type deaf struct{}

func (deaf) Send(ctx context.Context, _ notify.Message) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(time.Minute):
		return nil
	}
}

func TestOffsetBroughtBack(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour), Before: task.Exactly(0, time.Minute)})
	w.update(created.ID, func(d *task.Draft) { d.Before = task.Exactly(0) })
	w.update(created.ID, func(d *task.Draft) { d.Before = task.Exactly(0, time.Minute) })
	got := w.reload(created.ID)
	if len(got.Reminders) != 2 || got.Reminders[0].ID != created.Reminders[0].ID || got.Reminders[0].Status(forever) != "scheduled" {
		t.Errorf("%+v", got.Reminders)
	}
}

func TestFireTaskSendsWhatIsUnsent(t *testing.T) {
	w := newWorld(t, time.Now)
	due := task.Instant(time.Now().Add(-time.Minute))
	created := w.create(task.Draft{DueDate: &due})
	w.fire(wake(created))
	w.exec(`update deliveries set state = 'planned', next_attempt_at = now(), finished_at = null where channel = 'email'`)
	woken := w.firer.woken.Load()
	if o, err := w.firer.FireTask(t.Context(), "ada", created.ID); err != nil || o.Status != fire.InProgress || w.firer.woken.Load() == woken {
		t.Error(o, err, w.firer.woken.Load())
	}
	if w.firer.send(); w.mail.count() != 2 {
		t.Errorf("%d e-mails", w.mail.count())
	}
}

func TestDeadlockVictimRunsAgain(t *testing.T) {
	w := newWorld(t, atNoon)
	runs := 0
	err := w.store.InTx(t.Context(), func(context.Context, store.Tx) error {
		if runs++; runs == 1 {
			return deadlock()
		}
		return nil
	})
	if err != nil || runs != 2 {
		t.Error(runs, err)
	}
}

func TestDeadConnectionsAreReplaced(t *testing.T) {
	w := newWorld(t, atNoon)
	nothing := func(context.Context, store.Tx) error { return nil }
	for range 3 {
		if err := w.store.InTx(t.Context(), nothing); err != nil {
			t.Fatal(err)
		}
		w.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
	}
	if err := w.store.InTx(t.Context(), nothing); err != nil {
		t.Errorf("on connections that were cut: %v", err)
	}
}

func TestSaveUserDoesNotWaitForFirings(t *testing.T) {
	w := newWorld(t, atNoon)
	w.create(task.Draft{})
	release := w.holdOpen(`update users set last_seq = last_seq`)
	defer release() // after them: who waits for the row does so in vain
	for _, u := range []store.User{ada, {ID: "ada", KeepEmail: true}} {
		if err := w.store.SaveUser(t.Context(), u); err != nil {
			t.Error(err)
		}
	}
}

func deadlock() error { return &pgconn.PgError{Code: "40P01"} }

func TestFiringSurvivesADeadlock(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	c, err := pgx.Connect(t.Context(), w.url)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(t.Context(), `set deadlock_timeout = '1min'; begin; select from users for update`); err != nil {
		t.Fatal(err)
	}
	var group sync.WaitGroup
	group.Go(func() {
		if o := w.fire(wake(created)); o.Status != fire.Success {
			t.Errorf("outcome %+v", o)
		}
	})
	w.waiting(1)
	// The other way round: Fire is the victim.
	if _, err := c.Exec(t.Context(), `select from reminders for update; commit`); err != nil {
		t.Fatal(err)
	}
	group.Wait()
	if len(w.inbox()) != 1 || w.mail.count() != 1 {
		t.Errorf("%d in the inbox, %d e-mails", len(w.inbox()), w.mail.count())
	}
}

func TestConnectionLostInMidSend(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	w.mail.answer = func(notify.Message) error {
		w.exec(`select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()`)
		return nil
	}
	_, err := w.firer.Fire(t.Context(), wake(created))
	for range 20 {
		_ = w.store.Ping(t.Context())
	}
	if err != nil || !slices.Contains(w.deliveries(created.ID), "email sent") {
		t.Errorf("%v: %v", w.deliveries(created.ID), err)
	}
}

func TestCancelWhileWaiting(t *testing.T) {
	url := pgtest.URL(t)
	synctest.Test(t, func(t *testing.T) { // so that only what waits takes time
		s, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 4})
		if err != nil {
			t.Fatal(err)
		}
		defer s.Close()
		w := newWorldOn(t, s, url, time.Now)
		due := time.Now().Add(1900 * time.Millisecond)
		created := w.create(task.Draft{DueDate: &due})
		ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		defer cancel()
		began := time.Now()
		if _, err := w.firer.Fire(ctx, wake(created)); err == nil || time.Since(began) != 200*time.Millisecond {
			t.Error(err, time.Since(began))
		}
	})
}

func TestDaprThatNeverAnswers(t *testing.T) {
	w := newWorld(t, atNoon)
	w.planner = schedule.NewPlanner(w.store, w.dapr, w.clock, schedule.Rules{PastGrace: time.Hour, ScheduleTimeout: 2 * time.Second})
	var calls atomic.Int32
	w.dapr.onSchedule = func(ctx context.Context) error {
		if calls.Add(1) == 1 {
			return nil // one job is taken, the other never answered
		}
		select {
		case <-ctx.Done():
		case <-time.After(time.Minute):
			t.Error("a call to Dapr without a deadline")
		}
		return errDown
	}
	created := w.create(task.Draft{DueDate: in(time.Hour), Before: task.Exactly(0, time.Minute)})
	states := map[string]int{}
	for _, r := range w.reload(created.ID).Reminders {
		states[r.Status(forever)]++
	}
	if states["scheduled"] != 1 || states["pending"] != 1 {
		t.Errorf("stored: %v", states)
	}
}

func TestOvertakenUpdateDeletesAfterItScheduled(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	w.dapr.onSchedule = func(context.Context) error {
		w.dapr.onSchedule = nil
		w.update(created.ID, func(d *task.Draft) { d.DueDate = in(3 * time.Hour) })
		w.dapr.deleted = nil // what the other update deletes comes before this job is there
		return nil
	}
	w.update(created.ID, func(d *task.Draft) { d.DueDate = in(2 * time.Hour) })
	for _, d := range w.dapr.deleted {
		if d == name(created.Reminders[0].ID, 2) {
			return
		}
	}
	t.Errorf("revision 2 is left with Dapr; deleted: %v", w.dapr.deleted)
}

// provider error text that Postgres can't store.
func TestProviderErrorThatCantBeStored(t *testing.T) {
	for name, text := range map[string]string{"NUL": "bad \x00 address", "not UTF-8": "bad \xff address"} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			quick := settings
			quick.Lease = 3 * time.Second
			w.firer = newTeller(w.store, byEmail(w.mail), w.clock, quick)
			w.mail.answer = func(notify.Message) error {
				return &notify.Error{Kind: notify.Permanent, Err: errors.New(text)}
			}
			created := w.create(task.Draft{DueDate: in(0)})
			began := time.Now()
			o, err := w.firer.Fire(t.Context(), wake(created))
			t.Logf("%v: %+v %v; %v", time.Since(began), o, err, w.deliveries(created.ID))
			if !slices.Contains(w.deliveries(created.ID), "email failed") {
				t.Errorf("refused for good, recorded as %v", w.deliveries(created.ID))
			}
		})
	}
}

// senders that die never exhaust a delivery.
func TestSendersThatDieExhaustADelivery(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	w.exec(`update deliveries set state = 'sending', attempts = 1000, round = 1000, next_attempt_at = now(), finished_at = null where channel = 'email'`)
	w.fire(wake(created))
	if w.mail.count() != 1 {
		t.Errorf("tried once more after 1000 attempts of %d", settings.MaxAttempts)
	}
}

// removed offsets of fired reminders: a DeleteJob on every update for ever.
func TestRemovedReminderIsForgottenOnce(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	w.fire(wake(created))
	w.update(created.ID, func(d *task.Draft) { d.Before = task.Exactly(time.Hour) })
	w.dapr.deleted = nil
	w.update(created.ID, func(d *task.Draft) { d.Title = "x" })
	w.update(created.ID, func(d *task.Draft) { d.Title = "y" })
	if len(w.dapr.deleted) > 0 {
		t.Errorf("unrelated updates deleted %v", w.dapr.deleted)
	}
}

// rows of removed offsets grow without limit.
func TestRemovedRowsAreBounded(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	for i := range 30 {
		w.update(created.ID, func(d *task.Draft) {
			d.Before = nil
			for j := range 20 {
				d.Before = append(d.Before, task.Offset{Exact: time.Duration(i*20+j) * time.Second})
			}
		})
	}
	c, _ := pgx.Connect(t.Context(), w.url)
	defer c.Close(context.Background())
	var n int
	c.QueryRow(t.Context(), `select count(*) from reminders`).Scan(&n)
	if n > 80 {
		t.Errorf("%d rows for a task with 20 reminders", n)
	}
}

// a lease's time counts from before the wait for the row's lock.
func TestLeaseBeginsBehindTheLock(t *testing.T) {
	w := newWorld(t, atNoon)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	created := w.create(task.Draft{DueDate: in(0)})
	_, _ = w.firer.Fire(t.Context(), wake(created))
	w.exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
	c, _ := pgx.Connect(t.Context(), w.url)
	defer c.Close(context.Background())
	email := w.email()
	tx, _ := c.Begin(t.Context())
	tx.Exec(t.Context(), `lock table deliveries in exclusive mode`)
	var l *store.Leased
	var err error
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		l, err = w.lease(email, 5*time.Second, nil)
	}()
	w.waiting(1, ended)
	freed := time.Now()
	_ = tx.Rollback(context.Background())
	<-ended
	if err != nil || l == nil {
		t.Fatal(l, err)
	}
	if left := l.NextAttemptAt.Sub(freed); left < 5*time.Second {
		t.Errorf("a lease of 5s has %v left when it is given out", left)
	}
}

// Confirm waits for a lock behind which the reminder is armed anew.
func TestConfirmBehindALock(t *testing.T) {
	for name, sql := range map[string]string{
		"superseded": `update reminders set revision = 2`,
		"cancelled":  `update reminders set state = 'cancelled'`,
		"fired":      `update reminders set state = 'fired', fired_at = now()`,
		"touched":    `update reminders set user_id = user_id`,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			w.dapr.err = errDown
			created := w.create(task.Draft{DueDate: in(time.Hour), Before: task.Exactly(0, time.Minute)})
			c, _ := pgx.Connect(t.Context(), w.url)
			defer c.Close(context.Background())
			tx, _ := c.Begin(t.Context())
			if _, err := tx.Exec(t.Context(), sql); err != nil {
				t.Fatal(err)
			}
			var stale []task.Revision
			var err error
			confirmed := make(chan struct{})
			go func() {
				defer close(confirmed)
				stale, err = w.store.Confirm(t.Context(), store.Alone, []task.Revision{{ReminderID: created.Reminders[0].ID, Number: 1}, {ReminderID: created.Reminders[1].ID, Number: 1}}, 0)
			}()
			w.waiting(1, confirmed)
			_ = tx.Commit(context.Background())
			if <-confirmed; err != nil {
				t.Fatal(err)
			}
			wantStale, wantConf := 0, int64(0)
			switch name {
			case "superseded", "cancelled":
				wantStale = 2
			case "touched":
				wantConf = 1
			}
			if len(stale) != wantStale {
				t.Errorf("stale %v", stale)
			}
			for _, r := range w.reload(created.ID).Reminders {
				if r.Confirmed != wantConf {
					t.Errorf("%+v", r)
				}
			}
		})
	}
}

// a caller that hangs up in mid-send does not undo the send nor its record.
func TestSendOutlivesCaller(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(0)})
	ctx, hangUp := context.WithCancel(t.Context())
	w.mail.answer = func(notify.Message) error { hangUp(); return nil }
	_, _ = w.firer.Fire(ctx, wake(created))
	if !slices.Contains(w.deliveries(created.ID), "email sent") {
		t.Error(w.deliveries(created.ID))
	}
}

// a stale schedule after calls expired
func TestOvertakenWhileDaprHangs(t *testing.T) {
	w := newWorld(t, atNoon)
	created := w.create(task.Draft{DueDate: in(time.Hour)})
	w.planner = schedule.NewPlanner(w.store, w.dapr, w.clock, schedule.Rules{PastGrace: time.Hour, ScheduleTimeout: 2 * time.Second})
	w.dapr.onSchedule = func(ctx context.Context) error {
		w.dapr.onSchedule = nil
		w.update(created.ID, func(d *task.Draft) { d.DueDate = in(3 * time.Hour) })
		<-ctx.Done()
		return nil
	}
	w.update(created.ID, func(d *task.Draft) { d.DueDate = in(2 * time.Hour) })
	r := w.reload(created.ID).Reminders[0]
	if r.Revision != 3 || r.Status(forever) != "scheduled" {
		t.Error(r)
	}
}

// sender 1's lease runs out, sender 2 takes over; sender 1's failure must not count.
func TestOldLeaseCantFinish(t *testing.T) {
	for _, answer := range []store.DeliveryState{store.Planned, store.Failed, store.Exhausted, store.Unknown} {
		w := newWorld(t, atNoon)
		w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
		created := w.create(task.Draft{DueDate: in(0)})
		_, _ = w.firer.Fire(t.Context(), wake(created))
		w.exec(`update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
		id := w.email()
		first, _ := w.lease(id, time.Nanosecond, nil)
		second, _ := w.lease(id, time.Minute, nil)
		if first == nil || second == nil {
			t.Fatal(first, second)
		}
		if err := w.store.Finish(t.Context(), store.Alone, store.Ending{Of: first, State: answer, Error: "x"}); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(w.deliveries(created.ID), "email sending") {
			t.Error(answer, w.deliveries(created.ID))
		}
		if third, _ := w.lease(id, time.Minute, nil); third != nil {
			t.Error(answer, "two hold the lease")
		}
		if err := w.store.Finish(t.Context(), store.Alone, store.Ending{Of: first, State: store.Sent}); err != nil {
			t.Fatal(err)
		}
		if err := w.store.Finish(t.Context(), store.Alone, store.Ending{Of: second, State: store.Failed}); err != nil {
			t.Fatal(err)
		}
		if !slices.Contains(w.deliveries(created.ID), "email sent") {
			t.Error(answer, w.deliveries(created.ID))
		}
	}
}

// fire vs delete under contention: nothing is told after the deletion answered.
func TestFireVersusDelete(t *testing.T) {
	w := newWorld(t, atNoon)
	for i := range 40 {
		created := w.create(task.Draft{Title: fmt.Sprint(i), DueDate: in(0)})
		done := make(chan error, 2)
		go func() { _, err := w.firer.Fire(context.Background(), wake(created)); done <- err }()
		go func() { done <- w.planner.Delete(context.Background(), "ada", created.ID, anyVersion) }()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
		before := w.mail.count()
		o, err := w.firer.Fire(context.Background(), wake(created))
		if err != nil || o.Status != fire.Skipped || w.mail.count() != before {
			t.Error(o, err)
		}
	}
}
