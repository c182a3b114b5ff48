package preferences_test

import (
	"net"
	neturl "net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/quiet"
	"github.com/duebell/duebell/shared/task"
)

func TestZone(t *testing.T) {
	for name, want := range map[string]string{
		"Europe/Paris": "Europe/Paris", "America/Argentina/Buenos_Aires": "America/Argentina/Buenos_Aires", "UTC": "UTC", "Etc/GMT+5": "Etc/GMT+5",
		"": "UTC", "Local": "UTC", "Mars/Olympus": "UTC", "../../etc/passwd": "UTC", "/etc/localtime": "UTC", "right/Europe/Paris": "UTC",
	} {
		if got := preferences.Zone(name).String(); got != want {
			t.Errorf("%q is %s", name, got)
		}
	}
}

// Whoever reads the mail is the same for all of these.
func TestMailbox(t *testing.T) {
	for _, same := range [][]string{
		{"ada@example.com", "Ada@Example.COM", "ada+x@example.com", "ADA+x+y@example.com"},
		{"ada.l@gmail.com", "a.d.a.l@gmail.com", "adal@googlemail.com", "AdaL+x@GMail.com"},
		{"ada@bücher.example", "ada@xn--bcher-kva.example", "ada+1@BÜCHER.example"},
	} {
		for _, address := range same[1:] {
			if got, want := preferences.Mailbox(address), preferences.Mailbox(same[0]); got != want {
				t.Errorf("%s is %s, and %s is %s", address, got, same[0], want)
			}
		}
	}
	different := []string{"ada@example.com", "ada.l@example.com", "adal@example.com", "ada@example.org", "+x@example.com", "+y@example.com", "+15551234567", "+15551234568"}
	seen := map[string]string{}
	for _, address := range different {
		mailbox := preferences.Mailbox(address)
		if other, ok := seen[mailbox]; ok {
			t.Errorf("%s and %s are both %s", address, other, mailbox)
		}
		seen[mailbox] = address
	}
}

