package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/web"
)

func TestMain(m *testing.M) { storetest.Main(m) }

const path = "/api/preferences"

const byDefault = `{"time_zone":null,"all_day_at":"09:00","default_reminders":null,"quiet_hours":[],"bundle":{},"agenda":null,"language":"en","channels":{"in_app":true,"email":true,"push":false,"sms":false,"webhook":false},` +
	`"emails":[],"phones":[],"devices":[],"webhook":null}` + "\n"

const full = `{"time_zone":"America/Argentina/Buenos_Aires","all_day_at":"07:30","default_reminders":["1d","30m","-1h"],"quiet_hours":[{"from":"22:00","to":"07:00","days":["mo","tu","we","th","fr","sa","su"]},{"from":"07:00","to":"10:30","days":["sa","su"]}],"bundle":{"email":"15m","sms":"1m"},"agenda":{"channel":"email","at":"08:00","days":["mo","tu","we","th","fr"]},"language":"pt-BR","channels":{"in_app":false,"email":true,"push":true,"sms":true,"webhook":true},` +
	`"emails":[{"address":"ada@example.org","state":"unverified"},{"address":"lovelace@example.org","state":"unverified"}],` +
	`"phones":[{"address":"+15551234567","state":"unverified"}],` +
	`"devices":[{"id":"2513838f06c878dd8a2c3a3e294f3c45","provider":"fcm","token":"c1:APA91b-x_y"},{"id":"ec9e3e55aa8a9573832351ac31cb6b73","provider":"onesignal","token":"0198b5f0-0000-7000-8000-000000000000"}],` +
	`"webhook":{"url":"https://example.com/hook?a=b","links":true}}` + "\n"

const secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"

func serve(t *testing.T) (*functiontest.World, *functiontest.Server) {
	w := functiontest.New(t)
	return w, functiontest.Serve(w, New, "UNSUBSCRIBE_KEY="+key, "SUPPRESSION_KEY="+key)
}

func want(t *testing.T, what string, a functiontest.Answer, body, etag string) {
	t.Helper()
	if a.Status != 200 || a.Body != body || a.Header.Get("ETag") != etag {
		t.Errorf("%s: got %d %s %s, want %s %s", what, a.Status, a.Header.Get("ETag"), a.Body, etag, body)
	}
}

func TestDefaults(t *testing.T) {
	w, s := serve(t)
	want(t, "a verified address", s.As("ada", "GET", path, nil), byDefault, `"0"`)
	withoutEmail := strings.Replace(byDefault, `"email":true`, `"email":false`, 1)
	bare := "Bearer " + w.TokenWith("bob", nil)
	want(t, "no address", s.Call("GET", path, nil, "Authorization", bare), withoutEmail, `"0"`)
	unverified := "Bearer " + w.TokenWith("eve", map[string]any{"email": "eve@example.com", "email_verified": false})
	want(t, "an unverified one", s.Call("GET", path, nil, "Authorization", unverified), withoutEmail, `"0"`)

	// A field that a PUT leaves out gets its default.
	for _, body := range []string{`{}`, `{"time_zone":null,"all_day_at":null,"default_reminders":null,"quiet_hours":null,"bundle":null,"agenda":null,"language":null,"channels":null,"emails":null,"phones":null,"devices":null,"webhook":null}`, `{"channels":{"email":null}}`} {
		if a := s.As("ada", "PUT", path, body); a.Status != 200 || a.Body != byDefault {
			t.Errorf("%s: %d %s", body, a.Status, a.Body)
		}
		if a := s.Call("PUT", path, body, "Authorization", unverified); a.Status != 200 || a.Body != withoutEmail {
			t.Errorf("%s, unverified: %d %s", body, a.Status, a.Body)
		}
	}
	// A token without an address leaves the stored one.
	w.Seed("zoe", task.Draft{Title: "x"})
	want(t, "an address on record", s.Call("GET", path, nil, "Authorization", "Bearer "+w.TokenWith("zoe", nil)), byDefault, `"0"`)
}

