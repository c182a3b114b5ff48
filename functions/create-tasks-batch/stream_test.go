package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/function/functiontest"
	"github.com/duebell/duebell/shared/store"
)

// result is the answer to a stream, read.
type result struct {
	Created, Scheduled, Pending, Failed int
	Failures                            map[int]string // by their indexes
	Lines                               []int
}

func stream(w *functiontest.World, s *functiontest.Server, mediaType, body string, header ...string) result {
	w.Helper()
	a := s.As("ada", "POST", "/api/tasks/batch", body, append(header, "Content-Type", mediaType)...)
	if a.Status != 200 || a.Header.Get("Content-Type") != ndjson {
		w.Fatalf("%d %s: %s", a.Status, a.Header.Get("Content-Type"), a.Body)
	}
	return parse(w, a.Body)
}

func parse(t testing.TB, body string) result {
	t.Helper()
	out := result{Failures: map[int]string{}}
	lines := strings.Split(strings.TrimSuffix(body, "\n"), "\n")
	for _, line := range lines[:len(lines)-1] {
		var f streamFailure
		if err := json.Unmarshal([]byte(line), &f); err != nil {
			t.Fatalf("%v in %s", err, line)
		}
		out.Failures[f.Index] = f.Error
		out.Lines = append(out.Lines, f.Line)
	}
	var last struct {
		Created   *int `json:"created"`
		Scheduled *int `json:"scheduled_reminders"`
		Pending   *int `json:"pending_reminders"`
		Failed    *int `json:"failed"`
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &last); err != nil || last.Created == nil || last.Scheduled == nil || last.Pending == nil || last.Failed == nil {
		t.Fatalf("%v: the last line is no summary: %s", err, lines[len(lines)-1])
	}
	out.Created, out.Scheduled, out.Pending, out.Failed = *last.Created, *last.Scheduled, *last.Pending, *last.Failed
	if out.Failed != len(out.Failures) {
		t.Errorf("%d lines of failures, and the summary says %d", len(out.Failures), out.Failed)
	}
	return out
}

func titles(w *functiontest.World) (list []string) {
	w.Helper()
	tasks, _, err := w.Store.ListTasks(w.Context(), "ada", store.Filter{Limit: 100})
	if err != nil {
		w.Fatal(err)
	}
	for _, t := range tasks {
		list = append(list, t.Title)
	}
	slices.Reverse(list) // the oldest first
	return list
}

func TestLinesOfJSON(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := strings.Join([]string{
		`{"title":"a","due_date":"2099-01-01T00:00:00Z","reminders":["0s","1h"],"channels":["in_app","email"]}`,
		``,
		`{"title":""}`,
		`not JSON`,
		`{"title":"` + strings.Repeat("x", api.MaxRecord) + `"}`,
		"\t{\"title\":\"b\"}\r",
		`{"title":"c","id":"x"}`,
		"{\"title\":\"\xff\"}",
		`{"title":"last, without a line break"}`,
	}, "\n")
	got := stream(w, s, ndjson, body)
	want := map[int]string{1: "title is empty", 2: "not valid JSON", 3: "longer than", 5: "id is set", 6: "UTF-8"}
	for i, part := range want {
		if !strings.Contains(got.Failures[i], part) || strings.Contains(got.Failures[i], "the body") {
			t.Errorf("%d failed with %q, want %q", i, got.Failures[i], part)
		}
	}
	if got.Created != 3 || got.Pending != 2 || got.Scheduled != 0 || len(got.Failures) != len(want) {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]int{3, 4, 5, 7, 8}, got.Lines); diff != "" {
		t.Error("lines:", diff)
	}
	if diff := cmp.Diff([]string{"a", "b", "last, without a line break"}, titles(w)); diff != "" {
		t.Error(diff)
	}
	if n := w.Count(`select count(*) from tasks where channels = '{in_app,email}'`); n != 1 {
		t.Errorf("%d tasks have their channels", n)
	}
}

