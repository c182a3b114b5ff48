package life_test

import (
	"slices"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// endings are the ways in which a user ends a task's reminder.
var endings = map[string]func(*world, task.Task){
	"deleted":   func(w *world, t task.Task) { w.remove(t.ID) },
	"completed": func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.Completed = true }) },
	"moved":     func(w *world, t task.Task) { w.update(t.ID, func(d *task.Draft) { d.DueDate = in(48 * time.Hour) }) },
	"no due date": func(w *world, t task.Task) {
		w.update(t.ID, func(d *task.Draft) { d.DueDate = nil })
	},
	"another offset": func(w *world, t task.Task) {
		w.update(t.ID, func(d *task.Draft) { d.Before = task.Exactly(time.Minute) })
	},
}

// What was given up, or refused for good, and is not wanted any more goes out only if an
// operator forces it, and waits for no operator.
func TestWhatIsNotWantedAnyMoreIsReplayedByForceOnly(t *testing.T) {
	for what, end := range endings {
		for state, last := range map[store.DeliveryState]notify.Kind{store.Exhausted: notify.Retry, store.Failed: notify.Permanent} {
			t.Run(what+" after it was "+string(state), func(t *testing.T) {
				w := newWorld(t, atNoon)
				w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
				created := w.onlyMail()
				_, _ = w.firer.Fire(t.Context(), wake(created))
				w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: last, Err: errDown} }
				for range settings.MaxAttempts {
					w.due()
					w.firer.send()
				}
				w.want("given up", w.column(`select state from deliveries where channel = 'email'`), string(state))

				end(w, created)
				letter, sent := w.letter(), w.mail.count()
				if letter.State != store.Resolved {
					t.Errorf("its dead letter is %s", letter.State)
				}
				w.mail.answer = nil
				if _, err := w.store.ReplayDeadLetter(t.Context(), letter.ID, false); fault.CodeOf(err) != fault.CodeConflict {
					t.Errorf("replayed: %v", err)
				}
				w.due()
				w.firer.send()
				if n := w.mail.count() - sent; n != 0 {
					t.Errorf("%d e-mails for what was ended", n)
				}
				if _, err := w.store.ReplayDeadLetter(t.Context(), letter.ID, true); err != nil {
					t.Errorf("forced: %v", err)
				}
				w.firer.send()
				if n := w.mail.count() - sent; n != 1 {
					t.Errorf("forced: %d e-mails", n)
				}
			})
		}
	}
}

// A change that comes while an operator replays waits for it, or is seen by it.
func TestReplayWhileTheTaskIsDeleted(t *testing.T) {
	w := newWorld(t, atNoon)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	created := w.onlyMail()
	_, _ = w.firer.Fire(t.Context(), wake(created))
	for range settings.MaxAttempts {
		w.due()
		w.firer.send()
	}
	release := w.holdOpen(`update tasks set deleted_at = now()`)
	replayed := make(chan error)
	go func() {
		_, err := w.store.ReplayDeadLetter(t.Context(), w.letter().ID, false)
		replayed <- err
	}()
	w.waiting(1)
	release()
	if err := <-replayed; fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("replayed: %v", err)
	}
}

// What is still true of a reminder that has fired is replayed: its event.
func TestEventOfADeletedTaskIsReplayed(t *testing.T) {
	w := newWorld(t, atNoon)
	w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
	created := w.onlyMail()
	_, _ = w.firer.Fire(t.Context(), wake(created))
	for range settings.MaxAttempts {
		w.due()
		w.firer.send()
	}
	w.exec(`update deliveries set channel = 'event'`)
	w.remove(created.ID)
	if l := w.letter(); l.State != store.Dead {
		t.Errorf("an event's dead letter is %s", l.State)
	} else if _, err := w.store.ReplayDeadLetter(t.Context(), l.ID, false); err != nil {
		t.Error(err)
	}
}

// To an address, number or device that was taken out nothing is sent, also if it was the
// last one of its kind: from then on only the sign-in's own address, as it is now, counts.
func TestLastTargetTakenOutBeforeSending(t *testing.T) {
	everything := []task.Channel{task.Email, task.Push, task.SMS, task.Webhook}
	for what, c := range map[string]struct {
		before, after func(*preferences.Preferences)
		signIn        string // what it says by then
		want          []string
	}{
		"everything that was named": {before: chosen, after: func(p *preferences.Preferences) {
			p.Emails, p.Phones, p.Devices, p.Webhook = nil, nil, nil, nil
		}, signIn: "ada@example.com"},
		"the last address": {
			before: func(p *preferences.Preferences) { p.Emails = []string{"old@x.org"} },
			after:  func(p *preferences.Preferences) { p.Emails = nil },
			signIn: "ada@example.com",
		},
		"the address of the sign-in has changed":          {signIn: "new@example.com"},
		"the sign-in has none any more":                   {signIn: ""},
		"the address of the sign-in stays":                {signIn: "ada@example.com", want: []string{"ada@example.com"}},
		"the address of the sign-in is written otherwise": {signIn: "Ada@Example.com", want: []string{"ada@example.com"}},
		"the named address is that of the sign-in": {
			before: func(p *preferences.Preferences) { p.Emails = []string{"ada@example.com"} },
			after:  func(p *preferences.Preferences) { p.Emails = nil },
			signIn: "ada@example.com", want: []string{"ada@example.com"},
		},
	} {
		t.Run(what, func(t *testing.T) {
			w := newWorld(t, atNoon)
			if c.before != nil {
				w.choose(c.before)
			}
			w.everything()
			w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
			created := w.create(task.Draft{DueDate: in(0), Channels: everything})
			_, _ = w.firer.Fire(t.Context(), wake(created))
			if c.after != nil {
				w.choose(c.after)
			}
			signIn := store.User{ID: ada.ID}
			if c.signIn != "" {
				signIn.Email = &c.signIn
			}
			if err := w.store.SaveUser(t.Context(), signIn); err != nil {
				t.Fatal(err)
			}
			tried := w.mail.count()
			w.mail.answer = nil
			w.due()
			w.firer.send()
			var to []string
			for _, m := range w.mail.messages[tried:] {
				to = append(to, m.To)
			}
			if !slices.Equal(to, c.want) {
				t.Errorf("sent to %v, want %v: %v", to, c.want, w.log(created))
			}
		})
	}
}

// Who stops e-mails leaves no dead letter behind that is tried again for nothing, nor one that
// an operator's replay would send.
func TestSuppressionResolvesDeadLetters(t *testing.T) {
	for tries, state := range map[int]store.DeadLetterState{1: store.Retrying, settings.MaxAttempts: store.Dead} {
		w := newWorld(t, atNoon)
		w.mail.answer = func(notify.Message) error { return &notify.Error{Kind: notify.Retry, Err: errDown} }
		_, _ = w.firer.Fire(t.Context(), wake(w.onlyMail()))
		for range tries - 1 {
			w.due()
			w.firer.send()
		}
		l := w.letter()
		if l.State != state {
			t.Fatalf("after %d tries: %s", tries, l.State)
		}
		w.suppress(*ada.Email)
		if state == store.Dead {
			if _, err := w.store.ReplayDeadLetter(t.Context(), l.ID, true); err != nil {
				t.Fatal(err)
			}
		}
		w.due()
		w.firer.send()
		if l := w.letter(); l.State != store.Resolved || w.mail.count() != tries {
			t.Errorf("after %d tries and the end of e-mails: %s, %d sent", tries, l.State, w.mail.count())
		}
	}
}