func TestDrop(t *testing.T) {
	chosen := func() preferences.Preferences {
		return preferences.Preferences{
			Channels: []task.Channel{task.Push, task.SMS, task.Webhook}, Phones: []string{"+15551234567"},
			Devices: []preferences.Device{{Provider: "fcm", Token: "a:b"}, {Provider: "onesignal", Token: "a:b"}}, Webhook: &preferences.Webhook{URL: "https://x.org"},
		}
	}
	for name, tt := range map[string]struct {
		channel task.Channel
		target  string
		change  func(*preferences.Preferences) // nil: none
	}{
		"a device":            {task.Push, "fcm:a:b", func(p *preferences.Preferences) { p.Devices = p.Devices[1:] }},
		"no device of theirs": {task.Push, "fcm:c", nil},
		"the webhook": {task.Webhook, "https://x.org", func(p *preferences.Preferences) {
			p.Channels, p.Webhook = p.Channels[:2], &preferences.Webhook{URL: "https://x.org", Gone: true}
		}},
		"the webhook before": {task.Webhook, "https://y.org", nil},
		"a number":           {task.SMS, "+15551234567", nil},
	} {
		p, want, given := chosen(), chosen(), chosen()
		before := p
		if tt.change != nil {
			tt.change(&want)
		}
		if got := p.Drop(tt.channel, tt.target); got != (tt.change != nil) {
			t.Errorf("%s: changed %v", name, got)
		}
		if diff := cmp.Diff(want, p, cmp.AllowUnexported(quiet.Hours{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
		if diff := cmp.Diff(given, before, cmp.AllowUnexported(quiet.Hours{})); diff != "" {
			t.Errorf("%s changes what others hold:\n%s", name, diff)
		}
		if p.Drop(tt.channel, tt.target) {
			t.Errorf("%s: changed again", name)
		}
	}
}

// What only the user's own switching undoes outlasts their other changes.
func TestFollow(t *testing.T) {
	const url = "https://x.org"
	earlier := preferences.Preferences{Unsubscribed: true, Webhook: &preferences.Webhook{URL: url, Gone: true}, Version: 7}
	for name, tt := range map[string]struct {
		channels           []task.Channel
		url                string
		unsubscribed, gone bool
	}{
		"neither is on":  {[]task.Channel{task.InApp}, url, true, true},
		"e-mail is on":   {[]task.Channel{task.Email}, url, false, true},
		"webhook is on":  {[]task.Channel{task.Webhook}, url, true, false},
		"another URL":    {nil, url + "/", true, false},
		"both are on":    {[]task.Channel{task.Email, task.Webhook}, url, false, false},
		"nothing is set": {nil, url, true, true},
	} {
		p := preferences.Preferences{Channels: tt.channels, Webhook: &preferences.Webhook{URL: tt.url}}
		p.Follow(earlier)
		if p.Unsubscribed != tt.unsubscribed || p.Webhook.Gone != tt.gone || p.Version != 8 {
			t.Errorf("%s: %+v, %+v", name, p, p.Webhook)
		}
	}
	var without preferences.Preferences
	without.Follow(earlier)
	earlier.Webhook = nil
	with := preferences.Preferences{Webhook: &preferences.Webhook{URL: url}}
	with.Follow(earlier)
	if with.Webhook.Gone || without.Webhook != nil {
		t.Errorf("%+v, %+v", with, without)
	}
}

const subscription = "1dd608f2-c6a1-11e3-851d-000c2940e62c"

func TestListsAreWithoutRepetition(t *testing.T) {
	p := preferences.Default(true)
	p.Emails = []string{"a@x.org", "A@X.org", "b@x.org", "a@x.org", "ada@bücher.example", "ada@xn--bcher-kva.example", "ADA@BÜCHER.example"}
	p.Phones = slices.Repeat([]string{"+15551234567"}, 50)
	p.Devices = []preferences.Device{{Provider: "fcm", Token: subscription}, {Provider: "onesignal", Token: subscription}, {Provider: "fcm", Token: subscription}}
	if err := p.Validate(preferences.Rules{}); err != nil {
		t.Fatal(err)
	}
	want := preferences.Default(true)
	want.Emails, want.Phones = []string{"a@x.org", "b@x.org", "ada@bücher.example"}, []string{"+15551234567"}
	want.Devices = []preferences.Device{{Provider: "fcm", Token: subscription}, {Provider: "onesignal", Token: subscription}}
	if diff := cmp.Diff(want, p, cmp.AllowUnexported(quiet.Hours{})); diff != "" {
		t.Error(diff)
	}
}

// What is no address, or one that no mail server takes, is refused when it is set, by
// what is wrong with it; others are sent to with the domain as DNS has it.
func TestAddresses(t *testing.T) {
	long := strings.Repeat("a", 63)
	for address, want := range map[string]string{ // what goes out, or a part of the error
		"ada@example.com": "ada@example.com", "ada+x@Example.COM": "ada+x@example.com", "o'neil@a-b.example": "o'neil@a-b.example",
		"ada@bücher.example": "ada@xn--bcher-kva.example", "ada@BÜCHER.example": "ada@xn--bcher-kva.example", "ada@bu\u0308cher.example": "ada@xn--bcher-kva.example",
		"ada@xn--bcher-kva.example": "ada@xn--bcher-kva.example", "ada@日本。例": "ada@xn--wgv71a.xn--fsq", "ada@straße.example": "ada@xn--strae-oqa.example",
		long + "a@example.com": long + "a@example.com", long + "aa@example.com": "64 bytes", strings.Repeat("ä", 33) + "@example.com": "64 bytes",
		long + "@" + strings.Repeat(long+".", 3) + "com": "254 bytes", "a@" + strings.Repeat(long+".", 4) + "com": "no domain name", "a@" + long + "a.com": "no domain name",
		"ada@exam\u200bple.com": "contains U+200B ZERO WIDTH SPACE", "ada\u00ad@example.com": "contains U+00AD SOFT HYPHEN",
		"ada@example.com\u202e": "contains U+202E RIGHT-TO-LEFT OVERRIDE", "\ufeffada@example.com": "contains U+FEFF", "ada\u2060@example.com": "contains U+2060 WORD JOINER",
		"a\u200dda@example.com": "contains U+200D", "ada\u3164@example.com": "contains U+3164", "a da@example.com": "not an e-mail", "ada@example.com\n": "contains U+000A LINE FEED",
		"ada@localhost": "no domain name", "root@mail": "no domain name", "ada@example": "no domain name", "ada@127.0.0.1": "no domain name", "ada@[127.0.0.1]": "", "ada@[IPv6:::1]": "", "ada@0x7f000001": "no domain name", "ada@2130706433": "no domain name", "ada@１２７.0.0.1": "no domain name",
		"ada@-a.com": "no domain name", "ada@a-.com": "no domain name", "ada@a..com": "no", "ada@a.com.": "no", "ada@a_b.com": "no domain name", "ada@ab--c.com": "no domain name",
		"ada@xn--a.com": "no domain name", "ada@a.com/b": "no domain name", "ada@a%00.com": "no domain name", "ada@": "not an e-mail", "@example.com": "not an e-mail", "ada": "not an e-mail", "": "not an e-mail",
		"Ada <ada@example.com>": "not an e-mail", "<ada@example.com>": "not an e-mail", "\"ada\"@example.com": "not an e-mail", "ada@example.com,b@example.com": "not an e-mail", "a@b@c.com": "not an e-mail",
	} {
		p := preferences.Default(false)
		p.Emails = []string{address}
		refused := p.Validate(preferences.Rules{})
		got, err := preferences.ASCIIAddress(address)
		if (err == nil) != (refused == nil) {
			t.Errorf("%q: sent to with %v, set with %v", address, err, refused)
		}
		if err != nil {
			got = refused.Error()
		}
		if good := strings.Contains(want, "@"); good != (err == nil) || good && got != want || !strings.Contains(got, want) {
			t.Errorf("%q is %q, want %q", address, got, want)
		}
	}
}

func TestDevices(t *testing.T) {
	for token, good := range map[string]bool{
		subscription: true, strings.ToUpper(subscription): true, "": false, "0198": false, "c1:APA91b": false, subscription[1:]: false, "{" + subscription + "}": false,
		"urn:uuid:" + subscription: false, strings.ReplaceAll(subscription, "-", ""): false, subscription + "\n": false,
	} {
		p := preferences.Default(false)
		p.Devices = []preferences.Device{{Provider: "onesignal", Token: token}}
		if err := p.Validate(preferences.Rules{}); (err == nil) != good {
			t.Errorf("%q: %v", token, err)
		}
	}
}

func TestInsecureWebhooks(t *testing.T) {
	for url, private := range map[string]bool{
		"https://example.com/hook?x=y": false, "https://93.184.215.14:8443/": false, "https://[2606:2800:21f:cb07:6820:80da:af6b:8b2c]/": false,
		"http://example.com/": true, "https://127.0.0.1/": true, "https://10.1.2.3/": true, "https://192.168.0.1:444/": true, "https://[::1]/": true,
		"https://[::ffff:10.0.0.1]/": true, "https://169.254.169.254/latest": true, "https://[fe80::1]/": true, "https://[fd00::1]/": true,
		"https://0.0.0.0/": true, "https://LOCALHOST/": true, "https://localhost./": true, "https://a.localhost/": true,
	} {
		p := preferences.Default(false)
		p.Webhook = &preferences.Webhook{URL: url}
		if err := p.Validate(preferences.Rules{}); (err != nil) != private {
			t.Errorf("%s: %v", url, err)
		}
		u, err := neturl.Parse(url)
		if err != nil {
			t.Fatal(err)
		}
		port := u.Port()
		if port == "" {
			port = map[string]string{"http": "80", "https": "443"}[u.Scheme]
		}
		if err := p.Validate(preferences.Rules{AllowedHosts: []string{"x.org:1", strings.ToLower(net.JoinHostPort(u.Hostname(), port))}}); err != nil {
			t.Errorf("%s, allowed: %v", url, err)
		}
		if err := p.Validate(preferences.Rules{AllowedHosts: []string{net.JoinHostPort(u.Hostname(), "1"), "x.org:" + port}}); (err != nil) != private {
			t.Errorf("%s, with others allowed: %v", url, err)
		}
	}
}

// Names that only the search domains of the network here could complete are none of the
// Internet, however they are written; nor are the ports of other services.
func TestWebhookHosts(t *testing.T) {
	for url, good := range map[string]bool{
		"https://kubernetes.default/": false, "https://kubernetes.default./": false, "https://KUBERNETES.Default/": false, "https://kubernetes。default/": false,
		"https://postgres/": false, "https://postgres./": false, "https://create-task.duebell/": false, "https://a.b.c.default/": false, "https://kubernetes.default.svc/": false,
		"https://kubernetes.default.svc.cluster.local/": false, "https://metadata.google.internal/": false, "https://com/": false, "https://example.com../": false,
		"https://example.com/": true, "https://example.com./": true, "https://me.github.io/": true, "https://bücher.de/": true, "https://hook.dev/": true, "https://a.co.uk/": true,
		"https://example.com:443/": true, "https://example.com:8443/": true, "https://example.com:80/": false, "https://example.com:5432/": false, "https://example.com:6443/": false,
		"https://example.com:10250/": false, "https://example.com:0443/": false,
		"https://exam\u200bple.com/": false, "https://example.com/\u202egpj": false, "https://example.com/\u00ad": false,
	} {
		if err := (preferences.Rules{}).CheckWebhook(url); (err == nil) != good {
			t.Errorf("%s: %v", url, err)
		}
	}
	for list, good := range map[string]bool{"127.0.0.1:9000": true, "[::1]:1": true, "a.b:443": true, "127.0.0.1": false, ":80": false, "a:": false, "a:0": false, "a:65536": false, "http://a:80": false} {
		if err := (preferences.Rules{AllowedHosts: []string{list}}).Validate(); (err == nil) != good {
			t.Errorf("%s: %v", list, err)
		}
	}
}

func TestWebhookSecret(t *testing.T) {
	for secret, good := range map[string]bool{
		"": true, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw": true, "whsec_" + strings.Repeat("A", 84): true,
		"hunter2-hunter2-hunter2-hunter2": false, "whsec_": false, "whsec_hunter2": false, "whsec_" + strings.Repeat("A", 31): false,
		"whsec_" + strings.Repeat("A", 88): false, "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaS!": false, "whsec_MfKQ9r8GKYqr\nTwjUPD8ILPZIo2LaLaSw": false,
	} {
		p := preferences.Default(false)
		p.Webhook = &preferences.Webhook{URL: "https://example.com/", Secret: config.Secret(secret)}
		err := p.Validate(preferences.Rules{})
		if (err == nil) != good {
			t.Errorf("%q: %v", secret, err)
		}
		if err != nil && len(secret) > 6 && strings.Contains(err.Error(), secret) {
			t.Errorf("the error tells it: %v", err)
		}
	}
}

// The ways to write an address that is none of the public Internet that have got past
// somebody's checks before, one a line; package webhook connects to them.
func TestNotPublic(t *testing.T) {
	list, err := os.ReadFile("testdata/not-public.txt")
	if err != nil {
		t.Fatal(err)
	}
	forms := strings.Split(strings.TrimSuffix(string(list), "\n"), "\n")
	if len(forms) < 200 {
		t.Fatalf("%d forms", len(forms))
	}
	for _, url := range append(forms, "https://[::ffff:8.8.8.8]/", "https://[2606:4700:4700::1111%25eth0]/") { // nobody writes a public one so
		p := preferences.Default(false)
		p.Webhook = &preferences.Webhook{URL: url}
		if err := p.Validate(preferences.Rules{}); err == nil {
			t.Errorf("%s is taken", url)
		}
	}
	for _, url := range []string{
		"https://example.com", "https://example.com./", "https://example.com:443/", "https://example.com:8443/", "https://a.b-c.example.co.uk/x?y=z", "https://bücher.de/",
		"https://xn--bcher-kva.de/", "https://1e100.net/", "https://0x7f.example.com/", "https://1.2.3.4.example.com/", "https://my_hook.example.com/", "https://EXAMPLE.com/",
		"https://93.184.215.14/", "https://8.8.8.8:443/", "https://[2606:4700:4700::1111]/", "https://[2a00:1450:4001::200e]:8443/", "https://mylocalhost.com/", "https://internal.example.com/",
	} {
		if err := (preferences.Rules{}).CheckWebhook(url); err != nil {
			t.Errorf("%s: %v", url, err)
		}
	}
}