func TestRoundTrip(t *testing.T) {
	w, s := serve(t)
	want(t, "PUT", s.As("ada", "PUT", path, full), full, `"1"`)
	want(t, "GET", s.As("ada", "GET", path, nil), full, `"1"`)
	want(t, "PUT of GET", s.As("ada", "PUT", path, s.As("ada", "GET", path, nil).Body), full, `"2"`)
	want(t, "another user", s.As("eve", "GET", path, nil), byDefault, `"0"`)
	want(t, "PUT replaces the whole", s.As("ada", "PUT", path, `{"channels":{"email":true}}`), byDefault, `"3"`)
	want(t, "another user's PUT", s.As("eve", "PUT", path, full), full, `"1"`)
	want(t, "GET", s.As("ada", "GET", path, nil), byDefault, `"3"`)
	w.WantProblem(s.Call("GET", path, nil), 401, "unauthenticated", "")
	w.WantProblem(s.Call("PUT", path, full), 401, "unauthenticated", "")
	w.WantProblem(s.As("ada", "DELETE", path, nil), 405, "invalid", "PUT")
}

func TestIfMatch(t *testing.T) {
	w, s := serve(t)
	want(t, "never stored", s.As("ada", "PUT", path, full, "If-Match", `"0"`), full, `"1"`)
	w.WantProblem(s.As("ada", "PUT", path, `{}`, "If-Match", `"0"`), 412, "conflict", "GET it again")
	want(t, "unchanged", s.As("ada", "GET", path, nil), full, `"1"`)
	want(t, "any", s.As("ada", "PUT", path, full, "If-Match", `*`), full, `"2"`)
}

// Concurrent changes are made one after the other.
func TestPutsAtTheSameTime(t *testing.T) {
	_, s := serve(t)
	var group sync.WaitGroup
	for range 10 {
		group.Go(func() {
			if a := s.As("ada", "PUT", path, full); a.Status != 200 {
				t.Errorf("%d %s", a.Status, a.Body)
			}
		})
	}
	group.Wait()
	want(t, "in the end", s.As("ada", "GET", path, nil), full, `"10"`)
}

