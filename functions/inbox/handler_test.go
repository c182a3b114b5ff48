package main

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
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

// tell puts a notification into a user's inbox like a firing does.
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

// listed returns the notifications that a query lists.
func listed(w *functiontest.World, s *functiontest.Server, user, query string) []notification {
	w.Helper()
	return functiontest.Decode[inbox](w, s.As(user, "GET", "/api/notifications"+query, nil), 200).Notifications
}

// titles returns the titles of what a query lists.
func titles(w *functiontest.World, s *functiontest.Server, user, query string) string {
	w.Helper()
	var all []string
	for _, n := range listed(w, s, user, query) {
		all = append(all, n.Title)
	}
	return strings.Join(all, " ")
}

// counted returns a user's counts.
func counted(w *functiontest.World, s *functiontest.Server, user string) store.Counts {
	w.Helper()
	return functiontest.Decode[store.Counts](w, s.As(user, "GET", "/api/notifications/count", nil), 200)
}

func TestChangeState(t *testing.T) {
	w := functiontest.New(t)
	tell(w, "ada", "Pay rent")
	tell(w, "eve", "eve's")
	s := functiontest.Serve(w, New)
	n := listed(w, s, "ada", "")[0]
	if n.ReadAt != nil || n.ArchivedAt != nil {
		t.Errorf("it begins with %+v", n)
	}
	path := "/api/notifications/" + n.ID.String()
	for _, call := range [][2]string{{"POST", "/read"}, {"POST", "/unread"}, {"POST", "/archive"}, {"DELETE", "/archive"}} {
		method, action := call[0], call[1]
		w.WantProblem(s.As("eve", method, path+action, nil), 404, "not_found", "no such notification")
		w.WantProblem(s.As("ada", method, "/api/notifications/x"+action, nil), 400, "invalid", "UUID")
		w.WantProblem(s.Call(method, path+action, nil), 401, "unauthenticated", "")
	}
	same := func(a, b *time.Time) bool { return a == b || a != nil && b != nil && a.Equal(*b) }
	for _, step := range []struct {
		method, action        string
		read, archived        bool
		inbox, unread, put    string // what is listed
		countUnread, countAll int64
	}{
		{"POST", "/read", true, false, "Pay rent", "", "", 0, 1},
		{"POST", "/archive", true, true, "", "", "Pay rent", 0, 0},
		{"POST", "/unread", false, true, "", "", "Pay rent", 0, 0},
		{"DELETE", "/archive", false, false, "Pay rent", "Pay rent", "", 1, 1},
		{"POST", "/archive", false, true, "", "", "Pay rent", 0, 0},
		{"POST", "/read", true, true, "", "", "Pay rent", 0, 0},
		{"DELETE", "/archive", true, false, "Pay rent", "", "", 0, 1},
		{"POST", "/unread", false, false, "Pay rent", "Pay rent", "", 1, 1},
	} {
		first := functiontest.Decode[notification](w, s.As("ada", step.method, path+step.action, nil), 200)
		again := functiontest.Decode[notification](w, s.As("ada", step.method, path+step.action, nil), 200)
		if (first.ReadAt != nil) != step.read || (first.ArchivedAt != nil) != step.archived || first.ID != n.ID || first.Title != n.Title {
			t.Errorf("%s %s: %+v", step.method, step.action, first)
		}
		if !same(first.ReadAt, again.ReadAt) || !same(first.ArchivedAt, again.ArchivedAt) {
			t.Errorf("%s %s: %+v, then %+v", step.method, step.action, first, again)
		}
		for query, want := range map[string]string{"": step.inbox, "?state=unread": step.unread, "?state=archived": step.put} {
			if got := titles(w, s, "ada", query); got != want {
				t.Errorf("after %s %s, %q lists %q, want %q", step.method, step.action, query, got, want)
			}
		}
		if got, want := counted(w, s, "ada"), (store.Counts{Unread: step.countUnread, Total: step.countAll}); got != want {
			t.Errorf("after %s %s there are %+v, want %+v", step.method, step.action, got, want)
		}
	}
	if got := counted(w, s, "eve"); got != (store.Counts{Unread: 1, Total: 1}) {
		t.Errorf("another has %+v", got)
	}
	if got := counted(w, s, "nobody"); got != (store.Counts{}) {
		t.Errorf("nobody has %+v", got)
	}
	w.WantProblem(s.As("ada", "GET", "/api/notifications/count?state=unread", nil), 400, "invalid", "state")
	w.WantProblem(s.Call("GET", "/api/notifications/count", nil), 401, "unauthenticated", "")
}

