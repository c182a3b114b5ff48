package main

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// pages returns ada's tasks page by page.
func pages(w *functiontest.World, s *functiontest.Server, query url.Values) (all []api.Task) {
	w.Helper()
	for {
		page := functiontest.Decode[list](w, s.As("ada", "GET", "/api/tasks?"+query.Encode(), nil), 200)
		all = append(all, page.Tasks...)
		if page.NextCursor == nil {
			return all
		}
		query.Set("cursor", *page.NextCursor)
	}
}

// A list by due date has each task once, at the due date that it shows, whatever form the due date
// has and however it has moved.
func TestSortedByDueDate(t *testing.T) {
	w := functiontest.New(t)
	w.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone = "America/New_York" })
	random := rand.New(rand.NewPCG(1, 2)) //nolint:gosec // the same each time
	// The days are far enough ahead that no occurrence is due during the test.
	local := func() wallclock.Time {
		return wallclock.New(2098, 12, 28, 0, 0, 0).Add(time.Duration(random.IntN(10*24)) * time.Hour)
	}
	for i := range 130 {
		d := task.Draft{Title: fmt.Sprintf("%d", i), Before: task.DefaultBefore(), Completed: i%7 == 0}
		switch i % 8 {
		case 0:
			d.Due = task.Due{Form: task.ByClock, Local: local()} // floats
		case 1:
			d.Due = task.Due{Form: task.ByClock, Local: local(), Zone: "Asia/Kolkata"}
		case 2:
			d.Due = task.Due{Form: task.ByDay, Local: local().Midnight()}
		case 3: // began long ago, so what is stored is far from where it is
			at := wallclock.FromUTC(time.Now().Add(time.Duration(1+random.IntN(22))*time.Hour).AddDate(-1, 0, 0).Truncate(time.Second))
			d.Due, d.Recurrence = task.Due{Form: task.ByClock, Local: at}, &recurrence.Definition{Rule: "FREQ=DAILY", Skip: "omit", From: "schedule"}
		case 4:
			d.Due, d.Recurrence = task.Due{Form: task.ByClock, Local: local(), Zone: "UTC"}, &recurrence.Definition{Rule: "FREQ=WEEKLY", Skip: "omit", From: "schedule"}
		case 5: // no due date
		default:
			at := local().UTC()
			d.DueDate = &at
		}
		w.Seed("ada", d)
	}
	w.Seed("eve", task.Draft{Title: "eve's"})
	// The stored due dates don't follow this change of the time zone yet; those of completed tasks
	// never do.
	w.Prefer("ada", func(p *preferences.Preferences) { p.TimeZone, p.AllDayAt = "Pacific/Auckland", 20*time.Hour })
	s := functiontest.Serve(w, New)

	due := func(a, b api.Task) int {
		switch {
		case a.DueDate == nil && b.DueDate == nil:
			return 0
		case a.DueDate == nil:
			return 1
		case b.DueDate == nil:
			return -1
		}
		return a.DueDate.Compare(*b.DueDate)
	}
	id := func(a, b api.Task) int { return strings.Compare(a.ID.String(), b.ID.String()) }
	for _, filter := range []string{"", "completed=true", "completed=false", "due_after=2099-01-01T00:00:00Z", "due_after=2099-01-01T00:00:00Z&due_before=2099-01-03T12:00:00Z", "q=3"} {
		query, err := url.ParseQuery(filter)
		if err != nil {
			t.Fatal(err)
		}
		query.Set("limit", "500")
		query.Set("order", "asc")
		want := titles(pages(w, s, query))
		if len(want) < 5 {
			t.Fatalf("%s: only %v", filter, want)
		}
		for _, limit := range []string{"7", "500"} {
			query := func(order string) url.Values {
				q, _ := url.ParseQuery(filter)
				q.Set("sort", "due_date")
				q.Set("limit", limit)
				if order != "" {
					q.Set("order", order)
				}
				return q
			}
			up, down := pages(w, s, query("")), pages(w, s, query("desc"))
			if !slices.IsSortedFunc(up, func(a, b api.Task) int { return cmp.Or(due(a, b), id(a, b)) }) {
				t.Errorf("%s by %s: %v are not sorted", filter, limit, titles(up))
			}
			dated := slices.IndexFunc(down, func(t api.Task) bool { return t.DueDate == nil })
			if dated < 0 {
				dated = len(down)
			}
			slices.Reverse(down[:dated])
			slices.Reverse(down[dated:])
			if got := titles(down); !slices.Equal(got, titles(up)) {
				t.Errorf("%s by %s: down %v, up %v", filter, limit, got, titles(up))
			}
			got := titles(up)
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				t.Errorf("%s by %s: %v, want %v", filter, limit, got, want)
			}
		}
	}
}

