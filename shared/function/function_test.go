package function_test

import (
	"bufio"
	"bytes"
	"context"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	local "github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/trace"
	"github.com/duebell/duebell/shared/web"
)

// The tests start this very program again, as a function.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_AUTHORITIES") != "" {
		pool, err := x509.SystemCertPool()
		fmt.Println(err == nil && !pool.Equal(x509.NewCertPool()))
		return
	}
	if os.Getenv("TEST_AS_FUNCTION") != "" {
		function.Run("test-function", newFunction)
	}
	os.Exit(m.Run())
}

type settings struct {
	Token  config.Secret `env:"TOKEN,required" help:"the token"`
	Count  int           `env:"COUNT"`
	Broken bool          `env:"BROKEN"`
	Fails  bool          `env:"FAILS"`
}

func (s settings) Validate() error {
	if s.Count < 0 {
		return errors.New("COUNT must not be negative")
	}
	return nil
}

func newFunction(cfg settings) (*function.Function, error) {
	if cfg.Fails {
		return nil, errors.New("no way")
	}
	routes := web.Routes{
		"GET /hello": func(w http.ResponseWriter, r *http.Request) error {
			return web.WriteJSON(w, http.StatusOK, map[string]string{"id": web.RequestID(r.Context())})
		},
		"POST /read": func(w http.ResponseWriter, r *http.Request) error {
			var in string
			if err := web.ReadJSON(w, r, &in); err != nil {
				return err
			}
			return web.WriteJSON(w, http.StatusOK, in)
		},
		"GET /who/{caller}": func(_ http.ResponseWriter, r *http.Request) error {
			trace.Identify(r.Context(), "ada", r.PathValue("caller"))
			return nil
		},
		"GET /silent": func(http.ResponseWriter, *http.Request) error { return nil },
		"GET /panic":  func(http.ResponseWriter, *http.Request) error { panic("the secret of the panic") },
		"GET /fault": func(http.ResponseWriter, *http.Request) error {
			return fault.Unavailable(errors.New("the cause"), "away")
		},
		"GET /torn": func(w http.ResponseWriter, _ *http.Request) error {
			_, _ = io.WriteString(w, "half")
			w.(http.Flusher).Flush()
			return errors.New("the other half is missing")
		},
		"GET /abort": func(http.ResponseWriter, *http.Request) error { panic(http.ErrAbortHandler) },
		"GET /slow": func(w http.ResponseWriter, r *http.Request) error {
			w.(http.Flusher).Flush()
			<-function.Draining(r.Context())
			time.Sleep(300 * time.Millisecond) // what it still has to do
			_, err := io.WriteString(w, "done")
			return err
		},
		"GET /stuck": func(w http.ResponseWriter, _ *http.Request) error {
			w.(http.Flusher).Flush()
			select {}
		},
		"GET /hijack": func(w http.ResponseWriter, r *http.Request) error {
			conn, rw, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return err
			}
			defer conn.Close()
			_, _ = rw.WriteString("HTTP/1.1 101 Switching Protocols\r\n\r\n")
			_ = rw.Flush()
			<-function.Draining(r.Context())
			time.Sleep(600 * time.Millisecond) // longer than the slow one
			_, _ = rw.WriteString("bye")
			return rw.Flush()
		},
	}
	return &function.Function{
		Handler: web.NewMux(routes),
		Ready: []function.Check{
			{Name: "steady", Func: func(context.Context) error { return nil }},
			{Name: "shaky", Func: func(context.Context) error {
				if cfg.Broken {
					return errors.New("password refused for user duebell")
				}
				return nil
			}},
		},
		Close: func() { fmt.Fprintln(os.Stderr, "closed") },
	}, nil
}

// process is a running function.
type process struct {
	*exec.Cmd
	url            string
	stdout, stderr *buffer
}

func start(t *testing.T, environ ...string) *process {
	t.Helper()
	ports, err := local.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	p := &process{
		Cmd: exec.Command(os.Args[0]), url: "http://" + local.Address(ports[0]),
		stdout: &buffer{}, stderr: &buffer{},
	}
	p.Env = append([]string{
		"TEST_AS_FUNCTION=1", "K_SERVICE=test-function", "HOST=127.0.0.1", "PORT=" + strconv.Itoa(ports[0]), "TOKEN=0123",
		"LOG_LEVEL=debug",
	}, environ...)
	p.Stdout, p.Stderr = p.stdout, p.stderr
	if err := p.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = p.Process.Kill() })
	return p
}

