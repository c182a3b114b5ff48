package e2e

import (
	"context"
	"encoding/json"
	"flag"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duebell/duebell/local/ingress"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/local/system"
)

// coldStart is how long the function takes to start in these tests. The promise holds for
// any time that the activator waits; -cold=30s takes its time.
var coldStart = flag.Duration("cold", 5*time.Second, "how long trigger-reminder takes to start in the tests of waking from zero")

// sleeping makes a system's trigger-reminder run only while a callback needs it.
func sleeping(t *testing.T, own *system.System, idle time.Duration) {
	t.Helper()
	scale(t, own, "trigger-reminder", own.Ingress(), idle)
}

// scale makes a function run only while there is a request for it at an ingress.
func scale(t *testing.T, own *system.System, name string, before *ingress.Ingress, idle time.Duration) {
	t.Helper()
	function := own.Process(name)
	err := before.ScaleToZero(t.Context(), ingress.Scale{
		Start: func(ctx context.Context) error {
			if err := function.Start(); err != nil {
				return err
			}
			return function.Ready(ctx)
		},
		Stop: function.Stop,
		Cold: *coldStart,
		Idle: idle,
	})
	if err != nil {
		t.Fatal(err)
	}
}

// trigger-reminder is scaled to zero. Only Dapr's callbacks wake it. Reminders that fall due while
// it starts are told when it runs, once, and then it goes back to zero. There is no sweep, so only
// callbacks bring reminders.
func TestWakesFromZero(t *testing.T) {
	t.Parallel()
	own := startOwn(t, func(o *system.Options) { o.Ingress, o.NoSchedules = true, true })
	sleeping(t, own, time.Second)
	p := newPerson(t, own)

	// A daprd that starts does not call it.
	daprd := own.Process("daprd")
	if err := daprd.Stop(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := daprd.Start(); err != nil {
		t.Fatal(err)
	}
	if err := daprd.Ready(t.Context()); err != nil {
		t.Fatal(err)
	}

	for round := 1; round <= 2; round++ {
		due := time.Now().Add(2 * time.Second)
		p.create(time.Until(due))
		p.create(time.Until(due))
		p.create(time.Until(due.Add(*coldStart / 2))) // while it starts
		p.told(*coldStart+60*time.Second, 3*round)
		if got := own.Ingress().Starts(); got != round {
			t.Errorf("it was started %d times, want %d", got, round)
		}
		var worst time.Duration
		for _, n := range p.inbox() {
			worst = max(worst, n.CreatedAt.Sub(due))
		}
		t.Logf("with a start of %v, the latest of 3 reminders was told %v after the instant of the first", *coldStart, worst.Round(time.Millisecond))
		p.eventually(soon, "back to zero", func() bool { return own.Process("trigger-reminder").PID() == 0 })
	}
	p.quiet(3 * time.Second)
}

// send is scaled to zero, and wakes for what has fired, without the sweep. While it starts, the
// inbox has the reminder already. Its open answer keeps it running until all is sent, for longer
// than it may be idle. Then it goes back to zero.
func TestSendWakesFromZero(t *testing.T) {
	t.Parallel()
	var way atomic.Pointer[ingress.Ingress] // the way to send
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if to := way.Load(); to != nil {
			to.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(front.Close)
	dir := filepath.Join(t.TempDir(), "data")
	own, err := start(t.Context(), dir, func(o *system.Options) {
		o.NoSchedules = true
		o.Env = append(o.Env, "SEND_URL="+front.URL)
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := own.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	saved, err := os.ReadFile(filepath.Join(dir, "ports.json"))
	if err != nil {
		t.Fatal(err)
	}
	var ports struct{ Functions map[string]int }
	if err := json.Unmarshal(saved, &ports); err != nil {
		t.Fatal(err)
	}
	send := ingress.New(&url.URL{Scheme: "http", Host: process.Address(ports.Functions["send"])})
	t.Cleanup(send.Close)
	scale(t, own, "send", send, time.Second)
	way.Store(send)
	atZero := func() bool { return own.Process("send").PID() == 0 }
	p := newPerson(t, own)

	for round := 1; round <= 2; round++ {
		due := time.Now().Add(2 * time.Second)
		p.create(time.Until(due))
		p.eventually(soon, "told in-app", func() bool { return len(p.inbox()) == round })
		if p.mails() != round-1 {
			t.Error("the e-mail has come before send was started")
		}
		p.told(*coldStart+60*time.Second, round)
		t.Logf("with a start of %v, the e-mail came %v after its instant", *coldStart, time.Since(due).Round(time.Millisecond))
		if got := send.Starts(); got != round {
			t.Errorf("it was started %d times, want %d", got, round)
		}
		p.eventually(soon, "back to zero", atZero)
	}

	// The provider fails at first, so the next attempt is due after more seconds than the function
	// may be idle.
	own.Sandbox().Fail(sandbox.Fault{Provider: sandbox.SendGrid, Status: 503})
	own.Sandbox().Fail(sandbox.Fault{Provider: sandbox.SES, Status: 503})
	own.Sandbox().Fail(sandbox.Fault{Provider: sandbox.SMTP, Status: 451})
	p.create(time.Second)
	p.eventually(*coldStart+30*time.Second, "it has been refused three times", func() bool {
		return p.number(`select count(*) from deliveries where user_id = $1 and channel = 'email' and round >= 3`) == 1
	})
	own.Sandbox().Heal()
	p.told(soon, 3)
	if got := send.Starts(); got != 3 {
		t.Errorf("it was started %d times, want 3: it was stopped with work left to do", got)
	}
	p.eventually(soon, "back to zero", atZero)
	p.quiet(3 * time.Second)
}

// trigger-reminder is scaled to zero while the cluster is not ready for it, and the sweep runs.
// First the route is unknown, which Dapr takes for success; then nothing can be started; then it
// starts slowly. All reminders are told, each once.
func TestWakesFromZeroBehindABrokenRoute(t *testing.T) {
	t.Parallel()
	own := startOwn(t, func(o *system.Options) { o.Ingress = true })
	sleeping(t, own, time.Second)
	p := newPerson(t, own)
	due := time.Now().Add(2 * time.Second)
	fails := func(status int) (met func() bool) {
		struck := own.Ingress().Struck()
		own.Ingress().Fail(ingress.Fault{Status: status})
		return func() bool { return own.Ingress().Struck() > struck }
	}
	unknown := fails(http.StatusNotFound)
	for range 3 {
		p.create(time.Until(due))
	}
	p.eventually(soon, "a callback was answered 404", unknown)
	stopped := fails(http.StatusServiceUnavailable)
	for range 3 {
		p.create(0)
	}
	p.eventually(soon, "a callback was answered 503", stopped)
	own.Ingress().Heal()
	for range 3 {
		p.create(time.Second)
	}
	p.told(*coldStart+90*time.Second, 9)
	p.quiet(*coldStart + 3*time.Second) // until delayed callbacks have come through
}
