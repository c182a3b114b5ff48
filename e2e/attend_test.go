package e2e

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/task"
)

// attended is a notification with what its user has done.
type attended struct {
	ID             string     `json:"id"`
	Kind           task.Kind  `json:"kind"`
	AcknowledgedAt *time.Time `json:"acknowledged_at"`
	SnoozedUntil   *time.Time `json:"snoozed_until"`
}

func (p person) attended() []attended {
	p.Helper()
	return ask[struct{ Notifications []attended }](p, "GET", "/api/notifications", nil).Notifications
}

// An occurrence that was snoozed from a notification is told again when the snooze ends, on both
// channels, and once. The user's other tab is told of the snooze.
func TestSnoozed(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	made := p.create(time.Second)
	p.told(soon, 1)
	events := p.stream(t.Context(), "", "Authorization", "Bearer "+p.token)
	n := p.attended()[0]
	for _, d := range []string{"1h", "2s"} { // the second takes the first one's place
		snoozed := ask[attended](p, "POST", "/api/notifications/"+n.ID+"/snooze", map[string]string{"for": d})
		if snoozed.SnoozedUntil == nil || snoozed.AcknowledgedAt == nil {
			t.Fatalf("%+v", snoozed)
		}
		select {
		case e := <-events:
			var change attended
			if err := json.Unmarshal([]byte(e[1]), &change); err != nil || e[0] != "change" || change.SnoozedUntil == nil || !change.SnoozedUntil.Equal(*snoozed.SnoozedUntil) {
				t.Errorf("the stream has %s, %v", e, err)
			}
		case <-time.After(soon):
			t.Fatal("no change comes over the stream")
		}
	}
	if got := ask[api.Task](p, "GET", "/api/tasks/"+made.ID.String(), nil); got.SnoozedUntil == nil || !got.DueDate.Equal(*made.DueDate) {
		t.Errorf("%+v", got)
	}
	p.told(soon, 2)
	p.quiet(2 * time.Second)
	all := p.attended()
	if all[0].SnoozedUntil != nil || all[1].Kind != task.KindSnooze || all[1].AcknowledgedAt != nil {
		t.Errorf("%+v", all)
	}
	if got := ask[api.Task](p, "GET", "/api/tasks/"+made.ID.String(), nil); got.SnoozedUntil != nil || len(got.Reminders) != 1 {
		t.Errorf("%+v", got)
	}
}

// A reminder is repeated until it is acknowledged. Dapr has the job of each repetition. The test
// does not wait for the hour until it fires.
func TestRepeatedUntilAcknowledged(t *testing.T) {
	p := newPerson(t, sys)
	made := ask[api.Task](p, "POST", "/api/tasks", map[string]any{
		"title": "Take the pill", "due_date": time.Now().Add(time.Second), "repeat": map[string]any{"every": "1h", "times": 5},
	})
	path := "/api/tasks/" + made.ID.String()
	repetition := func() (state string) {
		reminders := ask[api.Task](p, "GET", path, nil).Reminders
		if i := slices.IndexFunc(reminders, func(r api.Reminder) bool { return r.Kind == task.KindRepeat }); i >= 0 {
			return reminders[i].State
		}
		return "none"
	}
	for times := range 2 {
		p.told(soon, times+1)
		p.eventually(soon, "the repetition is scheduled", func() bool { return repetition() == "scheduled" })
		if times == 0 {
			p.exec(`update reminders set fire_at = now() - interval '10 s' where kind = 'repeat' and task_id = '` + made.ID.String() + `'`)
			if err := sys.Invoke(t.Context(), "retry-dlq"); err != nil { // which finds it
				t.Fatal(err)
			}
		}
	}
	ask[api.Task](p, "POST", path+"/acknowledge", nil)
	if state := repetition(); state != "none" {
		t.Errorf("there is a repetition that is %s", state)
	}
	p.exec(`update reminders set fire_at = now() where kind = 'repeat' and task_id = '` + made.ID.String() + `'`)
	p.quiet(10 * time.Second) // two sweeps and their grace
	for i, n := range p.attended() {
		if n.AcknowledgedAt == nil || n.Kind != []task.Kind{task.KindDue, task.KindRepeat}[i] {
			t.Errorf("%+v", n)
		}
	}
}
