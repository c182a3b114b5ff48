package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/google/uuid"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// sender stands in for the function send, and counts the requests that wake it.
func sender(t *testing.T, answer http.HandlerFunc) (url string, woken *atomic.Int32) {
	t.Helper()
	woken = new(atomic.Int32)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		woken.Add(1)
		answer(w, r)
	}))
	t.Cleanup(s.Close)
	return s.URL, woken
}

// serve starts the function, with an e-mail channel and a sender.
func serve(t *testing.T) (w *functiontest.World, s *functiontest.Server, woken *atomic.Int32) {
	t.Helper()
	w = functiontest.New(t)
	url, woken := sender(t, func(http.ResponseWriter, *http.Request) {})
	return w, functiontest.Serve(w, New, withEmail(url)...), woken
}

// withEmail returns the function's environment. A call to the e-mail provider fails.
func withEmail(sendURL string) []string {
	return []string{"SEND_URL=" + sendURL, "SENDGRID_API_KEY=SG.secret", "SENDGRID_URL=http://127.0.0.1:1", "EMAIL_FROM=Duebell <reminders@duebell.example>"}
}

// wantWoken waits until the sender is woken.
func wantWoken(t *testing.T, woken *atomic.Int32) {
	t.Helper()
	for end := time.Now().Add(time.Minute); woken.Load() == 0; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("the sender was not woken")
		}
	}
}

// wantPlanned checks that the task's reminder has fired, and that its e-mail is left to the sender.
func wantPlanned(w *functiontest.World, t task.Task) {
	w.Helper()
	if list, err := w.Store.ListNotifications(w.Context(), "ada", store.InboxPage{Limit: 10}); err != nil || len(list) != 1 {
		w.Errorf("%d notifications, %v", len(list), err)
	}
	deliveries, err := w.Store.ListDeliveries(w.Context(), "ada", t.ID)
	if err != nil {
		w.Fatal(err)
	}
	i := slices.IndexFunc(deliveries, func(d store.Delivery) bool { return d.Channel == task.Email })
	if i < 0 || deliveries[i].State != store.Planned || deliveries[i].Attempts != 0 {
		w.Errorf("the deliveries are %+v", deliveries)
	}
}

func seed(w *functiontest.World, in time.Duration) task.Task {
	due := task.Instant(time.Now().Add(in))
	return w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()})
}

// wantNothing checks that nothing has fired.
func wantNothing(w *functiontest.World, woken *atomic.Int32) {
	w.Helper()
	if n := w.Count(`select count(*) from deliveries`); n != 0 || woken.Load() != 0 {
		w.Errorf("%d deliveries, and the sender was woken %d times", n, woken.Load())
	}
}

func data(t task.Task) string {
	return fmt.Sprintf(`{"task_id":%q,"user_id":"ada","reminder_id":%q,"revision":%d}`, t.ID, t.Reminders[0].ID, t.Reminders[0].Revision)
}

func call(s *functiontest.Server, path, body string) functiontest.Answer {
	return s.Call("POST", path, body, "dapr-api-token", functiontest.AppToken)
}

