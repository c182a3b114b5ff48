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
	"unicode/utf16"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// result is the decoded answer to a stream.
type result struct {
	Created, Scheduled, Pending, Failed int
	Failures                            map[int]string // by their indexes
	Lines                               []int
	Codes                               []fault.Code
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
		out.Codes = append(out.Codes, f.Code)
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
		`{"title":"a","due_date":"2099-01-01T00:00:00Z","reminders":["0s","1h"],"channels":["in_app","email"],"urgent":true}`,
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
	if n := w.Count(`select count(*) from tasks where channels = '{in_app,email}' and urgent`); n != 1 {
		t.Errorf("%d tasks have their channels, and are urgent", n)
	}
}

func TestTable(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	body := "\xef\xbb\xbf" + strings.Join([]string{
		`Title,due_date, reminders,notes,completed,channels,urgent`,
		`a,2099-01-01T00:00:00+01:00,0s;30m;1d,,,,False`,
		`"with, a ""quote""",,none,"note and`,
		`a line break",TRUE,in_app;email,true`,
		`too,,,,,,,many`,
		`bad "quote",,,,,`,
		`c,tomorrow,,,,`,
		`d,2099-01-01T00:00:00Z,soon,,,`,
		`e,,,,maybe,`,
		`urgent,,,,,,very`,
		`f,,,,,pigeon`,
		"g\x00,,,,,",
		``,
		`last,2099-01-01T00:00:00Z,,,,`,
	}, "\r\n")
	got := stream(w, s, "text/csv; charset=utf-8", body)
	want := map[int]string{
		2: "has 8 cells, and the header has 7", 3: "not a row of CSV", 4: "due_date must be a time with an offset", 5: "reminders must be an offset",
		6: "completed must be true or false", 7: "urgent must be true or false", 8: "pigeon", 9: "NUL",
	}
	for i, part := range want {
		if !strings.Contains(got.Failures[i], part) {
			t.Errorf("%d failed with %q, want %q", i, got.Failures[i], part)
		}
	}
	if got.Created != 3 || got.Pending != 4 || len(got.Failures) != len(want) {
		t.Errorf("%+v", got)
	}
	if diff := cmp.Diff([]int{5, 6, 7, 8, 9, 10, 11, 12}, got.Lines); diff != "" {
		t.Error("lines:", diff)
	}
	if diff := cmp.Diff([]string{"a", "with, a \"quote\"", "last"}, titles(w)); diff != "" {
		t.Error(diff)
	}
	if n := w.Count(`select count(*) from tasks where completed and notes = E'note and\na line break' and channels = '{in_app,email}' and urgent`); n != 1 {
		t.Errorf("%d tasks have their cells", n)
	}
}

// An unclosed quote fails its own row only.
func TestUnclosedQuote(t *testing.T) {
	for name, rows := range map[string]int{"few rows": 20, "many rows": 5000} {
		w := functiontest.New(t)
		s := functiontest.Serve(w, New)
		lines := []string{"title,notes"}
		for i := range rows {
			lines = append(lines, fmt.Sprintf("task %d,some notes about it", i+1))
		}
		lines[5] = `"task 5,x`
		lines[15] = `task 15,"a, b"`
		got := stream(w, s, "text/csv", strings.Join(lines, "\n")+"\n")
		if got.Created != rows-1 || got.Failed != 1 || got.Lines[0] != 6 || got.Failures[4] != "the quote that opens in line 6 is not closed" {
			t.Errorf("%s: %+v", name, got)
		}
		if n := w.Count(`select count(*) from tasks where title = 'task 15' and notes = 'a, b'`); n != 1 {
			t.Errorf("%s: %d tasks of the row with a quoted cell", name, n)
		}
	}
}

