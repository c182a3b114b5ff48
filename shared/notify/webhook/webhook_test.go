package webhook

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"golang.org/x/net/dns/dnsmessage"

	"github.com/duebell/duebell/local/peers"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/guard"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/preferences"
)

const (
	secret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	oldSecret = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD"
)

// allow returns rules that allow the URL's host only.
func allow(url string) preferences.Rules {
	_, host, _ := strings.Cut(url, "://")
	host, _, _ = strings.Cut(host, "/")
	return preferences.Rules{AllowedHosts: []string{host}}
}

func message(url string, secrets ...config.Secret) notify.Message {
	due := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	return notify.Message{
		ID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000001"), TaskID: uuid.MustParse("0197a3c2-7f00-7000-8000-000000000002"),
		UserID: "ada", To: url, Title: "Pay <rent> & \"more\" 😀", Notes: "not for others", DueDate: &due, Secrets: secrets,
	}
}

// receiver keeps the latest post.
type receiver struct {
	*httptest.Server
	header http.Header
	body   []byte
	answer int
}

func receive(t *testing.T) *receiver {
	r := &receiver{answer: http.StatusNoContent}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.header = req.Header
		r.body, _ = io.ReadAll(req.Body)
		w.WriteHeader(r.answer)
	}))
	t.Cleanup(r.Close)
	return r
}

func TestSend(t *testing.T) {
	r := receive(t)
	if err := New(allow(r.URL)).Send(t.Context(), message(r.URL+"/hook?a=b", secret, oldSecret)); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(r.body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{
		"event": "task_reminder", "task_id": "0197a3c2-7f00-7000-8000-000000000002", "task_title": "Pay <rent> & \"more\" 😀",
		"due_date": "2026-11-23T14:30:00Z", "user_id": "ada",
	}, got); diff != "" {
		t.Error(diff)
	}
	if r.header.Get("Content-Type") != "application/json" || r.header.Get("Webhook-Id") != "0197a3c2-7f00-7000-8000-000000000001" {
		t.Errorf("header %v", r.header)
	}
	for _, s := range []string{secret, oldSecret} {
		key, err := standardwebhooks.NewWebhook(s)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Verify(r.body, r.header); err != nil {
			t.Errorf("%s: %v", s, err)
		}
		if err := key.Verify(append(r.body, ' '), r.header); err == nil {
			t.Errorf("%s: verifies another body", s)
		}
	}

	linked := message(r.URL)
	linked.Links = notify.Links{Done: "https://api.example.com/m/D", Snooze: "https://api.example.com/m/S", Acknowledge: "https://api.example.com/m/A", Any: "https://api.example.com/m/any"}
	var links struct{ Links map[string]string }
	if err := New(allow(r.URL)).Send(t.Context(), linked); err != nil || json.Unmarshal(r.body, &links) != nil {
		t.Fatalf("%v %s", err, r.body)
	}
	if diff := cmp.Diff(map[string]string{"done": linked.Links.Done, "snooze": linked.Links.Snooze, "acknowledge": linked.Links.Acknowledge}, links.Links); diff != "" {
		t.Error(diff)
	}
	if err := New(allow(r.URL)).Send(t.Context(), message(r.URL)); err != nil || r.header["Webhook-Signature"] != nil || r.header.Get("Webhook-Id") == "" {
		t.Errorf("without a secret: %v, %v", r.header, err)
	}
	unusable := New(allow(r.URL)).Send(t.Context(), message(r.URL, "whsec_???"))
	if kind, _ := notify.KindOf(unusable); kind != notify.Permanent || strings.Contains(unusable.Error(), "???") {
		t.Errorf("a secret that can't be used: %v", unusable)
	}
}

