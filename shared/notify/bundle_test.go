package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
)

// bundle returns a message about tasks with these titles, each due a minute after the one before.
func bundle(language string, titles ...string) notify.Message {
	m := notify.Message{Language: language, Zone: preferences.Zone("Europe/Berlin")}
	for i, title := range titles {
		due := time.Date(2026, 11, 23, 14, 30+i, 0, 0, time.UTC)
		m.Bundle = append(m.Bundle, notify.Bundled{Title: title, DueDate: &due})
	}
	return m
}

// The message says how many reminders there are, and the title and the time of each in the user's
// time zone.
func TestBundle(t *testing.T) {
	for language, want := range map[string]struct{ subject, text string }{
		"en": {
			"3 reminders: Pay rent, Call Bob, Eat",
			"3 reminders\n\nPay rent\nDue Mon, 23 Nov 2026 15:30 CET (UTC+01:00)\n\nCall Bob\nDue Mon, 23 Nov 2026 15:31 CET (UTC+01:00)\n\nEat\nDue Mon, 23 Nov 2026 15:32 CET (UTC+01:00)",
		},
		"de-AT": {
			"3 Erinnerungen: Pay rent, Call Bob, Eat",
			"3 Erinnerungen\n\nPay rent\nFällig am Mo., 23. Nov. 2026, 15:30 CET (UTC+01:00)\n\nCall Bob\nFällig am Mo., 23. Nov. 2026, 15:31 CET (UTC+01:00)\n\nEat\nFällig am Mo., 23. Nov. 2026, 15:32 CET (UTC+01:00)",
		},
	} {
		m := bundle(language, "Pay rent", "Call\r\nBob\x00", "Eat")
		if got := m.Subject(); got != want.subject {
			t.Errorf("%s: the subject is %q", language, got)
		}
		if got := m.Text(); got != want.text {
			t.Errorf("%s: the text is %q", language, got)
		}
	}
}

// A long subject is cut. A long message lists the first reminders, and says how many more there
// are.
func TestLargeBundle(t *testing.T) {
	titles := make([]string, 0, 150)
	for i := range cap(titles) {
		titles = append(titles, fmt.Sprintf("%d 👨‍👩‍👧‍👦", i+1))
	}
	for n, more := range map[int]string{100: "", 101: "and 1 more reminder", 150: "and 50 more reminders"} {
		m := bundle("en", titles[:n]...)
		subject, text := m.Subject(), m.Text()
		if !strings.HasPrefix(subject, fmt.Sprint(n, " reminders: 1 👨‍👩‍👧‍👦, 2 👨‍👩‍👧‍👦, ")) || !strings.HasSuffix(subject, "...") || utf8.RuneCountInString(subject) > 150 ||
			strings.HasSuffix(strings.TrimSuffix(subject, "..."), "\u200d") {
			t.Errorf("%d: the subject is %q", n, subject)
		}
		if strings.Count(text, "Due ") != 100 || !strings.Contains(text, "\n\n100 👨‍👩‍👧‍👦\n") || !strings.HasSuffix(text, more) || strings.Contains(text, "more") != (more != "") {
			t.Errorf("%d: the text is %q", n, text)
		}
	}
	if m := bundle("de", titles[:101]...); m.BundleMore() != "und 1 weitere Erinnerung" {
		t.Errorf("%q", m.BundleMore())
	}
}
