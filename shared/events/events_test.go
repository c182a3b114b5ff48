package events

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
)

const whole = `{"data":{"task_id":"0197a3c2-7f00-7000-8000-000000000002","user_id":"ada","task_title":"Pay rent","due_date":"2026-11-23T15:30:00+01:00","later":1},
	"id":"0197a3c2-7f00-7000-8000-000000000001","specversion":"1.0"}`

func wrap(message string) string {
	return `{"id":"0197a3c2-7f00-7000-8000-000000000009","data_base64":"` + base64.StdEncoding.EncodeToString([]byte(message)) + `"}`
}

// An event is read as it was published, and from what daprd wraps around it: then its
// ID is its own, and not that of the wrapping, which is another one each time.
func TestParse(t *testing.T) {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	want := Event{uuid.MustParse("0197a3c2-7f00-7000-8000-000000000001"), Reminder{
		TaskID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000002"), UserID: "ada", TaskTitle: "Pay rent", DueDate: &due,
	}}
	for _, body := range []string{whole, wrap(whole)} {
		got, err := parse([]byte(body))
		if diff := cmp.Diff(want, got); err != nil || diff != "" {
			t.Errorf("%v (-want +got):\n%s", err, diff)
		}
	}
	undated := strings.Replace(whole, `"2026-11-23T15:30:00+01:00"`, "null", 1)
	if got, err := parse([]byte(wrap(undated))); err != nil || got.DueDate != nil {
		t.Errorf("without a due date: %+v, %v", got, err)
	}
	for what, body := range map[string]string{
		"wrapped twice": wrap(wrap(whole)), "an empty wrapping": wrap(""), "a wrapping of no base64": `{"id":"0197a3c2-7f00-7000-8000-000000000009","data_base64":"?"}`,
	} {
		if got, err := parse([]byte(body)); err == nil {
			t.Errorf("%s is read as %+v", what, got)
		}
	}
}

// Whatever comes, what is taken for an event can be stored.
func FuzzParse(f *testing.F) {
	for _, seed := range []string{whole, wrap(whole), wrap("no JSON"), "", "[]", `{"data":null}`, strings.Replace(whole, "Pay rent", `\u0000`, 1)} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		e, err := parse(body)
		if err != nil {
			return
		}
		for _, text := range []string{e.UserID, e.TaskTitle} {
			if text == "" || strings.ContainsRune(text, 0) || !utf8.ValidString(text) || utf8.RuneCountInString(text) > 500 {
				t.Errorf("%q can't be stored", text)
			}
		}
		if e.ID == uuid.Nil || e.TaskID == uuid.Nil || e.DueDate != nil && (e.DueDate.UTC().Year() < 1970 || e.DueDate.UTC().Year() > 9999) {
			t.Errorf("%+v can't be stored", e)
		}
	})
}
