package life_test

import (
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/deliver"
	"github.com/duebell/duebell/shared/link"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/recurrence"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

var messageLinks = link.Links{PublicURL: "https://api.example.com", Keys: link.Keys{Keys: []config.Secret{"a-key-for-links-of-at-least-32-characters"}}}

// linked has every channel that there is carry links, events too.
func (w *world) linked(links link.Links) {
	channels := deliver.Channels{}
	for _, c := range []task.Channel{task.Email, task.SMS, task.Push, task.Webhook, task.Event} {
		name := map[task.Channel]string{task.Email: "sendgrid", task.SMS: "twilio", task.Push: "fcm", task.Webhook: "webhook", task.Event: "dapr"}[c]
		channels[c] = []deliver.Provider{{Name: name, Channel: w.mail}}
	}
	rules := settings
	rules.Links = links
	w.firer = newTeller(w.store, channels, w.clock, rules)
}

// Each message that its user reads carries links about what it tells of. A webhook's does if the user wants
// them, and an event never does.
func TestLinksInMessages(t *testing.T) {
	start := wallclock.FromUTC(*in(0))
	for name, draft := range map[string]task.Draft{
		"once":      {DueDate: in(0)},
		"recurring": {Due: task.Due{Form: task.ByClock, Local: start, Zone: "UTC"}, Recurrence: &recurrence.Definition{Rule: "FREQ=DAILY"}},
	} {
		for _, wanted := range []bool{false, true} {
			t.Run(name, func(t *testing.T) {
				w := newWorld(t, atNoon)
				w.choose(func(p *preferences.Preferences) { chosen(p); p.Webhook.Links = wanted })
				w.linked(messageLinks)
				created := w.create(draft)
				r := created.Reminders[0]
				w.fire(wake(created))
				with, without := 0, 0
				for _, m := range w.mail.messages {
					if m.Links == (notify.Links{}) {
						without++
						if m.To != "" && (m.To != hook || wanted) { // an event goes nowhere
							t.Errorf("to %s without links", m.To)
						}
						continue
					}
					with++
					for purpose, url := range map[link.Purpose]string{link.Done: m.Links.Done, link.Snooze: m.Links.Snooze, link.Acknowledge: m.Links.Acknowledge, link.Any: m.Links.Any} {
						token, ok := strings.CutPrefix(url, "https://api.example.com/m/")
						l, opens := messageLinks.Keys.Open(token)
						if !ok || !opens || l.Purpose != purpose || !messageLinks.Keys.IsOf(l, "ada", created.ID) || l.ReminderID != r.ID || l.Revision != r.Revision ||
							l.Series != created.Progress.Series || (l.Occurrence == nil) != (r.Occurrence == nil) || l.Occurrence != nil && *l.Occurrence != *r.Occurrence {
							t.Errorf("to %s: %s is %+v", m.To, url, l)
						}
						if left := time.Until(l.Expires); left < link.Lasts || left > link.Lasts+time.Hour {
							t.Errorf("it is good for %s", left)
						}
					}
				}
				if want := 6 + map[bool]int{true: 1}[wanted]; with != want || with+without != 8 {
					t.Errorf("%d with links, want %d, and %d without", with, want, without)
				}
			})
		}
	}
}

// An e-mail with several reminders carries links for each of them.
func TestLinksInABundle(t *testing.T) {
	n := newGathering(t)
	n.linked(messageLinks)
	once, daily := n.titled("once"), n.titled("daily", func(d *task.Draft) {
		d.Due, d.DueDate = task.Due{Form: task.ByClock, Local: wallclock.At(n.now, time.UTC), Zone: "UTC"}, nil
		d.Recurrence = &recurrence.Definition{Rule: "FREQ=DAILY"}
	})
	n.later(15 * time.Minute)
	sent := n.mail.messages[len(n.mail.messages)-1] // after two events
	if len(sent.Bundle) != 2 {
		t.Fatalf("%+v", sent)
	}
	for i, of := range []task.Task{once, daily} {
		b, r := sent.Bundle[i], of.Reminders[0]
		for purpose, url := range map[link.Purpose]string{link.Done: b.Links.Done, link.Snooze: b.Links.Snooze} {
			l, opens := messageLinks.Keys.Open(strings.TrimPrefix(url, "https://api.example.com/m/"))
			if !opens || l.Purpose != purpose || !messageLinks.Keys.IsOf(l, "ada", of.ID) || l.ReminderID != r.ID || l.Revision != r.Revision ||
				l.Series != of.Progress.Series || (l.Occurrence == nil) != (r.Occurrence == nil) || l.Occurrence != nil && *l.Occurrence != *r.Occurrence {
				t.Errorf("%v of %q is %+v", purpose, of.Title, l)
			}
		}
	}
}

// Without a key, or an address of the API, messages are as they were; and so is always what asks the owner
// of an address.
func TestNoLinksInMessages(t *testing.T) {
	for name, links := range map[string]link.Links{"no key": {PublicURL: messageLinks.PublicURL}, "no address": {Keys: messageLinks.Keys}} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, atNoon)
			w.choose(func(p *preferences.Preferences) { chosen(p); p.Webhook.Links = true })
			w.linked(links)
			w.fire(wake(w.create(task.Draft{DueDate: in(0)})))
			for _, m := range w.mail.messages {
				if m.Links != (notify.Links{}) {
					t.Errorf("to %s: %+v", m.To, m.Links)
				}
			}
			if len(w.mail.messages) != 8 {
				t.Errorf("%d messages", len(w.mail.messages))
			}
		})
	}
}
