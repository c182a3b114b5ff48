package notify_test

import (
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
)

// Times are in the user's time zone, also around changes of the clock, and in zones whose offset is
// not a whole hour.
func TestDue(t *testing.T) {
	for _, tt := range []struct{ due, zone, want string }{
		{"2026-11-23T14:30:00Z", "", "Due Mon, 23 Nov 2026 14:30 UTC"},
		{"2026-11-23T14:30:00Z", "UTC", "Due Mon, 23 Nov 2026 14:30 UTC"},
		{"2026-11-23T14:30:00Z", "Etc/UTC", "Due Mon, 23 Nov 2026 14:30 UTC"},
		{"2026-11-23T14:30:05Z", "Europe/Paris", "Due Mon, 23 Nov 2026 15:30:05 CET (UTC+01:00)"},
		// Spring: from 02:00 CET to 03:00 CEST.
		{"2026-03-29T00:59:00Z", "Europe/Paris", "Due Sun, 29 Mar 2026 01:59 CET (UTC+01:00)"},
		{"2026-03-29T01:00:00Z", "Europe/Paris", "Due Sun, 29 Mar 2026 03:00 CEST (UTC+02:00)"},
		// Autumn: 02:30 comes twice.
		{"2026-10-25T00:30:00Z", "Europe/Paris", "Due Sun, 25 Oct 2026 02:30 CEST (UTC+02:00)"},
		{"2026-10-25T01:30:00Z", "Europe/Paris", "Due Sun, 25 Oct 2026 02:30 CET (UTC+01:00)"},
		{"2026-03-08T06:59:00Z", "America/New_York", "Due Sun, 8 Mar 2026 01:59 EST (UTC-05:00)"},
		{"2026-03-08T07:00:00Z", "America/New_York", "Due Sun, 8 Mar 2026 03:00 EDT (UTC-04:00)"},
		{"2026-11-01T05:30:00Z", "America/New_York", "Due Sun, 1 Nov 2026 01:30 EDT (UTC-04:00)"},
		{"2026-11-01T06:30:00Z", "America/New_York", "Due Sun, 1 Nov 2026 01:30 EST (UTC-05:00)"},
		// On the southern hemisphere, by half an hour.
		{"2026-04-04T14:30:00Z", "Australia/Lord_Howe", "Due Sun, 5 Apr 2026 01:30 UTC+11:00"},
		{"2026-04-04T15:00:00Z", "Australia/Lord_Howe", "Due Sun, 5 Apr 2026 01:30 UTC+10:30"},
		{"2026-11-23T14:30:00Z", "Asia/Kathmandu", "Due Mon, 23 Nov 2026 20:15 UTC+05:45"},
		{"2026-11-23T14:30:00Z", "Asia/Kolkata", "Due Mon, 23 Nov 2026 20:00 IST (UTC+05:30)"},
		{"2026-11-23T14:30:00Z", "Pacific/Chatham", "Due Tue, 24 Nov 2026 04:15 UTC+13:45"},
		{"2026-11-23T14:30:00Z", "Pacific/Marquesas", "Due Mon, 23 Nov 2026 05:00 UTC-09:30"},
		{"2026-12-31T23:30:00Z", "Pacific/Kiritimati", "Due Fri, 1 Jan 2027 13:30 UTC+14:00"},
		{"2026-01-15T12:00:00Z", "Europe/London", "Due Thu, 15 Jan 2026 12:00 GMT (UTC+00:00)"},
	} {
		due, err := time.Parse(time.RFC3339, tt.due)
		if err != nil {
			t.Fatal(err)
		}
		m := notify.Message{Title: "Pay rent", DueDate: &due}
		if tt.zone != "" {
			m.Zone = preferences.Zone(tt.zone)
		}
		if got := m.Due(); got != tt.want {
			t.Errorf("%s in %s: %q, want %q", tt.due, tt.zone, got, tt.want)
		}
		if !strings.Contains(m.Text(), tt.want) {
			t.Errorf("the text is %q", m.Text())
		}
	}
	if got := (notify.Message{}).Due(); got != "" {
		t.Errorf("without a due date: %q", got)
	}
}