func TestReadAll(t *testing.T) {
	w := functiontest.New(t)
	for i := range 5 {
		tell(w, "ada", fmt.Sprint(i))
	}
	tell(w, "eve", "eve's")
	s := functiontest.Serve(w, New)
	list := listed(w, s, "ada", "")
	s.As("ada", "POST", "/api/notifications/"+list[0].ID.String()+"/archive", nil)
	read := func(upTo any) functiontest.Answer {
		t.Helper()
		return s.As("ada", "POST", "/api/notifications/read-all", map[string]any{"up_to": upTo})
	}
	for _, step := range []struct {
		upTo   int
		counts store.Counts
		unread string
	}{
		{2, store.Counts{Unread: 2, Total: 4}, "3 4"},
		{2, store.Counts{Unread: 2, Total: 4}, "3 4"},
		{1, store.Counts{Unread: 2, Total: 4}, "3 4"},
		{4, store.Counts{Unread: 0, Total: 4}, ""},
	} {
		if got := functiontest.Decode[store.Counts](w, read(list[step.upTo].ID), 200); got != step.counts || got != counted(w, s, "ada") {
			t.Errorf("up to %d: %+v, want %+v", step.upTo, got, step.counts)
		}
		if got := titles(w, s, "ada", "?state=unread"); got != step.unread {
			t.Errorf("up to %d, unread are %q", step.upTo, got)
		}
	}
	// Archived notifications are not changed, but an archived one can be the limit.
	archived := listed(w, s, "ada", "?state=archived")
	if len(archived) != 1 || archived[0].ID != list[0].ID || archived[0].ReadAt != nil {
		t.Errorf("archived: %+v", archived)
	}
	if got := functiontest.Decode[store.Counts](w, read(list[0].ID), 200); got != (store.Counts{Total: 4}) {
		t.Errorf("up to the archived one: %+v", got)
	}
	w.WantProblem(read(listed(w, s, "eve", "")[0].ID), 404, "not_found", "no such notification")
	w.WantProblem(read(nil), 400, "invalid", "up_to must be the id")
	w.WantProblem(read("x"), 400, "invalid", "up_to")
	w.WantProblem(s.As("ada", "POST", "/api/notifications/read-all", `{}`), 400, "invalid", "up_to must be the id")
	w.WantProblem(s.As("ada", "POST", "/api/notifications/read-all", `{"up_to": null, "all": true}`), 400, "invalid", "all")
	w.WantProblem(s.Call("POST", "/api/notifications/read-all", `{}`), 401, "unauthenticated", "")
	if got := counted(w, s, "eve"); got != (store.Counts{Unread: 1, Total: 1}) {
		t.Errorf("another has %+v", got)
	}
}

func TestPages(t *testing.T) {
	w := functiontest.New(t)
	for i := range 7 {
		tell(w, "ada", fmt.Sprint(i))
	}
	tell(w, "eve", "eve's")
	s := functiontest.Serve(w, New)
	list := listed(w, s, "ada", "")
	id := func(i int) string { return list[i].ID.String() }
	for _, i := range []int{1, 4} {
		s.As("ada", "POST", "/api/notifications/"+id(i)+"/archive", nil)
	}
	for _, i := range []int{0, 3} {
		s.As("ada", "POST", "/api/notifications/"+id(i)+"/read", nil)
	}
	for query, want := range map[string]string{
		"":                                         "0 2 3 5 6",
		"?order=asc&limit=2":                       "5 6",
		"?order=desc":                              "6 5 3 2 0",
		"?order=desc&limit=2":                      "6 5",
		"?order=desc&before=":                      "6 5 3 2 0",
		"?order=desc&limit=2&before=" + id(5):      "3 2",
		"?order=desc&limit=2&before=" + id(2):      "0",
		"?order=desc&limit=2&before=" + id(0):      "",
		"?order=desc&before=" + id(4):              "3 2 0", // archived, and a place all the same
		"?after=" + id(1):                          "2 3 5 6",
		"?state=unread":                            "2 5 6",
		"?state=unread&order=desc&limit=2":         "6 5",
		"?state=unread&order=desc&before=" + id(5): "2",
		"?state=unread&after=" + id(2):             "5 6",
		"?state=archived":                          "1 4",
		"?state=archived&order=desc":               "4 1",
		"?state=archived&after=" + id(1):           "4",
	} {
		if got := titles(w, s, "ada", query); got != want {
			t.Errorf("%s: %q, want %q", query, got, want)
		}
	}
	for query, detail := range map[string]string{
		"?state=read":                      "state must be unread or archived",
		"?order=newest":                    "order must be asc",
		"?order=desc&after=" + id(1):       "page back with before",
		"?before=" + id(1):                 "order=desc",
		"?order=desc&before=x":             "before must be a UUID",
		"?state=unread&state=archived":     "more than once",
		"?order=desc&before=" + id(1)[:35]: "before must be a UUID",
	} {
		w.WantProblem(s.As("ada", "GET", "/api/notifications"+query, nil), 400, "invalid", detail)
	}
	w.WantProblem(s.As("eve", "GET", "/api/notifications?order=desc&before="+id(1), nil), 400, "invalid", "before: you have no notification")
}
