package web_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

// problem is what callers get to see of an error.
type problem struct {
	Type      string `json:"type"`
	Title     string `json:"title"`
	Status    int    `json:"status"`
	Detail    string `json:"detail"`
	Code      string `json:"code"`
	RequestID string `json:"request_id"`
}

// serve answers the request and checks what all answers have in common.
func serve(t *testing.T, h http.Handler, r *http.Request) (*http.Response, []byte) {
	t.Helper()
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	response := w.Result()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if response.Header.Get("X-Content-Type-Options") != "nosniff" {
		t.Errorf("%s %s: X-Content-Type-Options is missing", r.Method, r.URL)
	}
	return response, body
}

// serveProblem is serve for answers that must be problems.
func serveProblem(t *testing.T, h http.Handler, r *http.Request) (*http.Response, problem) {
	t.Helper()
	response, body := serve(t, h, r)
	if got := response.Header.Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("%s %s: Content-Type = %q", r.Method, r.URL, got)
	}
	if got := response.Header.Get("Cache-Control"); got != "no-store" {
		t.Errorf("%s %s: Cache-Control = %q", r.Method, r.URL, got)
	}
	var p problem
	if err := json.Unmarshal(body, &p); err != nil {
		t.Fatalf("%s %s: %q: %v", r.Method, r.URL, body, err)
	}
	if p.Status != response.StatusCode || p.Type == "" || p.Title == "" || p.Detail == "" || p.Code == "" {
		t.Errorf("%s %s: status %d, incomplete problem %+v", r.Method, r.URL, response.StatusCode, p)
	}
	return response, p
}

// capture redirects the log until the test ends.
func capture(t *testing.T) *bytes.Buffer {
	t.Helper()
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	t.Cleanup(func() { slog.SetDefault(before) })
	return &log
}

func failing(err error) web.Handler {
	return func(http.ResponseWriter, *http.Request) error { return err }
}

func TestMux(t *testing.T) {
	echo := func(w http.ResponseWriter, r *http.Request) error {
		return web.WriteJSON(w, http.StatusOK, r.Pattern+" "+r.PathValue("task_id"))
	}
	mux := web.NewMux(web.Routes{
		"GET /api/tasks":              echo,
		"POST /api/tasks":             echo,
		"PUT /api/tasks/{task_id}":    echo,
		"PATCH /api/tasks/{task_id}":  echo,
		"GET /api/notifications/":     echo,
		"DELETE /api/tasks/{task_id}": echo,
	})
	for _, test := range []struct {
		method, path string
		status       int
		want         string // the body, or the header Allow
	}{
		{"GET", "/api/tasks", 200, "GET /api/tasks "},
		{"HEAD", "/api/tasks", 200, "GET /api/tasks "},
		{"PATCH", "/api/tasks/7", 200, "PATCH /api/tasks/{task_id} 7"},
		{"PATCH", "/api/tasks/a%2Fb", 200, "PATCH /api/tasks/{task_id} a/b"},
		{"GET", "/api/notifications/a/b", 200, "GET /api/notifications/ "},
		{"GET", "/", 404, ""},
		{"GET", "/api/tasks/", 404, ""},
		{"GET", "/api//tasks", 404, ""},
		{"GET", "//api/tasks", 404, ""},
		{"GET", "/api/x/../tasks", 404, ""},
		{"PATCH", "/api/tasks/./7", 404, ""},
		{"GET", "/api/notifications", 404, ""}, // http.ServeMux would redirect
		{"DELETE", "/api/tasks", 405, "GET, HEAD, POST"},
		{"GET", "/api/tasks/7", 405, "DELETE, PATCH, PUT"},
		{"OPTIONS", "/api/tasks", 405, "GET, HEAD, POST"},
		{"CONNECT", "/api/tasks", 405, "GET, HEAD, POST"},
		{strings.Repeat("X", 1000), "/api/tasks", 405, "GET, HEAD, POST"},
	} {
		t.Run(fmt.Sprintf("%.20s %s", test.method, test.path), func(t *testing.T) {
			r := httptest.NewRequest(http.MethodGet, "http://example.com"+test.path, nil)
			r.Method = test.method
			if test.status == http.StatusOK {
				response, body := serve(t, mux, r)
				if want := fmt.Sprintf("%q\n", test.want); response.StatusCode != 200 || string(body) != want {
					t.Errorf("%d %s, want %s", response.StatusCode, body, want)
				}
				return
			}
			response, p := serveProblem(t, mux, r)
			if response.StatusCode != test.status || response.Header.Get("Allow") != test.want || response.Header.Get("Location") != "" {
				t.Errorf("%d, Allow %q, want %d, %q", response.StatusCode, response.Header.Get("Allow"), test.status, test.want)
			}
			if len(p.Detail) > 200 {
				t.Errorf("detail is %d bytes long", len(p.Detail))
			}
		})
	}
}

