// Package functiontest runs functions in a test's own process, with real Postgres, a real issuer,
// real configuration, and HTTP. Only Dapr is away, unless the test gives its address.
package functiontest

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/api/openapi/openapitest"
	"github.com/duebell/duebell/shared/auth"
	"github.com/duebell/duebell/shared/auth/authtest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

// Functions run in a time zone of their own. Their answers must be in UTC all the same.
func init() { time.Local = time.FixedZone("Elsewhere", (5*60+45)*60) }

// AppToken is the app API token that every function is started with.
const AppToken = "an-app-token-for-tests-only"

// World is what the functions of one test share.
type World struct {
	testing.TB
	Store       *store.Store
	DatabaseURL string
	issuer      *authtest.Issuer
}

// New makes a World with an empty database.
func New(t testing.TB) *World {
	t.Helper()
	s, url := storetest.Open(t)
	return &World{TB: t, Store: s, DatabaseURL: url, issuer: authtest.NewIssuer(t)}
}

// Token returns a valid token of a user with a verified e-mail address.
func (w *World) Token(user string) string {
	return w.TokenWith(user, map[string]any{"email": user + "@example.com", "email_verified": true})
}

// TokenWith returns a valid token of a user that makes the claims.
func (w *World) TokenWith(user string, claims map[string]any) string {
	return w.issuer.Token(w.TB, user, claims)
}

// AdminToken returns a valid token of an operator.
func (w *World) AdminToken() string {
	return w.issuer.Token(w.TB, "operator", map[string]any{"scope": "admin"})
}

// ServiceToken returns a valid token of a program that acts for users.
func (w *World) ServiceToken() string {
	return w.issuer.Token(w.TB, "service", map[string]any{"scope": "act"})
}

// Seed stores a task of a user with a verified e-mail address, as create-task
// would while Dapr is away.
func (w *World) Seed(user string, d task.Draft) task.Task {
	w.Helper()
	email := user + "@example.com"
	planner := schedule.NewPlanner(w.Store, away{}, time.Now, schedule.Rules{PastGrace: 24 * time.Hour, ScheduleTimeout: time.Second})
	t, err := planner.Create(context.Background(), store.User{ID: user, Email: &email}, d, nil)
	if err != nil {
		w.Fatal(err)
	}
	return t
}

// Prefer changes a user's preferences by change.
func (w *World) Prefer(user string, change func(*preferences.Preferences)) {
	w.Helper()
	email := user + "@example.com"
	err := w.Store.SaveUser(context.Background(), store.User{ID: user, Email: &email})
	if err == nil {
		err = w.Store.InTx(context.Background(), func(ctx context.Context, tx store.Tx) error {
			p, _, err := tx.LockPreferences(ctx, user)
			if err != nil {
				return err
			}
			next := p
			change(&next)
			next.Follow(p)
			return tx.SavePreferences(ctx, user, next)
		})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// Exec runs SQL directly.
func (w *World) Exec(sql string) {
	w.Helper()
	w.Hold(sql)()
}

// Count returns the number that a query returns.
func (w *World) Count(sql string) (n int) {
	w.Helper()
	c, err := pgx.Connect(context.Background(), w.DatabaseURL)
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// Hold runs SQL directly, in a transaction that keeps its locks until the returned function commits
// it.
func (w *World) Hold(sql string) (commit func()) {
	w.Helper()
	ctx := context.Background()
	c, err := pgx.Connect(ctx, w.DatabaseURL)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.Close(ctx) })
	if _, err := c.Exec(ctx, "begin; "+sql); err != nil {
		w.Fatal(err)
	}
	return func() {
		if _, err := c.Exec(ctx, "commit"); err != nil {
			w.Fatal(err)
		}
	}
}

// away is a Dapr that can't be reached.
type away struct{}

var errAway = errors.New("no Dapr in this test")

func (away) Schedule(context.Context, task.Revision, time.Time) error { return errAway }
func (away) Delete(context.Context, task.Revision) error              { return errAway }

// Environ returns the environment of every function.
func (w *World) Environ() []string {
	return []string{
		"DATABASE_URL=" + w.DatabaseURL,
		"DAPR_GRPC_ENDPOINT=127.0.0.1:1", "DAPR_API_TOKEN=unused", "EVENTS_ENABLED=false",
		"SCHEDULE_TIMEOUT=50ms", "SCHEDULE_RETRY_FOR=0s", // so that tests do not wait for a Dapr that is away
		"OIDC_ISSUER=" + w.issuer.URL, "OIDC_AUDIENCE=" + w.issuer.Audience,
		"APP_API_TOKEN=" + AppToken, "SEND_URL=http://127.0.0.1:1",
	}
}

// Server is one function, served.
type Server struct {
	w   *World
	url string
}

// Serve starts a function with the configuration that it has in a cluster, except the horizon: all
// reminders have jobs, however far ahead they are. environ has more variables, as NAME=value.
func Serve[C any](w *World, build func(C) (*function.Function, error), environ ...string) *Server {
	w.Helper()
	cfg, err := config.Parse[C](slices.Concat(w.Environ(), []string{"REMINDER_HORIZON=0"}, environ))
	if err != nil {
		w.Fatal(err)
	}
	f, err := build(cfg)
	if err != nil {
		w.Fatal(err)
	}
	server := httptest.NewUnstartedServer(nil)
	server.Config = web.NewServer(f.Handler).Server
	server.Start()
	w.Cleanup(func() {
		if f.Finish != nil { // first, since requests that stay open while there is work end by it
			if err := f.Finish(context.Background()); err != nil {
				w.Error(err)
			}
		}
		server.Close()
		if f.Close != nil {
			f.Close()
		}
	})
	return &Server{w: w, url: server.URL}
}

// URL returns the function's URL, without a slash at its end.
func (s *Server) URL() string { return s.url }

// Silent returns an address that accepts connections and never answers.
func Silent(t testing.TB) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = l.Close() })
	return l.Addr().String()
}

