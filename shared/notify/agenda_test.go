package notify_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
)

// The agenda says how many tasks are due and how many are overdue. It leaves out a count of zero. It counts the tasks
// that it does not list.
func TestAgenda(t *testing.T) {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	late := notify.Bundled{Title: "Bob", DueDate: &due, Overdue: true}
	for _, tt := range []struct {
		language string
		agenda   notify.Agenda
		subject  string
		end      string
	}{
		{"en", notify.Agenda{Today: 1, Overdue: 2, Tasks: []notify.Bundled{{Title: "Rent", DueDate: &due}, late, late}}, "1 due today, 2 overdue: Rent, Bob, Bob", "Bob\nOverdue since Mon, 23 Nov 2026 15:30 CET (UTC+01:00)"},
		{"de", notify.Agenda{Today: 2, Tasks: []notify.Bundled{{Title: "Miete", DueDate: &due}}}, "2 heute fällig: Miete", "\n\nund 1 weitere Aufgabe"},
		{"de", notify.Agenda{Overdue: 12, Tasks: []notify.Bundled{late}}, "12 überfällig: Bob", "Überfällig seit Mo., 23. Nov. 2026, 15:30 CET (UTC+01:00)\n\nund 11 weitere Aufgaben"},
	} {
		m := notify.Message{Language: tt.language, Zone: preferences.Zone("Europe/Berlin")}.Tells(tt.agenda)
		if got := m.Subject(); got != tt.subject {
			t.Errorf("the subject is %q", got)
		}
		if got := m.Text(); !strings.HasSuffix(got, tt.end) {
			t.Errorf("the text is %q", got)
		}
		title, body := m.InApp()
		if m.Text() != title+"\n\n"+body {
			t.Errorf("in-app it is %q and %q", title, body)
		}
	}
	long := notify.Agenda{Today: 100}
	for i := range long.Today {
		long.Tasks = append(long.Tasks, notify.Bundled{Title: fmt.Sprint(i, strings.Repeat("x", 400)), DueDate: &due})
	}
	if _, body := (notify.Message{}).Tells(long).InApp(); len(body) > 4000 || !strings.HasSuffix(body, "...") {
		t.Errorf("%d bytes", len(body))
	}
}