func TestSecretsAreNeverShown(t *testing.T) {
	_, s := serve(t)
	with := func(webhook string) string {
		return strings.Replace(full, `{"url":"https://example.com/hook?a=b","links":true}`, webhook, 1)
	}
	given := with(`{"url":"https://example.com/hook?a=b","links":true,"secret":"` + secret + `"}`)
	for _, a := range []functiontest.Answer{
		s.As("ada", "PUT", path, given), s.As("ada", "GET", path, nil), s.As("ada", "PUT", path, full), s.As("ada", "GET", path, nil),
		s.As("ada", "PUT", path, with(`{"url":"https://example.com/hook","secret":"`+secret+`!"}`)),
		s.As("ada", "PUT", path, with(`{"url":"ftp://example.com/hook","secret":"`+secret+`"}`)),
		s.As("ada", "PUT", path, with(`{"url":"https://example.com/hook","secret":{"`+secret+`":1}}`)),
	} {
		if strings.Contains(a.Body, secret[:12]) || (a.Status == 200 && a.Body != full) {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
	// Package store keeps the secret, and tests when it does.
	for _, webhook := range []string{`{"url":"https://example.com/hook?a=b","secret":null}`, `{"url":"https://example.com/","secret":"` + secret + `"}`} {
		if a := s.As("ada", "PUT", path, with(webhook)); a.Status != 200 || strings.Contains(a.Body, "secret") {
			t.Errorf("%d %s", a.Status, a.Body)
		}
	}
}

func list(n int, element string) string {
	elements := make([]string, n)
	for i := range elements {
		elements[i] = fmt.Sprintf(element, i)
	}
	return "[" + strings.Join(elements, ",") + "]"
}

func TestBadInput(t *testing.T) {
	w, s := serve(t)
	s.As("ada", "PUT", path, full)
	tests := []struct {
		body   string
		status int
		detail string
	}{
		{``, 400, "empty"},
		{`{`, 400, "JSON"},
		{`[]`, 400, "must be an object"},
		{`{"colour":"red"}`, 400, "/colour is not known"},
		{`{"time_zone":"UTC","time_zone":"UTC"}`, 400, "more than once"},
		{`{"time_zone":""}`, 400, "time_zone must be"},
		{`{"time_zone":7}`, 400, "/time_zone must be a string"},
		{`{"time_zone":"Local"}`, 400, "time_zone must be"},
		{`{"time_zone":"Mars/Olympus_Mons"}`, 400, "time_zone must be"},
		{`{"time_zone":"../UTC"}`, 400, "time_zone must be"},
		{`{"time_zone":"Europe/../UTC"}`, 400, "time_zone must be"},
		{`{"time_zone":"/usr/share/zoneinfo/UTC"}`, 400, "time_zone must be"},
		{`{"time_zone":"right/UTC"}`, 400, "time_zone must be"},
		{`{"time_zone":"posix/UTC"}`, 400, "time_zone must be"},
		{`{"time_zone":"localtime"}`, 400, "time_zone must be"},
		{`{"time_zone":"Europe"}`, 400, "time_zone must be"},
		{`{"time_zone":"zone.tab"}`, 400, "time_zone must be"},
		{`{"time_zone":"+01:00"}`, 400, "time_zone must be"},
		{`{"time_zone":"Europe\\Paris"}`, 400, "time_zone must be"},
		{`{"time_zone":"UTC\u0000"}`, 400, "NUL"},
		{`{"time_zone":"` + strings.Repeat("x", 100_000) + `"}`, 400, "time_zone must be"},
		{`{"time_zone":"UTC","quiet_hours":{"from":"22:00","to":"07:00"}}`, 400, "/quiet_hours must be an array"},
		{`{"time_zone":"UTC","quiet_hours":["22:00-07:00"]}`, 400, "/quiet_hours/0 must be an object"},
		{`{"time_zone":"UTC","quiet_hours":[null]}`, 400, "quiet_hours has a window whose from is no time of day: write it as 22:00"},
		{`{"time_zone":"UTC","quiet_hours":[{"to":"07:00"}]}`, 400, "quiet_hours has a window whose from is no time of day: write it as 22:00"},
		{`{"time_zone":"UTC","quiet_hours":[{"from":"22:00","to":"7 am"}]}`, 400, "quiet_hours has a window whose to is no time of day: write it as 22:00"},
		{`{"time_zone":"UTC","quiet_hours":[{"from":22,"to":7}]}`, 400, "/quiet_hours/0/from must be a string"},
		{`{"time_zone":"UTC","quiet_hours":[{"from":"22:00","to":"07:00","on":"mo"}]}`, 400, "/quiet_hours/0/on is not known"},
		{`{"time_zone":"UTC","quiet_hours":[{"from":"22:00","to":"07:00","days":["monday"]}]}`, 400, "the days are mo, tu, we, th, fr, sa, su"},
		{`{"time_zone":"UTC","quiet_hours":[{"from":"22:00","to":"07:00","days":[]}]}`, 400, "quiet_hours has a window without a day"},
		{`{"time_zone":"UTC","quiet_hours":[{"from":"22:00","to":"22:00"}]}`, 400, "quiet_hours has a window from 22:00 to 22:00"},
		{`{"time_zone":"UTC","quiet_hours":[{"from":"00:00","to":"12:00"},{"from":"12:00","to":"00:00"}]}`, 400, "quiet_hours leaves no minute of the week free"},
		{`{"time_zone":"UTC","quiet_hours":` + list(29, `{"from":"%02d:00","to":"07:30"}`) + `}`, 400, "more than the 28"},
		{`{"quiet_hours":[{"from":"22:00","to":"07:00"}]}`, 400, "give time_zone beside them"},
		{`{"agenda":"08:00"}`, 400, "/agenda must be an object"},
		{`{"time_zone":"UTC","agenda":{}}`, 400, "agenda: channel must be one of"},
		{`{"time_zone":"UTC","agenda":{"channel":"event","at":"08:00"}}`, 400, `agenda: channel must be one of [in_app email push sms webhook], not "event"`},
		{`{"time_zone":"UTC","agenda":{"channel":"email"}}`, 400, "agenda: at must be a time of day: write it as 08:00"},
		{`{"time_zone":"UTC","agenda":{"channel":"email","at":"8"}}`, 400, `agenda: at must be a time of day: write it as 08:00, from 00:00 to 23:59; not "8"`},
		{`{"time_zone":"UTC","agenda":{"channel":"email","at":"08:00:01"}}`, 400, "agenda: at must be a time of day"},
		{`{"time_zone":"UTC","agenda":{"channel":"email","at":"08:00","days":[]}}`, 400, "agenda: days is empty: name days"},
		{`{"time_zone":"UTC","agenda":{"channel":"email","at":"08:00","days":["monday"]}}`, 400, `agenda: has the day "monday", which does not exist: the days are mo`},
		{`{"time_zone":"UTC","agenda":{"channel":"email","at":"08:00","every":"day"}}`, 400, "/agenda/every"},
		{`{"agenda":{"channel":"email","at":"08:00"}}`, 400, "agenda needs your time zone: give time_zone"},
		{`{"bundle":"15m"}`, 400, "/bundle must be an object"},
		{`{"bundle":{"email":15}}`, 400, "/bundle/email must be a string"},
		{`{"bundle":{"in_app":"15m"}}`, 400, `bundle: only email, push and sms can be bundled, not "in_app"`},
		{`{"bundle":{"webhook":null}}`, 400, `bundle: only email, push and sms can be bundled, not "webhook"`},
		{`{"bundle":{"email":"15"}}`, 400, `bundle: email must be a time of whole seconds between "1s" and "24h", such as "15m", not "15"`},
		{`{"bundle":{"email":""}}`, 400, "bundle: email must be a time"},
		{`{"bundle":{"email":"1d"}}`, 400, "bundle: email must be a time"},
		{`{"bundle":{"sms":"0s"}}`, 400, "bundle: sms must be a time"},
		{`{"bundle":{"sms":"-1m"}}`, 400, "bundle: sms must be a time"},
		{`{"bundle":{"sms":"1500ms"}}`, 400, "bundle: sms must be a time"},
		{`{"bundle":{"push":"24h1s"}}`, 400, "bundle: push must be a time"},
		{`{"language":""}`, 400, "language must be"},
		{`{"language":"english please"}`, 400, "language must be"},
		{`{"language":"en_US"}`, 400, "language must be"},
		{`{"language":"e"}`, 400, "language must be"},
		{`{"language":"en-` + strings.Repeat("x-", 40_000) + `"}`, 400, "language must be"},
		{`{"language":["en"]}`, 400, "/language must be a string"},
		{`{"channels":["email"]}`, 400, "/channels must be an object"},
		{`{"channels":{"pigeon":true}}`, 400, "/channels/pigeon is not known"},
		{`{"channels":{"email":"yes"}}`, 400, "/channels/email must be true or false"},
		{`{"emails":"ada@example.com"}`, 400, "/emails must be an array"},
		{`{"emails":[null]}`, 400, "emails"},
		{`{"emails":[""]}`, 400, "is not an e-mail address"},
		{`{"emails":["ada"]}`, 400, "is not an e-mail address"},
		{`{"emails":["Ada <ada@example.com>"]}`, 400, "is not an e-mail address"},
		{`{"emails":["ada@example.com\r\nBcc: eve@example.com"]}`, 400, "contains U+000D CARRIAGE RETURN"},
		{`{"emails":["ada@exa\u200bmple.com"]}`, 400, "contains U+200B ZERO WIDTH SPACE"},
		{`{"emails":["ada@127.0.0.1"]}`, 400, "no domain name"},
		{`{"emails":["a@x.org,b@x.org"]}`, 400, "is not an e-mail address"},
		{`{"emails":["` + strings.Repeat("x", 250) + `@x.org"]}`, 400, "64 bytes before the @"},
		{`{"emails":` + list(6, `"a%d@x.org"`) + `}`, 400, "more than the 5"},
		{`{"phones":["5551234567"]}`, 400, "country code"},
		{`{"phones":["+1 555 1234567"]}`, 400, "country code"},
		{`{"phones":["+0551234567"]}`, 400, "country code"},
		{`{"phones":["+1234567890123456"]}`, 400, "country code"},
		{`{"phones":["+٣٤٥٦٧٨٩٠"]}`, 400, "country code"},
		{`{"phones":[15551234567]}`, 400, "/phones/0 must be a string"},
		{`{"phones":` + list(6, `"+1555123456%d"`) + `}`, 400, "more than the 5"},
		{`{"devices":[{"provider":"webpush"}]}`, 400, "needs a subscription"},
		{`{"devices":[{"provider":"webpush","token":"x"}]}`, 400, "no token"},
		{`{"devices":[{"provider":"fcm","token":"x","subscription":{"endpoint":"https://push.example.com/a"}}]}`, 400, "only provider"},
		{`{"devices":[{"provider":"webpush","subscription":{"endpoint":"https://push.example.com/***"}}]}`, 400, "with endpoint and keys"},
		{`{"devices":[{"id":"0123456789abcdef0123456789abcdef","provider":"webpush"}]}`, 400, "there is no webpush device with id"},
		{`{"devices":[` + browser("http://push.example.com/a") + `]}`, 400, "subscription.endpoint must begin with https://"},
		{`{"devices":[` + browser("https://10.0.0.1/a") + `]}`, 400, "subscription.endpoint must be one on the public Internet"},
		{`{"devices":[` + browser("https://push.example.com/"+strings.Repeat("a", 2000)) + `]}`, 400, "subscription.endpoint has more than the 2000"},
		{`{"devices":[` + strings.Replace(browser("https://push.example.com/a"), "BCVx", "ACVx", 1) + `]}`, 400, "subscription.keys.p256dh must be"},
		{`{"devices":[` + strings.Replace(browser("https://push.example.com/a"), "_aSIgg", "_aSI", 1) + `]}`, 400, "subscription.keys.auth must be"},
		{`{"devices":` + list(21, browser("https://push.example.com/%d")) + `}`, 400, "more than the 20"},
		{`{"devices":["fcm"]}`, 400, "/devices/0 must be an object"},
		{`{"devices":[null]}`, 400, "provider must be"},
		{`{"devices":[{"provider":"fcm"}]}`, 400, "token must be"},
		{`{"devices":[{"provider":"apns","token":"x"}]}`, 400, "provider must be"},
		{`{"devices":[{"provider":"fcm","token":"a b"}]}`, 400, "token must be"},
		{`{"devices":[{"provider":"onesignal","token":"c1:APA91b"}]}`, 400, "a UUID such as"},
		{`{"devices":[{"provider":"fcm","token":"` + strings.Repeat("x", 4097) + `"}]}`, 400, "token must be"},
		{`{"devices":[{"provider":"fcm","token":"x","name":"phone"}]}`, 400, "/devices/0/name is not known"},
		{`{"devices":` + list(21, `{"provider":"fcm","token":"%d"}`) + `}`, 400, "more than the 20"},
		{`{"webhook":"https://example.com"}`, 400, "/webhook must be an object"},
		{`{"webhook":{}}`, 400, "url must be"},
		{`{"webhook":{"url":"https://example.com/","links":"yes"}}`, 400, "/webhook/links must be"},
		{`{"webhook":{"url":""}}`, 400, "url must be"},
		{`{"webhook":{"url":"example.com/hook"}}`, 400, "url must be"},
		{`{"webhook":{"url":"ftp://example.com/"}}`, 400, "url must be"},
		{`{"webhook":{"url":"javascript:alert(1)"}}`, 400, "url must be"},
		{`{"webhook":{"url":"https:///hook"}}`, 400, "url must be"},
		{`{"webhook":{"url":"https://example.com:99999/"}}`, 400, "url must be"},
		{`{"webhook":{"url":"https://exa mple.com/"}}`, 400, "url must be"},
		{`{"webhook":{"url":"http://example.com/"}}`, 400, "https://"},
		{`{"webhook":{"url":"https://127.0.0.1/"}}`, 400, "public Internet"},
		{`{"webhook":{"url":"https://kubernetes.default/"}}`, 400, "public Internet"},
		{`{"webhook":{"url":"https://example.com:9443/"}}`, 400, "port 443 or 8443"},
		{`{"webhook":{"url":"https://example.com/a\u202eb"}}`, 400, "contains U+202E RIGHT-TO-LEFT OVERRIDE"},
		{`{"webhook":{"url":"https://u:p@example.com/"}}`, 400, "user name"},
		{`{"webhook":{"url":"https://example.com/#part"}}`, 400, "fragment"},
		{`{"webhook":{"url":"https://example.com/#"}}`, 400, "fragment"},
		{`{"webhook":{"url":"https://example.com/` + strings.Repeat("x", 2000) + `"}}`, 400, "2000"},
		{`{"webhook":{"url":"https://example.com/","secret":""}}`, 400, "secret is empty"},
		{`{"webhook":{"url":"https://example.com/","secret":"hunter2"}}`, 400, "whsec_"},
		{`{"webhook":{"url":"https://example.com/","secret":7}}`, 400, "/webhook/secret must be a string"},
		{`{"webhook":{"secret":"` + secret + `"}}`, 400, "url must be"},
		{`{"emails":["` + strings.Repeat("x", 300_000) + `"]}`, 413, "larger"},
	}
	for _, tt := range tests {
		w.WantProblem(s.As("ada", "PUT", path, tt.body), tt.status, "invalid", tt.detail)
	}
	w.WantProblem(s.As("ada", "PUT", path, "time_zone=UTC", "Content-Type", "application/x-www-form-urlencoded"), 415, "invalid", "application/json")
	want(t, "nothing is stored", s.As("ada", "GET", path, nil), full, `"1"`)

	for _, good := range []string{
		`{"time_zone":"UTC","agenda":{"channel":"webhook","at":"00:00","days":null}}`, `{"agenda":null}`, `{"bundle":{"email":null,"push":"24h","sms":"1s"}}`, `{"bundle":{"email":"90m"}}`,
		`{"language":"zh-Hant-TW"}`, `{"language":"de-CH-1901"}`, `{"language":"zz"}`, `{"language":"x-klingon"}`,
		`{"emails":["ada+duebell@sub.example.co.uk"]}`, `{"emails":["ада@пример.рф"]}`, `{"phones":["+2902345"]}`,
		`{"emails":` + list(5, `"a%d@x.org"`) + `,"devices":` + list(20, `{"provider":"fcm","token":"`+strings.Repeat("x", 4000)+`%d"}`) + `}`,
	} {
		if a := s.As("ada", "PUT", path, good); a.Status != 200 {
			t.Errorf("%.80s: %d %s", good, a.Status, a.Body)
		}
	}
}

func TestOperatorMayAllowHosts(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "WEBHOOK_ALLOWED_HOSTS=127.0.0.1:9000")
	if a := s.As("ada", "PUT", path, `{"webhook":{"url":"http://127.0.0.1:9000/hook"}}`); a.Status != 200 {
		t.Errorf("%d %s", a.Status, a.Body)
	}
	w.WantProblem(s.As("ada", "PUT", path, `{"webhook":{"url":"http://127.0.0.1:9001/hook"}}`), 400, "invalid", "https://")
}

// Every body is refused with a reason, or is returned in a form that has the same meaning when it
// is put again.
func FuzzPreferences(f *testing.F) {
	for _, seed := range []string{`{}`, byDefault, full, `{"webhook":{"url":"https://example.com","secret":"` + secret + `"}}`, `{"channels":{"sms":true},"emails":["a@b.example","A@b.example"]}`} {
		f.Add([]byte(seed))
	}
	read := func(body []byte) (p preferences.Preferences, err error) {
		var in input
		if err := web.DecodeJSON(body, &in); err != nil {
			return p, err
		}
		p, err = in.preferences(preferences.Rules{})
		p.Channels = in.Channels.on(preferences.DefaultChannels(true))
		return p, err
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		p, err := read(body)
		if err != nil {
			if err.Error() == "" {
				t.Error("refused without a reason")
			}
			return
		}
		shown, err := json.Marshal(show(p, nil, never))
		if err != nil {
			t.Fatal(err)
		}
		if p.Webhook != nil && p.Webhook.Secret != "" && strings.Contains(string(shown), p.Webhook.Secret.Reveal()) {
			t.Errorf("the secret is shown: %s", shown)
		}
		again, err := read(shown)
		if err != nil {
			t.Fatalf("%s is refused: %v", shown, err)
		}
		if diff := cmp.Diff(show(p, nil, never), show(again, nil, never), cmp.AllowUnexported(address{})); diff != "" {
			t.Error(diff)
		}
	})
}

func never(string) *time.Time { return nil }