// The post of an agenda has the event "agenda".
func TestSendAgenda(t *testing.T) {
	r := receive(t)
	m := message(r.URL, secret)
	due := *m.DueDate
	m = m.Tells(notify.Agenda{Day: "2026-11-23", Today: 1, Overdue: 3, Tasks: []notify.Bundled{{TaskID: m.TaskID, Title: "a"}, {TaskID: m.TaskID, Title: "b", Overdue: true}}})
	for i := range m.Agenda.Tasks {
		m.Agenda.Tasks[i].DueDate = &due
	}
	if err := New(allow(r.URL)).Send(t.Context(), m); err != nil {
		t.Fatal(err)
	}
	const want = `{"event":"agenda","user_id":"ada","day":"2026-11-23","due_today":1,"overdue":3,"tasks":[` +
		`{"task_id":"0197a3c2-7f00-7000-8000-000000000002","task_title":"a","due_date":"2026-11-23T14:30:00Z","overdue":false},` +
		`{"task_id":"0197a3c2-7f00-7000-8000-000000000002","task_title":"b","due_date":"2026-11-23T14:30:00Z","overdue":true}]}`
	if string(r.body) != want || r.header.Get("Webhook-Signature") == "" {
		t.Errorf("%s, %v", r.body, r.header)
	}
}

// A test message can't be mistaken for a reminder.
func TestSendTest(t *testing.T) {
	r := receive(t)
	m := message(r.URL)
	m.TaskID = uuid.Nil
	if err := New(allow(r.URL)).Send(t.Context(), m.AsTest()); err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(r.body, &got); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]any{"event": "test", "task_id": "", "task_title": "Test message", "due_date": nil, "user_id": "ada"}, got); diff != "" {
		t.Error(diff)
	}
}

// The npm package of Standard Webhooks, an independent implementation, verifies the signatures.
func TestPeerVerifies(t *testing.T) {
	r := receive(t)
	verify := func(secret string, secrets ...config.Secret) bool {
		t.Helper()
		if err := New(allow(r.URL)).Send(t.Context(), message(r.URL, secrets...)); err != nil {
			t.Fatal(err)
		}
		header := map[string]string{}
		for _, name := range []string{"webhook-id", "webhook-timestamp", "webhook-signature"} {
			header[name] = r.header.Get(name)
		}
		post, err := json.Marshal(map[string]any{"secret": secret, "headers": header, "body": string(r.body)})
		if err != nil {
			t.Fatal(err)
		}
		node := peers.Node(t, "verify-webhook.mjs", "standardwebhooks")
		node.Stdin = strings.NewReader(string(post))
		out, err := node.Output()
		answer := strings.TrimSpace(string(out))
		if err != nil || (answer != "verified" && !strings.HasPrefix(answer, "refused: ")) {
			t.Fatalf("%v\n%s", err, out)
		}
		return answer == "verified"
	}
	for what, got := range map[string]bool{
		"with the secret":                    verify(secret, secret),
		"with the new one":                   verify(secret, secret, oldSecret),
		"with the old one":                   verify(oldSecret, secret, oldSecret),
		"with another one, which is refused": !verify(oldSecret, secret),
		"without one, which is refused":      !verify(secret),
	} {
		if !got {
			t.Errorf("%s: not so", what)
		}
	}
}

func TestGone(t *testing.T) {
	r := receive(t)
	for status, gone := range map[int]bool{410: true, 404: false, 400: false, 500: false} {
		r.answer = status
		err := New(allow(r.URL)).Send(t.Context(), message(r.URL))
		if notify.IsGone(err) != gone {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// fixed posts to one URL.
type fixed struct {
	*Channel
	url string
}

func (f fixed) Send(ctx context.Context, m notify.Message) error {
	m.To, m.Secrets = f.url, []config.Secret{secret, oldSecret}
	return f.Channel.Send(ctx, m)
}

func TestConformance(t *testing.T) {
	notifytest.Run(t, notifytest.Provider{
		Open:    func(_ *testing.T, url string) notifytest.Channel { return fixed{New(allow(url)), url} },
		Secrets: []string{secret, oldSecret, strings.TrimPrefix(secret, "whsec_")},
		Accept:  func(w http.ResponseWriter) { w.WriteHeader(http.StatusNoContent) },
		Shown: func(r *http.Request, body []byte) (string, error) {
			var e event
			if err := json.Unmarshal(body, &e); err != nil {
				return "", err
			}
			key, err := standardwebhooks.NewWebhook(secret)
			if err != nil {
				return "", err
			}
			return notify.Message{Title: e.TaskTitle}.Headline(), key.Verify(body, r.Header)
		},
	})
}

// TestMain sets a proxy in the environment, which Go reads once. Webhooks must not use it.
func TestMain(m *testing.M) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		proxied.Add(1)
		w.WriteHeader(http.StatusBadGateway)
	}))
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"} {
		if err := os.Setenv(name, proxy.URL); err != nil {
			panic(err)
		}
	}
	code := m.Run()
	proxy.Close()
	os.Exit(code)
}

