package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/schollz/progressbar/v3"

	"github.com/duebell/duebell/local/postgres/pgtest"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/shared/auth/authtest"
	migrations "github.com/duebell/duebell/shared/store/migrate"
)

// importWorld is a real server, and the program that imports tasks to it.
type importWorld struct {
	*testing.T
	dir, bin, database, address string
	issuer                      *authtest.Issuer
	server                      *exec.Cmd
}

func newImportWorld(t *testing.T) *importWorld {
	t.Helper()
	if testing.Short() {
		t.Skip("needs PostgreSQL")
	}
	w := &importWorld{T: t, dir: t.TempDir(), bin: t.TempDir(), database: pgtest.URL(t), issuer: authtest.NewIssuer(t)}
	if _, err := migrations.Up(t.Context(), w.database); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("go", "build", "-o", w.bin+"/", ".", "../../functions/create-tasks-batch").CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	ports, err := process.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	w.address = process.Address(ports[0])
	return w
}

// serve starts the server, each time on the same address.
func (w *importWorld) serve() {
	w.Helper()
	_, port, _ := net.SplitHostPort(w.address)
	w.server = exec.Command(filepath.Join(w.bin, "create-tasks-batch"))
	w.server.Env = []string{
		"HOST=127.0.0.1", "PORT=" + port, "DATABASE_URL=" + w.database, "DAPR_GRPC_ENDPOINT=127.0.0.1:1", "DAPR_API_TOKEN=unused",
		"OIDC_ISSUER=" + w.issuer.URL, "OIDC_AUDIENCE=" + w.issuer.Audience,
		"MAX_REMINDERS_PER_MINUTE=0", // the tasks of a file are due at the same time
		"REMINDER_HORIZON=0",         // and pending, however far ahead, as there is no Dapr
	}
	if err := w.server.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(w.kill)
}

func (w *importWorld) kill() {
	_ = w.server.Process.Kill()
	_ = w.server.Wait()
}

// run starts an import; wait waits for its end.
func (w *importWorld) run(args ...string) *exec.Cmd {
	w.Helper()
	cmd := exec.Command(filepath.Join(w.bin, "duebell"), append([]string{"import"}, args...)...)
	cmd.Dir = w.dir
	cmd.Env = []string{"DUEBELL_URL=http://" + w.address, "DUEBELL_TOKEN=" + w.issuer.Token(w, "ada", nil)}
	cmd.Stdout, cmd.Stderr = &bytes.Buffer{}, &bytes.Buffer{}
	if err := cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = cmd.Process.Kill() })
	return cmd
}

func (w *importWorld) wait(cmd *exec.Cmd) (status int, stdout, stderr string) {
	_ = cmd.Wait()
	return cmd.ProcessState.ExitCode(), fmt.Sprint(cmd.Stdout), fmt.Sprint(cmd.Stderr)
}

func (w *importWorld) count(sql string) (n int) {
	w.Helper()
	c, err := pgx.Connect(context.Background(), w.database)
	if err != nil {
		w.Fatal(err)
	}
	defer c.Close(context.Background())
	if err := c.QueryRow(context.Background(), sql).Scan(&n); err != nil {
		w.Fatal(err)
	}
	return n
}

// until waits until n tasks are stored.
func (w *importWorld) until(n int) {
	w.Helper()
	for w.count(`select count(*) from tasks`) < n {
		time.Sleep(5 * time.Millisecond)
	}
}

// holdUp makes the insertion of a task wait until letThrough is called.
func (w *importWorld) holdUp(title string) (letThrough func()) {
	w.Helper()
	c, err := pgx.Connect(context.Background(), w.database)
	if err != nil {
		w.Fatal(err)
	}
	if _, err := c.Exec(context.Background(), `
		create function hold_up() returns trigger language plpgsql as 'begin perform pg_advisory_xact_lock(1); return new; end';
		create trigger hold_up before insert on tasks for each row when (new.title = '`+title+`') execute function hold_up();
		select pg_advisory_lock(1)`); err != nil {
		w.Fatal(err)
	}
	return func() { _ = c.Close(context.Background()) }
}

