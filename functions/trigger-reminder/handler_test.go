package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/function/functiontest"
	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/store/storetest"
	"github.com/duebell/duebell/shared/task"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// sendGrid is a provider that answers every send with a status, and counts them.
func sendGrid(t *testing.T, status int) (url string, sends *atomic.Int32) {
	sends = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		sends.Add(1)
		w.WriteHeader(status)
	}))
	t.Cleanup(s.Close)
	return s.URL, sends
}

func serve(t *testing.T, mailStatus int) (*functiontest.World, *functiontest.Server, *atomic.Int32) {
	w := functiontest.New(t)
	url, sends := sendGrid(t, mailStatus)
	return w, functiontest.Serve(w, New, "SENDGRID_API_KEY=SG.secret", "SENDGRID_URL="+url, "EMAIL_FROM=Duebell <reminders@duebell.example>"), sends
}

func seed(w *functiontest.World, in time.Duration) task.Task {
	due := task.Instant(time.Now().Add(in))
	return w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()})
}

func data(t task.Task) string {
	return fmt.Sprintf(`{"task_id":%q,"user_id":"ada","reminder_id":%q,"revision":%d}`, t.ID, t.Reminders[0].ID, t.Reminders[0].Revision)
}

func call(s *functiontest.Server, path, body string) functiontest.Answer {
	return s.Call("POST", path, body, "dapr-api-token", functiontest.AppToken)
}

func TestJob(t *testing.T) {
	w, s, sends := serve(t, 202)
	due := seed(w, -time.Second)
	for _, want := range []string{`{"status":"success"}`, `{"status":"skipped","reason":"already_delivered"}`} {
		if a := call(s, "/job/anything", data(due)); a.Status != 200 || strings.TrimSpace(a.Body) != want {
			t.Errorf("got %d %s, want %s", a.Status, a.Body, want)
		}
	}
	if n := sends.Load(); n != 1 {
		t.Errorf("%d e-mails", n)
	}
	if list, err := w.Store.ListNotifications(t.Context(), "ada", nil, 10); err != nil || len(list) != 1 {
		t.Errorf("%d notifications, %v", len(list), err)
	}
}