// serving waits until p answers.
func (p *process) serving(t *testing.T) *process {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if response, err := http.Get(p.url + "/healthz"); err == nil {
			response.Body.Close()
			return p
		}
	}
	t.Fatalf("the function does not answer: %s%s", p.stdout, p.stderr)
	return nil
}

func (p *process) get(t *testing.T, path string) (*http.Response, string) {
	t.Helper()
	response, err := http.Get(p.url + path)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, string(body)
}

func (p *process) signal(t *testing.T, signal os.Signal) {
	t.Helper()
	if err := p.Process.Signal(signal); err != nil {
		t.Fatal(err)
	}
}

// exit waits for the process to end and returns its exit status.
func (p *process) exit(t *testing.T) int {
	t.Helper()
	timer := time.AfterFunc(time.Minute, func() { _ = p.Process.Kill() })
	defer timer.Stop()
	_ = p.Wait()
	return p.ProcessState.ExitCode()
}

// logged returns the log lines with that message. Every line must be JSON.
func (p *process) logged(t *testing.T, message string) []map[string]any {
	t.Helper()
	var found []map[string]any
	for line := range strings.Lines(p.stdout.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			t.Fatalf("log line %q is not JSON: %v", line, err)
		}
		if entry["service"] != "test-function" {
			t.Errorf("log line without service: %s", line)
		}
		if entry["msg"] == message {
			found = append(found, entry)
		}
	}
	return found
}

// What somebody does for another user is logged at the usual level, with both; what users
// do themselves is not.
func TestRequestsForOthersAreLogged(t *testing.T) {
	p := start(t).serving(t)
	levels := map[string]string{"ada": "DEBUG", "service": "INFO"}
	for caller := range levels {
		p.get(t, "/who/"+caller)
	}
	p.signal(t, syscall.SIGTERM)
	p.exit(t) // a line may come after the answer
	found := map[string]bool{}
	for _, line := range p.logged(t, "request") {
		caller, _ := line["caller"].(string)
		if line["path"] == "/who/"+caller && line["user"] == "ada" {
			found[caller] = line["level"] == levels[caller]
		}
	}
	if !found["ada"] || !found["service"] {
		t.Errorf("not logged with both at the right level: %s", p.stdout)
	}
}

// In an image with nothing else in it, TLS works: the authorities are in the program.
func TestAuthoritiesAreThereWithoutFiles(t *testing.T) {
	program := exec.Command(os.Args[0])
	program.Env = []string{"TEST_AUTHORITIES=1", "SSL_CERT_FILE=/nowhere", "SSL_CERT_DIR=/nowhere"}
	if out, err := program.Output(); err != nil || string(out) != "true\n" {
		t.Errorf("without files it knows authorities: %s (%v)", out, err)
	}
}

func TestServing(t *testing.T) {
	p := start(t).serving(t)

	response, body := p.get(t, "/hello")
	if id := response.Header.Get("X-Request-Id"); len(id) != 36 || !strings.Contains(body, id) {
		t.Errorf("X-Request-Id = %q, body = %s, want the same UUID", id, body)
	}
	for sent, kept := range map[string]bool{"from-caller.1": true, "a b": false, strings.Repeat("x", 129): false} {
		request, _ := http.NewRequest(http.MethodGet, p.url+"/hello", nil)
		request.Header.Set("X-Request-Id", sent)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if got := response.Header.Get("X-Request-Id") == sent; got != kept {
			t.Errorf("request id %q kept: %v, want %v", sent, got, kept)
		}
	}
	if response, _ := p.get(t, "/silent?ticket=hush"); response.StatusCode != http.StatusOK {
		t.Errorf("/silent: %s", response.Status)
	}
	if response, _ := p.get(t, "/nowhere"); response.StatusCode != http.StatusNotFound {
		t.Errorf("/nowhere: %s", response.Status)
	}
	if response, _ := p.get(t, "/fault"); response.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("/fault: %s", response.Status)
	}

	p.signal(t, syscall.SIGINT)
	if status := p.exit(t); status != 0 {
		t.Errorf("exit status %d", status)
	}
	levels := map[string]string{}
	for _, entry := range p.logged(t, "request") {
		levels[entry["path"].(string)] = entry["level"].(string)
	}
	want := map[string]string{
		"/healthz": "DEBUG", "/hello": "DEBUG", "/silent": "DEBUG", "/nowhere": "DEBUG", "/fault": "INFO",
	}
	if diff := cmp.Diff(want, levels); diff != "" {
		t.Errorf("levels of the request log (-want +got):\n%s", diff)
	}
	if strings.Contains(p.stdout.String(), "hush") {
		t.Error("the log holds a query string")
	}
	if got := strings.Count(p.stdout.String(), "the cause"); got != 1 {
		t.Errorf("the cause is logged %d times, want once", got)
	}
}