var proxied atomic.Int32

// A proxy is not used: it could connect to hosts that the guard forbids.
func TestNoProxy(t *testing.T) {
	names := newNames(t, func(string, int) []string { return []string{"127.0.0.1"} })
	channel := names.channel(preferences.Rules{})
	proxied.Store(0)
	_ = channel.Send(t.Context(), message("https://hook.example.com/"))
	_ = names.channel(allow("http://hook.example.com:1")).Send(t.Context(), message("http://hook.example.com:1/"))
	if n := proxied.Load(); n != 0 {
		t.Errorf("%d requests went to the proxy", n)
	}
	if resp, err := notify.NewClient().Get("http://hook.example.com/"); err != nil || proxied.Load() != 1 {
		t.Errorf("the proxy of this test is none: %v", err)
	} else {
		resp.Body.Close()
	}
}

// names is a DNS server that answers as the test says.
type names struct {
	resolver *net.Resolver
	answer   func(name string, n int) []string
}

// newNames starts a server. answer gets a name, and how often it was asked for.
func newNames(t *testing.T, answer func(name string, n int) []string) *names {
	t.Helper()
	c, err := net.ListenPacket("udp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	s := &names{answer: answer, resolver: &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, "udp", c.LocalAddr().String())
	}}}
	go s.serve(c)
	return s
}

func (s *names) serve(c net.PacketConn) {
	asked := map[string]int{}
	buffer := make([]byte, 4096)
	for {
		n, from, err := c.ReadFrom(buffer)
		if err != nil {
			return
		}
		var m dnsmessage.Message
		if m.Unpack(buffer[:n]) != nil || len(m.Questions) != 1 {
			continue
		}
		q := m.Questions[0]
		if q.Type == dnsmessage.TypeA {
			asked[q.Name.String()]++
		}
		m.Response, m.Authoritative, m.Additionals = true, true, nil
		for _, address := range s.answer(strings.TrimSuffix(q.Name.String(), "."), max(asked[q.Name.String()], 1)) {
			ip := netip.MustParseAddr(address)
			header := dnsmessage.ResourceHeader{Name: q.Name, Type: q.Type, Class: q.Class} // TTL 0
			switch {
			case ip.Is4() && q.Type == dnsmessage.TypeA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AResource{A: ip.As4()}})
			case ip.Is6() && q.Type == dnsmessage.TypeAAAA:
				m.Answers = append(m.Answers, dnsmessage.Resource{Header: header, Body: &dnsmessage.AAAAResource{AAAA: ip.As16()}})
			}
		}
		packed, err := m.Pack()
		if err != nil {
			continue
		}
		_, _ = c.WriteTo(packed, from)
	}
}

// channel returns the real channel with this DNS server.
func (s *names) channel(rules preferences.Rules) *Channel { return open(rules, s.resolver) }

// When the channel connects, it refuses every spelling of a private address, whatever the resolver
// takes it for, even if the check of the URL had missed it.
func TestNothingConnectsToWhatIsNotPublic(t *testing.T) {
	list, err := os.ReadFile("../../preferences/testdata/not-public.txt")
	if err != nil {
		t.Fatal(err)
	}
	names := newNames(t, func(string, int) []string {
		return []string{"127.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1", "fd00:ec2::254"}
	})
	client := names.channel(preferences.Rules{}).client
	refused := 0
	for _, form := range append(strings.Split(strings.TrimSuffix(string(list), "\n"), "\n"), "https://kubernetes.default/", "https://rebind.example.com/", "https://127.0.0.1.nip.io/") {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, form, nil)
		if err != nil {
			continue // not even a URL
		}
		resp, err := client.Do(req)
		if err == nil {
			resp.Body.Close()
			t.Errorf("%s was connected to", form)
		}
		if _, tried := errors.AsType[*os.SyscallError](err); tried {
			t.Errorf("%s: a connection was tried: %v", form, err)
		}
		if errors.Is(err, preferences.ErrNotPublic) {
			refused++
		}
	}
	if refused < 200 {
		t.Errorf("only %d were refused when they were to be connected to", refused)
	}
}

