package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/local/issuer"
)

// A promise is a sentence of the documentation, which a check holds the cluster to.
type promise struct{ page, sentence string }

// at returns the page and the line of the sentence. One that is no longer there is a fault.
func (p promise) at(root string) (string, error) {
	content, err := os.ReadFile(root + "/" + p.page)
	if err != nil {
		return "", err
	}
	before, _, found := strings.Cut(string(content), p.sentence)
	if !found {
		return "", fmt.Errorf("%s no longer says %q", p.page, p.sentence)
	}
	return fmt.Sprintf("%s:%d", p.page, strings.Count(before, "\n")+1), nil
}

// A checked is one check. It says what it saw, such as figures.
type checked struct {
	name    string
	promise promise
	run     func(context.Context, *lab) (saw string, err error)
}

// lab is the cluster as checks see it: from outside as users, and from its node.
type lab struct {
	*node
	db   *pgxpool.Pool
	http *http.Client
}

const apiURL = "https://" + apiHost

// check runs the checks whose name matches args[1], all if it is empty, one after another.
func check(ctx context.Context, args []string) error {
	n := &node{home: home(args[0]), say: newProgress().say}
	only, err := regexp.Compile(args[1])
	if err != nil {
		return err
	}
	l, err := newLab(ctx, n)
	if err != nil {
		return err
	}
	defer l.db.Close()
	passed, failed := 0, 0
	for _, c := range checks() {
		if !only.MatchString(c.name) {
			continue
		}
		where, err := c.promise.at(n.path("checkout"))
		began := time.Now()
		saw := ""
		if err == nil {
			limited, cancel := context.WithTimeout(ctx, 20*time.Minute)
			saw, err = c.run(limited, l)
			cancel()
		}
		if ctx.Err() != nil { // those that are left would change things, and then fail
			return fmt.Errorf("broken off at: %s", c.name)
		}
		took := time.Since(began).Round(time.Second)
		if err != nil {
			failed++
			n.say(fmt.Sprintf("✗ %s (%s), %v: %v", c.name, where, took, err))
			continue
		}
		passed++
		n.say(fmt.Sprintf("✓ %s (%s), %v: %s", c.name, where, took, saw))
	}
	fmt.Printf("CLUSTER passed=%d failed=%d\n", passed, failed)
	if failed > 0 || passed == 0 {
		return fmt.Errorf("%d of %d checks failed", failed, passed+failed)
	}
	return nil
}

func newLab(ctx context.Context, n *node) (*lab, error) {
	key, err := issuer.New(issuerURL, n.path("run", "issuer.key"))
	if err != nil {
		return nil, err
	}
	n.outside = &outside{home: n.home, issuer: key}
	database, err := n.databaseURL()
	if err != nil {
		return nil, err
	}
	db, err := pgxpool.New(ctx, database)
	if err != nil {
		return nil, err
	}
	return &lab{node: n, db: db, http: &http.Client{Timeout: 2 * time.Minute}}, nil
}

// call calls the API as somebody, and returns the answer's body. Any status but those wanted
// is an error.
func (l *lab) call(ctx context.Context, user, method, path string, body any, want ...int) ([]byte, error) {
	var sent io.Reader
	kind := "application/json"
	switch b := body.(type) {
	case nil:
	case string:
		sent, kind = strings.NewReader(b), "application/x-ndjson"
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			return nil, err
		}
		sent = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, apiURL+path, sent)
	if err != nil {
		return nil, err
	}
	if user != "" {
		scope := ""
		if user == "operator" {
			scope = "admin"
		}
		token, err := l.token(user, scope)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	request.Header.Set("Content-Type", kind)
	answer, err := l.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	content, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	if !slices.Contains(want, answer.StatusCode) {
		return nil, fmt.Errorf("%s %s: %s, want %d: %s", method, path, answer.Status, want, content)
	}
	return content, nil
}

// made is what we read of a task.
type made struct {
	ID        string `json:"id"`
	Reminders []struct {
		State string `json:"state"`
	} `json:"reminders"`
}

// create creates a task that is due at an instant.
func (l *lab) create(ctx context.Context, user, title string, due time.Time) (made, error) {
	var m made
	answer, err := l.call(ctx, user, "POST", "/api/tasks", map[string]any{"title": title, "due_date": due.UTC()}, 201)
	if err == nil {
		err = json.Unmarshal(answer, &m)
	}
	if err == nil && len(m.Reminders) != 1 {
		err = fmt.Errorf("the task has %d reminders: %s", len(m.Reminders), answer)
	}
	return m, err
}

// createBatch creates so many tasks that are due at an instant.
func (l *lab) createBatch(ctx context.Context, user string, count int, due time.Time) error {
	tasks := make([]map[string]any, count)
	for i := range tasks {
		tasks[i] = map[string]any{"title": fmt.Sprintf("Task %d", i), "due_date": due.UTC()}
	}
	_, err := l.call(ctx, user, "POST", "/api/tasks/batch", map[string]any{"tasks": tasks}, 200)
	return err
}

// told waits until each of a user's so many reminders is told, and returns how late each
// was, in seconds, in order. One that is told twice, or not within the time, is an error.
func (l *lab) told(ctx context.Context, user string, want int, within time.Duration) ([]float64, error) {
	var late []float64
	err := until(ctx, within, func() error {
		rows, err := l.db.Query(ctx, `select extract(epoch from n.created_at - r.fire_at)::float8
			from notifications n join deliveries d on d.id = n.id join reminders r on r.id = d.reminder_id where n.user_id = $1`, user)
		if err != nil {
			return err
		}
		late = late[:0]
		for rows.Next() {
			var l float64
			if err := rows.Scan(&l); err != nil {
				return err
			}
			late = append(late, l)
		}
		if rows.Err() == nil && len(late) < want {
			return fmt.Errorf("%d of %d reminders are told", len(late), want)
		}
		return rows.Err()
	})
	if err != nil {
		return nil, err
	}
	var twice int
	err = l.db.QueryRow(ctx, `select count(*) from (select from notifications n join deliveries d on d.id = n.id
		where n.user_id = $1 group by d.reminder_id having count(*) > 1) t`, user).Scan(&twice)
	if err == nil && (twice > 0 || len(late) != want) {
		err = fmt.Errorf("%d reminders are told, %d of them more than once; want %d", len(late), twice, want)
	}
	slices.Sort(late)
	return late, err
}

// toldInTime is told for reminders on whose way something fails: the sweep tells them, 65 s late
// at most.
func (l *lab) toldInTime(ctx context.Context, user string, want int) ([]float64, error) {
	late, err := l.told(ctx, user, want, 2*time.Minute)
	if err == nil && len(late) > 0 && late[len(late)-1] > 65 {
		err = errors.New("later than the sweep: " + lateness(late))
	}
	return late, err
}

// someone returns a user who is new.
func someone() string { return fmt.Sprintf("user-%08x", rand.Uint32()) }

// lateness says in words how late reminders were.
func lateness(late []float64) string {
	if len(late) == 0 {
		return "none"
	}
	return fmt.Sprintf("%d, each once; after their instant: median %.2f s, worst %.2f s", len(late), late[len(late)/2], late[len(late)-1])
}

// asleep waits until functions have no pods but those that are about to end.
func (l *lab) asleep(ctx context.Context, functions ...string) error {
	return until(ctx, 4*time.Minute, func() error {
		live, err := l.live(ctx, "duebell", ofFunctions(functions))
		if err == nil && len(live) > 0 {
			err = errors.New("still there: " + strings.Join(live, ", "))
		}
		return err
	})
}
