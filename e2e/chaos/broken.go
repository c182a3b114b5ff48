package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/duebell/duebell/local/checkout"
)

// noSweep is the breakage that changes no code: nothing invokes the sweep.
const noSweep = "sweep"

// edit is one change of the code.
type edit struct{ file, right, wrong string }

// breakages are mistakes that a run must find.
var breakages = map[string][]edit{
	// Two senders may have one delivery.
	"lease": {{
		"shared/store/deliveries.go",
		"and next_attempt_at <= now()",
		"",
	}},
	// A reminder is confirmed whatever its revision is by then. A sweep that is slow to confirm
	// makes that happen often.
	"revision": {
		slowMark,
		{"shared/store/jobs.go", "set confirmed_revision = a.revision from", "set confirmed_revision = r.revision from"},
		{"shared/store/jobs.go", "and a.state = 'armed' and a.current = a.revision", ""},
	},
	// The same slow sweep without the mistake: the run must find nothing.
	"slow": {slowMark},
	// All messages wait in one queue, and one user may have all places, so the hog's messages come
	// before everybody else's.
	"fairness": {
		{"shared/store/lanes.go", "`(d.channel = 'webhook' or ` + isBrowser + `)`", "`d.channel in ('webhook', 'email', 'push', 'sms')`"},
		{"shared/store/lanes.go", "`d.channel in ('email', 'push', 'sms') and not (` + isBrowser + `)`\n	default", "`false`\n	default"},
		{"shared/store/lanes.go", "order by turn, next_attempt_at limit", "order by next_attempt_at limit"},
		{"shared/deliver/sender.go", "perUser: rules.PerUser, perHost: all / 4, rests: true", "perUser: all, perHost: all"},
		{"shared/deliver/lane.go", "q := byUser[d.UserID]", `q := byUser[""]`},
		{"shared/deliver/lane.go", "byUser[d.UserID] = q", `byUser[""] = q`},
	},
	// Quiet hours hold nothing.
	"quiet": {{"shared/deliver/quiet.go", "return l.HeldUntil.After(l.Quiet.At)", "return false"}},
	// Reminders are answered as scheduled although Dapr was not asked to schedule them.
	"unasked": {{
		"shared/schedule/jobs.go",
		"refusal := j.dapr.Schedule(call, d.Revision, notBefore(d.FireAt, j.now()))",
		"_, refusal := d, call.Err()",
	}},
}

var slowMark = edit{
	"shared/schedule/jobs.go",
	"stale, err := j.store.Confirm(",
	"time.Sleep(3 * time.Second)\n	stale, err := j.store.Confirm(",
}

func breakageNames() []string {
	return append(slices.Sorted(maps.Keys(breakages)), noSweep)
}

// overlay writes to dir what `go build -overlay` needs to build the code with edits, and returns
// the path.
func overlay(dir string, edits []edit) (string, error) {
	root, err := checkout.Root()
	if err != nil {
		return "", err
	}
	replace := map[string]string{} // the broken file of each
	for _, e := range edits {
		original := filepath.Join(root, e.file)
		broken := replace[original]
		code, err := os.ReadFile(cmp.Or(broken, original))
		if err != nil {
			return "", err
		}
		if !strings.Contains(string(code), e.right) {
			return "", fmt.Errorf("%s no longer has what is to be broken: %s", e.file, e.right)
		}
		if broken == "" {
			broken = filepath.Join(dir, fmt.Sprintf("broken%d.go", len(replace)))
			replace[original] = broken
		}
		if err := os.WriteFile(broken, []byte(strings.Replace(string(code), e.right, e.wrong, 1)), 0o600); err != nil {
			return "", err
		}
	}
	content, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return "", err
	}
	path := filepath.Join(dir, "overlay.json")
	return path, os.WriteFile(path, content, 0o600)
}
