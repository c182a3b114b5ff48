package store_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/store"
)

// DueDeliveries returns the due deliveries of a lane: the first of each user, then the second of
// each. It leaves out the users and hosts that are passed over. It also returns the time until the
// next delivery that is not due yet.
func TestDueDeliveries(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	made := insert(t, s)
	for i, d := range []struct{ user, channel, target, state, due string }{
		{"hog", "webhook", "https://Slow.example/a", "planned", "-9 min"},
		{"hog", "webhook", "https://slow.example.:443?b", "planned", "-8 min"},
		{"hog", "webhook", "https://other.example:8443/c", "unknown", "-7 min"},
		{"ada", "webhook", "https://SLOW.example:443/d", "planned", "-6 min"},
		{"ada", "webhook", "https://ada.example/e", "sending", "-5 min"},
		{"ada", "push", "webpush:https://Push.example/0123", "planned", "-4 min"},
		{"ada", "webhook", "https://ada.example/later", "planned", "1 h"},
		{"ada", "webhook", "https://ada.example/sent", "sent", ""},
		{"ada", "email", "ada@example.com", "planned", "-1 min"},
		{"ada", "push", "fcm:token:1", "planned", "-50 s"},
		{"ada", "sms", "+15551234567", "planned", "10 s"},
		{"ada", "event", "", "planned", "-1 min"},
	} {
		exec(t, c, `
			insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, next_attempt_at, finished_at)
			values (gen_random_uuid(), $1, $2, $3, $4, $5, $6, $7, now() + nullif($8, '')::interval, case when $8 = '' then now() end)`,
			made.Reminders[0].ID, i+1, made.ID, d.user, d.channel, d.target, d.state, d.due)
	}
	for name, tt := range map[string]struct {
		lane  store.Lane
		over  store.PassedOver
		limit int
		want  string
		soon  time.Duration // zero: nothing
	}{
		"in turns":          {store.Hosts, store.PassedOver{}, 10, "hog slow.example, ada slow.example, hog slow.example, ada ada.example, hog other.example:8443, ada push.example", time.Hour},
		"the first":         {store.Hosts, store.PassedOver{}, 3, "hog slow.example, ada slow.example, hog slow.example", time.Hour},
		"a user's host":     {store.Hosts, store.PassedOver{Of: []store.UserHost{{User: "hog", Host: "slow.example"}}}, 10, "hog other.example:8443, ada slow.example, ada ada.example, ada push.example", time.Hour},
		"a host":            {store.Hosts, store.PassedOver{Hosts: []string{"slow.example"}}, 10, "hog other.example:8443, ada ada.example, ada push.example", time.Hour},
		"providers":         {store.Providers, store.PassedOver{}, 10, "ada email, ada fcm", 10 * time.Second},
		"events, none soon": {store.Events, store.PassedOver{}, 10, "ada event", 0},
	} {
		t.Run(name, func(t *testing.T) {
			due, soon, err := s.DueDeliveries(t.Context(), tt.lane, tt.over, tt.limit)
			if err != nil {
				t.Fatal(err)
			}
			var got []string
			for _, d := range due {
				got = append(got, fmt.Sprintf("%s %s", d.UserID, d.Host))
			}
			if strings.Join(got, ", ") != tt.want {
				t.Errorf("due: %q, want %q", got, tt.want)
			}
			if (soon == nil) != (tt.soon == 0) || soon != nil && (*soon > tt.soon || *soon < tt.soon-time.Minute) {
				t.Errorf("the next one in %v, want %v", soon, tt.soon)
			}
		})
	}
}

// The sweep asks whether a delivery is due now or soon.
func TestAnyDueWithin(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	made := insert(t, s)
	for _, channel := range []string{"webhook", "email", "event"} {
		exec(t, c, `delete from deliveries`)
		exec(t, c, `
			insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, target, state, next_attempt_at)
			values (gen_random_uuid(), $1, 1, $2, 'ada', $3, 'x', 'planned', now() + interval '1 min')`, made.Reminders[0].ID, made.ID, channel)
		for within, want := range map[time.Duration]bool{0: false, 50 * time.Second: false, 2 * time.Minute: true} {
			if got, err := s.AnyDueWithin(t.Context(), within); err != nil || got != want {
				t.Errorf("%s within %v: %v, %v", channel, within, got, err)
			}
		}
	}
}

// The query of each lane uses the index of the lane.
func TestLanesHaveTheirIndexes(t *testing.T) {
	_, url := storetest.Open(t)
	c := connect(t, url)
	exec(t, c, `set enable_seqscan = off`) // as the Store has it
	for _, lane := range store.Lanes {
		rows, _ := c.Query(t.Context(), `explain select id from deliveries d where `+store.OpenIn(lane)+` and next_attempt_at <= now()`)
		plan, err := pgx.CollectRows(rows, pgx.RowTo[string])
		if text := strings.Join(plan, "\n"); err != nil || !strings.Contains(text, "deliveries_due_"+string(lane)) {
			t.Errorf("%s: %v\n%s", lane, err, text)
		}
	}
}