func TestPanic(t *testing.T) {
	p := start(t).serving(t)
	response, body := p.get(t, "/panic")
	if response.StatusCode != http.StatusInternalServerError ||
		response.Header.Get("Content-Type") != "application/problem+json" || strings.Contains(body, "secret") {
		t.Errorf("panic: %s %v %s", response.Status, response.Header, body)
	}
	for path, want := range map[string]string{"/torn": "half", "/abort": ""} {
		response, err := http.Get(p.url + path)
		var body []byte
		if err == nil {
			body, err = io.ReadAll(response.Body)
			response.Body.Close()
		}
		if err == nil || string(body) != want {
			t.Errorf("%s: %q, %v, want %q and a cut connection", path, body, err, want)
		}
	}
	p.get(t, "/hello") // still alive
	p.signal(t, syscall.SIGTERM)
	p.exit(t)

	failed := p.logged(t, "request failed")
	if len(failed) != 2 {
		t.Fatalf("%d failures logged, want those of /panic and /torn: %v", len(failed), failed)
	}
	cause, _ := failed[0]["error"].(map[string]any)
	if failed[0]["level"] != "ERROR" || cause["panic"] != "the secret of the panic" ||
		!strings.Contains(fmt.Sprint(cause["stack"]), "function_test.go") {
		t.Errorf("the panic is logged as %v", failed[0])
	}
	if !strings.Contains(body, failed[0]["request_id"].(string)) {
		t.Errorf("the answer %s does not hold the log's request_id %v", body, failed[0]["request_id"])
	}
	if p.stderr.String() != "closed\n" {
		t.Errorf("stderr = %q: the framework saw the panic", p.stderr)
	}
}

func TestProbes(t *testing.T) {
	p := start(t, "BROKEN=true").serving(t)
	response, body := p.get(t, "/readyz")
	want := `{"status":"not ready","checks":[{"name":"steady","ok":true},{"name":"shaky","ok":false,"reason":"not available"}]}` + "\n"
	if response.StatusCode != http.StatusServiceUnavailable || body != want {
		t.Errorf("readyz: %s %s, want 503 %s", response.Status, body, want)
	}
	if response, _ := p.get(t, "/healthz"); response.StatusCode != http.StatusOK {
		t.Errorf("healthz: %s", response.Status)
	}
	response, err := http.Post(p.url+"/healthz", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST /healthz: %s, Allow %q", response.Status, response.Header.Get("Allow"))
	}

	healthy := start(t).serving(t)
	if response, body := healthy.get(t, "/readyz"); response.StatusCode != http.StatusOK {
		t.Errorf("readyz: %s %s", response.Status, body)
	}
}