// Answer is a function's answer.
type Answer struct {
	Status int
	Header http.Header
	Body   string
}

// Call sends a request, and checks the answer against the API's description. header are alternating
// names and values. A body that is a string is sent as it is, any other as JSON, and nil not at
// all.
func (s *Server) Call(method, path string, body any, header ...string) Answer {
	s.w.Helper()
	var content io.Reader
	switch b := body.(type) {
	case nil:
	case string:
		content = strings.NewReader(b)
	default:
		encoded, err := json.Marshal(b)
		if err != nil {
			s.w.Fatal(err)
		}
		content = bytes.NewReader(encoded)
	}
	req, err := http.NewRequest(method, s.url+path, content)
	if err != nil {
		s.w.Fatal(err)
	}
	if body != nil {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Set(header[i], header[i+1])
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		s.w.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		s.w.Fatal(err)
	}
	openapitest.Check(s.w, method, path, resp.StatusCode, resp.Header, text)
	return Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
}

// As is Call with a user's token.
func (s *Server) As(user, method, path string, body any, header ...string) Answer {
	s.w.Helper()
	return s.Call(method, path, body, append([]string{"Authorization", "Bearer " + s.w.Token(user)}, header...)...)
}

// For is Call by a program that acts for a user.
func (s *Server) For(user, method, path string, body any, header ...string) Answer {
	s.w.Helper()
	return s.Call(method, path, body, append([]string{"Authorization", "Bearer " + s.w.ServiceToken(), auth.UserHeader, user}, header...)...)
}

// Decode reads the answer's JSON, after checking its status.
func Decode[T any](w *World, a Answer, status int) (v T) {
	w.Helper()
	if a.Status != status {
		w.Fatalf("got %d, want %d: %s", a.Status, status, a.Body)
	}
	if err := json.Unmarshal([]byte(a.Body), &v); err != nil {
		w.Fatalf("%v in %s", err, a.Body)
	}
	return v
}

// WantProblem checks that an answer is problem+json with a status and code, and that its detail
// contains part.
func (w *World) WantProblem(a Answer, status int, code, detail string) {
	w.Helper()
	var p struct {
		Status       int
		Code, Detail string
	}
	if err := json.Unmarshal([]byte(a.Body), &p); err != nil {
		w.Errorf("not JSON: %s", a.Body)
		return
	}
	if a.Status != status || p.Status != status || p.Code != code || !strings.Contains(p.Detail, detail) ||
		a.Header.Get("Content-Type") != "application/problem+json" {
		w.Errorf("got %d %s, want %d %s %q", a.Status, a.Body, status, code, detail)
	}
}