// A name had a public address when it was checked, and has this machine's address now.
func TestRebinding(t *testing.T) {
	var connections atomic.Int32
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		for {
			c, err := listener.Accept()
			if err != nil {
				return
			}
			connections.Add(1)
			c.Close()
		}
	}()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	const public = "192.0.2.1" // no one is there, and it is not public either: nothing of this test leaves the machine
	for what, answer := range map[string]func(string, int) []string{
		"from the second question on": func(_ string, n int) []string {
			if n == 1 {
				return []string{public}
			}
			return []string{"127.0.0.1"}
		},
		"beside a public one": func(string, int) []string { return []string{public, "127.0.0.1", "::1", "::ffff:127.0.0.1"} },
		"alone":               func(string, int) []string { return []string{"127.0.0.1"} },
	} {
		names := newNames(t, answer)
		// The URL skips the check for preferences, as webhooks may not use the test's port.
		channel := names.channel(preferences.Rules{})
		for range 3 {
			req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://rebind.example.com:"+port+"/", nil)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := channel.client.Do(req)
			if err == nil {
				resp.Body.Close()
			}
			if !errors.Is(err, preferences.ErrNotPublic) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if n := connections.Load(); n != 0 {
			t.Errorf("%s: %d connections", what, n)
		}
	}
	names := newNames(t, func(string, int) []string { return []string{"127.0.0.1"} })
	url := "http://rebind.example.com:" + port + "/"
	if _ = names.channel(allow(url)).Send(t.Context(), message(url)); connections.Load() == 0 {
		t.Error("where it is allowed there was no connection either: this test shows nothing")
	}
}

// A name is looked up as an absolute name, and never in the resolver's search domains, which lead
// to services in a cluster. The user gets the same error for a private address and for a name
// without any.
func TestNamesAreAbsolute(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	names := newNames(t, func(name string, _ int) []string {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, name)
		if name == "private.example.com" {
			return []string{"10.0.0.1"}
		}
		return nil
	})
	channel := names.channel(preferences.Rules{})
	errs := map[string]bool{}
	for _, host := range []string{"private.example.com", "private.example.com.", "nowhere.example.com", "web.dev", "a.b.c.d.e.example.com", "127.0.0.1.nip.io"} {
		err := channel.Send(t.Context(), message("https://"+host+"/"))
		errs[fmt.Sprint(err)] = true
		if kind, after := notify.KindOf(err); kind != notify.Retry || after != 0 {
			t.Errorf("%s: %v", host, err)
		}
	}
	if len(errs) != 1 {
		t.Errorf("users can tell them apart: %v", errs)
	}
	// This machine may have no search domains, so the dialled name is checked, too.
	if _, err := guard.Dial(preferences.Rules{}, names.resolver)(t.Context(), "tcp", "web.dev:443"); !strings.Contains(fmt.Sprint(err), "lookup web.dev.") {
		t.Errorf("%v", err)
	}
	mu.Lock()
	defer mu.Unlock()
	for _, name := range asked {
		if !slices.Contains([]string{"private.example.com", "nowhere.example.com", "web.dev", "a.b.c.d.e.example.com", "127.0.0.1.nip.io"}, name) {
			t.Errorf("%s was looked up", name)
		}
	}
	if len(asked) == 0 {
		t.Error("nothing was looked up: this test shows nothing")
	}
}

// A URL that may not be chosen today is not posted to: the rules may have changed since it was
// stored.
func TestForbiddenURL(t *testing.T) {
	for _, to := range []string{"http://example.com/", "https://127.0.0.1/", "https://example.com:25/", "ftp://example.com/", ""} {
		err := New(preferences.Rules{}).Send(t.Context(), message(to))
		if kind, _ := notify.KindOf(err); kind != notify.Permanent {
			t.Errorf("%s: %v", to, err)
		}
	}
}