func TestTable(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := "\xef\xbb\xbf" + strings.Join([]string{
		`Title,due_date, reminders,notes,completed,channels`,
		`a,2099-01-01T00:00:00+01:00,0s;30m;1d,,,`,
		`"with, a ""quote""",,none,"note and`,
		`a line break",TRUE,in_app;email`,
		`too,few`,
		`bad "quote",,,,,`,
		`c,tomorrow,,,,`,
		`d,2099-01-01T00:00:00Z,soon,,,`,
		`e,,,,maybe,`,
		`f,,,,,pigeon`,
		"g\x00,,,,,",
		``,
		`last,2099-01-01T00:00:00Z,,,,`,
	}, "\r\n")
	got := stream(w, s, "text/csv; charset=utf-8", body)
	want := map[int]string{
		2: "has 2 cells", 3: "not a row of CSV", 4: "due_date must be a time with an offset", 5: "reminders must be an offset",
		6: "completed must be true or false", 7: "pigeon", 8: "NUL",
	}
	for i, part := range want {
		if !strings.Contains(got.Failures[i], part) {
			t.Errorf("%d failed with %q, want %q", i, got.Failures[i], part)
		}
	}
	if got.Created != 3 || got.Pending != 4 || len(got.Failures) != len(want) {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]int{5, 6, 7, 8, 9, 10, 11}, got.Lines); diff != "" {
		t.Error("lines:", diff)
	}
	if diff := cmp.Diff([]string{"a", "with, a \"quote\"", "last"}, titles(w)); diff != "" {
		t.Error(diff)
	}
	if n := w.Count(`select count(*) from tasks where completed and notes = E'note and\na line break' and channels = '{in_app,email}'`); n != 1 {
		t.Errorf("%d tasks have their cells", n)
	}
}

func TestStreamsThatAreRefused(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for _, tt := range []struct {
		mediaType, body string
		status          int
		detail          string
	}{
		{ndjson, "", 400, "no tasks"},
		{ndjson, "\n\n", 400, "no tasks"},
		{csvType, "", 400, "names the columns"},
		{csvType, "title\n", 400, "no tasks"},
		{csvType, "title,colour\nx,red\n", 400, `no column "colour"`},
		{csvType, "notes\nx\n", 400, "title is missing"},
		{csvType, "title,title\nx,y\n", 400, "comes twice"},
		{csvType, `"title` + "\nx\n", 400, "not a row of CSV"},
		{csvType, strings.Repeat("x", api.MaxRecord+1) + "\n", 400, "longer than"},
		{csvType + "; charset=latin1", "title\nx\n", 415, "UTF-8"},
	} {
		w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", tt.body, "Content-Type", tt.mediaType), tt.status, "invalid", tt.detail)
	}
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", "title\nx\n", "Content-Type", csvType, "Content-Encoding", "gzip"), 415, "invalid", "Content-Encoding")
	w.WantProblem(s.Call("POST", "/api/tasks/batch", "title\nx\n", "Content-Type", csvType), 401, "unauthenticated", "")
	if list := titles(w); len(list) > 0 {
		t.Errorf("stored: %v", list)
	}
}

// lines are so many tasks, in parts of partRecords.
func lines(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `{"title":"task %d","due_date":"2099-01-01T00:00:00Z"}`+"\n", i)
	}
	return b.String()
}

func TestTooManyLines(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	// Those that fail count as well, and are cheap.
	got := stream(w, s, ndjson, strings.Repeat("7\n", maxRecords-1)+lines(2))
	if got.Created != 1 || len(got.Failures) != maxRecords || !strings.Contains(got.Failures[maxRecords], "another request") {
		t.Errorf("%d created, %d failures, %q", got.Created, len(got.Failures), got.Failures[maxRecords])
	}
}

// breaking is a body that breaks off, after its last byte has been taken.
type breaking struct {
	io.Reader
	waiting func()
}

func (b breaking) Read(p []byte) (int, error) {
	n, err := b.Reader.Read(p)
	if errors.Is(err, io.EOF) {
		b.waiting()
		return n, errors.New("the network is gone")
	}
	return n, err
}

