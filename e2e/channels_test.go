package e2e

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/sandbox"
	"github.com/duebell/duebell/shared/api"
	"github.com/duebell/duebell/shared/verify"
)

// delivery is an entry of a task's delivery log.
type delivery struct {
	ID, Channel, Provider, Target, State string
	Attempts                             int
}

func (p person) deliveries(task api.Task) []delivery {
	p.Helper()
	return ask[struct{ Deliveries []delivery }](p, "GET", "/api/tasks/"+task.ID.String()+"/deliveries", nil).Deliveries
}

// One reminder comes on every channel, once on each.
func TestEveryChannelAtOnce(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	phone, device, subscription, hook := "+4915112345678", p.name+":token", uuid.NewString(), sys.URL()+sandbox.WebhookPath+"/"+p.name
	browser := sandbox.Subscription(sys.URL(), p.name)
	p.choose(map[string]any{
		"channels": map[string]any{"in_app": true, "email": true, "push": true, "sms": true, "webhook": true},
		"phones":   []string{phone},
		"devices": []any{
			map[string]any{"provider": "fcm", "token": device},
			map[string]any{"provider": "onesignal", "token": subscription},
			map[string]any{"provider": "fcm", "token": sandbox.Unregistered + ":" + p.name},
			map[string]any{"provider": "webpush", "subscription": browser},
			map[string]any{"provider": "webpush", "subscription": sandbox.Subscription(sys.URL(), sandbox.Unregistered+"-"+p.name)},
		},
		"webhook": map[string]any{"url": hook, "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
	})
	p.verify(phone)
	task := p.create(time.Second)
	wanted := map[string]string{ // where each provider sends it
		sandbox.SendGrid: p.name + "@example.com", sandbox.FCM: device, sandbox.OneSignal: subscription, sandbox.Twilio: phone, sandbox.Webhook: hook,
		sandbox.WebPush: browser.Endpoint,
	}
	got := func() map[string][]sandbox.Message {
		messages := map[string][]sandbox.Message{}
		for _, m := range sys.Sandbox().Messages() {
			if m.To == wanted[m.Provider] && !strings.Contains(m.Body, verify.NotMePath) {
				messages[m.Provider] = append(messages[m.Provider], m)
			}
		}
		return messages
	}
	p.eventually(soon, "told on every channel", func() bool { return len(got()) == len(wanted) && len(p.inbox()) == 1 })
	p.quiet(2 * time.Second)
	log := p.deliveries(task)
	for provider, messages := range got() {
		m := messages[0]
		if len(messages) != 1 || !strings.Contains(m.Subject+m.Body, task.Title) {
			t.Errorf("%s: %+v", provider, messages)
		}
		if !slices.ContainsFunc(log, func(d delivery) bool {
			return d.Provider == provider && d.State == "sent" && (d.ID == m.DeliveryID || provider == sandbox.Twilio) // which knows no id of ours
		}) {
			t.Errorf("%s: %+v is not in the log: %+v", provider, m, log)
		}
	}
	// The app and the browser that are gone are removed from the preferences.
	devices := ask[struct{ Devices []struct{ ID, Token string } }](p, "GET", "/api/preferences", nil).Devices
	if len(devices) != 3 || devices[0].Token != device || devices[1].Token != subscription || devices[2].ID != browser.ID() {
		t.Errorf("the devices are %v", devices)
	}
}

// The first e-mail provider refuses, and the second one takes the e-mail, once.
func TestFailover(t *testing.T) {
	t.Parallel()
	own := startOwn(t, asItIs)
	own.Sandbox().Fail(sandbox.Fault{Provider: sandbox.SendGrid, Status: 503})
	p := newPerson(t, own)
	task := p.create(time.Second)
	p.told(soon, 1)
	p.quiet(3 * time.Second)
	m := own.Sandbox().Messages()[0]
	i := slices.IndexFunc(p.deliveries(task), func(d delivery) bool { return d.Channel == "email" })
	want := delivery{m.DeliveryID, "email", sandbox.SES, m.To, "sent", 2}
	if m.Provider != sandbox.SES || i < 0 || p.deliveries(task)[i] != want {
		t.Errorf("%+v came, and the log says %+v", m, p.deliveries(task))
	}
}