// The words of q are searched in titles, in any case and with any special characters.
func TestSearch(t *testing.T) {
	w := functiontest.New(t)
	for _, title := range []string{"Pay rent", "Call the Ärztin", "rent a car (50% off)", `back\slash [x] ^$.*`, "ΣΊΣΥΦΟΣ"} {
		w.Seed("ada", task.Draft{Title: title, Notes: "rent"})
	}
	w.Seed("eve", task.Draft{Title: "eve's rent"})
	s := functiontest.Serve(w, New)
	for q, want := range map[string][]string{
		"":               {"ΣΊΣΥΦΟΣ", `back\slash [x] ^$.*`, "rent a car (50% off)", "Call the Ärztin", "Pay rent"},
		" \t":            {"ΣΊΣΥΦΟΣ", `back\slash [x] ^$.*`, "rent a car (50% off)", "Call the Ärztin", "Pay rent"},
		"RENT":           {"rent a car (50% off)", "Pay rent"},
		"ent  pa":        {"Pay rent"},
		"ärzt":           {"Call the Ärztin"},
		"σίσυφος":        {"ΣΊΣΥΦΟΣ"},
		"(50%":           {"rent a car (50% off)"},
		"(":              {"rent a car (50% off)"},
		`\s`:             {`back\slash [x] ^$.*`},
		"[X] $.*":        {`back\slash [x] ^$.*`},
		"r.nt":           nil,
		"rent|Call":      nil,
		"***=rent":       nil,
		"_":              nil,
		"rent call":      nil,
		`' or ''=' --`:   nil,
		"notes":          nil,
		"\U0001f600 € ß": nil,
	} {
		for _, sorted := range []string{"created_at", "due_date"} {
			got := titles(pages(w, s, url.Values{"q": {q}, "sort": {sorted}, "order": {"desc"}, "limit": {"2"}}))
			if !slices.Equal(got, want) {
				t.Errorf("%q by %s: %q, want %q", q, sorted, got, want)
			}
		}
	}
}

func TestOrderOfCreation(t *testing.T) {
	w := functiontest.New(t)
	for i := range 5 {
		w.Seed("ada", task.Draft{Title: fmt.Sprint(i)})
	}
	s := functiontest.Serve(w, New)
	for order, want := range map[string][]string{"asc": {"0", "1", "2", "3", "4"}, "desc": {"4", "3", "2", "1", "0"}} {
		if got := titles(pages(w, s, url.Values{"order": {order}, "limit": {"2"}})); !slices.Equal(got, want) {
			t.Errorf("%s: %v, want %v", order, got, want)
		}
	}
}

func TestListRefuses(t *testing.T) {
	w := functiontest.New(t)
	for range 2 {
		w.Seed("ada", task.Draft{Title: "x"})
	}
	s := functiontest.Serve(w, New)
	cursor := func(query string) string {
		t.Helper()
		return *functiontest.Decode[list](w, s.As("ada", "GET", "/api/tasks?limit=1&"+query, nil), 200).NextCursor
	}
	byCreation, byDue := cursor(""), cursor("sort=due_date")
	for query, detail := range map[string]string{
		"sort=title":                         "due_date or created_at",
		"order=up":                           "asc or desc",
		"q=%ff":                              "UTF-8",
		"q=a%00b":                            "control characters",
		"q=" + strings.Repeat("x", 201):      "200 characters",
		"cursor=e30":                         "sort=",
		"cursor=e30x":                        "not one that this list gave out",
		"sort=due_date&cursor=" + byCreation: "cursor is of a list with sort=created_at and order=desc",
		"cursor=" + byDue:                    "cursor is of a list with sort=due_date and order=asc",
		"sort=due_date&order=desc&cursor=" + byDue:       "order=asc",
		"sort=created_at&order=asc&cursor=" + byCreation: "order=desc",
	} {
		w.WantProblem(s.As("ada", "GET", "/api/tasks?"+query, nil), 400, "invalid", detail)
	}
}