func (w *importWorld) write(name, text string) {
	w.Helper()
	if err := os.WriteFile(filepath.Join(w.dir, name), []byte(text), 0o600); err != nil {
		w.Fatal(err)
	}
}

// Whatever fails in the middle of an import, each task is created once, and failures are reported.
func TestImportGoesOn(t *testing.T) {
	w := newImportWorld(t)
	const tasks = 25_000
	var file strings.Builder
	for i := range tasks {
		if i == 12_345 {
			file.WriteString("not a task\n")
		}
		fmt.Fprintf(&file, `{"title":"task %d","due_date":"2099-01-01T00:00:00Z"}`+"\n", i)
	}
	w.write("tasks.ndjson", file.String())
	letThrough := w.holdUp("task 20000") // so that none is done before it is ended

	w.serve()
	first := w.run("tasks.ndjson")
	w.until(3000)
	w.kill() // the server dies, and comes back
	w.serve()
	w.until(8000)
	_ = first.Process.Signal(os.Interrupt)
	if status, out, errs := w.wait(first); status != 130 || !strings.Contains(errs, "goes on") {
		t.Fatalf("interrupted: %d %s%s", status, out, errs)
	}
	second := w.run("tasks.ndjson")
	w.until(15_000)
	_ = second.Process.Kill()
	_, _, _ = w.wait(second)
	if n := w.count(`select count(*) from tasks`); n == tasks {
		t.Fatal("it was not killed in the middle")
	}
	letThrough()
	for range 2 {
		status, out, errs := w.wait(w.run("tasks.ndjson"))
		if status != 1 || !strings.HasPrefix(out, "25000 tasks created; 0 reminders scheduled, 25000 pending; 1 tasks failed\n") || !strings.Contains(errs, "line 12346: the task is not valid JSON") {
			t.Errorf("%d %s%s", status, out, errs)
		}
		if n, different := w.count(`select count(*) from tasks`), w.count(`select count(distinct title) from tasks`); n != tasks || different != tasks {
			t.Errorf("%d tasks with %d titles", n, different)
		}
	}
	list, err := os.ReadFile(filepath.Join(w.dir, "tasks.ndjson.failures.ndjson"))
	var failed struct {
		Line          int
		Error, Record string
	}
	if err != nil || json.Unmarshal(list, &failed) != nil || failed.Line != 12_346 || failed.Record != "not a task" || failed.Error == "" {
		t.Errorf("%s %v", list, err)
	}
	w.write("few.ndjson", `{"title":"once"}`)
	for _, name := range []string{"", "again", "again"} {
		if status, out, errs := w.wait(w.run("few.ndjson", "-name", name)); status != 0 {
			t.Errorf("%q: %d %s%s", name, status, out, errs)
		}
	}
	if n := w.count(`select count(*) from tasks where title = 'once'`); n != 2 {
		t.Errorf("%d tasks of an import under two names", n)
	}
}

func TestImportTable(t *testing.T) {
	w := newImportWorld(t)
	w.serve()
	cmd := exec.Command(filepath.Join(w.bin, "duebell"), "import", "-format", "csv", "-failures", "bad.ndjson", "-")
	cmd.Dir, cmd.Stdin = w.dir, strings.NewReader("title,notes\na,\"two\nlines\"\n\nb,c,d\n\"e\"\"\",\n"+strings.Repeat("x", 200_000)+"\nlast,\n")
	cmd.Env = []string{"DUEBELL_URL=http://" + w.address + "/", "DUEBELL_TOKEN=" + w.issuer.Token(w, "ada", nil)}
	out, err := cmd.CombinedOutput()
	for _, part := range []string{"3 tasks created", "2 tasks failed", "line 5: has 3 cells, and the header has 2", "line 7: it is longer than 131072 bytes"} {
		if !strings.Contains(string(out), part) {
			t.Errorf("no %q in %s (%v)", part, out, err)
		}
	}
	bad, err := os.ReadFile(filepath.Join(w.dir, "bad.ndjson"))
	if err != nil || !strings.Contains(string(bad), `"record":"b,c,d"`) {
		t.Errorf("%s %v", bad, err)
	}
	if n := w.count(`select count(*) from tasks where (title, notes) in (('a', E'two\nlines'), ('e"', ''), ('last', ''))`); n != 3 {
		t.Errorf("%d tasks", n)
	}
}

