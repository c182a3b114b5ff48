package preferences_test

import (
	"testing"
	"time"

	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

func agendaAt(t *testing.T, at string, days ...string) preferences.Agenda {
	t.Helper()
	a, err := preferences.ParseAgenda(preferences.WrittenAgenda{Channel: task.Email, At: at, Days: days})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// The next agenda is on the next day that exists in the zone and that the user has chosen. Its instant is when clocks
// there show the chosen time.
func TestNextAgenda(t *testing.T) {
	for name, tt := range map[string]struct {
		zone, now, at string
		days          []string
		want, day     string
	}{
		"today":                   {"Europe/Berlin", "2026-12-01T06:59:59Z", "08:00", nil, "2026-12-01T07:00:00Z", "2026-12-01"},
		"at its time":             {"Europe/Berlin", "2026-12-01T07:00:00Z", "08:00", nil, "2026-12-01T07:00:00Z", "2026-12-01"},
		"tomorrow":                {"Europe/Berlin", "2026-12-01T07:00:01Z", "08:00", nil, "2026-12-02T07:00:00Z", "2026-12-02"},
		"midnight":                {"Europe/Berlin", "2026-12-01T22:59:59Z", "00:00", nil, "2026-12-01T23:00:00Z", "2026-12-02"},
		"only on Mondays":         {"Europe/Berlin", "2026-12-01T00:00:00Z", "08:00", []string{"mo"}, "2026-12-07T07:00:00Z", "2026-12-07"},
		"a gap":                   {"America/New_York", "2026-03-08T05:00:00Z", "02:30", nil, "2026-03-08T07:30:00Z", "2026-03-08"},
		"the day after a gap":     {"America/New_York", "2026-03-08T07:30:01Z", "02:30", nil, "2026-03-09T06:30:00Z", "2026-03-09"},
		"an overlap":              {"America/New_York", "2026-11-01T05:00:00Z", "01:30", nil, "2026-11-01T05:30:00Z", "2026-11-01"},
		"not twice in an overlap": {"America/New_York", "2026-11-01T05:30:01Z", "01:30", nil, "2026-11-02T06:30:00Z", "2026-11-02"},
		"a day that was skipped":  {"Pacific/Apia", "2011-12-29T18:00:01Z", "08:00", nil, "2011-12-30T18:00:00Z", "2011-12-31"},
		"only on a day like that": {"Pacific/Apia", "2011-12-29T18:00:01Z", "08:00", []string{"fr"}, "2012-01-05T18:00:00Z", "2012-01-06"},
		"a gap that ends the day": {"America/Nuuk", "2026-03-29T00:00:00Z", "23:30", nil, "2026-03-29T01:30:00Z", "2026-03-28"},
		"far east":                {"Pacific/Kiritimati", "2026-11-30T17:59:59Z", "08:00", nil, "2026-11-30T18:00:00Z", "2026-12-01"},
		"far west":                {"Pacific/Honolulu", "2026-12-01T17:59:59Z", "08:00", nil, "2026-12-01T18:00:00Z", "2026-12-01"},
	} {
		now, err := time.Parse(time.RFC3339, tt.now)
		if err != nil {
			t.Fatal(err)
		}
		next, ok := agendaAt(t, tt.at, tt.days...).Next(now, preferences.Zone(tt.zone), nil, func(preferences.AgendaDay) bool { return false })
		if got := next.At.Format(time.RFC3339); !ok || got != tt.want || next.Day.DateString() != tt.day {
			t.Errorf("%s: %s of %s, want %s of %s", name, got, next.Day.DateString(), tt.want, tt.day)
		}
	}
}

// An agenda whose time has passed counts if late allows it. An agenda of a settled day never
// counts.
func TestNextAgendaMayBeLate(t *testing.T) {
	zone, now := preferences.Zone("Europe/Berlin"), time.Date(2026, 12, 1, 9, 0, 0, 0, time.UTC)
	day := wallclock.At(now, zone).Midnight()
	a := agendaAt(t, "08:00")
	late := func(d preferences.AgendaDay) bool { return now.Sub(d.At) <= preferences.MostLate }
	if next, _ := a.Next(now, zone, nil, late); next.Day != day {
		t.Errorf("two hours late: %v", next)
	}
	if next, _ := a.Next(now, zone, []wallclock.Time{day}, late); next.Day != day.AddDays(1) {
		t.Errorf("settled: %v", next)
	}
	evening := preferences.AgendaDay{Day: day.AddDays(-1), At: day.Add(-time.Hour).In(zone)}
	for _, tt := range []struct {
		late time.Duration
		want bool
	}{{0, false}, {4 * time.Hour, false}, {4*time.Hour + time.Second, true}} {
		if got := evening.TooLate(evening.At.Add(tt.late), zone); got != tt.want {
			t.Errorf("yesterday's, %v late, is too late: %v", tt.late, got)
		}
	}
	if morning, _ := a.On(day, zone); morning.TooLate(morning.At.Add(15*time.Hour), zone) || !morning.TooLate(morning.At.Add(16*time.Hour), zone) {
		t.Error("today's counts until the day is over")
	}
}

func TestAgendaIsRefused(t *testing.T) {
	for _, w := range []preferences.WrittenAgenda{
		{Channel: "event", At: "08:00"},
		{Channel: "", At: "08:00"},
		{Channel: "email"},
		{Channel: "email", At: "8:00"},
		{Channel: "email", At: "24:00"},
		{Channel: "email", At: "08:00:30"},
		{Channel: "email", At: "08:00", Days: []string{}},
		{Channel: "email", At: "08:00", Days: []string{"mon"}},
	} {
		if _, err := preferences.ParseAgenda(w); err == nil {
			t.Errorf("%+v is taken", w)
		}
	}
	if got := agendaAt(t, "08:00", "su", "mo", "su").Written(); len(got.Days) != 2 || got.Days[0] != "mo" || got.At != "08:00" {
		t.Errorf("%+v", got)
	}
}
