package e2e

import (
	"context"
	"flag"
	"net/http"
	"testing"
	"time"

	"github.com/duebell/duebell/local/ingress"
	"github.com/duebell/duebell/local/system"
)

// coldStart is how long the function takes to start in these tests. The promise holds for
// any time that the activator waits; -cold=30s takes its time.
var coldStart = flag.Duration("cold", 5*time.Second, "how long trigger-reminder takes to start in the tests of waking from zero")

// sleeping has a system's trigger-reminder run only while a callback needs it.
func sleeping(t *testing.T, own *system.System, idle time.Duration) {
	t.Helper()
	function := own.Process("trigger-reminder")
	err := own.Ingress().ScaleToZero(t.Context(), ingress.Scale{
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

// trigger-reminder is scaled to zero. Only Dapr's callbacks wake it: whatever comes while it
// starts is told when it runs, once, and then it goes back to zero. Without the sweep: what
// arrives, the callbacks have brought.
func TestWakesFromZero(t *testing.T) {
	t.Parallel()
	own := startOwn(t, func(o *system.Options) { o.Ingress, o.NoSchedules = true, true })
	sleeping(t, own, time.Second)
	p := newPerson(t, own)

	// A daprd that starts has no business with it.
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
		p.eventually(30*time.Second, "back to zero", func() bool { return own.Process("trigger-reminder").PID() == 0 })
	}
	p.quiet(3 * time.Second)
}

// The same while the cluster is not ready for it, and the sweep runs all the while: first
// the route is unknown, which Dapr takes for done, then nothing can be started, then it
// starts, slowly. All reminders are told, each once.
func TestWakesFromZeroBehindABrokenRoute(t *testing.T) {
	t.Parallel()
	own := startOwn(t, func(o *system.Options) { o.Ingress = true })
	sleeping(t, own, time.Second)
	p := newPerson(t, own)
	due := time.Now().Add(2 * time.Second)
	own.Ingress().Fail(ingress.Fault{Status: http.StatusNotFound})
	for range 3 {
		p.create(time.Until(due))
	}
	time.Sleep(time.Until(due.Add(time.Second)))
	own.Ingress().Fail(ingress.Fault{Status: http.StatusServiceUnavailable})
	for range 3 {
		p.create(0)
	}
	time.Sleep(2 * time.Second)
	own.Ingress().Heal()
	for range 3 {
		p.create(time.Second)
	}
	p.told(*coldStart+90*time.Second, 9)
	p.quiet(*coldStart + 3*time.Second) // until what was held has come through
}
