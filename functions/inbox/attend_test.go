package main

import (
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/task"
)

func TestAcknowledge(t *testing.T) {
	w := functiontest.New(t)
	tell(w, "ada", "Pay rent")
	tell(w, "ada", "Another")
	s := functiontest.Serve(w, New)
	n := listed(w, s, "ada", "")[0]
	if n.Kind != task.KindDue || !n.ReminderID.Valid || n.AcknowledgedAt != nil || n.SnoozedUntil != nil {
		t.Errorf("it begins with %+v", n)
	}
	path := "/api/notifications/" + n.ID.String() + "/acknowledge"
	w.WantProblem(s.As("eve", "POST", path, nil), 404, "not_found", "no such notification")
	w.WantProblem(s.As("ada", "POST", "/api/notifications/x/acknowledge", nil), 400, "invalid", "UUID")
	w.WantProblem(s.Call("POST", path, nil), 401, "unauthenticated", "")
	first := functiontest.Decode[notification](w, s.As("ada", "POST", path, nil), 200)
	again := functiontest.Decode[notification](w, s.As("ada", "POST", path, nil), 200)
	if first.AcknowledgedAt == nil || !again.AcknowledgedAt.Equal(*first.AcknowledgedAt) || first.ReadAt != nil {
		t.Errorf("%+v, then %+v", first, again)
	}
	if all := listed(w, s, "ada", "?state=unread"); len(all) != 2 || all[0].AcknowledgedAt == nil || all[1].AcknowledgedAt != nil {
		t.Errorf("%+v", all)
	}
}

func TestSnooze(t *testing.T) {
	w := functiontest.New(t)
	tell(w, "ada", "Pay rent")
	s := functiontest.Serve(w, New)
	n := listed(w, s, "ada", "")[0]
	path := "/api/notifications/" + n.ID.String() + "/snooze"
	for _, d := range []time.Duration{time.Hour, 10 * time.Minute} {
		got := functiontest.Decode[notification](w, s.As("ada", "POST", path, map[string]any{"for": d.String()}), 200)
		if got.ID != n.ID || got.AcknowledgedAt == nil || got.SnoozedUntil == nil || time.Until(*got.SnoozedUntil)-d > 0 || time.Until(*got.SnoozedUntil)-d < -time.Minute {
			t.Errorf("%v: %+v", d, got)
		}
	}
	if n := w.Count(`select count(*) from reminders where kind = 'snooze' and state = 'armed'`); n != 1 {
		t.Errorf("there are %d snoozes", n)
	}
	w.WantProblem(s.As("ada", "POST", path, `{}`), 400, "invalid", "one of")
	w.WantProblem(s.As("ada", "POST", path, `{"for":"10m","occurrence":"x"}`), 400, "invalid", "/occurrence")
	w.WantProblem(s.As("ada", "POST", path, `{"until":"2020-01-01T00:00:00Z"}`), 400, "invalid", "later than now")
	w.WantProblem(s.As("eve", "POST", path, `{"for":"10m"}`), 404, "not_found", "no such notification")
	w.WantProblem(s.As("ada", "POST", "/api/notifications/"+uuid.NewString()+"/snooze", `{"for":"10m"}`), 404, "not_found", "no such notification")
	w.WantProblem(s.Call("POST", path, `{"for":"10m"}`), 401, "unauthenticated", "")
	w.Exec(`update tasks set deleted_at = now()`)
	w.WantProblem(s.As("ada", "POST", path, `{"for":"10m"}`), 409, "conflict", "was deleted")
}
