// Package e2e tests the whole system from the outside: real Postgres, real Dapr,
// every function as a process of its own, and the provider sandbox.
package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/issuer"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/system"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/api/openapi/openapitest"
	"github.com/duebell/duebell/shared/store/migrate"
)

var (
	bin string         // the folder with all programs
	sys *system.System // the system that most tests share
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	if short() {
		fmt.Println("skipped: end-to-end tests need Postgres and Dapr")
		return 0
	}
	dir, err := os.MkdirTemp("", "duebell-e2e-")
	if err != nil {
		fmt.Println(err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = filepath.Join(dir, "bin")
	build := exec.Command("go", "build", "-ldflags=-w", "-o", bin+"/", "./cmd/...", "./functions/...")
	build.Dir = ".."
	if out, err := build.CombinedOutput(); err != nil {
		fmt.Printf("building: %v\n%s", err, out)
		return 1
	}
	serveReceivers()
	defer receivers.Close()
	// Without the sweep: the tests show what holds even then.
	if sys, err = start(context.Background(), filepath.Join(dir, "shared"), func(o *system.Options) {
		o.NoSchedules, o.WebhookHosts = true, []string{receivers.Listener.Addr().String()}
	}); err != nil {
		fmt.Println(err)
		return 1
	}
	defer func() {
		if err := sys.Stop(context.Background()); err != nil {
			fmt.Println("stopping:", err)
			code = 1
		}
	}()
	// Most of their time they wait. -parallel takes another number.
	if err := flag.Set("test.parallel", "4"); err != nil {
		fmt.Println(err)
		return 1
	}
	return m.Run()
}

// short reports whether the tests run with -short. testing.Short can't be called before m.Run.
func short() bool {
	for _, arg := range os.Args {
		if strings.HasPrefix(arg, "-test.short") && !strings.HasSuffix(arg, "=false") {
			return true
		}
	}
	return false
}

func start(ctx context.Context, dir string, change func(*system.Options)) (*system.System, error) {
	options := system.Options{
		Dir: dir, FunctionsDir: bin,
		Migrate: func(ctx context.Context, url string) error {
			_, err := migrate.Up(ctx, url)
			return err
		},
		OnEvent: func(e process.Event) { fmt.Println("event:", e.Name, e.Err) },
		// Leases are short enough for a test to wait for one.
		Env: []string{"DELIVERY_SEND_TIMEOUT=2s", "DELIVERY_LEASE=7s"},
	}
	change(&options)
	return system.Start(ctx, options)
}

// soon is how long tests wait for what happens by itself. It is longer than that takes on a busy
// machine.
const soon = time.Minute

// asItIs changes nothing about a system.
func asItIs(*system.Options) {}

// person is a user of a system.
type person struct {
	*testing.T
	sys   *system.System
	name  string
	token string
}

// newPerson returns a person that no other test uses.
func newPerson(t *testing.T, sys *system.System) person {
	t.Helper()
	name := strings.ToLower(strings.NewReplacer("/", "-", "_", "-").Replace(t.Name()))
	token, err := sys.Token(issuer.Claims{Subject: name, Email: name + "@example.com", EmailVerified: true, Lifetime: time.Hour})
	if err != nil {
		t.Fatal(err)
	}
	return person{T: t, sys: sys, name: name, token: token}
}

// call makes a request and returns the answer's status and body.
func (p person) call(method, path string, in any, header ...string) (int, []byte) {
	p.Helper()
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			p.Fatal(err)
		}
		body = bytes.NewReader(encoded)
	}
	req, err := http.NewRequestWithContext(p.Context(), method, p.sys.URL()+path, body)
	if err != nil {
		p.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+p.token)
	req.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		p.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil {
		p.Fatal(err)
	}
	openapitest.Check(p, method, path, resp.StatusCode, resp.Header, answer)
	return resp.StatusCode, answer
}

// ask is call for requests that must succeed.
func ask[T any](p person, method, path string, in any) (out T) {
	p.Helper()
	status, body := p.call(method, path, in)
	if status >= 300 {
		p.Fatalf("%s %s: %d %s", method, path, status, body)
	}
	if err := json.Unmarshal(body, &out); err != nil {
		p.Fatal(err)
	}
	return out
}

// create makes a task that is due after a while.
func (p person) create(in time.Duration, reminders ...string) api.Task {
	p.Helper()
	body := map[string]any{"title": "Task of " + p.name, "due_date": time.Now().Add(in)}
	if reminders != nil {
		body["reminders"] = reminders
	}
	return ask[api.Task](p, "POST", "/api/tasks", body)
}

func (p person) patch(task api.Task, change map[string]any) api.Task {
	p.Helper()
	return ask[api.Task](p, "PATCH", "/api/tasks/"+task.ID.String(), change)
}

// state is that of a task's first reminder.
func (p person) state(task api.Task) string {
	p.Helper()
	return ask[api.Task](p, "GET", "/api/tasks/"+task.ID.String(), nil).Reminders[0].State
}

// notification is one in the inbox.
type notification struct {
	TaskID    string    `json:"task_id"`
	Body      string    `json:"body"`
	CreatedAt time.Time `json:"created_at"`
}

// inbox returns what came to the inbox.
func (p person) inbox() []notification {
	p.Helper()
	return ask[struct{ Notifications []notification }](p, "GET", "/api/notifications", nil).Notifications
}

// mails counts the e-mails that the sandbox accepted for the person.
func (p person) mails() int { return len(p.mailsTo(p.name + "@example.com")) }

// mailsTo returns the texts of the e-mails that the sandbox accepted for an
// address.
func (p person) mailsTo(address string) (texts []string) {
	for _, m := range p.sys.Sandbox().Messages() {
		if m.To == address {
			texts = append(texts, m.Body)
		}
	}
	return texts
}

// eventually waits until holds is true.
func (p person) eventually(within time.Duration, what string, holds func() bool) {
	p.Helper()
	deadline := time.Now().Add(within)
	for !holds() {
		if time.Now().After(deadline) {
			p.Fatalf("not after %v: %s (%d in the inbox, %d e-mails)", within, what, len(p.inbox()), p.mails())
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// told waits until the inbox and the mailbox have that many messages each.
func (p person) told(within time.Duration, times int) {
	p.Helper()
	p.eventually(within, fmt.Sprintf("told %d times on both channels", times), func() bool {
		return len(p.inbox()) >= times && p.mails() >= times
	})
	if len(p.inbox()) != times || p.mails() != times {
		p.Fatalf("%d in the inbox and %d e-mails, want %d each", len(p.inbox()), p.mails(), times)
	}
}

// quiet checks for a while that no further message comes.
func (p person) quiet(while time.Duration) {
	p.Helper()
	inbox, mails := len(p.inbox()), p.mails()
	time.Sleep(while) // there is nothing to wait for: a message that must not come may come at any time
	if len(p.inbox()) != inbox || p.mails() != mails {
		p.Fatalf("further messages came: %d and %d, were %d and %d", len(p.inbox()), p.mails(), inbox, mails)
	}
}

// exec runs SQL on the system's database.
func (p person) exec(sql string) {
	p.Helper()
	c, err := pgx.Connect(context.Background(), p.sys.Environment()["DATABASE_URL"])
	if err != nil {
		p.Fatal(err)
	}
	defer c.Close(context.Background())
	if _, err := c.Exec(context.Background(), sql); err != nil {
		p.Fatal(err)
	}
}

// back waits until the whole system is ready again.
func back(t *testing.T, sys *system.System) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	if err := sys.Ready(ctx); err != nil {
		t.Fatal(err)
	}
}