// What a function serves is counted by its routes' patterns, whatever paths callers
// make up; the platform's own questions are not.
func TestMetrics(t *testing.T) {
	p := start(t).serving(t)
	for _, path := range []string{"/hello", "/hello?token=hush", "/fault", "/nowhere", "/nowhere/else", "/readyz"} {
		p.get(t, path)
	}
	_, _ = http.Get(p.url + "/torn")
	request, _ := http.NewRequest("BREW", p.url+"/hello", nil)
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()

	response, text := p.get(t, "/metrics")
	// A request whose connection broke is counted after its client has seen that.
	for deadline := time.Now().Add(time.Minute); !strings.Contains(text, `route="/torn"`) && time.Now().Before(deadline); {
		response, text = p.get(t, "/metrics")
	}
	if response.StatusCode != http.StatusOK || !strings.HasPrefix(response.Header.Get("Content-Type"), "text/plain") {
		t.Errorf("/metrics: %s %v", response.Status, response.Header)
	}
	values, err := metricstest.Parse(text)
	if err != nil {
		t.Fatal(err)
	}
	got := metricstest.Values{}
	for sample, value := range values {
		if strings.HasPrefix(sample, "duebell_http_requests_total") || strings.HasPrefix(sample, "duebell_http_request_duration_seconds_count") {
			got[sample] = value
		}
	}
	want := metricstest.Values{
		`duebell_http_requests_total{method="GET",route="/hello",status="2xx"}`:    2,
		`duebell_http_requests_total{method="GET",route="/fault",status="5xx"}`:    1,
		`duebell_http_requests_total{method="GET",route="none",status="4xx"}`:      2,
		`duebell_http_requests_total{method="GET",route="/torn",status="none"}`:    1,
		`duebell_http_requests_total{method="other",route="none",status="4xx"}`:    1,
		`duebell_http_request_duration_seconds_count{method="GET",route="/hello"}`: 2,
		`duebell_http_request_duration_seconds_count{method="GET",route="/fault"}`: 1,
		`duebell_http_request_duration_seconds_count{method="GET",route="none"}`:   2,
		`duebell_http_request_duration_seconds_count{method="GET",route="/torn"}`:  1,
		`duebell_http_request_duration_seconds_count{method="other",route="none"}`: 1,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, want := range []string{`duebell_build_info{function="test-function",`, "\ngo_goroutines ", "\nprocess_cpu_seconds_total "} {
		if !strings.Contains(text, want) {
			t.Errorf("there is no %q", want)
		}
	}
	if strings.Contains(text, "hush") {
		t.Error("the metrics hold a query string")
	}
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("promlint: %v, %v", problems, err)
	}
	response, err = http.Post(p.url+"/metrics", "", nil)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /metrics: %s", response.Status)
	}
}

func TestDraining(t *testing.T) {
	p := start(t).serving(t)
	slow, err := http.Get(p.url + "/slow") // answers once it is being served
	if err != nil {
		t.Fatal(err)
	}
	defer slow.Body.Close()
	hijacked, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	defer hijacked.Close()
	fmt.Fprintf(hijacked, "GET /hijack HTTP/1.1\r\nHost: test\r\n\r\n")
	reader := bufio.NewReader(hijacked)
	if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, "101") {
		t.Fatalf("hijack: %q, %v", line, err)
	}

	p.signal(t, syscall.SIGTERM)
	if body, err := io.ReadAll(slow.Body); err != nil || string(body) != "done" {
		t.Errorf("the request in flight got %q, %v", body, err)
	}
	if rest, err := io.ReadAll(reader); err != nil || string(rest) != "\r\nbye" {
		t.Errorf("the hijacked connection got %q, %v", rest, err)
	}
	if _, err := http.Get(p.url + "/healthz"); err == nil {
		t.Error("a request was served after SIGTERM")
	}
	if status := p.exit(t); status != 0 || p.stderr.String() != "closed\n" {
		t.Errorf("exit status %d, stderr %q, want 0 and Close called once", status, p.stderr)
	}
}

// A client that does not end its request gets an answer, and does not hold up the end.
func TestSlowClients(t *testing.T) {
	p := start(t, "SHUTDOWN_GRACE=30s").serving(t)
	dial := func(request string) *bufio.Reader {
		t.Helper()
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = conn.Close() })
		_ = conn.SetReadDeadline(time.Now().Add(time.Minute))
		fmt.Fprint(conn, request)
		return bufio.NewReader(conn)
	}
	const rest = " HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\nContent-Length: 1000\r\n\r\n1"
	for request, want := range map[string]string{"POST /nowhere": "404", "DELETE /hello": "405", "POST /healthz": "405", "GET /readyz": "200"} {
		reader := dial(request + rest)
		if line, err := reader.ReadString('\n'); err != nil || !strings.Contains(line, want) {
			t.Errorf("%s: %q, %v, want %s", request, line, err, want)
		}
		if _, err := io.Copy(io.Discard, reader); err != nil {
			t.Errorf("%s: the connection ends with %v", request, err)
		}
	}
	dial("POST /read HT")
	half := dial("POST /read" + strings.Replace(rest, "\r\n\r\n", "\r\nExpect: 100-continue\r\n\r\n", 1))
	for _, want := range []string{"HTTP/1.1 100 Continue\r\n", "\r\n"} { // once it is being served
		if line, err := half.ReadString('\n'); err != nil || line != want {
			t.Fatalf("half a body: %q, %v, want %q", line, err, want)
		}
	}
	p.signal(t, syscall.SIGTERM)
	if line, err := half.ReadString('\n'); err != nil || !strings.Contains(line, "503") {
		t.Errorf("half a body: %q, %v, want 503", line, err)
	}
	if status := p.exit(t); status != 0 {
		t.Errorf("exit status %d: %s", status, p.stdout)
	}
}

