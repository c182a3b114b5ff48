package gateway_test

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/duebell/duebell/local/gateway"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/web"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func backend(t *testing.T, h http.HandlerFunc) *url.URL {
	t.Helper()
	server := httptest.NewUnstartedServer(nil)
	server.Config = web.NewServer(h).Server
	server.Start()
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// echo answers with its own name and what it was asked.
func echo(name string) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s: %s %s %s %s %s", name, r.Method, r.URL.RequestURI(), r.Header["Authorization"], r.Header["Duebell-User"], body)
	}
}

func serve(t *testing.T, backends map[string]*url.URL) string {
	t.Helper()
	g := gateway.New(backends, echo("dev"))
	server := httptest.NewUnstartedServer(nil)
	server.Config = web.NewServer(g).Server
	server.Start()
	t.Cleanup(func() {
		server.Close()
		g.Close()
		http.DefaultClient.CloseIdleConnections()
	})
	return server.URL
}

func do(t *testing.T, method, url, body string) (*http.Response, string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header["Authorization"] = []string{"Bearer token"}
	request.Header["Duebell-User"] = []string{"ada", "adä"} // which is for the function to refuse
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(answer)
}

func problem(t *testing.T, response *http.Response, body string) (detail string) {
	t.Helper()
	var p struct {
		Status int
		Detail string
	}
	if err := json.Unmarshal([]byte(body), &p); err != nil {
		t.Fatalf("it answers %q: %v", body, err)
	}
	if got := response.Header.Get("Content-Type"); got != "application/problem+json" || p.Status != response.StatusCode {
		t.Errorf("it answers %s %d %q", got, response.StatusCode, body)
	}
	return p.Detail
}

func TestEachRouteReachesItsFunction(t *testing.T) {
	backends := map[string]*url.URL{}
	for _, route := range gateway.Routes {
		if backends[route.Function] == nil {
			backends[route.Function] = backend(t, echo(route.Function))
		}
	}
	base := serve(t, backends)
	for _, route := range gateway.Routes {
		method, path, _ := strings.Cut(route.Pattern, " ")
		path = strings.NewReplacer("{task_id}", "0197", "{id}", "0198", "{name}", "reminder-1", "{$}", "", "{path...}", "assets/a.js", "{signed}", "AbC-_9").Replace(path) + "?a=b%20c"
		response, got := do(t, method, base+path, "body")
		if want := route.Function + ": " + method + " " + path + " [Bearer token] [ada adä] body"; response.StatusCode != http.StatusOK || got != want {
			t.Errorf("%s answers %d %q, want %q", route.Pattern, response.StatusCode, got, want)
		}
	}
}

// A page of another site whose name leads to this machine reads nothing of what needs no
// token.
func TestOwnPathsAreOfThisMachine(t *testing.T) {
	base := serve(t, nil)
	for host, want := range map[string]int{
		"127.0.0.1": 200, "127.0.0.1:8080": 200, "localhost": 200, "LOCALHOST:8080": 200, "127.0.0.2:80": 200, "[::1]:8080": 200, "[::1]": 200,
		"evil.example": 403, "evil.example:8080": 403, "127.0.0.1.evil.example": 403, "localhost.evil.example:8080": 403, "localhost.": 403, "10.0.0.1:8080": 403, "0.0.0.0:8080": 403, "127.1": 403,
	} {
		for _, path := range []string{"/dev/messages", "/dev/issuer/keys", "/dev/faults"} {
			request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
			if err != nil {
				t.Fatal(err)
			}
			request.Host = host
			response, err := http.DefaultClient.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(response.Body)
			response.Body.Close()
			if response.StatusCode != want || err != nil {
				t.Errorf("%s of %s answers %d, want %d", path, host, response.StatusCode, want)
			}
			if want != http.StatusOK && !strings.Contains(problem(t, response, string(body)), "localhost") {
				t.Errorf("it answers %s", body)
			}
		}
	}
}

func TestOwnPaths(t *testing.T) {
	base := serve(t, nil)
	if response, _ := do(t, http.MethodGet, base+"/healthz", ""); response.StatusCode != http.StatusOK {
		t.Errorf("/healthz answers %d", response.StatusCode)
	}
	if _, got := do(t, http.MethodDelete, base+"/dev/faults", ""); !strings.HasPrefix(got, "dev: DELETE /dev/faults") {
		t.Errorf("/dev/faults answers %q", got)
	}
}

func TestUnknownPathsAndMethods(t *testing.T) {
	base := serve(t, map[string]*url.URL{"create-task": backend(t, echo("create-task"))})
	for path, want := range map[string]int{"/": 404, "/api/nothing": 404, "/api/preferences": 404, "/metrics": 404, "/api/tasks": 405} {
		response, body := do(t, http.MethodDelete, base+path, "")
		if response.StatusCode != want {
			t.Errorf("DELETE %s answers %d, want %d", path, response.StatusCode, want)
		}
		problem(t, response, body)
		if want == 405 && response.Header.Get("Allow") != "POST" {
			t.Errorf("DELETE %s allows %q", path, response.Header.Get("Allow"))
		}
	}
}