// entries returns the entries of a file of failures.
func (w *importWorld) entries(name string) (list []failureEntry) {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(w.dir, name))
	if err != nil {
		w.Fatal(err)
	}
	for one := range bytes.Lines(text) {
		var e failureEntry
		if err := json.Unmarshal(one, &e); err != nil {
			w.Fatal(err)
		}
		list = append(list, e)
	}
	return list
}

type failureEntry struct {
	Line     int
	LastLine int `json:"last_line"`
	Error    string
	Record   string
	Base64   []byte `json:"record_base64"`
}

// A row that can't be read fails no other row, and is written to the file of failures unchanged.
func TestImportTableWithMistakes(t *testing.T) {
	w := newImportWorld(t)
	w.serve()
	long := strings.Repeat("Pay the attacker 1000 EUR;injected\n", 1_000_000)
	rows := []string{"title;notes", "first;ok", `"unclosed; & <so on>`, "after;ok", "unwritten\xff;x", "second;\"a; b\"", `long;"` + long + `"`, "prose", "last;ok", `;"`}
	w.write("tasks.csv", "sep=;\n"+strings.Join(rows, "\n"))
	w.write("tasks.csv.failures.ndjson", "of another day")
	status, out, errs := w.wait(w.run("tasks.csv"))
	if status != 1 || !strings.Contains(errs, "line 6: the file is not in UTF-8") || w.count(`select count(*) from tasks`) != 0 {
		t.Errorf("%d %s%s", status, out, errs)
	}
	rows[4] = "fine;ok"
	w.write("tasks.csv", "sep=;\n"+strings.Join(rows, "\n"))
	status, out, errs = w.wait(w.run("tasks.csv"))
	if status != 1 || !strings.HasPrefix(out, "6 tasks created; 0 reminders scheduled, 0 pending; 3 tasks failed\n") ||
		!strings.Contains(errs, "line 4: the quote that opens in line 4 is not closed") || !strings.Contains(errs, "lines 8 to 1000008: it is longer than") {
		t.Errorf("%d %s%.2000s", status, out, errs)
	}
	if n := w.count(`select count(*) from tasks where title in ('first', 'after', 'fine', 'second', 'prose', 'last')`); n != 6 {
		t.Errorf("%d of 6 tasks", n)
	}
	failed := w.entries("tasks.csv.failures.ndjson")
	if len(failed) < 3 {
		t.Fatalf("%d entries", len(failed))
	}
	if e := failed[0]; e.Line != 4 || e.LastLine != 4 || e.Record != rows[2] {
		t.Errorf("%+v", e)
	}
	whole, line := "", 8
	for _, e := range failed[1 : len(failed)-1] {
		if e.Line != line || e.LastLine < line {
			t.Errorf("lines %d to %d, after line %d", e.Line, e.LastLine, line)
		}
		whole, line = whole+e.Record, e.LastLine+1
	}
	if whole != rows[6] || line != 1_000_009 {
		t.Errorf("%d bytes to line %d, want %d", len(whole), line, len(rows[6]))
	}
	if e := failed[len(failed)-1]; e.Record != rows[9] {
		t.Errorf("%+v", e)
	}
}

