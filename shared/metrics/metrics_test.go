package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/metrics/metricstest"
	"github.com/duebell/duebell/shared/zone"
)

// touchAll makes every metric appear.
func touchAll(t *testing.T) {
	t.Helper()
	metrics.SetFunction("test-function")
	metrics.Scheduled(1, 1)
	metrics.Fired(30 * time.Millisecond)
	metrics.Skipped("superseded")
	metrics.Tried("email", "sent")
	metrics.SendTook("email", time.Second)
	metrics.Swept(metrics.Complete, time.Second)
	metrics.SweepOutcome(metrics.WorkFire, "success", 2)
	metrics.StepMade("sweep", "fire_overdue", metrics.Complete)
	metrics.SetOldestWaiting(map[string]time.Duration{"firing": time.Minute})
	metrics.SetDeadLetters(map[string]int{"open": 1})
	metrics.Held("email", true, 1)
	metrics.SetHeld(1)
	metrics.Bundled("email")
	metrics.BundleSent("email", 2)
	metrics.SchedulerLostData()
	metrics.EventsReceived("taken", 1)
	metrics.Served(metrics.Request{Pattern: "GET /api/tasks", Method: "GET", Status: 200, Took: time.Millisecond})
	metrics.RateLimited()
	t.Cleanup(metrics.WatchPool(func() metrics.Pool { return metrics.Pool{Acquired: 1, Idle: 2, Max: 8} }))
}

func scrape(t *testing.T) string {
	t.Helper()
	w := httptest.NewRecorder()
	metrics.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
	if w.Code != http.StatusOK || !strings.HasPrefix(w.Header().Get("Content-Type"), "text/plain; version=0.0.4") {
		t.Fatalf("%d %s", w.Code, w.Header().Get("Content-Type"))
	}
	return w.Body.String()
}

func TestNamesFollowTheConventions(t *testing.T) {
	touchAll(t)
	text := scrape(t)
	problems, err := promlint.New(strings.NewReader(text)).Lint()
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
	for line := range strings.Lines(text) {
		name, isHelp := strings.CutPrefix(line, "# HELP ")
		if isHelp && !strings.HasPrefix(name, "duebell_") && !strings.HasPrefix(name, "go_") && !strings.HasPrefix(name, "process_") {
			t.Errorf("whose metric is this? %s", line)
		}
	}
	for _, want := range []string{"go_goroutines ", "process_start_time_seconds ", `duebell_build_info{function="test-function",`} {
		if !strings.Contains(text, "\n"+want) {
			t.Errorf("there is no %s", want)
		}
	}
	if want := `,tzdata="` + zone.Release() + `",`; !strings.Contains(text, want) {
		t.Errorf("there is no %s", want)
	}
}

// Whatever callers send, the labels take few values.
func TestLabelsAreBounded(t *testing.T) {
	before := metricstest.Read(t)
	for _, r := range []metrics.Request{
		{Pattern: "PUT /api/tasks/{task_id}", Method: "PUT", Status: 412},
		{Pattern: "/dev/", Method: "GET", Status: 304},
		{Method: "GET", Status: 404},
		{Method: "X-MADE-UP", Status: 405},
		{Pattern: "POST /", Method: "POST", Status: 1000},
		{Pattern: "POST /", Method: "POST"},
		{Pattern: "GET /api/tasks", Method: "GET", Status: 200, Cut: true},
		{Pattern: "GET /api/notifications/ws", Method: "GET", Status: 101},
	} {
		metrics.Served(r)
	}
	want := metricstest.Values{
		`duebell_http_requests_total{method="PUT",route="/api/tasks/{task_id}",status="4xx"}`:    1,
		`duebell_http_requests_total{method="GET",route="/dev/",status="3xx"}`:                   1,
		`duebell_http_requests_total{method="GET",route="none",status="4xx"}`:                    1,
		`duebell_http_requests_total{method="other",route="none",status="4xx"}`:                  1,
		`duebell_http_requests_total{method="POST",route="/",status="none"}`:                     2,
		`duebell_http_requests_total{method="GET",route="/api/tasks",status="none"}`:             1,
		`duebell_http_requests_total{method="GET",route="/api/notifications/ws",status="1xx"}`:   1,
		`duebell_http_request_duration_seconds_count{method="GET",route="/api/tasks"}`:           1,
		`duebell_http_request_duration_seconds_count{method="other",route="none"}`:               1,
		`duebell_http_request_duration_seconds_count{method="POST",route="/"}`:                   2,
		`duebell_http_request_duration_seconds_count{method="PUT",route="/api/tasks/{task_id}"}`: 1,
	}
	got := metricstest.Since(t, before, "duebell_http_requests_total", "duebell_http_request_duration_seconds_count")
	for sample, value := range want {
		if got[sample] != value {
			t.Errorf("%s is %v, want %v", sample, got[sample], value)
		}
	}
}