// A callback fires its reminder once, leaves the e-mail to the sender, and wakes the sender. A
// repeated callback wakes it again while the e-mail is not sent: the first may have died before it
// did.
func TestJob(t *testing.T) {
	w, s, woken := serve(t)
	due := seed(w, -time.Second)
	for _, want := range []string{`{"status":"success"}`, `{"status":"in_progress"}`} {
		woken.Store(0)
		if a := call(s, "/job/anything", data(due)); a.Status != 200 || strings.TrimSpace(a.Body) != want {
			t.Errorf("got %d %s, want %s", a.Status, a.Body, want)
		}
		wantWoken(t, woken)
		wantPlanned(w, due)
	}
	w.Exec(`update deliveries set state = 'sent', next_attempt_at = null, finished_at = now() where state = 'planned'`)
	woken.Store(0)
	if a := call(s, "/job/anything", data(due)); a.Status != 200 || strings.TrimSpace(a.Body) != `{"status":"skipped","reason":"already_delivered"}` {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	wantAsleep(t, woken)
}

// A callback for an agenda fires it once, leaves its delivery to the sender, and wakes the sender.
func TestAgendaJob(t *testing.T) {
	w, s, woken := serve(t)
	seed(w, -time.Hour)
	w.Prefer("ada", func(p *preferences.Preferences) {
		p.TimeZone, p.Agenda = "UTC", &preferences.Agenda{Channel: task.Email, At: 8 * time.Hour, Days: [7]bool{true, true, true, true, true, true, true}}
	})
	const id = "0197a3c2-7f00-7000-8000-000000000009"
	w.Exec(`insert into agendas (id, user_id, day, fire_at, state, revision, derived_tz) values ('` + id + `', 'ada', (now() at time zone 'UTC')::date, now() - interval '1 s', 'armed', 1, '9999a')`)
	body := `{"task_id":"00000000-0000-0000-0000-000000000000","user_id":"ada","reminder_id":"` + id + `","revision":%d,"agenda":true}`
	if a := call(s, "/job/anything", fmt.Sprintf(body, 2)); a.Status != 200 || strings.TrimSpace(a.Body) != `{"status":"skipped","reason":"superseded"}` {
		t.Errorf("another revision: %d %s", a.Status, a.Body)
	}
	wantNothing(w, woken)
	if a := call(s, "/job/anything", fmt.Sprintf(body, 1)); a.Status != 200 || strings.TrimSpace(a.Body) != `{"status":"success"}` {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	wantWoken(t, woken)
	if a := call(s, "/api/jobs/trigger", `{"job_name":"by-hand","data":`+fmt.Sprintf(body, 1)+`}`); a.Status != 200 || strings.TrimSpace(a.Body) != `{"status":"skipped","reason":"already_delivered"}` {
		t.Errorf("again: %d %s", a.Status, a.Body)
	}
	if n := w.Count(`select count(*) from deliveries where agenda_id = '` + id + `' and channel = 'email' and state = 'planned'`); n != 1 {
		t.Errorf("%d deliveries", n)
	}
	if n := w.Count(`select count(*) from agendas where user_id = 'ada' and state = 'armed'`); n != 1 {
		t.Errorf("%d are armed", n)
	}
	if a := call(s, "/job/anything", `{"user_id":"ada","agenda":true}`); !strings.Contains(a.Body, "malformed: reminder_id and revision are missing") {
		t.Errorf("without an id: %d %s", a.Status, a.Body)
	}
}

// wantAsleep checks that the sender is not woken.
func wantAsleep(t *testing.T, woken *atomic.Int32) {
	t.Helper()
	time.Sleep(200 * time.Millisecond) // in which it would be
	if n := woken.Load(); n != 0 {
		t.Errorf("the sender was woken %d times", n)
	}
}

// A callback does not wait for the sender: it fires the reminder and is answered while the sender
// refuses, is away, or never answers.
func TestSenderIsNotWaitedFor(t *testing.T) {
	silent, _ := sender(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	refusing, _ := sender(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusServiceUnavailable) })
	endless, _ := sender(t, func(w http.ResponseWriter, r *http.Request) {
		_ = http.NewResponseController(w).Flush()
		<-r.Context().Done()
	})
	for what, url := range map[string]string{
		"silent": silent, "refusing": refusing, "an answer without an end": endless,
		"away": "http://127.0.0.1:1", "takes connections only": "http://" + functiontest.Silent(t),
	} {
		t.Run(what, func(t *testing.T) {
			w := functiontest.New(t)
			s := functiontest.Serve(w, New, withEmail(url)...)
			due := seed(w, -time.Second)
			began := time.Now()
			if a := call(s, "/job/x", data(due)); a.Status != 200 || strings.TrimSpace(a.Body) != `{"status":"success"}` {
				t.Errorf("got %d %s", a.Status, a.Body)
			}
			if took := time.Since(began); took > 20*time.Second { // it waits for the sender for up to 30 s
				t.Errorf("the callback was answered after %v", took)
			}
			wantPlanned(w, due)
		})
	}
}

// If there is nothing to send, the sender is not woken.
func TestInAppOnlyWakesNobody(t *testing.T) {
	w := functiontest.New(t)
	url, woken := sender(t, func(http.ResponseWriter, *http.Request) {})
	s := functiontest.Serve(w, New, "SEND_URL="+url)
	due := task.Instant(time.Now().Add(-time.Second))
	quiet := w.Seed("ada", task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore(), Channels: []task.Channel{task.InApp}})
	if a := call(s, "/job/x", data(quiet)); a.Status != 200 || !strings.Contains(a.Body, `"success"`) {
		t.Errorf("got %d %s", a.Status, a.Body)
	}
	wantAsleep(t, woken)
}

func TestDatabaseAwayIs500(t *testing.T) {
	w := functiontest.New(t)
	due := seed(w, -time.Second)
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	if a := call(functiontest.Serve(w, New), "/job/x", data(due)); a.Status != 500 {
		t.Errorf("got %d %s; Dapr repeats only what is not 2xx or 404", a.Status, a.Body)
	}
}