// Through a proxy that accepts only small requests, the import sends small ones. The same command
// run again creates no task twice.
func TestImportThroughAProxy(t *testing.T) {
	w := newImportWorld(t)
	w.serve()
	var limit int64
	var refused, served atomic.Int32
	forward := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: w.address})
	proxy := httptest.NewServer(http.HandlerFunc(func(out http.ResponseWriter, r *http.Request) {
		if r.ContentLength > limit {
			refused.Add(1)
			out.Header().Set("Content-Type", "text/html")
			out.WriteHeader(http.StatusRequestEntityTooLarge)
			fmt.Fprint(out, "<html><h1>413 Request Entity Too Large</h1></html>")
			return
		}
		served.Add(1)
		forward.ServeHTTP(out, r)
	}))
	defer proxy.Close()
	const tasks = 4_000
	text := "title,notes\n"
	for i := range tasks {
		text += fmt.Sprintf("task %d,%s\n", i, strings.Repeat("n", 1000))
	}
	w.write("tasks.csv", text+"\"unclosed,\nlast,\"of\nall\"\n")
	for n, tt := range []struct{ limit, mostRefused, leastServed int }{{1 << 20, 0, 5}, {150_000, 10, 4_000_000 / 150_000}} {
		limit = int64(tt.limit)
		for range 2 {
			refused.Store(0)
			served.Store(0)
			status, out, errs := w.wait(w.run("tasks.csv", "-url", proxy.URL, "-name", fmt.Sprint(n)))
			if status != 1 || !strings.HasPrefix(out, fmt.Sprintf("%d tasks created;", tasks+1)) || !strings.Contains(errs, "1 tasks failed") || strings.Contains(errs, "<h") {
				t.Errorf("%d %s%s", status, out, errs)
			}
			if all, different := w.count(`select count(*) from tasks`), w.count(`select count(distinct title) from tasks`); all != (n+1)*(tasks+1) || different != tasks+1 {
				t.Errorf("%d tasks with %d titles", all, different)
			}
			if n := int(refused.Load()); n > tt.mostRefused || (n > 0) != (tt.mostRefused > 0) || int(served.Load()) < tt.leastServed {
				t.Errorf("a limit of %d: %d requests refused, %d served", tt.limit, n, served.Load())
			}
		}
	}
	w.write("large.csv", "title,notes\nlarge,"+strings.Repeat("n", 120_000)+"\nsmall,x\n")
	limit = 100_000
	if status, out, errs := w.wait(w.run("large.csv", "-url", proxy.URL)); status != 1 || !strings.HasPrefix(out, "1 tasks created;") || !strings.Contains(errs, "line 2: the request is too large for the server, or for a proxy before it (413") {
		t.Errorf("%d %s%s", status, out, errs)
	}
}

