package webpush

import (
	"bufio"
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/peers"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/notify/notifytest"
	"github.com/duebell/duebell/shared/subscription"
)

// service starts an independent push service, and returns its URL.
func service(t *testing.T) string {
	t.Helper()
	node := peers.Node(t, "push-service.mjs", "web-push-testing")
	out, err := node.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := node.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = node.Process.Kill()
		_ = node.Wait() // it was killed
	})
	lines := bufio.NewScanner(out)
	if !lines.Scan() {
		t.Fatal("web-push-testing did not start")
	}
	return lines.Text()
}

// ask posts JSON to the service, and decodes the data of the answer.
func ask(t *testing.T, url string, in, out any) {
	t.Helper()
	body, err := json.Marshal(in)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Post(url, "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		t.Fatalf("%s: %s", url, response.Status)
	}
	if out != nil {
		if err := json.NewDecoder(response.Body).Decode(&struct{ Data any }{out}); err != nil {
			t.Fatal(err)
		}
	}
}

// An independent push service accepts every message and decrypts it with the browser's keys. It
// says when a browser is gone or has subscribed with another key.
func TestPeerReads(t *testing.T) {
	base := service(t)
	public, private := newKey(t)
	var subscribed struct {
		subscription.Subscription
		ClientHash string
	}
	ask(t, base+"/subscribe", map[string]string{"userVisibleOnly": "true", "applicationServerKey": public}, &subscribed)
	to := &subscribed.Subscription
	if err := to.Check(); err != nil {
		t.Fatal(err)
	}
	patient := func(keys ...config.Secret) *Channel { // Node may be slow to begin
		c := open(t, allow(base), keys...)
		c.timeout = time.Minute
		return c
	}
	c := patient(private)
	var want []string
	for _, text := range notifytest.Texts {
		m := notify.Message{ID: uuid.Must(uuid.NewV7()), UserID: "ada", Title: text, Notes: strings.Repeat(text, 3), Subscription: to}
		if err := c.Send(t.Context(), m); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		want = append(want, string(payload(m)))
	}
	var got struct{ Messages []string }
	ask(t, base+"/get-notifications", map[string]string{"clientHash": subscribed.ClientHash}, &got)
	if !slices.Equal(got.Messages, want) {
		t.Errorf("it has read %q, want %q", got.Messages, want)
	}

	_, other := newKey(t)
	err := patient(other).Send(t.Context(), message(to))
	if kind, _ := notify.KindOf(err); kind != notify.Permanent || notify.IsGone(err) { // it says 400
		t.Errorf("signed with another key: %v", err)
	}
	if err := patient(other, private).Send(t.Context(), message(to)); err != nil {
		t.Errorf("signed with the old key, after the new one: %v", err)
	}
	ask(t, base+"/expire-subscription/"+subscribed.ClientHash, map[string]string{}, nil)
	if err := c.Send(t.Context(), message(to)); !notify.IsGone(err) {
		t.Errorf("the browser has gone: %v", err)
	}
}

// The code reads what an independent sender has encrypted, and the headers of both are alike.
func TestReadsPeer(t *testing.T) {
	public, private := newKey(t)
	b := newBrowser(t)
	m := message(b.subscription("https://push.example.com/send/abc"))
	var lines bytes.Buffer
	for _, text := range notifytest.Texts {
		line, err := json.Marshal(map[string]any{
			"subscription": m.Subscription, "payload": text, "topic": topic(m), "subject": subject, "publicKey": public, "privateKey": private.Reveal(),
		})
		if err != nil {
			t.Fatal(err)
		}
		lines.Write(append(line, '\n'))
	}
	node := peers.Node(t, "web-push.mjs", "web-push")
	node.Stdin = &lines
	out, err := node.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	ours, err := request(t.Context(), m, open(t, allow("https://x.org"), private).keys[0], subject, nil)
	if err != nil {
		t.Fatal(err)
	}
	printed := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(printed) != len(notifytest.Texts) {
		t.Fatalf("it has written %d messages", len(printed))
	}
	for i, line := range printed {
		var written struct {
			Headers map[string]any
			Body    string
		}
		if err := json.Unmarshal([]byte(line), &written); err != nil {
			t.Fatal(err)
		}
		body, err := base64.StdEncoding.DecodeString(written.Body)
		if err != nil {
			t.Fatal(err)
		}
		if text, err := subscription.Decrypt(body, b.key, b.auth); err != nil || string(text) != notifytest.Texts[i] {
			t.Errorf("%q, %v, want %q", text, err, notifytest.Texts[i])
		}
		for _, name := range []string{"Topic", "Urgency", "Content-Encoding", "Content-Type"} {
			if got := ours.Header.Get(name); got != written.Headers[name] {
				t.Errorf("%s: %q, and it has %q", name, got, written.Headers[name])
			}
		}
		scheme, _, _ := strings.Cut(written.Headers["Authorization"].(string), " ")
		if !strings.HasPrefix(ours.Header.Get("Authorization"), scheme+" t=") || !strings.HasSuffix(written.Headers["Authorization"].(string), "k="+public) {
			t.Errorf("authorization: %s, and it has %v", ours.Header.Get("Authorization"), written.Headers["Authorization"])
		}
	}
}