func TestLatenessIsNeverNegativeAndResolvesFromMillisecondsToMinutes(t *testing.T) {
	before := metricstest.Read(t)
	for _, late := range []time.Duration{-time.Second, time.Millisecond, 15 * time.Millisecond, 9 * time.Minute, time.Hour} {
		metrics.Fired(late)
	}
	grown := metricstest.Since(t, before, "duebell_reminder_lateness_seconds_bucket")
	for le, want := range map[string]float64{"0.001": 2, "0.01": 2, "0.02": 3, "300": 3, "600": 4, "+Inf": 5} {
		if got := grown[`duebell_reminder_lateness_seconds_bucket{le="`+le+`"}`]; got != want {
			t.Errorf("up to %s s: %v, want %v", le, got, want)
		}
	}
}

// A state of which the last dead letter has gone is not shown as it was.
func TestDeadLettersAreThoseOfTheLastLook(t *testing.T) {
	metrics.SetDeadLetters(map[string]int{"open": 3, "replayed": 1})
	metrics.SetDeadLetters(map[string]int{"open": 2})
	got := metricstest.Values{}
	for sample, value := range metricstest.Read(t) {
		if strings.HasPrefix(sample, "duebell_dead_letters") {
			got[sample] = value
		}
	}
	if diff := cmp.Diff(metricstest.Values{`duebell_dead_letters{state="open"}`: 2}, got); diff != "" {
		t.Error(diff)
	}
}

func TestPoolsAreAddedUp(t *testing.T) {
	forgetOne := metrics.WatchPool(func() metrics.Pool {
		return metrics.Pool{Acquired: 1, Idle: 2, Max: 8, Waits: 3, Waited: time.Second}
	})
	forgetOther := metrics.WatchPool(func() metrics.Pool { return metrics.Pool{Acquired: 4, Max: 4, Waits: 1, Waited: time.Minute} })
	check := func(acquired, idle, most, waits, waited float64) {
		t.Helper()
		got := metricstest.Read(t)
		for sample, want := range map[string]float64{
			`duebell_database_connections{state="acquired"}`: acquired,
			`duebell_database_connections{state="idle"}`:     idle,
			`duebell_database_connections_max`:               most,
			`duebell_database_connection_waits_total`:        waits,
			`duebell_database_connection_wait_seconds_total`: waited,
		} {
			if got[sample] != want {
				t.Errorf("%s is %v, want %v", sample, got[sample], want)
			}
		}
	}
	check(5, 2, 12, 4, 61)
	forgetOne()
	check(4, 0, 4, 1, 60)
	forgetOther()
	if _, shown := metricstest.Read(t)["duebell_database_connections_max"]; shown {
		t.Error("a function without a database shows connections")
	}
}

func BenchmarkServed(b *testing.B) {
	r := metrics.Request{Pattern: "PATCH /api/tasks/{task_id}", Method: "PATCH", Status: 200, Took: time.Millisecond}
	b.ReportAllocs()
	for b.Loop() {
		metrics.Served(r)
	}
}

func BenchmarkFired(b *testing.B) {
	b.ReportAllocs()
	for b.Loop() {
		metrics.Fired(time.Millisecond)
		metrics.Tried("in_app", "sent")
	}
}
