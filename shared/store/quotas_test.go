package store_test

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// metered is a database with deliveries that are leased under some rules.
type metered struct {
	*testing.T
	store *store.Store
	conn  *pgx.Conn
	made  task.Task
	rules store.LeaseRules
	next  int
}

// newMetered makes one. Its clock is the test's, so that no hour ends during a test.
func newMetered(t *testing.T, limits quota.Limits, ceiling quota.Money) *metered {
	s, address := storetest.Open(t)
	m := &metered{
		T: t, conn: connect(t, address), made: insert(t, s),
		rules: store.LeaseRules{For: time.Minute, Providers: map[task.Channel][]string{task.Email: {"sendgrid"}, task.SMS: {"twilio"}}, Limits: limits, Ceiling: quota.Ceiling{Daily: ceiling}},
	}
	exec(t, m.conn, `create schema clock`)
	exec(t, m.conn, `create table clock.hand as select timestamptz '2026-11-23 12:30:00Z' as at`)
	for _, name := range []string{"now", "clock_timestamp"} {
		exec(t, m.conn, `create function clock.`+name+`() returns timestamptz language sql stable as 'select at from clock.hand'`)
	}
	u, err := url.Parse(address)
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("search_path", "clock,pg_catalog,public")
	u.RawQuery = q.Encode()
	if m.store, err = store.Open(store.Config{URL: config.Secret(u.String()), MaxConns: 16}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(m.store.Close)
	exec(t, m.conn, `set search_path = clock, pg_catalog, public`)
	return m
}

// plan plans deliveries of a user, each to its own address. User "" plans verifications of ada's
// addresses.
func (m *metered) plan(n int, user string, channel task.Channel, recipient string, cost quota.Money) (wanted []store.Wanted) {
	m.Helper()
	for range n {
		m.next++
		id := uuid.Must(uuid.NewV7())
		reminder, taskID := &m.made.Reminders[0].ID, &m.made.ID
		if user == "" {
			user, reminder, taskID = "ada", nil, nil
		}
		exec(m.T, m.conn, `insert into users (id) values ($1) on conflict do nothing`, user)
		exec(m.T, m.conn, `
			insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, next_attempt_at)
			values ($1, $2, $3, $4, $5, $6, 'x', 'planned', now())`, id, reminder, m.next, taskID, user, channel)
		if reminder == nil {
			user = ""
		}
		w := store.Wanted{ID: id, UserID: user, Channel: channel, Cost: cost}
		if recipient != "" {
			w.Recipient = []byte(recipient)
		}
		wanted = append(wanted, w)
	}
	return wanted
}

// lease leases deliveries, and returns in their order which limit each is over, or "ok".
func (m *metered) lease(wanted ...store.Wanted) string {
	m.Helper()
	leased, err := m.store.Lease(m.Context(), m.rules, wanted...)
	if err != nil {
		m.Fatal(err)
	}
	over := map[uuid.UUID]string{}
	for _, l := range leased {
		over[l.ID] = "ok"
		if l.Over != "" {
			over[l.ID] = string(l.Over)
		}
		if (l.Over == "") != (l.State == store.Sending) || l.Over != "" && l.Attempts != 0 {
			m.Errorf("over %q it is %s, with %d attempts", l.Over, l.State, l.Attempts)
		}
	}
	var all []string
	for _, w := range wanted {
		all = append(all, over[w.ID])
	}
	return strings.Join(all, " ")
}

func (m *metered) want(want string, wanted ...store.Wanted) {
	m.Helper()
	if got := m.lease(wanted...); got != want {
		m.Errorf("%q, want %q", got, want)
	}
}

// again makes all deliveries due, as at the end of their leases.
func (m *metered) again() {
	m.Helper()
	exec(m.T, m.conn, `update deliveries set next_attempt_at = now() where next_attempt_at is not null`)
}

// later moves the clock forward, and makes all deliveries due.
func (m *metered) later(d time.Duration) {
	m.Helper()
	exec(m.T, m.conn, `update clock.hand set at = at + $1::interval`, d)
	m.again()
}

func email(n int) quota.PerChannel { return quota.PerChannel{task.Email: n} }

// A delivery over the hourly limit keeps its place in the day, and comes before others in the next
// hour. A delivery over the daily limit has no place in the day, and takes none from others.
func TestHourAndDay(t *testing.T) {
	m := newMetered(t, quota.Limits{PerHour: email(2), PerDay: email(4)}, 0)
	first := m.plan(6, "ada", task.Email, "", 0)
	m.want("ok ok hour hour day day", first...)
	m.want("ok ok hour hour", m.plan(4, "bob", task.Email, "", 0)...)
	m.want("ok ok ok", m.plan(3, "ada", task.Push, "", 0)...) // which has no limit
	m.again()
	m.want("ok ok hour hour day day", first...) // the first two again, as if their sender had died
	m.later(time.Hour)
	late := m.plan(1, "ada", task.Email, "", 0)
	m.want("day ok ok day", late[0], first[2], first[3], first[4])
	m.later(time.Hour)
	m.want("day day day", late[0], first[4], first[5])
	m.later(24 * time.Hour)
	m.want("hour ok ok", late[0], first[4], first[5])
	m.want("hour", m.plan(1, "ada", task.Email, "", 0)...)
	m.want("day", m.plan(2, "ada", task.Email, "", 0)[1])
}

// Deliveries that were held come before new ones, whatever their ids.
func TestHeldComeFirst(t *testing.T) {
	m := newMetered(t, quota.Limits{PerHour: email(1), PerDay: email(9)}, 0)
	early := m.plan(1, "ada", task.Email, "", 0)
	held := m.plan(2, "ada", task.Email, "", 0)
	m.want("ok hour", held...)
	m.later(time.Hour)
	m.want("hour ok", early[0], held[1])
}

// The limit of a recipient is for all users together. A delivery that another limit refuses does
// not count for it.
func TestPerRecipient(t *testing.T) {
	m := newMetered(t, quota.Limits{PerHour: email(2), PerDay: email(3), PerRecipient: email(3)}, 0)
	m.want("ok ok hour day", m.plan(4, "ada", task.Email, "x", 0)...)
	m.want("ok recipient", m.plan(2, "bob", task.Email, "x", 0)...)
	m.want("ok", m.plan(1, "eve", task.Email, "y", 0)...)
	m.want("recipient recipient", append(m.plan(1, "eve", task.Email, "x", 0), m.plan(1, "dan", task.Email, "x", 0)...)...)
	m.later(24 * time.Hour)
	m.want("ok", m.plan(1, "eve", task.Email, "x", 0)...)
}

// The ceiling of the installation's costs is also for verifications. No other limit is for them.
func TestCost(t *testing.T) {
	sms := quota.PerChannel{task.SMS: 2}
	m := newMetered(t, quota.Limits{PerHour: sms, PerDay: sms, PerRecipient: sms}, 45)
	m.want("ok ok day", m.plan(3, "ada", task.SMS, "x", 10)...)
	m.want("ok ok cost", m.plan(3, "", task.SMS, "x", 10)...)
	m.want("ok", m.plan(1, "bob", task.SMS, "y", 5)...)
	m.want("cost ok", append(m.plan(1, "eve", task.SMS, "z", 10), m.plan(1, "eve", task.SMS, "z", 0)...)...)
	if spent, err := m.store.Spent(t.Context()); err != nil || spent != 45 {
		t.Errorf("spent %v, %v", spent, err)
	}
	m.later(24 * time.Hour)
	m.want("ok", m.plan(1, "eve", task.SMS, "z", 45)...)
}

// Without limits only costs are counted.
func TestNoLimits(t *testing.T) {
	m := newMetered(t, quota.Limits{}, 0)
	m.want("ok ok ok", append(m.plan(2, "ada", task.Email, "x", 0), m.plan(1, "ada", task.SMS, "x", 7)...)...)
	if rows := m.rows(); rows != "cost 7" {
		t.Errorf("counted: %s", rows)
	}
}

func (m *metered) rows() string {
	m.Helper()
	var rows string
	if err := m.conn.QueryRow(m.Context(), `
		select coalesce(string_agg(kind || ' ' || used, ', ' order by kind), '') from (select kind, sum(used) as used from quotas group by kind) q`).Scan(&rows); err != nil {
		m.Fatal(err)
	}
	return rows
}

// Concurrent senders lease exactly as many deliveries as the limits allow, though each tries to
// lease all.
func TestSendersAtOnce(t *testing.T) {
	m := newMetered(t, quota.Limits{PerHour: email(30), PerDay: email(40)}, 0)
	var all []store.Wanted
	for i := range 4 {
		all = append(all, m.plan(50, fmt.Sprint("user ", i), task.Email, "x", 0)...)
	}
	verdicts := map[string]int{}
	for i, over := range m.race(all, 8) {
		verdicts[fmt.Sprintf("%s %s", all[i].UserID, over)]++
	}
	for i := range 4 {
		for over, want := range map[store.Limit]int{"": 30, store.OverHour: 10, store.OverDay: 10} {
			if of := fmt.Sprintf("user %d %s", i, over); verdicts[of] != want {
				t.Errorf("%q: %d, want %d", of, verdicts[of], want)
			}
		}
	}
}

// No limit is exceeded when concurrent leases meet in users, recipients and costs, in any order.
// The counts equal the deliveries that were leased.
func TestLimitsAtOnce(t *testing.T) {
	sms := func(n int) quota.PerChannel { return quota.PerChannel{task.SMS: n} }
	m := newMetered(t, quota.Limits{PerHour: sms(30), PerDay: sms(40), PerRecipient: sms(50)}, 0)
	var all []store.Wanted
	for i := range 4 {
		for _, recipient := range []string{"x", "y"} {
			all = append(all, m.plan(25, fmt.Sprint("user ", i), task.SMS, recipient, 10)...)
		}
	}
	leased, users, recipients := 0, map[string]int{}, map[string]int{}
	for i, over := range m.race(all, 8) {
		if over == "" {
			leased++
			users[all[i].UserID]++
			recipients[string(all[i].Recipient)]++
		}
	}
	for user, n := range users {
		if n > 30 {
			t.Errorf("%d of %s, want 30 at most", n, user)
		}
	}
	for recipient, n := range recipients {
		if n > 50 {
			t.Errorf("%d to %s, want 50 at most", n, recipient)
		}
	}
	if rows := m.rows(); leased < 80 || !strings.HasPrefix(rows, fmt.Sprintf("cost %d, recipient %d, user ", 10*leased, leased)) {
		t.Errorf("%d leased, counted: %s", leased, rows)
	}
}

// Concurrent senders don't exceed the ceiling of costs, if what they lease at one moment costs less
// than a fifth of it.
func TestSpendersAtOnce(t *testing.T) {
	m := newMetered(t, quota.Limits{}, 1000)
	got := m.race(m.plan(300, "ada", task.SMS, "", 7), 8)
	leased := 0
	for _, over := range got {
		if over == "" {
			leased++
		}
	}
	if leased != 142 {
		t.Errorf("%d at 7 each under a ceiling of 1000, want 142", leased)
	}
}

// race has concurrent senders lease the deliveries, a few at a time, every other sender from the
// end, until each delivery has a verdict. It returns the verdicts in the order of the deliveries.
func (m *metered) race(all []store.Wanted, senders int) map[int]store.Limit {
	m.Helper()
	var mu sync.Mutex
	verdicts := map[int]store.Limit{}
	var group sync.WaitGroup
	for sender := range senders {
		group.Go(func() {
			mine := slices.Clone(all)
			if sender%2 == 1 {
				slices.Reverse(mine)
			}
			for some := range slices.Chunk(mine, 5+sender) {
				leased, err := m.store.Lease(context.Background(), m.rules, some...)
				for store.IsHeld(err) || store.IsAway(err) { // as on a busy machine: a sender tries again, too
					leased, err = m.store.Lease(context.Background(), m.rules, some...)
				}
				if err != nil {
					m.Errorf("lease: %v", err)
				}
				mu.Lock()
				for _, l := range leased {
					i := slices.IndexFunc(all, func(w store.Wanted) bool { return w.ID == l.ID })
					if _, twice := verdicts[i]; twice {
						m.Errorf("%s has two verdicts", l.ID)
					}
					verdicts[i] = l.Over
				}
				mu.Unlock()
			}
		})
	}
	group.Wait()
	if len(verdicts) != len(all) {
		m.Errorf("%d of %d have a verdict", len(verdicts), len(all))
	}
	return verdicts
}

// A delivery over a limit is held or refused. Its user is told in-app once; no attempt and no dead
// letter is recorded. A delivery that another sender has leased meanwhile is not changed.
func TestHoldBack(t *testing.T) {
	m := newMetered(t, quota.Limits{PerHour: email(1), PerDay: email(2)}, 0)
	wanted := m.plan(3, "ada", task.Email, "", 0)
	exec(t, m.conn, `update deliveries set revision = 1, target = id::text`) // of one firing
	leased, err := m.store.Lease(t.Context(), m.rules, wanted...)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(leased, func(a, b *store.Leased) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	hold := func(l *store.Leased) {
		t.Helper()
		instead := store.Instead{DeliveryID: l.ID, Notification: store.Notification{ID: uuid.Must(uuid.NewV7()), UserID: "ada", TaskID: m.made.ID, Title: "x", Body: "y"}}
		if err := m.store.HoldBack(t.Context(), l, "because", []store.Instead{instead}); err != nil {
			t.Fatal(err)
		}
	}
	log := func() string {
		t.Helper()
		var log string
		if err := m.conn.QueryRow(t.Context(), `
			select string_agg(concat_ws(' ', channel, state, attempts, last_error, case when next_attempt_at = date_trunc('hour', now(), 'UTC') + interval '1 h' then 'held' end), ', ' order by channel, state)
			from deliveries`).Scan(&log); err != nil {
			t.Fatal(err)
		}
		return log
	}
	for range 2 { // whose answer may have been lost
		for _, l := range leased {
			hold(l)
		}
	}
	if want := "email planned 0 because held, email refused 0 because, email sending 1, in_app sent 0"; log() != want {
		t.Errorf("%q, want %q", log(), want)
	}
	var told, dead int
	if err := m.conn.QueryRow(t.Context(), `select (select count(*) from notifications), (select count(*) from dead_letters)`).Scan(&told, &dead); err != nil || told != 1 || dead != 0 {
		t.Errorf("%d notifications, %d dead letters, %v", told, dead, err)
	}
	// Held deliveries are not in Waiting.
	exec(t, m.conn, `update deliveries set next_attempt_at = now() + interval '1 min' where state = 'sending'`)
	if waiting, err := m.store.Waiting(t.Context()); err != nil || waiting[string(store.Providers)] != 0 {
		t.Errorf("waiting: %v, %v", waiting, err)
	}
	if due, err := m.store.AnyDueWithin(t.Context(), 10*time.Second); err != nil || due {
		t.Errorf("the sender is woken for it: %v, %v", due, err)
	}
	m.later(time.Hour)
	m.want("ok", wanted[1])
	hold(leased[1])
	if !strings.Contains(log(), "email sending 1 because,") {
		t.Errorf("it was held while somebody has it: %s", log())
	}
}

// Replaying a dead letter counts as another message.
func TestReplayIsCounted(t *testing.T) {
	m := newMetered(t, quota.Limits{PerHour: email(1), PerDay: email(1)}, 0)
	wanted := m.plan(1, "ada", task.Email, "", 0)
	leased, err := m.store.Lease(t.Context(), m.rules, wanted...)
	if err != nil {
		t.Fatal(err)
	}
	if err := m.store.Finish(t.Context(), store.Alone, store.Ending{Of: leased[0], State: store.Exhausted, Error: "x"}); err != nil {
		t.Fatal(err)
	}
	list, _, err := m.store.ListDeadLetters(t.Context(), store.DeadLetterFilter{State: store.Dead}, uuid.Nil, 10)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	if _, err := m.store.ReplayDeadLetter(t.Context(), list[0].ID, true); err != nil {
		t.Fatal(err)
	}
	replayed, err := m.store.Lease(t.Context(), m.rules, wanted...)
	if err != nil || len(replayed) != 1 || replayed[0].Over != store.OverDay {
		t.Fatalf("%+v, %v", replayed, err)
	}
	if err := m.store.HoldBack(t.Context(), replayed[0], "because", []store.Instead{{DeliveryID: replayed[0].ID, Notification: store.Notification{ID: uuid.Must(uuid.NewV7()), UserID: "ada", TaskID: m.made.ID, Title: "x", Body: "y"}}}); err != nil {
		t.Fatal(err)
	}
	if l, err := m.store.GetDeadLetter(t.Context(), list[0].ID); err != nil || l.State != store.Resolved {
		t.Errorf("%+v, %v", l, err)
	}
}
