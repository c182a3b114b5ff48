package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// figures are what was measured, in each round, by name.
type figures map[string][]float64

func (f figures) add(name string, value float64) { f[name] = append(f[name], value) }

// rate adds how many of something were done in a second.
func (f figures) rate(name string, n int, took time.Duration) { f.add(name, float64(n)/took.Seconds()) }

// quantile is the value that a share of the values don't exceed.
func quantile(values []float64, share float64) float64 {
	if len(values) == 0 {
		return math.NaN()
	}
	sorted := slices.Sorted(slices.Values(values))
	return sorted[min(int(share*float64(len(sorted))), len(sorted)-1)]
}

func median(values []float64) float64 {
	sorted := slices.Sorted(slices.Values(values))
	if n := len(sorted); n%2 == 0 && n > 0 {
		return (sorted[n/2-1] + sorted[n/2]) / 2
	}
	return quantile(sorted, 0.5)
}

func (f figures) medians() map[string]float64 {
	out := map[string]float64{}
	for name, values := range f {
		if m := median(values); !math.IsNaN(m) && !strings.Contains(name, " ") {
			out[name] = math.Round(m*1000) / 1000
		}
	}
	return out
}

// write writes the medians to a file.
func (f figures) write(path string) error {
	text, err := json.MarshalIndent(f.medians(), "", "  ")
	if err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	return os.WriteFile(path, append(text, '\n'), 0o644)
}

// rows are the table's, in its order.
var rows = []struct{ name, what string }{
	{"raw_dapr_schedule_64_per_s", "Dapr alone: jobs scheduled, 64 at a time"},
	{"create_per_s", "Duebell: tasks created and scheduled, 64 at a time"},
	{"create_p50_ms", "... half of them within"},
	{"create_p99_ms", "... 99 of 100 within"},
	{"create_recurring_per_s", "Duebell: recurring tasks created and scheduled, 64 at a time"},
	{"create_recurring_p50_ms", "... half of them within"},
	{"create_recurring_p99_ms", "... 99 of 100 within"},
	{"create_far_per_s", "Duebell: tasks created, due beyond the horizon, 64 at a time"},
	{"create_far_p50_ms", "... half of them within"},
	{"create_far_p99_ms", "... 99 of 100 within"},
	{"raw_dapr_schedule_per_s", "Dapr alone: jobs scheduled, at its best"},
	{"import_near_per_s", "Duebell: tasks imported and scheduled"},
	{"sequential_import_per_s", "the loop one writes first: a row, a job, and the next"},
	{"river_insert_per_s", "River: jobs inserted"},
	{"import_far_per_s", "Duebell: tasks imported, due beyond the horizon"},
	{"raw_dapr_spike_s", "Dapr alone: the same second, until the last call"},
	{"river_spike_s", "River: the same, until the last row is committed"},
	{"spike_s", "Duebell: the same, until the last inbox has it"},
	{"recurring_spike_s", "... of recurring tasks, each armed for its next occurrence"},
	{"raw_dapr_spread_p50_ms", "Dapr alone: 1,000 a second, half are called within"},
	{"raw_dapr_spread_p99_ms", "... 99 of 100 within"},
	{"river_spread_p50_ms", "River: the same, half are committed within"},
	{"river_spread_p99_ms", "... 99 of 100 within"},
	{"spread_p50_ms", "Duebell: the same, half are in the inbox within"},
	{"spread_p99_ms", "... 99 of 100 within"},
	{"scheduler_rss_mb_idle", "Dapr's scheduler, idle: memory, MB"},
	{"scheduler_rss_mb_1m_pending", "... with a million reminders pending beyond the horizon"},
	{"cleanup_10k_of_20k_s", "nightly cleanup: 10,000 expired tasks of 20,000, s"},
	{"cleanup_10k_of_1m_s", "... of a million, s"},
	{"cold_start_ms", "create-task: from its start to its first answer, ms"},
	{"rss_mb_create_task", "create-task: memory after its first answer, MB"},
	{"rss_mb_create_task_loaded", "... after the creates, 64 at a time"},
	{"cold_start_trigger_reminder_ms", "trigger-reminder: from its start to its first answer, ms"},
	{"rss_mb_trigger_reminder", "trigger-reminder: memory after its first answer, MB"},
	{"rss_mb_trigger_reminder_loaded", "... after the spike"},
}

