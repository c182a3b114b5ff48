package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

func ptr[T any](v T) *T { return &v }

var due = time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)

// What GET gave, PUT takes, and makes the same task of.
func TestRoundTrip(t *testing.T) {
	want := task.Draft{Title: "Pay rent", Notes: "n", DueDate: &due, Completed: true, Channels: []task.Channel{task.Email}, Before: task.Exactly(time.Hour, 0), Repeat: &task.Repeat{Every: time.Hour, Times: 2}}
	for name, d := range map[string]task.Draft{"full": want, "least": {Title: "x", Before: []task.Offset{}}} {
		shown, err := json.Marshal(api.NewTask(task.Task{
			ID: uuid.New(), UserID: "ada", Draft: d, Version: 3, CreatedAt: due, UpdatedAt: due,
			Reminders: append(task.Plan(nil, d, due, 0, uuid.New, task.Clock{}), besides...),
		}, due))
		if err != nil {
			t.Fatal(err)
		}
		var in api.TaskInput
		if err := web.DecodeJSON(shown, &in); err != nil {
			t.Fatalf("%s: %v in %s", name, err, shown)
		}
		got, err := in.Draft()
		if err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(d, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

func TestPatch(t *testing.T) {
	full := task.Draft{Title: "Pay rent", Notes: "n", DueDate: &due, Completed: true, Channels: []task.Channel{task.Email}, Before: task.Exactly(time.Hour), Repeat: &task.Repeat{Every: time.Hour, Times: 2}}
	with := func(change func(*task.Draft)) task.Draft {
		d := full
		change(&d)
		return d
	}
	for patch, want := range map[string]task.Draft{
		`{}`:                                   full,
		`{"title":"x"}`:                        with(func(d *task.Draft) { d.Title = "x" }),
		`{"notes":null}`:                       with(func(d *task.Draft) { d.Notes = "" }),
		`{"due_date":null}`:                    with(func(d *task.Draft) { d.DueDate = nil }),
		`{"due_date":"2026-11-23T15:30:00Z"}`:  with(func(d *task.Draft) { d.DueDate = ptr(due.Add(time.Hour)) }),
		`{"completed":false}`:                  with(func(d *task.Draft) { d.Completed = false }),
		`{"completed":null}`:                   with(func(d *task.Draft) { d.Completed = false }),
		`{"repeat":null}`:                      with(func(d *task.Draft) { d.Repeat = nil }),
		`{"repeat":{"every":"90s","times":1}}`: with(func(d *task.Draft) { d.Repeat = &task.Repeat{Every: 90 * time.Second, Times: 1} }),
		`{"channels":null}`:                    with(func(d *task.Draft) { d.Channels = nil }),
		`{"reminders":null}`:                   with(func(d *task.Draft) { d.Before = nil }),
		`{"reminders":[]}`:                     with(func(d *task.Draft) { d.Before = []task.Offset{} }),
		`{"reminders":["1d",{"before":"0s"}]}`: with(func(d *task.Draft) { d.Before = []task.Offset{{Days: 1}, {}} }),
		`{"reminders":["1d",{"kind":"snooze","fire_at":"2026-11-23T15:30:00Z"},{"kind":"due","before":"0s"},{"kind":"repeat"}]}`: with(func(d *task.Draft) {
			d.Before = []task.Offset{{Days: 1}, {}}
		}),
	} {
		var in api.TaskInput
		if err := web.DecodeJSON([]byte(patch), &in); err != nil {
			t.Fatalf("%s: %v", patch, err)
		}
		got, err := in.Patch(full)
		if err != nil {
			t.Fatalf("%s: %v", patch, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", patch, diff)
		}
	}
}

func TestCheckIfMatch(t *testing.T) {
	for header, want := range map[string]string{
		"*": "", `"3"`: "", `"1", "3"`: "", `"1","3",`: "", `W/"3", "3"`: "", `"a,b", "3"`: "",
		`"2"`: "412 it has changed", `"33"`: "412 it has changed", `"1", W/"3"`: "412 it has changed", `"\"3"`: "400 If-Match must be",
		`W/"3"`: "412 If-Match has a weak tag", `W/"1", W/"3"`: "412 If-Match has a weak tag",
		"3": "400 If-Match must be", "": "400 If-Match must be", `"3`: "400 If-Match must be", `w/"3"`: "400 If-Match must be", `"1" "3"`: "400 If-Match must be",
		`'3'`: "400 If-Match must be", `*, "3"`: "400 If-Match must be", `"1", 3`: "400 If-Match must be",
	} {
		r := httptest.NewRequest("PUT", "/", nil)
		r.Header.Set("If-Match", header)
		got := ""
		if err := api.CheckIfMatch(r, 3); err != nil {
			e, _ := errors.AsType[*fault.Error](err)
			got = fmt.Sprint(web.Status(err), " ", e.Message)
		}
		if !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("%s: %q, want %q", header, got, want)
		}
	}
	r := httptest.NewRequest("PUT", "/", nil)
	r.Header["If-Match"] = []string{`"1"`, `"3"`}
	if err := api.CheckIfMatch(r, 3); err != nil {
		t.Errorf("in two headers: %v", err)
	}
	if err := api.CheckIfMatch(httptest.NewRequest("PUT", "/", nil), 3); err != nil {
		t.Errorf("without the header: %v", err)
	}
}

func TestOwner(t *testing.T) {
	tests := map[string]struct {
		user auth.User
		want store.User
	}{
		"verified":       {auth.User{ID: "ada", Email: "ada@example.com", EmailClaim: true, EmailVerified: true}, store.User{ID: "ada", Email: ptr("ada@example.com")}},
		"not verified":   {auth.User{ID: "ada", Email: "ada@example.com", EmailClaim: true}, store.User{ID: "ada"}},
		"nothing said":   {auth.User{ID: "ada"}, store.User{ID: "ada", KeepEmail: true}},
		"not an address": {auth.User{ID: "ada", Email: "ada", EmailClaim: true, EmailVerified: true}, store.User{ID: "ada"}},
		"line break":     {auth.User{ID: "ada", Email: "ada@example.com\r\nBcc: eve@example.com", EmailClaim: true, EmailVerified: true}, store.User{ID: "ada"}},
		"not seen":       {auth.User{ID: "ada", Email: "ada\u200b@example.com", EmailClaim: true, EmailVerified: true}, store.User{ID: "ada"}},
		"IP address":     {auth.User{ID: "ada", Email: "ada@127.0.0.1", EmailClaim: true, EmailVerified: true}, store.User{ID: "ada"}},
		"other letters":  {auth.User{ID: "ada", Email: "ada@bücher.example", EmailClaim: true, EmailVerified: true}, store.User{ID: "ada", Email: ptr("ada@bücher.example")}},
		"too long":       {auth.User{ID: "ada", Email: strings.Repeat("a", 400) + "@example.com", EmailClaim: true, EmailVerified: true}, store.User{ID: "ada"}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, api.Owner(tt.user)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Whatever is posted is refused, or within the schema's limits and can be shown.
func FuzzTaskInput(f *testing.F) {
	for _, seed := range []string{
		`{"title":"x"}`, `{"title":"x","due_date":"2026-11-23T14:30:00+01:00","reminders":["0s",{"before":"1d"}]}`,
		`{"title":null,"channels":["email"],"completed":true}`, `{"reminders":[{"before":"5m","id":7}]}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in api.TaskInput
		if web.DecodeJSON(body, &in) != nil {
			return
		}
		draft, err := in.Draft()
		if err != nil {
			if fault.CodeOf(err) != fault.CodeInvalid {
				t.Errorf("refused with %v", err)
			}
			return
		}
		if draft.Title == "" || len(draft.Before) > 20 || strings.ContainsRune(draft.Title+draft.Notes, 0) {
			t.Errorf("accepted %+v", draft)
		}
		if draft.DueDate != nil {
			if _, err := json.Marshal(draft.DueDate); err != nil {
				t.Errorf("accepted a due date that can't be shown: %v", err)
			}
		}
	})
}