// An error that a retry can't repair is reported at once.
func TestImportThatIsRefused(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	answer := func(http.ResponseWriter, *http.Request) {}
	var asked atomic.Int32
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { asked.Add(1); answer(w, r) }))
	defer server.Close()
	if err := errors.Join(os.WriteFile("tasks.ndjson", []byte("{}\n"), 0o600), os.WriteFile("empty.csv", nil, 0o600)); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DUEBELL_URL", server.URL)
	t.Setenv("DUEBELL_TOKEN", "secret-token")
	for _, tt := range []struct {
		args   string
		status int
		body   string // the server's
		want   int
		out    string
	}{
		{"", 0, "", 2, ""},
		{"-h", 0, "", 0, ""},
		{"-x", 0, "", 2, ""},
		{"tasks.ndjson more", 0, "", 2, ""},
		{"tasks.txt", 0, "", 1, "-format"},
		{"nothing.csv", 0, "", 1, "no such file"},
		{"empty.csv", 0, "", 1, "names the columns"},
		{"tasks.ndjson -url nowhere", 0, "", 1, "DUEBELL_URL"},
		{"tasks.ndjson -url ftp://localhost", 0, "", 1, "DUEBELL_URL"},
		{"tasks.ndjson -token secret\x00", 0, "", 1, "DUEBELL_TOKEN once more"},
		{"tasks.ndjson -failures ../" + filepath.Base(dir) + "/tasks.ndjson", 0, "", 1, "another file"},
		{"tasks.ndjson", 302, "moved", 1, "302 Found: moved"},
		{"tasks.ndjson", 200, "<html><h1>Sign in</h1>", 1, "200 OK with a page for browsers"},
		{"tasks.ndjson", 500, "<!DOCTYPE html><h1>Sorry</h1>", 1, "500 Internal Server Error with a page for browsers"},
		{"tasks.ndjson", 413, "<html></html>", 1, "1 tasks failed"},
		{"tasks.ndjson", 401, `{"detail":"the token has expired"}`, 1, "the token has expired"},
		{"tasks.ndjson", 500, "oh\x1b[31m", 1, "500 Internal Server Error: oh [31m"},
		{"tasks.ndjson", 200, `{"index":7,"error":"x"}`, 1, "task 7 failed, of 1"},
		{"tasks.ndjson", 200, "", 1, "no summary"},
	} {
		answer = func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", "/")
			w.WriteHeader(tt.status)
			fmt.Fprint(w, tt.body)
		}
		asked.Store(0)
		var out bytes.Buffer
		if got := run(t.Context(), append([]string{"import"}, strings.Fields(tt.args)...), &out, &out); got != tt.want || !strings.Contains(out.String(), tt.out) || strings.Contains(out.String(), "secret") || strings.Contains(out.String(), "<h") {
			t.Errorf("%s: %d %s", tt.args, got, &out)
		}
		if n := asked.Load(); n > 1 || (n == 1) != (tt.status > 0) {
			t.Errorf("%s: asked %d times", tt.args, n)
		}
	}
	t.Setenv("DUEBELL_TOKEN", "")
	var out bytes.Buffer
	if got := run(t.Context(), []string{"import", "tasks.ndjson"}, &out, &out); got != 1 || !strings.Contains(out.String(), "DUEBELL_TOKEN") {
		t.Errorf("without a token: %d %s", got, &out)
	}
}

// An answer that asks for a retry is retried.
func TestImportTriesAgain(t *testing.T) {
	dir := t.TempDir()
	t.Chdir(dir)
	keys := map[string]int{}
	statuses := []int{503, 502, 408, 429, 409, 503, 200}
	after := []string{"1", "", "", "", "1", "2", ""}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		keys[r.Header.Get("Idempotency-Key")]++
		status := statuses[0]
		if after[0] != "" {
			w.Header().Set("Retry-After", after[0])
		}
		statuses, after = statuses[1:], after[1:]
		w.WriteHeader(status)
		if status == 200 {
			fmt.Fprintln(w, `{"created":1,"scheduled_reminders":1,"pending_reminders":0,"failed":0}`)
		}
	}))
	defer server.Close()
	if err := os.WriteFile("tasks.jsonl", []byte(`{"title":"x"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("DUEBELL_URL", server.URL)
	t.Setenv("DUEBELL_TOKEN", "t")
	var out bytes.Buffer
	if got := run(t.Context(), []string{"import", "tasks.jsonl"}, &out, &out); got != 0 || len(statuses) > 0 || len(keys) != 1 {
		t.Errorf("%d %s; %v left, keys %v", got, &out, statuses, keys)
	}

	// If the server asks for a longer wait than the import's limit, the server's error is reported.
	statuses, after = []int{503}, []string{"86400"}
	if got := run(t.Context(), []string{"import", "tasks.jsonl"}, &out, &out); got != 1 || !strings.Contains(out.String(), "503 Service Unavailable") {
		t.Errorf("%d %s", got, &out)
	}
}

// An import does not wait for ever for a server that accepts the connection and never answers.
func TestImportThatIsNotTaken(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // the kernel takes connections
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	i := importer{url: "http://" + l.Addr().String(), tryTime: 100 * time.Millisecond, bar: progressbar.NewOptions(1, progressbar.OptionSetVisibility(false))}
	r := request{body: bytes.NewBuffer(make([]byte, 16<<20))}
	if _, err := i.try(t.Context(), &r, "key"); err == nil || !strings.Contains(err.Error(), "no request within 100ms") {
		t.Error(err)
	}
}
