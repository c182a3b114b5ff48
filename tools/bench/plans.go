package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// plans runs everything that the functions do on a database with a million rows, with
// Postgres telling its plans, and fails if one reads a large table from end to end.
func (w *world) plans(ctx context.Context, _ figures) error {
	if err := w.seed(ctx, w.Pending, w.Expired); err != nil {
		return err
	}
	if err := w.explain(ctx); err != nil {
		return err
	}
	log := filepath.Join(w.dir, "system", "logs", "postgres.log")
	before, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	if err := w.everything(ctx); err != nil {
		return err
	}
	after, err := os.ReadFile(log)
	if err != nil {
		return err
	}
	told := after[len(before):]
	if n := bytes.Count(told, []byte("Query Text:")); n < 50 {
		return fmt.Errorf("only %d plans were told", n)
	}
	if path := os.Getenv("BENCH_PLANS"); path != "" {
		if err := os.WriteFile(path, told, 0o644); err != nil {
			return err
		}
	}
	var problems []string
	for _, entry := range regexp.MustCompile(`(?m)^\S+ \S+ UTC \[\d+\] `).Split(string(told), -1) {
		if seqScan.MatchString(entry) && !strings.Contains(entry, "insert into reminders select") {
			problems = append(problems, entry)
		}
	}
	if claims := regexp.MustCompile(`(?s)set schedule_attempts = r\.schedule_attempts \+ 1.*?reminders_pending`); !claims.Match(told) {
		problems = append(problems, "what is pending is not claimed by its own index")
	}
	if len(problems) > 0 {
		return fmt.Errorf("%d statements read a large table from end to end, such as: %s", len(problems), problems[0])
	}
	return nil
}

var seqScan = regexp.MustCompile(`Seq Scan on (tasks|reminders|deliveries|notifications)\b`)

// explain has Postgres log the plan of every statement of the functions.
func (w *world) explain(ctx context.Context) error {
	c, err := pgx.Connect(ctx, w.environment["DATABASE_URL"])
	if err != nil {
		return err
	}
	defer c.Close(ctx)
	for _, sql := range []string{
		// History, too, so that its tables are not too small for an index.
		`insert into deliveries (id, reminder_id, revision, task_id, user_id, channel, state, finished_at)
			select gen_random_uuid(), id, 1, task_id, user_id, 'in_app', 'sent', now() from reminders where state = 'armed' limit 100000`,
		`insert into notifications (id, user_id, seq, task_id, title, body)
			select id, user_id, (select last_seq from users where id = 'bench') + row_number() over (), task_id, 'x', 'y' from deliveries`,
		`update users set last_seq = (select max(seq) from notifications) where id = 'bench'`,
		// And reminders that Dapr holds, which those that look for pending ones are to read past.
		`update reminders set confirmed_revision = revision, fire_at = now() + interval '1 h' where id in (select id from reminders where state = 'armed' limit 40000)`,
		`vacuum analyze`,
		`load 'auto_explain'`,
		`alter system set session_preload_libraries = 'auto_explain'`,
		`alter system set auto_explain.log_min_duration = 0`,
		`alter system set auto_explain.log_nested_statements = on`,
	} {
		if _, err := c.Exec(ctx, sql); err != nil {
			return fmt.Errorf("%s: %w", sql, err)
		}
	}
	w.db.Close()
	return w.restartPostgres(ctx)
}

// everything does what users, Dapr and time do.
func (w *world) everything(ctx context.Context) error {
	call := func(method, path, body string) (answer []byte, err error) {
		req, err := http.NewRequestWithContext(ctx, method, w.sys.URL()+path, strings.NewReader(body))
		if err != nil {
			return nil, err
		}
		req.Header.Set("Authorization", "Bearer "+w.token)
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set("Idempotency-Key", method+path+fmt.Sprint(time.Now().UnixNano()))
		resp, err := w.client.Do(req)
		if err != nil {
			return nil, err
		}
		defer resp.Body.Close()
		answer, err = io.ReadAll(resp.Body)
		if err == nil && resp.StatusCode >= 300 {
			err = fmt.Errorf("%s %s: %s %s", method, path, resp.Status, answer)
		}
		return answer, err
	}
	soon := time.Now().Add(2 * time.Second)
	if _, err := w.imports(ctx, 2000, func(i int) time.Time { return soon.Add(time.Duration(i%2) * time.Hour) }); err != nil {
		return err
	}
	for range 8 { // often enough for Postgres to decide on plans that don't depend on the values
		created, err := call("POST", "/api/tasks", fmt.Sprintf(`{"title":"x","due_date":%q}`, soon.Add(time.Hour).Format(time.RFC3339)))
		if err != nil {
			return err
		}
		var task struct{ ID string }
		if err := json.Unmarshal(created, &task); err != nil {
			return err
		}
		for _, request := range [][3]string{
			{"GET", "/api/tasks", ""},
			{"GET", "/api/tasks?completed=false&due_after=2026-01-01T00:00:00Z&limit=5", ""},
			{"GET", "/api/tasks?sort=due_date&limit=5", ""},
			{"GET", "/api/tasks?sort=due_date&order=desc&completed=false", ""},
			{"GET", "/api/tasks?q=task+99999", ""},
			{"GET", "/api/tasks/" + task.ID, ""},
			{"GET", "/api/tasks/" + task.ID + "/timeline", ""},
			{"GET", "/api/tasks/" + task.ID + "/deliveries", ""},
			{"PATCH", "/api/tasks/" + task.ID, fmt.Sprintf(`{"due_date":%q,"reminders":["0s","5m"]}`, soon.Add(2*time.Hour).Format(time.RFC3339))},
			{"GET", "/api/notifications", ""},
			{"GET", "/api/notifications?after=01a20dd0-b585-7d53-8b12-7a2c1c952027&limit=5", ""},
			{"GET", "/api/notifications?state=unread&order=desc", ""},
			{"GET", "/api/notifications?state=archived", ""},
			{"GET", "/api/notifications/count", ""},
			{"DELETE", "/api/tasks/" + task.ID, ""},
		} {
			if _, err := call(request[0], request[1], request[2]); err != nil && !strings.Contains(err.Error(), "?after=") {
				return err
			}
		}
		if err := w.sys.Invoke(ctx, "retry-dlq"); err != nil {
			return err
		}
	}
	time.Sleep(time.Until(soon.Add(3 * time.Second))) // Dapr calls
	return w.sys.Invoke(ctx, "nightly-cleanup")
}
