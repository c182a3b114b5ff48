package push_test

import (
	"maps"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/notify/push"
)

func TestBody(t *testing.T) {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	const when = "Due Mon, 23 Nov 2026 14:30 UTC"
	for notes, want := range map[string]string{
		"":                                    when,
		"Bank\ntransfer\x00\r":                when + "\nBank\ntransfer",
		strings.Repeat("a", 1600-len(when)-1): when + "\n" + strings.Repeat("a", 1600-len(when)-1),
		strings.Repeat("a", 1600-len(when)):   when + "\n" + strings.Repeat("a", 1600-len(when)-4) + "...",
		strings.Repeat("👨‍👩‍👧‍👦", 1000): when + "\n" + strings.Repeat("👨‍👩‍👧‍👦", 62) + "...", // 25 bytes each
	} {
		m := notify.Message{Title: "Pay\r\nrent", Notes: notes, DueDate: &due}
		if got := push.Body(m); got != want || len(got) > 1600 || !utf8.ValidString(got) {
			t.Errorf("got %d bytes, %q, want %q", len(got), got, want)
		}
		if got := push.Title(m); got != "Pay rent" {
			t.Errorf("the title is %q", got)
		}
	}
	long := notify.Message{Title: "Pay rent", Notes: strings.Repeat("a", 2000), Links: notifytest.Links}
	if room := 1600 - len(push.Body(long)); room < len(long.Links.Done)+len(long.Links.Snooze)+100 {
		t.Errorf("the links have %d bytes", room)
	}
	if got := push.Body(notify.Message{Title: "Pay rent", Notes: "Bank"}); got != "Bank" {
		t.Errorf("without a due date: %q", got)
	}
}

// The title of a bundle is the number of reminders. Its text has a line for each, as far as they
// fit.
func TestBundle(t *testing.T) {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	m := notify.Message{Bundle: []notify.Bundled{{Title: "Pay\nrent", DueDate: &due}, {Title: "Call: Bob"}}}
	if title, body := push.Title(m), push.Body(m); title != "2 reminders" || body != "Pay rent: Due Mon, 23 Nov 2026 14:30 UTC\nCall: Bob" {
		t.Errorf("%q, %q", title, body)
	}
	if data := push.Data(m); len(data) != 0 {
		t.Errorf("it is about %v", data)
	}
	for range 60 {
		m.Bundle = append(m.Bundle, notify.Bundled{Title: "Pay rent 👨‍👩‍👧‍👦", DueDate: &due})
	}
	if body := push.Body(m); len(body) > 1600 || len(body) < 1500 || !strings.HasSuffix(body, "...") || !utf8.ValidString(body) {
		t.Errorf("%d bytes: %q", len(body), body)
	}
}

func TestData(t *testing.T) {
	m := notify.Message{TaskID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000002")}
	for _, c := range []struct {
		links notify.Links
		want  map[string]string
	}{
		{notify.Links{}, map[string]string{"task_id": "0197a3c2-7f00-7000-8000-000000000002"}},
		{notify.Links{Done: "D", Snooze: "S", Any: "any"}, map[string]string{"task_id": "0197a3c2-7f00-7000-8000-000000000002", "done_url": "D", "snooze_url": "S"}},
	} {
		m.Links = c.links
		if got := push.Data(m); !maps.Equal(got, c.want) {
			t.Errorf("%+v: %v", c.links, got)
		}
	}
}