func TestFunctionThatIsAway(t *testing.T) {
	away := httptest.NewServer(nil)
	u, err := url.Parse(away.URL)
	if err != nil {
		t.Fatal(err)
	}
	away.Close()
	dying := backend(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	base := serve(t, map[string]*url.URL{"create-task": u, "delete-task": dying})
	response, body := do(t, http.MethodPost, base+"/api/tasks", "{}")
	if detail := problem(t, response, body); response.StatusCode != 503 || response.Header.Get("Retry-After") == "" || !strings.Contains(detail, "create-task.log") {
		t.Errorf("a function that is away answers %d %v %q", response.StatusCode, response.Header, detail)
	}
	response, body = do(t, http.MethodDelete, base+"/api/tasks/1", "")
	if detail := problem(t, response, body); response.StatusCode != 502 || !strings.Contains(detail, "delete-task") {
		t.Errorf("a function that dies answers %d %q", response.StatusCode, detail)
	}
}

// A function answers whether a page of another site may call it. Nothing else is asked
// that way: what is served here itself would take it for the request.
func TestPreflights(t *testing.T) {
	base := serve(t, map[string]*url.URL{"create-task": backend(t, echo("create-task")), "update-task": backend(t, echo("update-task"))})
	for path, want := range map[string]string{"/api/tasks": "create-task: OPTIONS /api/tasks", "/api/tasks/7": "update-task: OPTIONS /api/tasks/7", "/dev/messages": "", "/nowhere": "", "/healthz": ""} {
		request, err := http.NewRequest(http.MethodOptions, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Origin", "https://app.example.com")
		request.Header.Set("Access-Control-Request-Method", "POST")
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if want == "" && response.StatusCode != http.StatusNotFound || !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %s %s, want %q", path, response.Status, body, want)
		}
	}
}

// What a proxy would leave out as malformed is for the function to refuse.
func TestMalformedQueriesArePassedOn(t *testing.T) {
	base := serve(t, map[string]*url.URL{"get-tasks": backend(t, echo("get-tasks"))})
	for _, query := range []string{"limit=5;completed=true", "completed=%zz&limit=5", "a=b;c"} {
		if _, got := do(t, http.MethodGet, base+"/api/tasks?"+query, ""); !strings.Contains(got, " /api/tasks?"+query+" ") {
			t.Errorf("%s arrives as %q", query, got)
		}
	}
}

// A client that does not end its request is answered, and let go of.
func TestSlowBodies(t *testing.T) {
	base := serve(t, map[string]*url.URL{"create-task": backend(t, web.Handler(func(http.ResponseWriter, *http.Request) error {
		return fault.Unauthenticated("sign in")
	}).ServeHTTP)})
	for request, want := range map[string]string{
		"POST /api/tasks HTTP/1.1": "401", "POST /api/tasks HTTP/1.1\r\nExpect: 100-continue": "401", "POST /healthz HTTP/1.1": "405", "POST /nowhere HTTP/1.1": "404",
	} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_ = conn.SetReadDeadline(time.Now().Add(40 * time.Second))
		fmt.Fprintf(conn, "%s\r\nHost: test\r\nContent-Length: 1000\r\n\r\n1", request)
		text, err := io.ReadAll(conn)
		answer := strings.TrimPrefix(string(text), "HTTP/1.1 100 Continue\r\n\r\n")
		if err != nil || !strings.HasPrefix(answer, "HTTP/1.1 "+want) {
			t.Errorf("%s: %s %v, want %s", request, answer, err, want)
		}
	}
}

// A client whose body stops coming hears that, and not that the function has ended.
func TestBodyThatStopsComing(t *testing.T) {
	t.Parallel() // it takes as long as a body may pause
	cut := func(_ http.ResponseWriter, r *http.Request) {
		if _, err := io.ReadAll(r.Body); err != nil {
			panic(http.ErrAbortHandler) // an answer might be quicker than the gateway's own
		}
	}
	base := serve(t, map[string]*url.URL{"create-task": backend(t, cut)})
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
	fmt.Fprint(conn, "POST /api/tasks HTTP/1.1\r\nHost: test\r\nContent-Length: 1000\r\n\r\n1")
	answer, err := io.ReadAll(conn)
	if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 408 ") || !strings.Contains(string(answer), "the body came too slowly") {
		t.Errorf("%s %v", answer, err)
	}
}

func TestStreamsAreNotHeldBack(t *testing.T) {
	sent := make(chan string)
	inbox := backend(t, func(w http.ResponseWriter, r *http.Request) {
		for line := range sent {
			_, _ = io.WriteString(w, line)
			_ = http.NewResponseController(w).Flush()
		}
	})
	base := serve(t, map[string]*url.URL{"inbox": inbox})
	go func() { sent <- "first\n" }()
	response, err := http.Get(base + "/api/notifications/stream")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	lines := bufio.NewScanner(response.Body)
	for _, want := range []string{"first", "second"} {
		got := make(chan string, 1)
		go func() { lines.Scan(); got <- lines.Text() }()
		select {
		case line := <-got:
			if line != want {
				t.Errorf("it streams %q, want %q", line, want)
			}
		case <-time.After(time.Minute):
			t.Fatalf("%q does not arrive", want)
		}
		if want == "first" {
			sent <- "second\n"
		}
	}
	close(sent)
}