func TestProblems(t *testing.T) {
	log := capture(t)
	cause := errors.New("dial tcp 10.0.0.7:5432")
	for _, test := range []struct {
		name   string
		err    error
		want   problem
		header http.Header
		level  string
	}{
		{
			"invalid", fault.Invalid("title must not be empty"),
			problem{"urn:duebell:problem:invalid", "", 400, "title must not be empty", "invalid", ""},
			nil, "DEBUG",
		},
		{
			"wrapped", fmt.Errorf("create: %w", fault.NotFound("no such task")),
			problem{"urn:duebell:problem:not_found", "", 404, "no such task", "not_found", ""},
			nil, "DEBUG",
		},
		{
			"conflict", fault.Conflict("in use"),
			problem{"urn:duebell:problem:conflict", "", 409, "in use", "conflict", ""},
			nil, "DEBUG",
		},
		{
			"unauthenticated", fault.Unauthenticated("sign in"),
			problem{"urn:duebell:problem:unauthenticated", "", 401, "sign in", "unauthenticated", ""},
			http.Header{"Www-Authenticate": {`Bearer realm="duebell"`}},
			"DEBUG",
		},
		{
			"forbidden", &fault.Error{Code: fault.CodeForbidden, Message: "operators only"},
			problem{"urn:duebell:problem:forbidden", "", 403, "operators only", "forbidden", ""},
			http.Header{"Www-Authenticate": {`Bearer realm="duebell", error="insufficient_scope"`}},
			"DEBUG",
		},
		{
			"rate limited", &fault.Error{Code: fault.CodeRateLimited, Message: "slower", RetryAfter: 1500 * time.Millisecond},
			problem{"urn:duebell:problem:rate_limited", "", 429, "slower", "rate_limited", ""},
			http.Header{"Retry-After": {"2"}},
			"DEBUG",
		},
		{
			"unavailable", fault.Unavailable(cause, "the database is away"),
			problem{"urn:duebell:problem:unavailable", "", 503, "the database is away", "unavailable", "id"},
			http.Header{"Retry-After": {"1"}},
			"ERROR",
		},
		{
			"other status", web.WithStatus(fault.Conflict("it has changed"), http.StatusPreconditionFailed),
			problem{"about:blank", "Precondition Failed", 412, "it has changed", "conflict", ""},
			nil, "DEBUG",
		},
		{
			"plain", cause,
			problem{"urn:duebell:problem:internal", "", 500, "", "internal", "id"},
			nil, "ERROR",
		},
		{
			"internal", &fault.Error{Code: fault.CodeInternal, Message: "dial tcp", Err: cause},
			problem{"urn:duebell:problem:internal", "", 500, "", "internal", "id"},
			nil, "ERROR",
		},
		{
			"unknown code", &fault.Error{Code: "teapot", Message: "dial tcp"},
			problem{"urn:duebell:problem:internal", "", 500, "", "internal", "id"},
			nil, "ERROR",
		},
		{
			"not UTF-8", fault.Invalid("\xff is not a title"),
			problem{"urn:duebell:problem:invalid", "", 400, "\uFFFD is not a title", "invalid", ""},
			nil, "DEBUG",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			log.Reset()
			if got := web.Status(test.err); got != test.want.Status {
				t.Errorf("Status = %d, want %d", got, test.want.Status)
			}
			response, got := serveProblem(t, failing(test.err), httptest.NewRequest("GET", "/x?ticket=hush", nil))
			if test.want.Title != "" && got.Title != test.want.Title {
				t.Errorf("title = %q, want %q", got.Title, test.want.Title)
			}
			if test.want.Detail != "" && got.Detail != test.want.Detail {
				t.Errorf("detail = %q, want %q", got.Detail, test.want.Detail)
			}
			if strings.Contains(got.Detail, "dial tcp") {
				t.Errorf("detail shows the cause: %q", got.Detail)
			}
			if got.Type != test.want.Type || got.Code != test.want.Code || got.Status != test.want.Status {
				t.Errorf("problem = %+v, want %+v", got, test.want)
			}
			for _, name := range []string{"Www-Authenticate", "Retry-After"} {
				if response.Header.Get(name) != test.header.Get(name) {
					t.Errorf("%s = %q, want %q", name, response.Header.Get(name), test.header.Get(name))
				}
			}
			if (got.RequestID != "") != (test.want.RequestID != "") || !strings.Contains(log.String(), got.RequestID) {
				t.Errorf("request_id = %q, log = %s", got.RequestID, log)
			}
			if !strings.Contains(log.String(), "level="+test.level+" ") || strings.Count(log.String(), "\n") != 1 {
				t.Errorf("log = %s, want one line of level %s", log, test.level)
			}
			if errors.Is(test.err, cause) && !strings.Contains(log.String(), cause.Error()) {
				t.Errorf("log = %s, want the cause", log)
			}
			if strings.Contains(log.String(), "hush") {
				t.Errorf("log = %s: it holds the query", log)
			}
		})
	}
}

