package reminder_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/reminder"
	"github.com/duebell/duebell/shared/task"
)

// hooked is a world whose user is told by a webhook, and a task that has just fallen
// due.
func hooked(t *testing.T, receiver reminder.Channel) (*world, task.Task) {
	w := newWorld(t, time.Now)
	w.choose(func(p *preferences.Preferences) {
		p.Channels, p.Webhook = []task.Channel{task.Webhook}, &preferences.Webhook{URL: hook}
	})
	rules := settings
	rules.MaxAttempts = 12
	w.firer = reminder.NewFirer(w.store, reminder.Channels{task.Webhook: {{Name: "webhook", Channel: receiver}}}, w.clock, rules)
	due := task.Instant(time.Now().Add(-time.Minute))
	return w, w.create(task.Draft{DueDate: &due})
}

// state says what has become of the one delivery, and after how many attempts.
func (w *world) state() string {
	w.Helper()
	return strings.Join(w.column(`select format('%s %s', state, attempts) from deliveries where channel = 'webhook'`), "; ")
}

// A webhook is tried up to three times in the callback, and then like any other.
func TestQuickTries(t *testing.T) {
	slow := &notify.Error{Kind: notify.Retry, After: time.Minute, Err: errDown}
	for name, tt := range map[string]struct {
		answers []error
		want    string
	}{
		"back at the third try":     {[]error{notNow, noAnswer, nil}, "sent 3"},
		"not back in time":          {[]error{notNow, notNow, notNow, nil}, "planned 3"},
		"refused for good":          {[]error{notNow, &notify.Error{Kind: notify.Permanent, Err: errDown}}, "failed 2"},
		"wants to be left in peace": {[]error{slow, nil}, "planned 1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			mail := &mailbox{}
			mail.answer = func(notify.Message) error { return tt.answers[len(mail.messages)-1] }
			w, created := hooked(t, mail)
			_, err := w.firer.Fire(t.Context(), wake(created))
			if got := w.state(); got != tt.want || (err == nil) != (tt.want != "planned 3") {
				t.Errorf("came to %q, %v; want %q", got, err, tt.want)
			}
			for _, m := range mail.messages {
				if m.ID != mail.messages[0].ID {
					t.Errorf("tried as %s and as %s", mail.messages[0].ID, m.ID)
				}
			}
		})
	}
}

// Between two quick tries the delivery is nobody's: it is recorded when it is due, so
// that a crash loses nothing, and of many who want to send it only one does.
func TestQuickTriesHoldNothing(t *testing.T) {
	one := &oneAtATime{}
	w, created := hooked(t, one)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() { _, _ = w.firer.Fire(context.Background(), wake(created)) })
	}
	group.Wait()
	for range 5 { // those who came in between may have taken a turn, and left the rest to come back for
		w.due()
		_, _ = w.firer.Fire(t.Context(), wake(created))
	}
	if one.overlaps.Load() > 0 || one.sent.Load() != 4 || w.state() != "sent 4" {
		t.Errorf("%d at the same time, %d sends: %s", one.overlaps.Load(), one.sent.Load(), w.state())
	}
}

// oneAtATime takes the fourth post, and notices posts at the same time.
type oneAtATime struct{ busy, overlaps, sent atomic.Int32 }

func (o *oneAtATime) Send(context.Context, notify.Message) error {
	if o.busy.Add(1) > 1 {
		o.overlaps.Add(1)
	}
	defer o.busy.Add(-1)
	if o.sent.Add(1) < 4 {
		return notNow
	}
	return nil
}

// The caller goes away, or the process is told to stop, between two tries: what is left
// is due soon, and the next one who looks sends it.
func TestStoppedBetweenQuickTries(t *testing.T) {
	mail := &mailbox{}
	w, created := hooked(t, mail)
	ctx, stop := context.WithCancel(t.Context())
	mail.answer = func(notify.Message) error { stop(); return notNow }
	if _, err := w.firer.Fire(ctx, wake(created)); err == nil || w.state() != "planned 1" {
		t.Errorf("%s, %v", w.state(), err)
	}
	mail.answer = nil
	w.due()
	if o := w.fire(wake(created)); o.Status != reminder.Success || w.state() != "sent 2" {
		t.Errorf("%+v, %s", o, w.state())
	}
}

// The sweep has others to see to, and no time for quick tries.
func TestSweepMakesNoQuickTries(t *testing.T) {
	mail := &mailbox{answer: func(notify.Message) error { return notNow }}
	w, created := hooked(t, mail)
	sweeper := reminder.NewSweeper(w.store, w.dapr, w.firer, time.Now, reminder.SweepRules{Budget: 30 * time.Second, Grace: time.Second, Concurrent: 4})
	if _, err := sweeper.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !slices.Contains(w.deliveries(created.ID), "webhook planned") || mail.count() != 1 {
		t.Errorf("%d posts: %s", mail.count(), w.state())
	}
}
