package main

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
)

// A batch that exceeds a ceiling is refused as a whole. A user at the ceiling is refused before the
// body is read.
func TestBatchMeetsACeiling(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "MAX_TASKS_PER_USER=3")
	two := `{"tasks":[{"title":"a"},{"title":"b"}]}`
	if a := s.As("ada", "POST", "/api/tasks/batch", two); a.Status != 200 {
		t.Fatalf("%d %s", a.Status, a.Body)
	}
	w.WantProblem(s.As("ada", "POST", "/api/tasks/batch", two), 409, "conflict", "you have 2 tasks, and one user may have 3 (MAX_TASKS_PER_USER): there is no room for 2 more")
	if n := w.Count(`select count(*) from tasks`); n != 2 {
		t.Errorf("%d tasks", n)
	}
	if a := s.As("ada", "POST", "/api/tasks/batch", `{"tasks":[{"title":"c"}]}`); a.Status != 200 {
		t.Errorf("what fits: %d %s", a.Status, a.Body)
	}
	w.WantProblem(post(t, w, s, "ada", "application/json", io.MultiReader(strings.NewReader(`{"tasks":[`), endless(" "))), 409, "conflict", "MAX_TASKS_PER_USER")
	if a := s.As("eve", "POST", "/api/tasks/batch", two); a.Status != 200 {
		t.Errorf("another user: %d %s", a.Status, a.Body)
	}
}

// The part that exceeds the ceiling ends the stream, although its body has not ended.
func TestStreamMeetsACeiling(t *testing.T) {
	for name, status := range map[string]int{"MAX_TASKS_PER_USER": 409, "MAX_IMPORT_ROWS_PER_HOUR": 429, "MAX_JOBS_PER_USER": 409, "MAX_REMINDERS_PER_MINUTE": 409} {
		w := functiontest.New(t)
		s := functiontest.Serve(w, New, name+"=2500")
		a := post(t, w, s, "ada", ndjson, endless(`{"title":"x","due_date":"2099-01-01T00:00:00Z"}`+"\n"))
		code := map[int]string{409: "conflict", 429: "rate_limited"}[status]
		w.WantProblem(a, status, code, name)
		w.WantProblem(a, status, code, "2000 tasks of this request have been stored")
		if n := w.Count(`select count(*) from tasks`); n != 2000 {
			t.Errorf("%s: %d tasks", name, n)
		}
		if seconds, _ := strconv.Atoi(a.Header.Get("Retry-After")); (status == 429) != (seconds > 3000 && seconds <= 3600) {
			t.Errorf("%s: Retry-After is %q", name, a.Header.Get("Retry-After"))
		}
	}
}

// The number of one user's concurrent imports is limited, so that others have places.
func TestImportsUnderWay(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "MAX_IMPORTS=3")
	var ends []func() functiontest.Answer
	begin := func(user string) {
		reader, writer := io.Pipe()
		answer := make(chan functiontest.Answer, 1)
		go func() { answer <- post(t, w, s, user, ndjson, reader) }()
		_, _ = io.WriteString(writer, lines(partRecords))
		ends = append(ends, func() functiontest.Answer { writer.Close(); return <-answer })
	}
	begin("ada")
	begin("ada")
	for deadline := time.Now().Add(time.Minute); w.Count(`select count(*) from tasks`) < 2*partRecords; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the imports are not under way")
		}
	}
	third := s.As("ada", "POST", "/api/tasks/batch", lines(1), "Content-Type", ndjson)
	w.WantProblem(third, 429, "rate_limited", "2 imports of yours are under way")
	if third.Header.Get("Retry-After") == "" {
		t.Error("no Retry-After")
	}
	if a := s.As("ada", "POST", "/api/tasks/batch", `{"tasks":[{"title":"x"}]}`); a.Status != 200 {
		t.Errorf("a batch: %d %s", a.Status, a.Body)
	}
	if a := s.As("eve", "POST", "/api/tasks/batch", lines(1), "Content-Type", ndjson); a.Status != 200 {
		t.Errorf("another user: %d %s", a.Status, a.Body)
	}
	begin("eve")
	for deadline := time.Now().Add(time.Minute); w.Count(`select count(*) from tasks where user_id = 'eve'`) <= partRecords; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("the import is not under way")
		}
	}
	w.WantProblem(s.As("bob", "POST", "/api/tasks/batch", lines(1), "Content-Type", ndjson), 429, "rate_limited", "MAX_IMPORTS")
	for _, end := range ends {
		if a := end(); a.Status != 200 {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	if a := s.As("ada", "POST", "/api/tasks/batch", lines(1), "Content-Type", ndjson); a.Status != 200 {
		t.Errorf("once they have ended: %d %s", a.Status, a.Body)
	}
}

// While one user sends twenty imports concurrently, another user's batches don't wait until an
// import ends.
func TestManyImportsDoNotHoldUpABatch(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "MAX_REMINDERS_PER_MINUTE=0") // all are due at the same time
	const imports = 20
	statuses := make(chan int, imports)
	for range imports {
		go func() {
			statuses <- post(t, w, s, "ada", ndjson, strings.NewReader(lines(10_000))).Status
		}()
	}
	for range 20 {
		if a := s.As("eve", "POST", "/api/tasks/batch", `{"tasks":[{"title":"x"}]}`); a.Status != 200 {
			t.Fatalf("%d %s", a.Status, a.Body)
		}
	}
	if len(statuses) == imports {
		t.Error("all imports had ended before the batches")
	}
	counts := map[int]int{}
	for range imports {
		counts[<-statuses]++
	}
	if counts[200] < 2 || counts[200]+counts[429] != imports {
		t.Errorf("imports were answered %v", counts)
	}
}

// endless is a text that is repeated for ever.
type endless string

func (e endless) Read(p []byte) (n int, err error) {
	for n+len(e) <= len(p) {
		n += copy(p[n:], e)
	}
	return n, nil
}

// post sends a body, and returns the answer, which may come before the end of the body.
func post(t *testing.T, w *functiontest.World, s *functiontest.Server, user, mediaType string, body io.Reader) functiontest.Answer {
	req, err := http.NewRequestWithContext(t.Context(), "POST", s.URL()+"/api/tasks/batch", body)
	if err != nil {
		t.Error(err)
		return functiontest.Answer{}
	}
	req.Header.Set("Authorization", "Bearer "+w.Token(user))
	req.Header.Set("Content-Type", mediaType)
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Error(err)
		return functiontest.Answer{}
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Error(err)
	}
	return functiontest.Answer{Status: resp.StatusCode, Header: resp.Header, Body: string(text)}
}