// A malformed callback is answered as done: repeating it would not help.
func TestMalformedJobIsSkipped(t *testing.T) {
	w, s, woken := serve(t)
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
	const counted = `duebell_callbacks_skipped_total{reason="malformed"}`
	if n := metricstest.Since(t, before, counted)[counted]; n != malformed {
		t.Errorf("%v of %v malformed callbacks counted", n, malformed)
	}
	// These bodies are well-formed and name the same reminder, but don't belong to it: nothing to
	// do.
	for _, body := range []string{
		strings.Replace(data(due), due.ID.String(), uuid.NewString(), 1),
		strings.Replace(data(due), `"ada"`, `"eve"`, 1),
		strings.Replace(data(due), `"revision":1`, `"revision":-1`, 1),
	} {
		if a := call(s, "/job/x", body); a.Status != 200 || !strings.Contains(a.Body, `"skipped"`) {
			t.Errorf("%s: got %d %s", body, a.Status, a.Body)
		}
	}
	if list, _, err := w.Store.ListDeadLetters(t.Context(), store.DeadLetterFilter{State: store.Dead}, uuid.Nil, 100); err != nil || len(list) < 15 {
		t.Errorf("%d of them are kept as dead letters, %v", len(list), err)
	}
	if n := w.Count(`select count(*) from deliveries where channel = 'email'`); n != 1 { // it came from the trigger by hand, which asked for every due reminder
		t.Errorf("%d e-mails are planned", n)
	}
	wantWoken(t, woken)
}

// Unknown fields and another content type are accepted: a later version may send them.
func TestJobOfALaterVersion(t *testing.T) {
	w, s, _ := serve(t)
	due := seed(w, -time.Second)
	body := strings.Replace(data(due), `{`, `{"traceparent":"00-1",`, 1)
	a := s.Call("POST", "/job/x", body, "dapr-api-token", functiontest.AppToken, "Content-Type", "application/octet-stream")
	if a.Status != 200 || !strings.Contains(a.Body, `"success"`) {
		t.Errorf("%d %s", a.Status, a.Body)
	}
}

// A callback of the current revision that is far too early by this clock must be repeated:
// otherwise Dapr removes the job.
func TestJobBeforeItsTimeComesAgain(t *testing.T) {
	w, s, woken := serve(t)
	later := seed(w, time.Hour)
	if a := call(s, "/job/x", data(later)); a.Status != 500 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	wantNothing(w, woken)
}

func TestTriggerByHand(t *testing.T) {
	w, s, woken := serve(t)
	due, later := seed(w, -time.Second), seed(w, time.Hour)
	steps := []struct{ data, want string }{
		{data(later), `{"status":"skipped","reason":"early"}`},
		{fmt.Sprintf(`{"task_id":%q,"user_id":"ada"}`, later.ID), `{"status":"skipped","reason":"nothing_due"}`},
		{fmt.Sprintf(`{"task_id":%q,"user_id":"eve"}`, due.ID), `{"status":"skipped","reason":"nothing_due"}`},
		{fmt.Sprintf(`{"task_id":%q,"user_id":"ada"}`, due.ID), `{"status":"in_progress"}`}, // the first call has fired it, as it was due
		{data(due), `{"status":"in_progress"}`},
	}
	for _, step := range steps {
		if a := call(s, "/api/jobs/trigger", `{"job_name":"by-hand","data":`+step.data+`}`); a.Status != 200 || strings.TrimSpace(a.Body) != step.want {
			t.Errorf("%s: got %d %s, want %s", step.data, a.Status, a.Body, step.want)
		}
	}
	wantPlanned(w, due)
	wantWoken(t, woken)
}

func TestCallersNeedTheToken(t *testing.T) {
	w, s, woken := serve(t)
	due := seed(w, -time.Second)
	for _, token := range []string{"", "wrong", functiontest.AppToken + "x", functiontest.AppToken[1:]} {
		for _, path := range []string{"/job/x", "/api/jobs/trigger"} {
			w.WantProblem(s.Call("POST", path, data(due), "dapr-api-token", token), 401, "unauthenticated", "")
		}
	}
	w.WantProblem(s.As("ada", "POST", "/job/x", data(due)), 401, "unauthenticated", "")
	wantNothing(w, woken)
}

func TestCallbackNames(t *testing.T) {
	_, s, _ := serve(t)
	for _, name := range []string{"%00", "%ff", "a%0d%0ab", strings.Repeat("x", 3000), "%F0%9F%98%80"} {
		a := s.Call("POST", "/job/"+name, "{}", "dapr-api-token", functiontest.AppToken)
		if a.Status != 200 {
			t.Errorf("%.20s: %d %s", name, a.Status, a.Body)
		}
	}
}

// A body that breaks off on its way is not malformed.
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

// Whatever Dapr posts is read as a callback or refused.
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