// Nothing is redirected: a client would lose its body, or its token.
func TestPathsThatAreNotInTheirShortestForm(t *testing.T) {
	p := start(t).serving(t)
	for _, path := range []string{"//hello", "/hello//", "/x/../hello", "/./hello", "//", "/..", "/hello/."} {
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n", path)
		answer, err := io.ReadAll(conn)
		conn.Close()
		if err != nil || !strings.HasPrefix(string(answer), "HTTP/1.1 404") || !strings.Contains(string(answer), "application/problem+json") {
			t.Errorf("%s: %s %v, want 404", path, answer, err)
		}
	}
	if response, _ := p.get(t, "/hello"); response.StatusCode != http.StatusOK {
		t.Errorf("/hello: %s", response.Status)
	}
}

// Pages of the sites that are named may call the API; what lets them in is their token.
func TestCORS(t *testing.T) {
	ask := func(p *process, method, path string, header ...string) *http.Response {
		t.Helper()
		request, err := http.NewRequest(method, p.url+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			request.Header.Set(header[i], header[i+1])
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.Header.Get("Access-Control-Allow-Credentials") != "" {
			t.Errorf("%s %s: cookies are allowed", method, path)
		}
		return response
	}
	const ours = "https://app.example.com"
	preflight := []string{"Origin", ours, "Access-Control-Request-Method", "PUT", "Access-Control-Request-Headers", "authorization,if-match"}

	p := start(t, "CORS_ORIGINS="+ours+",http://localhost:3000").serving(t)
	asked := ask(p, "OPTIONS", "/hello", preflight...)
	for name, want := range map[string]string{
		"Access-Control-Allow-Origin": ours, "Access-Control-Allow-Methods": "GET, POST, PUT, PATCH, DELETE", "Vary": "Origin",
		"Access-Control-Allow-Headers": "Authorization, Content-Type, If-Match, Idempotency-Key, Duebell-User, Last-Event-ID, X-Request-Id", "Access-Control-Max-Age": "7200",
	} {
		if got := asked.Header.Get(name); asked.StatusCode != http.StatusNoContent || got != want {
			t.Errorf("preflight: %s, %s %q, want %q", asked.Status, name, got, want)
		}
	}
	for path, status := range map[string]int{"/hello": 200, "/nowhere": 404, "/fault": 503} { // errors can be read, too
		response := ask(p, "GET", path, "Origin", ours)
		if response.StatusCode != status || response.Header.Get("Access-Control-Allow-Origin") != ours ||
			response.Header.Get("Access-Control-Expose-Headers") != "ETag, Location, Retry-After, X-Request-Id" {
			t.Errorf("%s: %s %v", path, response.Status, response.Header)
		}
	}
	for _, origin := range []string{"https://evil.example.com", "https://app.example.com.evil.com", "https://APP.example.com", "http://app.example.com", "null"} {
		if response := ask(p, "GET", "/hello", "Origin", origin); response.StatusCode != 200 || response.Header.Get("Access-Control-Allow-Origin") != "" || response.Header.Get("Vary") != "Origin" {
			t.Errorf("%s: %s %v", origin, response.Status, response.Header)
		}
		if response := ask(p, "OPTIONS", "/hello", "Origin", origin, "Access-Control-Request-Method", "GET"); response.StatusCode != 400 || response.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("preflight of %s: %s %v", origin, response.Status, response.Header)
		}
	}
	if response := ask(p, "OPTIONS", "/hello"); response.StatusCode != 405 {
		t.Errorf("OPTIONS that is no preflight: %s", response.Status)
	}

	anybody := start(t, "CORS_ORIGINS=*").serving(t)
	if response := ask(anybody, "GET", "/hello", "Origin", "https://anywhere.example.com"); response.Header.Get("Access-Control-Allow-Origin") != "*" {
		t.Errorf("any site: %v", response.Header)
	}
	off := start(t).serving(t)
	if response := ask(off, "OPTIONS", "/hello", preflight...); response.StatusCode != 405 || response.Header.Get("Access-Control-Allow-Origin") != "" {
		t.Errorf("preflight without CORS: %s %v", response.Status, response.Header)
	}
	if response := ask(off, "GET", "/hello", "Origin", ours); response.Header.Get("Access-Control-Allow-Origin") != "" || response.Header.Get("Vary") != "" {
		t.Errorf("without CORS: %v", response.Header)
	}

	wrong := start(t, "CORS_ORIGINS=app.example.com,https://x.example.com/,https://user@x.example.com,https://X.example.com,ftp://x")
	if status := wrong.exit(t); status != 1 || strings.Count(wrong.stderr.String(), "is no origin") != 5 {
		t.Errorf("exit status %d, stderr %s", status, wrong.stderr)
	}
}