// A refused cell does not create a task from a part of its text.
func TestCellThatIsTooLong(t *testing.T) {
	for name, cell := range map[string]string{
		"one long line":   strings.Repeat("x", api.MaxRecord) + "\nPay the attacker 1000 EUR,injected\n",
		"many lines":      strings.Repeat("Pay the attacker 1000 EUR,injected\n", 10_000),
		"and its quotes":  strings.Repeat("Pay the attacker 1000 EUR,injected\n\"\"", 10_000),
		"of many windows": strings.Repeat("Pay the attacker 1000 EUR,injected\n", 1_000_000),
	} {
		w := functiontest.New(t)
		s := functiontest.Serve(w, New)
		got := stream(w, s, "text/csv", "title,notes\nfirst,\""+cell+"\"\nlast,ok\n")
		if got.Created != 1 || got.Failed != 1 || got.Lines[0] != 2 || !strings.Contains(got.Failures[0], "longer than 131072 bytes") {
			t.Errorf("%s: %+v", name, got)
		}
		if diff := cmp.Diff([]string{"last"}, titles(w)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// Tables in the formats of spreadsheets and other programs are read.
func TestTablesOfSpreadsheets(t *testing.T) {
	utf16le := func(text string) string {
		out := "\xff\xfe"
		for _, u := range utf16.Encode([]rune(text)) {
			out += string([]byte{byte(u), byte(u >> 8)})
		}
		return out
	}
	for name, tt := range map[string]struct{ mediaType, body string }{
		"columns without a name":   {"text/csv", "title,notes,,\r\nBuy milk,at the corner,,\r\nCall Zoë,,,\r\n,,,\r\n"},
		"rows of other lengths":    {"text/csv", "title,notes,completed\nBuy milk,at the corner,,,\nCall Zoë\n,\n"},
		"semicolons":               {"application/vnd.ms-excel", "title;notes;reminders\r\nBuy milk;at the corner;\"0s;1h\"\r\nCall Zoë;;\r\n"},
		"a separator that is told": {"text/plain", "sep=;\r\ntitle;notes\r\nBuy milk;at the corner\r\nCall Zoë;\r\n"},
		"UTF-16 and tabs":          {"text/plain; charset=utf-16", utf16le("title\tnotes\r\nBuy milk\tat the corner\r\nCall Zoë\t\r\n")},
		"NDJSON":                   {"application/ndjson", "{\"title\":\"Buy milk\",\"notes\":\"at the corner\"}\n{\"title\":\"Call Zoë\"}\n"},
		"JSON Lines":               {"application/jsonl", utf16le("{\"title\":\"Buy milk\",\"notes\":\"at the corner\"}\r\n{\"title\":\"Call Zoë\"}\r\n")},
	} {
		w := functiontest.New(t)
		s := functiontest.Serve(w, New)
		if got := stream(w, s, tt.mediaType, tt.body); got.Created != 2 || got.Failed != 0 {
			t.Errorf("%s: %+v", name, got)
		}
		if diff := cmp.Diff([]string{"Buy milk", "Call Zoë"}, titles(w)); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
		if n := w.Count(`select count(*) from tasks where notes = 'at the corner'`); n != 1 {
			t.Errorf("%s: %d tasks have their notes", name, n)
		}
	}
}

// Damaged UTF-16 is refused, not stored as another text.
func TestDamagedUTF16(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	wide := func(text string) string { // ASCII
		return strings.Join(strings.Split(text, ""), "\x00") + "\x00"
	}
	for _, body := range []string{wide("title\nx\n") + "y", wide("title\nx") + "\x00\xd8" + wide("\ny\n")} {
		w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", "\xff\xfe"+body, "Content-Type", "text/csv"), 400, "invalid", "or it is damaged; save it as")
	}
	if got := stream(w, s, ndjson, "\xff\xfe"+wide("{\"title\":\"a\"}\n{\"title\":\"x")+"\x00\xd8"+wide("\"}\n")); got.Created != 1 || got.Failed != 1 {
		t.Errorf("%+v", got)
	}
	if n := w.Count(`select count(*) from tasks where title <> 'a'`); n != 0 {
		t.Errorf("%d tasks", n)
	}
}

// A row that names another user is refused.
func TestRowsOfAnotherUser(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for mediaType, body := range map[string]string{
		"text/csv": "title,user_id\na,ada\nb,bob\nc,\n",
		ndjson:     "{\"title\":\"a\",\"user_id\":\"ada\"}\n{\"title\":\"b\",\"user_id\":\"bob\"}\n{\"title\":\"c\"}\n",
	} {
		got := stream(w, s, mediaType, body)
		if got.Created != 2 || got.Failed != 1 || !strings.HasPrefix(got.Failures[1], "user_id is another user") || got.Codes[0] != fault.CodeForbidden {
			t.Errorf("%s: %+v", mediaType, got)
		}
	}
	if n := w.Count(`select count(*) from tasks where title = 'b' or user_id <> 'ada'`); n != 0 {
		t.Errorf("%d tasks", n)
	}
}

// A row in another encoding does not fail the rows after it, even if rows before it are stored.
func TestRowThatIsNotUTF8(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	got := stream(w, s, "text/csv", "title\n"+strings.Repeat("x\n", partRecords)+"M\xfcll\nlast\n")
	if got.Created != partRecords+1 || got.Failed != 1 || !strings.Contains(got.Failures[partRecords], "not in UTF-8") {
		t.Errorf("%+v", got)
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
		{"text/csv", "", 400, "names the columns"},
		{"text/csv", "title\n", 400, "no tasks"},
		{"text/csv", "title,colour\nx,red\n", 400, `no column "colour"`},
		{"text/csv", "notes\nx\n", 400, "title is missing"},
		{"text/csv", "title,title\nx,y\n", 400, "comes twice"},
		{"text/csv", `"title` + "\nx\n", 400, "a quote that is not closed"},
		{"text/csv", `"ti"tle` + "\nx\n", 400, "not a row of CSV"},
		{"text/csv", "title\rx\r", 400, `carriage return alone, which is not read; save it as "CSV UTF-8`},
		{"text/csv", "title\nx\nM\xfcll\n", 400, `line 3: the file is not in UTF-8, but in an older encoding such as Latin-1, or it is damaged; save it as "CSV UTF-8`},
		{"application/vnd.ms-excel", "PK\x03\x04\x14", 400, `workbook`},
		{"application/x-www-form-urlencoded", "title\nx\n", 415, strings.Join(taken, ", ")},
		{"", "title\nx\n", 415, strings.Join(taken, ", ")},
		{"text/csv", strings.Repeat("x", api.MaxRecord+1) + "\n", 400, "longer than"},
		{"text/csv" + "; charset=latin1", "title\nx\n", 415, "UTF-8"},
	} {
		w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", tt.body, "Content-Type", tt.mediaType), tt.status, "invalid", tt.detail)
	}
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", "title\nx\n", "Content-Type", "text/csv", "Content-Encoding", "gzip"), 415, "invalid", "Content-Encoding")
	w.WantProblem(s.Call("POST", "/api/tasks/batch", "title\nx\n", "Content-Type", "text/csv"), 401, "unauthenticated", "")
	if list := titles(w); len(list) > 0 {
		t.Errorf("stored: %v", list)
	}
}

// lines returns n tasks, one a line. The test's parts have partRecords lines.
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
	// Records that fail count as well, and are fast to test with.
	got := stream(w, s, ndjson, strings.Repeat("7\n", maxRecords-1)+lines(2))
	if got.Created != 1 || len(got.Failures) != maxRecords || !strings.Contains(got.Failures[maxRecords], "another request") {
		t.Errorf("%d created, %d failures, %q", got.Created, len(got.Failures), got.Failures[maxRecords])
	}
}

// breaking is a body that breaks off after its last byte was read.
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

// A stream that breaks off anywhere and is repeated creates each task once.
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
	// The key is for the same lines only. The error says how far the import came.
	other := strings.Replace(body, "task 1500", "another", 1)
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", other, "Content-Type", ndjson, "Idempotency-Key", "k"), 409, "conflict", "tasks of this request have been stored")
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", "title\nx\n", "Content-Type", "text/csv", "Idempotency-Key", "k"), 409, "conflict", "another request")
	if count() != 3*partRecords+10 {
		t.Errorf("%d tasks", count())
	}
}

// Two concurrent requests with the same stream create each task once: the second waits for each
// part.
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

// BenchmarkStream measures the memory of an import, which does not depend on the length of the
// stream.
func BenchmarkStream(b *testing.B) {
	for _, n := range []int{10_000, 100_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			w := functiontest.New(b)
			s := functiontest.Serve(w, New, "MAX_TASKS_PER_USER=0", "MAX_REMINDERS_PER_MINUTE=0", "MAX_JOBS_PER_USER=0", "MAX_IMPORT_ROWS_PER_HOUR=0")
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

// watchHeap returns a function that returns by how much the heap has grown at most.
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
