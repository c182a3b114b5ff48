package fire

import (
	"slices"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// plan says on which channels a reminder is told and where to, and writes the
// in-app notification. The channels are the task's own, or else those that are on
// in the user's preferences. What can't be used is recorded as failed, so that the
// delivery log says why nothing came. If nothing else is left the reminder is told
// in-app: one that tells nobody would be lost. Besides, it is published as an event,
// where that is set up, which tells no user.
func (f *Firer) plan(r task.Reminder, t task.Task, to store.Recipient) (deliveries []store.Delivery, inApp *store.Notification) {
	add := func(c task.Channel, target string, state store.DeliveryState, problem string) {
		deliveries = append(deliveries, store.Delivery{
			ID: newID(), ReminderID: r.ID, Revision: r.Revision, TaskID: t.ID, UserID: t.UserID,
			Channel: c, Target: target, State: state, LastError: problem,
		})
	}
	tellInApp := func() {
		add(task.InApp, "", store.Sent, "")
		inApp = &store.Notification{
			ID: deliveries[len(deliveries)-1].ID, UserID: t.UserID, TaskID: t.ID, Title: t.Title,
			Body: notify.Message{DueDate: t.DueDate, Zone: preferences.Zone(to.TimeZone), Language: to.Language}.Due(),
		}
	}
	told := false
	for _, c := range f.channelsFor(t, to) {
		if c == task.InApp {
			tellInApp()
			told = true
			continue
		}
		for _, place := range f.targets(c, to) {
			if place.problem != "" {
				add(c, place.target, store.Failed, place.problem)
				continue
			}
			add(c, place.target, store.Planned, "")
			told = true
		}
	}
	if !told {
		tellInApp()
	}
	if f.channels[task.Event] != nil {
		add(task.Event, "", store.Planned, "")
	}
	return deliveries, inApp
}

// channelsFor returns the channels on which a task's reminders are to be told.
// What nobody has asked for is left out if it can't be used.
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

// place is where an external channel reaches a user, or why it does not.
type place struct{ target, problem string }

// targets says where an external channel reaches a user, in the form of
// store.Delivery's Target, or why it does not: one place at least.
func (f *Firer) targets(c task.Channel, to store.Recipient) []place {
	not := func(problem string) []place { return []place{{problem: problem}} }
	var targets []string
	switch {
	case len(f.channels[c]) == 0:
		return not("this channel is not set up here")
	case c == task.Email && to.Unsubscribed:
		return not("you have unsubscribed from e-mail; switch it on again in your preferences")
	case c == task.Email && len(to.Emails) > 0:
		targets = to.Emails
	case c == task.Email && to.SignIn != nil:
		targets = []string{*to.SignIn}
	case c == task.Email:
		return not("your sign-in has no verified e-mail address, and your preferences name none")
	case c == task.SMS && len(to.Phones) == 0:
		return not("your preferences name no phone number")
	case c == task.SMS:
		targets = to.Phones
	case c == task.Push && len(to.Devices) == 0:
		return not("your preferences name no device")
	case c == task.Push:
		return f.devices(to)
	case c == task.Webhook && to.Webhook == nil:
		return not("your preferences name no webhook")
	case c == task.Webhook && to.Webhook.Gone:
		return not("your webhook has answered that it is gone; switch it on again in your preferences")
	case c == task.Webhook:
		targets = []string{to.Webhook.URL}
	default:
		return not("this channel can't be used yet")
	}
	places := make([]place, len(targets))
	for i, target := range targets {
		places[i].target = target
	}
	return places
}

// devices says the same of push: each device needs its own provider.
func (f *Firer) devices(to store.Recipient) []place {
	places := make([]place, len(to.Devices))
	for i, d := range to.Devices {
		places[i].target = d.String()
		if !slices.Contains(f.channels[task.Push], d.Provider) {
			places[i].problem = "this device's provider is not set up here"
		}
	}
	return places
}

func newID() uuid.UUID { return uuid.Must(uuid.NewV7()) }