func TestDrainingGivesUp(t *testing.T) {
	p := start(t, "SHUTDOWN_GRACE=200ms").serving(t)
	stuck, err := http.Get(p.url + "/stuck")
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Body.Close()
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t); status != 1 || len(p.logged(t, "requests were cut off")) != 1 {
		t.Errorf("exit status %d, log %s, want 1 and a warning", status, p.stdout)
	}
	if p.stderr.String() != "closed\n" {
		t.Errorf("stderr %q, want Close called", p.stderr)
	}
}

func TestSecondSignalEndsAtOnce(t *testing.T) {
	p := start(t, "SHUTDOWN_GRACE=1h").serving(t)
	stuck, err := http.Get(p.url + "/stuck")
	if err != nil {
		t.Fatal(err)
	}
	defer stuck.Body.Close()
	p.signal(t, syscall.SIGTERM)
	for { // until the first signal has been heard
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err != nil {
			break
		}
		conn.Close()
	}
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
}

func TestStopBeforeAnyRequest(t *testing.T) {
	p := start(t)
	for { // listening, and nothing asked
		conn, err := net.Dial("tcp", strings.TrimPrefix(p.url, "http://"))
		if err == nil {
			conn.Close()
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	p.signal(t, syscall.SIGTERM)
	if status := p.exit(t); status != 0 || p.stderr.String() != "closed\n" {
		t.Errorf("exit status %d, stderr %q", status, p.stderr)
	}
}

func TestWrongConfiguration(t *testing.T) {
	p := start(t, "TOKEN=", "COUNT=-1", "LOG_LEVEL=loud", "PORT=0")
	want := `test-function can't start:
LOG_LEVEL is malformed: set it to debug, info, warn or error (slog: level string "loud": unknown name)
PORT must be from 1 to 65535
TOKEN is missing: set it to the token
COUNT must not be negative
`
	if status := p.exit(t); status != 1 {
		t.Errorf("exit status %d, want 1", status)
	}
	if diff := cmp.Diff(want, p.stderr.String()); diff != "" {
		t.Errorf("stderr (-want +got):\n%s", diff)
	}
}

func TestVariables(t *testing.T) {
	p := exec.Command(os.Args[0], "-variables")
	p.Env = []string{"TEST_AS_FUNCTION=1"}
	out, err := p.Output()
	if err != nil {
		t.Fatal(err)
	}
	var got []config.Variable
	if err := json.Unmarshal(out, &got); err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, v := range got {
		names = append(names, v.Name)
	}
	want := []string{"HOST", "PORT", "LOG_LEVEL", "SHUTDOWN_GRACE", "CORS_ORIGINS", "OTEL_EXPORTER_OTLP_ENDPOINT", "TOKEN", "COUNT", "BROKEN", "FAILS"}
	if diff := cmp.Diff(want, names); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if got[6] != (config.Variable{Name: "TOKEN", Help: "the token", Required: true, Secret: true}) {
		t.Errorf("got %+v", got[6])
	}
}

func TestFailingToStart(t *testing.T) {
	p := start(t, "FAILS=true")
	if status := p.exit(t); status != 1 || len(p.logged(t, "the function can't start")) != 1 {
		t.Errorf("exit status %d, log %s", status, p.stdout)
	}
	first := start(t).serving(t)
	second := start(t, "PORT="+first.url[strings.LastIndex(first.url, ":")+1:])
	if status := second.exit(t); status != 1 || len(second.logged(t, "the function can't serve")) != 1 {
		t.Errorf("exit status %d, log %s", status, second.stdout)
	}
}

// buffer is a bytes.Buffer for two goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
