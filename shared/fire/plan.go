package fire

import (
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

// plan returns a reminder's deliveries and its in-app notification.
//
// The channels are the task's own, or else those of the user's preferences. A channel that can't be
// used gets a failed delivery, so that the delivery log shows why nothing came. An address that is
// suppressed or not verified gets a delivery that says so, and the reminder is told in-app as well.
// If no channel is left, it is told in-app, too. If the user bundles reminders on the channel, the
// delivery is bundled. If events are on, an event is planned besides; it tells no user.
func (f *Firer) plan(r task.Reminder, t task.Task, to store.Recipient, stopped suppressed) (deliveries []store.Delivery, inApp *store.Notification) {
	add := func(c task.Channel, target string, state store.DeliveryState, problem string) {
		deliveries = append(deliveries, store.Delivery{
			ID: newID(), ReminderID: r.ID, Revision: r.Revision, TaskID: t.ID, UserID: t.UserID,
			Channel: c, Target: target, State: state, LastError: problem,
		})
	}
	tellInApp := func() {
		add(task.InApp, "", store.Sent, "")
		inApp = &store.Notification{
			ID: deliveries[len(deliveries)-1].ID, UserID: t.UserID, TaskID: t.ID, ReminderID: r.ID, Kind: r.Kind, Title: t.Title, DueDate: t.DueDate,
			Body: notify.Message{DueDate: t.DueDate, Zone: preferences.Zone(to.TimeZone), Language: to.Language}.Due(),
		}
	}
	told, instead := false, false
	for _, c := range f.channelsFor(t, to) {
		if c == task.InApp {
			tellInApp()
			told = true
			continue
		}
		for _, place := range f.targets(c, to) {
			since, isStopped := stopped[address{c, place.target}]
			switch {
			case isStopped:
				add(c, place.target, store.SuppressedState, store.SuppressedProblem(since))
				instead = true
			case place.unverified:
				add(c, place.target, store.Unverified, place.problem)
				instead = true
			case place.problem != "":
				add(c, place.target, store.Failed, place.problem)
			case bundled(r, t, to, c):
				add(c, place.target, store.Bundled, "")
				told = true
			default:
				add(c, place.target, store.Planned, "")
				told = true
			}
		}
	}
	if inApp == nil && (instead || !told) {
		tellInApp()
	}
	if f.channels[task.Event] != nil {
		add(task.Event, "", store.Planned, "")
	}
	return deliveries, inApp
}

// channelsFor returns the channels of a task's reminders: the task's own, or else the user's, or
// else the defaults. The defaults have e-mail only if an e-mail can be sent.
func (f *Firer) channelsFor(t task.Task, to store.Recipient) []task.Channel {
	switch {
	case t.Channels != nil:
		return t.Channels
	case to.Version > 0:
		return to.Channels
	default:
		return preferences.DefaultChannels(f.targets(task.Email, to)[0].problem == "")
	}
}

// place is a target of an external channel, or the problem why there is none.
type place struct {
	target, problem string
	unverified      bool // the problem is that the address is not verified
}

// targets returns the user's targets on an external channel, as store.Delivery's Target has them.
// If there is none, it returns one place with the problem.
func (f *Firer) targets(c task.Channel, to store.Recipient) []place {
	if len(f.channels[c]) == 0 {
		return []place{{problem: "this channel is not set up here"}}
	}
	targets := to.Targets(c, to.SignIn)
	if len(targets) == 0 {
		return []place{{problem: whyNowhere(c, to)}}
	}
	places := make([]place, len(targets))
	for i, target := range targets {
		places[i].target = target
		switch {
		case c == task.Push && !slices.Contains(f.channels[c], to.Devices[i].Provider): // its provider must be configured
			places[i].problem = "this device's provider is not set up here"
		case (c == task.Email || c == task.SMS) && !to.MayReceive(target, to.SignIn):
			places[i].problem, places[i].unverified = preferences.UnverifiedProblem, true
		}
	}
	return places
}

// whyNowhere returns the problem of an external channel without a target.
func whyNowhere(c task.Channel, to store.Recipient) string {
	switch {
	case c == task.Email && to.Unsubscribed:
		return "you have unsubscribed from e-mail; switch it on again in your preferences"
	case c == task.Email:
		return "your sign-in has no verified e-mail address, and your preferences name none"
	case c == task.SMS:
		return "your preferences name no phone number"
	case c == task.Push:
		return "your preferences name no device"
	case c == task.Webhook && to.Webhook != nil:
		return "your webhook has answered that it is gone; switch it on again in your preferences"
	case c == task.Webhook:
		return "your preferences name no webhook"
	default:
		return "this channel can't be used yet"
	}
}

// address is a target on a channel.
type address struct {
	channel task.Channel
	target  string
}

// suppressed maps suppressed addresses to the time since when they are suppressed.
type suppressed map[address]time.Time

// suppressed looks up which targets of due reminders are suppressed.
func (f *Firer) suppressed(due []dueCall, look store.Look) (suppressed, error) {
	hashes := map[address]suppress.Address{}
	var all []suppress.Address
	for _, d := range due {
		for _, c := range f.channelsFor(d.Of.Task, d.Of.To) {
			if !suppress.Applies(c) {
				continue
			}
			for _, p := range f.targets(c, d.Of.To) {
				a := address{c, p.target}
				if _, seen := hashes[a]; !seen && (p.problem == "" || p.unverified) {
					hashes[a] = f.keys.Hashes(c, p.target)
					all = append(all, hashes[a])
				}
			}
		}
	}
	if len(all) == 0 || !f.keys.Enabled() {
		return nil, nil
	}
	found, err := look(all)
	if err != nil {
		return nil, err
	}
	stopped := suppressed{}
	for a, hashes := range hashes {
		if since := found.Since(hashes); since != nil {
			stopped[a] = *since
		}
	}
	return stopped, nil
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
