package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

func TestMain(m *testing.M) {
	switch {
	case os.Getenv(asFunction) != "":
		main()
	case os.Getenv(asClients) != "":
		clientsMain()
	default:
		storetest.Main(m)
	}
}

// tell puts a notification into a user's inbox, the way they come there.
func tell(w *functiontest.World, user, title string) {
	w.Helper()
	due := task.Instant(time.Now().Add(-time.Minute))
	t := w.Seed(user, task.Draft{Title: title, DueDate: &due, Before: task.DefaultBefore()})
	firer := fire.New(w.Store, nil, suppress.Keys{}, schedule.NewMover(w.Store, time.Now, schedule.MoveRules{PastGrace: 24 * time.Hour}), func() {}, time.Now)
	if _, err := firer.Fire(context.Background(), task.Revision{TaskID: t.ID, UserID: user, ReminderID: t.Reminders[0].ID, Number: 1}); err != nil {
		w.Fatal(err)
	}
}

func TestList(t *testing.T) {
	w := functiontest.New(t)
	for i := range 5 {
		tell(w, "ada", fmt.Sprint(i))
	}
	tell(w, "eve", "eve's")
	s := functiontest.Serve(w, New)
	get := func(query string) (titles []string, last uuid.UUID) {
		for _, n := range functiontest.Decode[inbox](w, s.As("ada", "GET", "/api/notifications"+query, nil), 200).Notifications {
			titles, last = append(titles, n.Title), n.ID
		}
		return titles, last
	}
	if got, _ := get(""); !slices.Equal(got, []string{"0", "1", "2", "3", "4"}) {
		t.Errorf("all: %v", got)
	}
	if got, _ := get("?limit=2"); !slices.Equal(got, []string{"3", "4"}) {
		t.Errorf("the newest two, newest last: %v", got)
	}
	first, last := get("?limit=2&after=" + uuid.Nil.String())
	if !slices.Equal(first, []string{"0", "1"}) {
		t.Errorf("from the beginning: %v", first)
	}
	if got, _ := get("?after=" + last.String()); !slices.Equal(got, []string{"2", "3", "4"}) {
		t.Errorf("after the second: %v", got)
	}
	if a := s.As("nobody", "GET", "/api/notifications", nil); a.Body != `{"notifications":[]}`+"\n" {
		t.Errorf("none: %s", a.Body)
	}
	w.WantProblem(s.As("eve", "GET", "/api/notifications?after="+last.String(), nil), 400, "invalid", "after")
	w.WantProblem(s.As("ada", "GET", "/api/notifications?after=x", nil), 400, "invalid", "after")
	w.WantProblem(s.As("ada", "GET", "/api/notifications?limit=1001", nil), 400, "invalid", "limit")
	w.WantProblem(s.Call("GET", "/api/notifications", nil), 401, "unauthenticated", "")
}

func TestMarkRead(t *testing.T) {
	w := functiontest.New(t)
	tell(w, "ada", "Pay rent")
	s := functiontest.Serve(w, New)
	n := functiontest.Decode[inbox](w, s.As("ada", "GET", "/api/notifications", nil), 200).Notifications[0]
	if n.ReadAt != nil {
		t.Errorf("read before it was: %+v", n)
	}
	path := "/api/notifications/" + n.ID.String() + "/read"
	w.WantProblem(s.As("eve", "POST", path, nil), 404, "not_found", "no such notification")
	w.WantProblem(s.As("ada", "POST", "/api/notifications/x/read", nil), 400, "invalid", "UUID")
	w.WantProblem(s.Call("POST", path, nil), 401, "unauthenticated", "")
	first := functiontest.Decode[notification](w, s.As("ada", "POST", path, nil), 200)
	again := functiontest.Decode[notification](w, s.As("ada", "POST", path, nil), 200)
	if first.ReadAt == nil || !first.ReadAt.Equal(*again.ReadAt) {
		t.Errorf("read at %v, then %v", first.ReadAt, again.ReadAt)
	}
}