func TestJobThatFailsForNowIs500(t *testing.T) {
	w, s, sends := serve(t, 503)
	due := seed(w, -time.Second)
	a := call(s, "/job/x", data(due))
	if a.Status != 500 || strings.Contains(a.Body, "SG.secret") {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	if n := sends.Load(); n != 1 {
		t.Errorf("%d tries in one call", n)
	}
	if list, err := w.Store.ListNotifications(t.Context(), "ada", nil, 10); err != nil || len(list) != 1 {
		t.Errorf("%d notifications, %v", len(list), err)
	}
}

func TestJobThatIsRefusedForGoodIsDone(t *testing.T) {
	w, s, _ := serve(t, 400)
	due := seed(w, -time.Second)
	if a := call(s, "/job/x", data(due)); a.Status != 200 || !strings.Contains(a.Body, `"success"`) {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
}

func TestDatabaseAwayIs500(t *testing.T) {
	w := functiontest.New(t)
	due := seed(w, -time.Second)
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	if a := call(functiontest.Serve(w, New), "/job/x", data(due)); a.Status != 500 {
		t.Errorf("got %d %s; Dapr repeats only what is not 2xx or 404", a.Status, a.Body)
	}
}

// A malformed callback is done with: Dapr would repeat it in vain.
func TestMalformedJobIsSkipped(t *testing.T) {
	w, s, sends := serve(t, 202)
	due := seed(w, -time.Second)
	before := metricstest.Read(t)
	malformed := 0.0
	for _, body := range []string{
		``, `{`, `null`, `[]`, `"x"`, `7`, `{}`, `{"task_id":"x"}`, "\x00\xff", strings.Repeat(`[`, 100_000), `{"a":` + strings.Repeat(" ", 2<<20) + `1}`,
		`{"task_id":7,"user_id":"ada"}`,
		fmt.Sprintf(`{"task_id":%q,"user_id":"ada"}`, due.ID),
		fmt.Sprintf(`{"task_id":%q,"user_id":"ada","revision":1}`, due.ID),
		strings.Replace(data(due), `"revision":1`, `"revision":"1"`, 1),
		strings.Replace(data(due), `"revision":1`, `"revision":1e99`, 1),
		strings.Replace(data(due), `"user_id":"ada"`, `"user_id":""`, 1),
	} {
		a := call(s, "/job/x", body)
		malformed++
		if a.Status != 200 || !strings.Contains(a.Body, `"skipped"`) || !strings.Contains(a.Body, "malformed") {
			t.Errorf("%.80q: got %d %s", body, a.Status, a.Body)
		}
		if a := call(s, "/api/jobs/trigger", `{"job_name":"x","data":`+body+`}`); a.Status != 400 && a.Status != 413 && body != fmt.Sprintf(`{"task_id":%q,"user_id":"ada"}`, due.ID) {
			t.Errorf("by hand, %.80q: got %d %s", body, a.Status, a.Body)
		}
	}
	const counted = `duebell_wakeups_skipped_total{reason="malformed"}`
	if n := metricstest.Since(t, before, counted)[counted]; n != malformed {
		t.Errorf("%v of %v malformed callbacks counted", n, malformed)
	}
	// Well-formed, of the same reminder, and yet not its: nothing to do.
	for _, body := range []string{
		strings.Replace(data(due), due.ID.String(), uuid.NewString(), 1),
		strings.Replace(data(due), `"ada"`, `"eve"`, 1),
		strings.Replace(data(due), `"revision":1`, `"revision":-1`, 1),
	} {
		if a := call(s, "/job/x", body); a.Status != 200 || !strings.Contains(a.Body, `"skipped"`) {
			t.Errorf("%s: got %d %s", body, a.Status, a.Body)
		}
	}
	if list, _, err := w.Store.ListDeadLetters(t.Context(), store.Dead, uuid.Nil, 100); err != nil || len(list) < 15 {
		t.Errorf("%d of them are kept as dead letters, %v", len(list), err)
	}
	if sends.Load() > 1 { // one came from the trigger by hand, which asked for every due reminder
		t.Errorf("%d e-mails", sends.Load())
	}
}

// What a callback carries besides, or how it is labelled, is of a later version.
func TestJobOfALaterVersion(t *testing.T) {
	w, s, _ := serve(t, 202)
	due := seed(w, -time.Second)
	body := strings.Replace(data(due), `{`, `{"traceparent":"00-1",`, 1)
	a := s.Call("POST", "/job/x", body, "dapr-api-token", functiontest.AppToken, "Content-Type", "application/octet-stream")
	if a.Status != 200 || !strings.Contains(a.Body, `"success"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// A callback of the current revision that is far too early by this clock must come
// again: Dapr would drop the job.
func TestJobBeforeItsTimeComesAgain(t *testing.T) {
	w, s, sends := serve(t, 202)
	later := seed(w, time.Hour)
	if a := call(s, "/job/x", data(later)); a.Status != 500 || sends.Load() != 0 {
		t.Errorf("%d %s, %d e-mails", a.Status, a.Body, sends.Load())
	}
}

func TestTriggerByHand(t *testing.T) {
	w, s, sends := serve(t, 202)
	due, later := seed(w, -time.Second), seed(w, time.Hour)
	steps := []struct{ data, want string }{
		{data(later), `{"status":"skipped","reason":"early"}`},
		{fmt.Sprintf(`{"task_id":%q,"user_id":"ada"}`, later.ID), `{"status":"skipped","reason":"nothing_due"}`},
		{fmt.Sprintf(`{"task_id":%q,"user_id":"eve"}`, due.ID), `{"status":"skipped","reason":"nothing_due"}`},
		{fmt.Sprintf(`{"task_id":%q,"user_id":"ada"}`, due.ID), `{"status":"success"}`},
		{data(due), `{"status":"skipped","reason":"already_delivered"}`},
	}
	for _, step := range steps {
		if a := call(s, "/api/jobs/trigger", `{"job_name":"by-hand","data":`+step.data+`}`); a.Status != 200 || strings.TrimSpace(a.Body) != step.want {
			t.Errorf("%s: got %d %s, want %s", step.data, a.Status, a.Body, step.want)
		}
	}
	if sends.Load() != 1 {
		t.Errorf("%d e-mails", sends.Load())
	}
}

func TestCallersNeedTheToken(t *testing.T) {
	w, s, sends := serve(t, 202)
	due := seed(w, -time.Second)
	for _, token := range []string{"", "wrong", functiontest.AppToken + "x", functiontest.AppToken[1:]} {
		for _, path := range []string{"/job/x", "/api/jobs/trigger"} {
			w.WantProblem(s.Call("POST", path, data(due), "dapr-api-token", token), 401, "unauthenticated", "")
		}
	}
	w.WantProblem(s.As("ada", "POST", "/job/x", data(due)), 401, "unauthenticated", "")
	if sends.Load() != 0 {
		t.Error("sent for a caller without the token")
	}
}

func TestCallbackNames(t *testing.T) {
	_, s, _ := serve(t, 202)
	for _, name := range []string{"%00", "%ff", "a%0d%0ab", strings.Repeat("x", 3000), "%F0%9F%98%80"} {
		a := s.Call("POST", "/job/"+name, "{}", "dapr-api-token", functiontest.AppToken)
		if a.Status != 200 {
			t.Errorf("%.20s: %d %s", name, a.Status, a.Body)
		}
	}
}

// A body that breaks off on its way says nothing about the job.
func TestTruncatedBodyIsNotMalformed(t *testing.T) {
	w := functiontest.New(t)
	cfg, err := config.Parse[Config](w.Environ())
	if err != nil {
		t.Fatal(err)
	}
	f, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	server := httptest.NewServer(f.Handler)
	defer server.Close()
	c, err := net.Dial("tcp", server.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	fmt.Fprintf(c, "POST /job/x HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: 200\r\ndapr-api-token: %s\r\nConnection: close\r\n\r\n{\"task_id\":", functiontest.AppToken)
	_ = c.(*net.TCPConn).CloseWrite()
	answer, _ := io.ReadAll(c)
	if status := strings.Fields(string(answer))[1]; status == "200" || status == "404" { // what Dapr takes for done
		t.Errorf("answered %s", answer)
	}
}

// SendGrid's explanation holds a NUL: the refusal must be recorded.
func TestProviderNUL(t *testing.T) {
	w := functiontest.New(t)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		fmt.Fprint(w, `{"errors":[{"message":"no \u0000","field":"to"}]}`)
	}))
	defer provider.Close()
	s := functiontest.Serve(w, New, "SENDGRID_API_KEY=SG.secret", "SENDGRID_URL="+provider.URL, "EMAIL_FROM=reminders@duebell.example", "DELIVERY_SEND_TIMEOUT=100ms", "DELIVERY_LEASE=5100ms")
	due := seed(w, -time.Second)
	a := call(s, "/job/x", data(due))
	log, _ := w.Store.ListDeliveries(t.Context(), "ada", due.ID)
	for _, d := range log {
		t.Logf("%d %s %s %d %q", a.Status, d.Channel, d.State, d.Attempts, d.LastError)
		if d.State == "sending" {
			t.Error("never recorded")
		}
	}
}

// Whatever Dapr posts, reading it ends in a wake-up call or a plain refusal.
func FuzzWake(f *testing.F) {
	for _, seed := range []string{`{}`, `{"task_id":"0198b5f0-0000-7000-8000-000000000000","user_id":"ada","reminder_id":null,"revision":1}`, `{"revision":-9e9}`} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var call callback
		err := json.Unmarshal(body, &call)
		if err == nil {
			err = call.validate()
		}
		if err == nil && (call.TaskID == uuid.Nil || call.UserID == "" || strings.ContainsRune(call.UserID, 0)) {
			t.Errorf("accepted %+v", call)
		}
		if err != nil && message(err) == "" {
			t.Error("refused without a reason")
		}
	})
}
