package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/task"
)

// imports sends lines of JSON, and returns the summary.
func (p person) imports(lines string) (summary struct {
	Created   int
	Scheduled int `json:"scheduled_reminders"`
	Pending   int `json:"pending_reminders"`
	Failed    int
},
) {
	p.Helper()
	req, err := http.NewRequest("POST", p.sys.URL()+"/api/tasks/batch", strings.NewReader(lines))
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", "application/x-ndjson")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	all := strings.Split(strings.TrimSpace(string(answer)), "\n")
	if err != nil || resp.StatusCode != 200 || json.Unmarshal([]byte(all[len(all)-1]), &summary) != nil {
		p.Fatalf("%v %s %s", err, resp.Status, answer)
	}
	return summary
}

// All reminders of an import come once, by Dapr alone.
func TestImport(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	const n = 300
	due := time.Now().Add(8 * time.Second).Format(time.RFC3339Nano)
	var lines strings.Builder
	for i := range n {
		fmt.Fprintf(&lines, `{"title":"task %d","due_date":%q,"channels":["in_app"]}`+"\n", i, due)
	}
	if s := p.imports(lines.String() + "no task\n"); s.Created != n || s.Scheduled != n || s.Pending != 0 || s.Failed != 1 {
		t.Fatalf("%+v", s)
	}
	count := func() int {
		return len(ask[struct{ Notifications []notification }](p, "GET", "/api/notifications?limit=500", nil).Notifications)
	}
	p.eventually(soon, "all are told", func() bool { return count() == n })
	time.Sleep(2 * time.Second) // Dapr repeats what it thinks has failed after 2 s
	if got := count(); got != n {
		t.Errorf("told %d times, want %d", got, n)
	}
}

// Beyond the horizon Dapr has no jobs. A sweep schedules those that have come within it.
func TestHorizon(t *testing.T) {
	t.Parallel()
	mine := startOwn(t, func(o *system.Options) { o.NoSchedules, o.Env = true, append(o.Env, "REMINDER_HORIZON=1h") })
	dapr := openJobs(t, mine)
	p := newPerson(t, mine)
	holds := func(created api.Task, revision int64) bool {
		there, err := dapr.Holds(t.Context(), task.Revision{ReminderID: created.Reminders[0].ID, Number: revision}.JobName())
		if err != nil {
			t.Fatal(err)
		}
		return there
	}
	far, moved := p.create(2*time.Hour), p.create(2*time.Hour)
	if s := far.Reminders[0].State; s != "scheduled" || holds(far, 1) {
		t.Errorf("beyond the horizon it is %s, and with Dapr: %v", s, holds(far, 1))
	}
	p.patch(moved, map[string]any{"due_date": time.Now().Add(time.Minute)})
	if !holds(moved, 2) {
		t.Error("moved within the horizon it is not with Dapr")
	}
	p.patch(moved, map[string]any{"due_date": time.Now().Add(3 * time.Hour)})
	if holds(moved, 2) || holds(moved, 3) {
		t.Error("moved beyond the horizon it is with Dapr")
	}
	p.exec(`update reminders set fire_at = now() + interval '10 s' where id = '` + far.Reminders[0].ID.String() + `'`) // as time would
	if err := mine.Invoke(t.Context(), "retry-dlq"); err != nil {
		t.Fatal(err)
	}
	if !holds(far, 1) {
		t.Error("a sweep has not given it to Dapr")
	}
	p.told(soon, 1)
}