func TestProblemForABadToken(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Authorization", "Bearer x")
	response, _ := serveProblem(t, failing(fault.Unauthenticated("sign in")), r)
	if got := response.Header.Get("WWW-Authenticate"); got != `Bearer realm="duebell", error="invalid_token"` {
		t.Errorf("WWW-Authenticate = %q", got)
	}
}

func TestProblemCarriesTheRequestID(t *testing.T) {
	r := httptest.NewRequest("GET", "/", nil)
	r = r.WithContext(web.WithRequestID(r.Context(), "abc"))
	if _, p := serveProblem(t, failing(fault.Invalid("no")), r); p.RequestID != "abc" {
		t.Errorf("request_id = %q", p.RequestID)
	}
}

func TestProblemReplacesWhatWasPrepared(t *testing.T) {
	response, _ := serveProblem(t, web.Handler(func(w http.ResponseWriter, _ *http.Request) error {
		w.Header().Set("Cache-Control", "max-age=60")
		w.Header().Set("ETag", `"7"`)
		w.Header().Set("Content-Length", "7")
		return fault.Invalid("no")
	}), httptest.NewRequest("GET", "/", nil))
	if response.Header.Get("ETag") != "" || response.Header.Get("Content-Length") != "" {
		t.Errorf("header = %v", response.Header)
	}
}

func TestCallerHungUp(t *testing.T) {
	log := capture(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	w := httptest.NewRecorder()
	failing(fmt.Errorf("query: %w", context.Canceled)).ServeHTTP(w, httptest.NewRequest("GET", "/", nil).WithContext(ctx))
	if w.Code != web.StatusClientClosed || strings.Contains(log.String(), "ERROR") || !strings.Contains(log.String(), "query") {
		t.Errorf("status %d, log %s", w.Code, log)
	}
}

// A caller must not take a part of an answer for the whole.
func TestErrorAfterTheAnswerHasBegun(t *testing.T) {
	log := capture(t)
	server := httptest.NewServer(web.Handler(func(w http.ResponseWriter, _ *http.Request) error {
		_, _ = io.WriteString(w, "half")
		if err := http.NewResponseController(w).Flush(); err != nil {
			return err
		}
		return errors.New("the rest is missing")
	}))
	response, err := http.Get(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	response.Body.Close()
	server.Close()
	if string(body) != "half" || err == nil {
		t.Errorf("read %q, %v, want an error after half", body, err)
	}
	if !strings.Contains(log.String(), "the rest is missing") {
		t.Errorf("log = %s", log)
	}
}

func TestResponse(t *testing.T) {
	done := make(chan int, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		response := web.Track(w)
		if web.Track(response) != response {
			t.Error("tracked twice")
		}
		switch r.URL.Path {
		case "/hints":
			response.WriteHeader(http.StatusEarlyHints)
			response.WriteHeader(http.StatusTeapot)
		case "/flush":
			var _ http.Flusher = response
			response.Flush()
		case "/hijack":
			conn, _, err := http.NewResponseController(response).Hijack()
			if err != nil {
				t.Error(err)
				break
			}
			_, _ = io.WriteString(conn, "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n")
			conn.Close()
		}
		done <- response.Status()
	}))
	defer server.Close()
	for path, want := range map[string]int{"/": 0, "/hints": 418, "/flush": 200, "/hijack": 101} {
		response, err := http.Get(server.URL + path)
		if err != nil {
			t.Fatalf("%s: %v", path, err)
		}
		response.Body.Close()
		if got := <-done; got != want {
			t.Errorf("%s: Status = %d, want %d", path, got, want)
		}
	}
}