// A stream that breaks off at any point, and is repeated, creates each task once.
func TestStreamIsResumed(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := lines(3*partRecords+10) + "7\n"
	count := func() int { return w.Count(`select count(*) from tasks`) }
	for _, parts := range []int{1, 2} {
		// In the middle of a part, and of a line.
		broken := strings.Index(body, fmt.Sprintf("task %d\"", parts*partRecords+5))
		req, err := http.NewRequest("POST", s.URL()+"/api/tasks/batch", breaking{strings.NewReader(body[:broken]), func() {
			for count() < parts*partRecords { // until the server has stored what it has
				time.Sleep(10 * time.Millisecond)
			}
		}})
		if err != nil {
			t.Fatal(err)
		}
		for name, value := range map[string]string{"Authorization": "Bearer " + w.Token("ada"), "Content-Type": ndjson, "Idempotency-Key": "k"} {
			req.Header.Set(name, value)
		}
		if resp, err := http.DefaultClient.Do(req); err == nil {
			resp.Body.Close()
			t.Fatal("it did not break")
		}
		if n := count(); n != parts*partRecords {
			t.Fatalf("%d tasks after the break, want %d", n, parts*partRecords)
		}
	}
	for range 2 {
		got := stream(w, s, ndjson, body, "Idempotency-Key", "k")
		if got.Created != 3*partRecords+10 || got.Pending != got.Created || got.Failed != 1 {
			t.Errorf("%+v", got)
		}
		if n := w.Count(`select count(distinct title) from tasks`); n != got.Created || count() != n {
			t.Errorf("%d titles in %d tasks", n, count())
		}
	}
	// The key holds for these lines only, and says how far it came.
	other := strings.Replace(body, "task 1500", "another", 1)
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", other, "Content-Type", ndjson, "Idempotency-Key", "k"), 409, "conflict", "tasks of this request have been stored")
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", "title\nx\n", "Content-Type", csvType, "Idempotency-Key", "k"), 409, "conflict", "another request")
	if count() != 3*partRecords+10 {
		t.Errorf("%d tasks", count())
	}
}

// Two at one time create each task once, too: the second waits for each part.
func TestSameStreamTwiceAtOnce(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := lines(2500)
	answers := make(chan functiontest.Answer)
	for range 2 {
		go func() {
			answers <- s.As("ada", "POST", "/api/tasks/batch", body, "Content-Type", ndjson, "Idempotency-Key", "k")
		}()
	}
	for range 2 {
		if a := <-answers; a.Status != 200 || parse(t, a.Body).Created != 2500 {
			t.Errorf("%d %.300s", a.Status, a.Body)
		}
	}
	if n := w.Count(`select count(*) from tasks`); n != 2500 {
		t.Errorf("%d tasks", n)
	}
}

// BenchmarkStream says how much memory an import takes, which does not depend on how
// long it is.
func BenchmarkStream(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := functiontest.New(b)
			s := functiontest.Serve(w, New)
			for b.Loop() {
				peak, began := watchHeap(), time.Now()
				reader, writer := io.Pipe()
				go func() {
					out := bufio.NewWriter(writer)
					for i := range n {
						fmt.Fprintf(out, `{"title":"task %d","due_date":"2099-01-01T00:00:00Z"}`+"\n", i)
					}
					writer.CloseWithError(out.Flush())
				}()
				req, _ := http.NewRequest("POST", s.URL()+"/api/tasks/batch", reader)
				req.Header.Set("Authorization", "Bearer "+w.Token("ada"))
				req.Header.Set("Content-Type", ndjson)
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					b.Fatal(err)
				}
				text, _ := io.ReadAll(resp.Body)
				resp.Body.Close()
				if got := parse(b, string(text)); got.Created != n {
					b.Fatalf("%+v", got)
				}
				b.ReportMetric(float64(peak())/(1<<20), "peak-MB")
				b.ReportMetric(float64(n)/time.Since(began).Seconds(), "tasks/s")
			}
		})
	}
}

// watchHeap returns a function that says how much the heap has grown at most since.
func watchHeap() (peak func() uint64) {
	var stats runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&stats)
	before := stats.HeapAlloc
	var most atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		for {
			var now runtime.MemStats
			runtime.ReadMemStats(&now)
			most.Store(max(most.Load(), now.HeapAlloc))
			select {
			case <-stop:
				return
			case <-time.After(20 * time.Millisecond):
			}
		}
	}()
	return func() uint64 {
		close(stop)
		<-stopped
		return max(most.Load(), before) - before
	}
}