// ratios are what is aimed at: they hold where the figures themselves depend on the
// machine.
var ratios = []struct {
	what, over, under string
	atLeast           bool
	goal              float64
}{
	{"creates / Dapr alone, 64 at a time", "create_per_s", "raw_dapr_schedule_64_per_s", true, 0.6},
	{"creates: due once / recurring", "create_per_s", "create_recurring_per_s", false, 1.2},
	{"import within the horizon / Dapr at its best", "import_near_per_s", "raw_dapr_schedule_per_s", true, 0.85},
	{"import within the horizon / the loop", "import_near_per_s", "sequential_import_per_s", true, 8},
	{"import beyond the horizon / River's inserts", "import_far_per_s", "river_insert_per_s", true, 0.5},
	{"the same second: Duebell / River", "spike_s", "river_spike_s", false, 1},
	{"the same second: recurring / due once", "recurring_spike_s", "spike_s", false, 1.3},
	{"the same second: Duebell / Dapr alone", "spike_s", "raw_dapr_spike_s", false, 1},
	{"1,000 a second, 99 of 100: Duebell / Dapr alone", "spread_p99_ms", "raw_dapr_spread_p99_ms", false, 1.5},
	{"scheduler's memory, a million pending / idle", "scheduler_rss_mb_1m_pending", "scheduler_rss_mb_idle", false, 1.2},
	{"cleanup of a million / of 20,000", "cleanup_10k_of_1m_s", "cleanup_10k_of_20k_s", false, 2},
}

// limits are goals for figures that hardly depend on the machine.
var limits = map[string]float64{"cold_start_ms": 100, "cold_start_trigger_reminder_ms": 100, "rss_mb_create_task": 30, "rss_mb_trigger_reminder": 60, "spread_p50_ms": 5}

func (f figures) print(out io.Writer) {
	f.printCPU(out)
	fmt.Fprintf(out, "\n| what | median | lowest | highest | goal |\n| --- | ---: | ---: | ---: | --- |\n")
	for _, r := range rows {
		values := f[r.name]
		if len(values) == 0 {
			continue
		}
		goal := ""
		if limit, ok := limits[r.name]; ok {
			goal = verdict(median(values) <= limit, fmt.Sprintf("<= %g", limit))
		}
		fmt.Fprintf(out, "| %s | %s | %s | %s | %s |\n", r.what, short(median(values)), short(slices.Min(values)), short(slices.Max(values)), goal)
	}
	fmt.Fprintf(out, "\n| ratio | is | goal |\n| --- | ---: | --- |\n")
	for _, r := range ratios {
		if len(f[r.over]) == 0 || len(f[r.under]) == 0 {
			continue
		}
		is, sign := median(f[r.over])/median(f[r.under]), ">="
		met := is >= r.goal
		if !r.atLeast {
			sign, met = "<=", is <= r.goal
		}
		fmt.Fprintf(out, "| %s | %.2f | %s |\n", r.what, is, verdict(met, fmt.Sprintf("%s %g", sign, r.goal)))
	}
}

// printCPU says where the time goes.
func (f figures) printCPU(out io.Writer) {
	fmt.Fprintf(out, "\n| processor time for each, in µs | median |\n| --- | ---: |\n")
	for _, name := range slices.Sorted(maps.Keys(f)) {
		if what, ok := strings.CutPrefix(name, "cpu_us_per_"); ok {
			fmt.Fprintf(out, "| %s | %.0f |\n", what, median(f[name]))
		}
	}
}

func verdict(met bool, goal string) string {
	if met {
		return goal
	}
	return goal + " **missed**"
}

func short(v float64) string {
	switch {
	case v >= 100:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return fmt.Sprintf("%.1f", v)
	default:
		return fmt.Sprintf("%.2f", v)
	}
}
