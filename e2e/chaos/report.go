package main

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// String returns the result without the verdict: findings, lateness, and external copies with their
// causes.
func (t tally) String() string {
	var b strings.Builder
	const most = 20
	worst := []string{"lost", "duplicate", "early", "cancelled", "quiet", "wrong", "late"}
	findings := slices.SortedStableFunc(slices.Values(t.findings), func(a, b finding) int {
		return slices.Index(worst, a.what) - slices.Index(worst, b.what)
	})
	for i, f := range findings {
		if i == most {
			fmt.Fprintf(&b, "and %d more findings\n", len(t.findings)-most)
			break
		}
		name := "the run"
		if f.life != nil {
			name = fmt.Sprintf("task %d (%s)", f.life.n, f.life.id)
			if f.life.n == 0 {
				name = nameOf(f.life.user)
			}
		}
		fmt.Fprintf(&b, "✗ %s: %s: %s\n%s", f.what, name, f.text, f.history)
	}
	fmt.Fprintf(&b, "\n%d reminders: %d had to be told, %d more were cancelled or moved just when they were due and may have been; %d lie ahead, scheduled; %d occurrences were missed; %d agendas had to come\n", t.reminders, t.shots, t.either, t.ahead, t.missed, t.agendas)
	for _, channel := range slices.Concat([]string{"in_app"}, external, []string{agenda}) {
		fmt.Fprintf(&b, "late, %-8s %s\n", channel+":", quantiles(t.late[channel]))
		fmt.Fprintf(&b, "        when parts were slow at most: %s\n", quantiles(t.calm[channel]))
	}
	if len(t.copies) == 0 {
		b.WriteString("no external message came twice\n")
	}
	for _, why := range slices.Sorted(maps.Keys(t.copies)) {
		fmt.Fprintf(&b, "%d external copies: %s\n", t.copies[why], why)
	}
	return b.String()
}

// verdict returns the last line.
func (t tally) verdict() string {
	count := map[string]int{}
	for _, f := range t.findings {
		count[f.what]++
	}
	line := fmt.Sprintf("CHAOS reminders=%d lost=%d duplicates=%d", t.reminders, count["lost"], count["duplicate"])
	for _, what := range []string{"early", "cancelled", "quiet", "wrong", "late"} {
		if count[what] > 0 {
			line = fmt.Sprintf("%d %s\n", count[what], what) + line
		}
	}
	return line
}

func quantiles(late []time.Duration) string {
	if len(late) == 0 {
		return "nothing came"
	}
	return fmt.Sprintf("p50 %v, p99 %v, max %v (%d)", quantile(late, 0.5), quantile(late, 0.99), quantile(late, 1), len(late))
}

// quantile returns the q-th quantile, 0 of nothing.
func quantile(late []time.Duration, q float64) time.Duration {
	if len(late) == 0 {
		return 0
	}
	return slices.Sorted(slices.Values(late))[int(q*float64(len(late)-1))].Round(100 * time.Microsecond)
}
