package main

import (
	"strings"
	"testing"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/vapid"
)

// browser returns a device whose subscription has this endpoint. Its keys are those of RFC 8291's
// example.
func browser(endpoint string) string {
	return `{"provider":"webpush","subscription":{"endpoint":"` + endpoint + `","expirationTime":null,` +
		`"keys":{"p256dh":"BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4","auth":"BTBZMqHH6r4Tts7J_aSIgg"}}}`
}

// A browser's subscription is stored and never shown. A later PUT keeps it by the device's id.
func TestBrowsers(t *testing.T) {
	w, s := serve(t)
	stored := func(user string) string {
		p, err := w.Store.GetPreferences(t.Context(), store.User{ID: user})
		if err != nil {
			t.Fatal(err)
		}
		var endpoints []string
		for _, d := range p.Devices {
			endpoints = append(endpoints, d.Subscription.Endpoint)
		}
		return strings.Join(endpoints, " ")
	}
	devices := func(a functiontest.Answer) string {
		if a.Status != 200 || strings.Contains(a.Body, "capability") || strings.Contains(a.Body, "BTBZ") || strings.Contains(a.Body, "BCVx") {
			t.Errorf("%d %s", a.Status, a.Body)
		}
		_, list, _ := strings.Cut(a.Body, `"devices":`)
		list, _, _ = strings.Cut(list, `,"webhook"`)
		return list
	}
	const (
		one   = `{"id":"656a8df2c940facf43bca251d9d58649","provider":"webpush","subscription":{"endpoint":"https://push.example.com/***"}}`
		two   = `{"id":"113e4848620c0c7c95d46d2a12da0da4","provider":"webpush","subscription":{"endpoint":"https://push.example.org:8443/***"}}`
		first = "https://push.example.com/capability-1"
		other = "https://push.example.org:8443/capability-2"
	)
	put := func(list string) string {
		return devices(s.As("ada", "PUT", path, `{"devices":[`+list+`]}`))
	}
	if got := put(browser(first) + "," + browser(first) + "," + browser(other)); got != `[`+one+`,`+two+`]` || stored("ada") != first+" "+other {
		t.Fatalf("%s, stored %s", got, stored("ada"))
	}
	all := s.As("ada", "GET", path, nil)
	if devices(s.As("ada", "PUT", path, all.Body)) != devices(all) || stored("ada") != first+" "+other {
		t.Errorf("PUT of what GET gave: stored %s", stored("ada"))
	}
	if got := put(two + "," + browser(first) + "," + one); got != `[`+two+`,`+one+`]` || stored("ada") != other+" "+first {
		t.Errorf("in another order: %s, stored %s", got, stored("ada"))
	}
	if got := put(`{"id":"656a8df2c940facf43bca251d9d58649","provider":"webpush"}`); got != `[`+one+`]` || stored("ada") != first {
		t.Errorf("by its id alone: %s, stored %s", got, stored("ada"))
	}
	// A removed device and a device of another user can't be named by id.
	w.WantProblem(s.As("ada", "PUT", path, `{"devices":[`+two+`]}`), 400, "invalid", "there is no webpush device with id")
	w.WantProblem(s.As("eve", "PUT", path, `{"devices":[`+one+`]}`), 400, "invalid", "there is no webpush device with id")
	if stored("ada") != first || stored("eve") != "" {
		t.Errorf("stored %s and %s", stored("ada"), stored("eve"))
	}
}

// GET preferences returns the key that browsers subscribe with.
func TestPushKey(t *testing.T) {
	key, err := vapid.New()
	if err != nil {
		t.Fatal(err)
	}
	s := functiontest.Serve(functiontest.New(t), New, "UNSUBSCRIBE_KEY="+secret, "SUPPRESSION_KEY="+secret, "WEBPUSH_PUBLIC_KEY="+key.Public)
	for _, a := range []functiontest.Answer{s.As("ada", "GET", path, nil), s.As("ada", "PUT", path, s.As("ada", "GET", path, nil).Body)} {
		if a.Status != 200 || !strings.Contains(a.Body, `"webpush_public_key":"`+key.Public+`"`) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
}
