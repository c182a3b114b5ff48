package e2e

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// program runs the duebell program as the person, and returns what it prints.
func (p person) program(args ...string) string {
	p.Helper()
	cmd := exec.CommandContext(p.Context(), filepath.Join(bin, "duebell"), args...)
	cmd.Env = append(os.Environ(), "DUEBELL_URL="+p.sys.URL(), "DUEBELL_TOKEN="+p.token)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		p.Fatalf("duebell %s: %v\n%s%s", strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}

// A file that is imported and exported is the same file again, except for the order of its lines.
func TestExport(t *testing.T) {
	const lines = `{"title":"An instant","due_date":"2031-03-01T08:00:00Z","reminders":["24h","0s","-1h"]}
{"title":"Nothing due","notes":"two\nlines, \"quoted\"","reminders":[]}
{"title":"Where I am","due_local":"2031-03-01T09:00","reminders":["1d","0s"]}
{"title":"In New York","due_local":"2031-03-09T02:30","time_zone":"America/New_York","reminders":["0s"],"channels":["in_app","email"]}
{"title":"All day","due_on":"2031-03-01","reminders":["1w","0s"],"channels":["push"]}
{"title":"Each month's end","due_local":"2031-01-31T18:00","time_zone":"Europe/Berlin","recurrence":{"rule":"FREQ=MONTHLY;BYMONTHDAY=31","skip":"backward","from":"schedule","except":["2031-12-31"]},"reminders":["2h","0s"],"repeat":{"every":"10m","times":3},"urgent":true}
{"title":"After the last time","due_on":"2031-01-31","recurrence":{"rule":"FREQ=WEEKLY;INTERVAL=2","skip":"omit","from":"completion","except":[]},"reminders":["0s"]}
{"title":"Done","due_date":"2031-03-01T08:00:00Z","reminders":["0s"],"completed":true}
`
	const table = `title,notes,due_date,due_local,due_on,time_zone,recurrence,recurrence_skip,recurrence_from,recurrence_except,reminders,repeat_every,repeat_times,completed,channels,urgent
An instant,,2031-03-01T08:00:00Z,,,,,,,,24h;0s;-1h,,,,,
"Quoted, ""notes""","two
lines",,,,,,,,,none,,,,,
Each month's end,,,2031-01-31T18:00,,Europe/Berlin,FREQ=MONTHLY;BYMONTHDAY=31,backward,schedule,2031-12-31,2h;0s,10m,3,,,true
All day,,,,2031-03-01,,,,,,1w;0s,,,,in_app;email,
`
	sorted := func(file string) []string { return slices.Sorted(strings.SplitSeq(strings.TrimSpace(file), "\n")) }
	for format, file := range map[string]string{"ndjson": lines, "csv": table} {
		t.Run(format, func(t *testing.T) {
			p := newPerson(t, sys)
			p.choose(map[string]any{"time_zone": "Asia/Kolkata"})
			path := filepath.Join(t.TempDir(), "tasks."+format)
			if err := os.WriteFile(path, []byte(file), 0o600); err != nil {
				t.Fatal(err)
			}
			p.program("import", path)
			exported := p.program("export", "-format", format)
			if got, want := sorted(exported), sorted(file); !slices.Equal(got, want) {
				t.Errorf("exported:\n%s\nwant:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
			}
		})
	}
}
