package openapitest

import (
	"net/http"
	"testing"
)

// The check itself: what is not described is found.
func TestCheck(t *testing.T) {
	d, err := read()
	if err != nil {
		t.Fatal(err)
	}
	headers := http.Header{"Content-Type": {"application/json"}}
	problem := http.Header{"Content-Type": {"application/problem+json"}}
	list := `{"tasks":[],"next_cursor":null}`
	for what, c := range map[string]struct {
		method, path string
		status       int
		header       http.Header
		body         string
		ok           bool
	}{
		"as described":       {"GET", "/api/tasks?limit=1", 200, headers, list, true},
		"a problem":          {"GET", "/api/tasks", 400, problem, `{"type":"t","title":"t","status":400,"detail":"d","code":"invalid"}`, true},
		"unknown path":       {"GET", "/api/nothing", 200, headers, list, false},
		"unknown path, 404":  {"GET", "/api/nothing", 404, problem, `{}`, true},
		"unknown method":     {"DELETE", "/api/tasks", 200, headers, list, false},
		"unknown status":     {"GET", "/api/tasks", 418, headers, list, false},
		"another media type": {"GET", "/api/tasks", 200, problem, list, false},
		"a member too many":  {"GET", "/api/tasks", 200, headers, `{"tasks":[],"next_cursor":null,"more":1}`, false},
		"a member missing":   {"GET", "/api/tasks", 200, headers, `{"tasks":[]}`, false},
		"a bad member":       {"GET", "/api/tasks", 200, headers, `{"tasks":[{}],"next_cursor":null}`, false},
		"a time":             {"GET", "/api/notifications", 200, headers, `{"notifications":[{"id":"0198b5f0-0000-7000-8000-000000000000","task_id":"0198b5f0-0000-7000-8000-000000000000","title":"t","body":"b","created_at":"2026-11-23T14:30:00Z","read_at":null,"archived_at":null,"occurrence":null,"due_date":null,"kind":"due","reminder_id":null,"acknowledged_at":null,"snoozed_until":null}]}`, true},
		"a time not in UTC":  {"GET", "/api/notifications", 200, headers, `{"notifications":[{"id":"0198b5f0-0000-7000-8000-000000000000","task_id":"0198b5f0-0000-7000-8000-000000000000","title":"t","body":"b","created_at":"2026-11-23T14:30:00+01:00","read_at":null,"archived_at":null,"occurrence":null,"due_date":null,"kind":"due","reminder_id":null,"acknowledged_at":null,"snoozed_until":null}]}`, false},
		"a header missing":   {"GET", "/api/tasks/0198b5f0-0000-7000-8000-000000000000", 200, headers, `{}`, false},
		"an unknown code":    {"GET", "/api/tasks", 400, problem, `{"type":"t","title":"t","status":400,"detail":"d","code":"odd"}`, false},
	} {
		if err := d.check(c.method, c.path, c.status, c.header, []byte(c.body)); (err == nil) != c.ok {
			t.Errorf("%s: %v", what, err)
		}
	}
}
