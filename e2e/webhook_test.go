package e2e

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"
	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
)

// post is what a receiver got.
type post struct {
	header http.Header
	body   string
}

// receivers is the address of the tests' receivers: the only host on this machine, besides the
// sandbox, that the shared system's webhooks may go to.
var (
	receivers *httptest.Server
	paths     sync.Map // of http.HandlerFunc, by the path of a receiver
)

func serveReceivers() {
	receivers = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		receiver, ok := paths.Load(r.URL.Path)
		if !ok {
			http.NotFound(w, r)
			return
		}
		receiver.(http.HandlerFunc)(w, r)
	}))
}

// receive makes a webhook's receiver that answers with the statuses one after the other, and then
// with the last one.
func receive(t *testing.T, statuses ...int) (url string, posts func() []post) {
	var mu sync.Mutex
	var got []post
	path := "/" + uuid.NewString()
	paths.Store(path, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mu.Lock()
		defer mu.Unlock()
		w.WriteHeader(statuses[min(len(got), len(statuses)-1)])
		got = append(got, post{r.Header, string(body)})
	}))
	t.Cleanup(func() { paths.Delete(path) })
	return receivers.URL + path, func() []post {
		mu.Lock()
		defer mu.Unlock()
		return append([]post{}, got...)
	}
}

// A receiver that is away for a moment gets its post all the same, once, signed with both the new
// secret and the old one.
func TestWebhook(t *testing.T) {
	t.Parallel()
	const before, now = "whsec_C2FVsBQIhrscChlQIMV+b5sSYspob7oD", "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	p := newPerson(t, sys)
	url, posts := receive(t, 500, 200)
	for _, secret := range []string{before, now} {
		p.choose(map[string]any{"channels": map[string]any{"webhook": true, "email": false}, "webhook": map[string]any{"url": url, "secret": secret}})
	}
	created := p.create(time.Second)
	p.eventually(soon, "a second try", func() bool { return len(posts()) == 2 })
	p.quiet(3 * time.Second)
	got := posts()
	if len(got) != 2 || got[0].body != got[1].body || got[0].header.Get("Webhook-Id") != got[1].header.Get("Webhook-Id") {
		t.Fatalf("%d posts: %v", len(got), got)
	}
	var body map[string]string
	if err := json.Unmarshal([]byte(got[1].body), &body); err != nil {
		t.Fatal(err)
	}
	if body["event"] != "task_reminder" || body["task_id"] != created.ID.String() || body["user_id"] != p.name || body["task_title"] != created.Title || body["due_date"] == "" {
		t.Errorf("%v", body)
	}
	for _, secret := range []string{before, now} {
		key, err := standardwebhooks.NewWebhook(secret)
		if err != nil {
			t.Fatal(err)
		}
		if err := key.Verify([]byte(got[1].body), got[1].header); err != nil {
			t.Error(err)
		}
	}
	log := ask[map[string][]map[string]any](p, "GET", "/api/tasks/"+created.ID.String()+"/deliveries", nil)["deliveries"]
	last := log[len(log)-1]
	for _, d := range log {
		if d["channel"] == "webhook" {
			last = d
		}
	}
	if last["state"] != "sent" || last["provider"] != "webhook" || last["target"] != url || last["attempts"] != 2.0 || last["id"] != got[0].header.Get("Webhook-Id") {
		t.Errorf("%v", last)
	}
}

// The guard holds in a local system, too: an address on this machine that was not allowed can't be
// chosen, by any name.
func TestWebhookToThisMachine(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	elsewhere := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(elsewhere.Close)
	_, port, _ := strings.Cut(strings.TrimPrefix(elsewhere.URL, "http://"), ":")
	for _, url := range []string{elsewhere.URL, "https://127.0.0.1/", "http://localhost:" + port + "/", strings.Replace(receivers.URL, "127.0.0.1", "127.0.0.2", 1), "https://kubernetes.default/"} {
		status, body := p.call("PUT", "/api/preferences", map[string]any{"webhook": map[string]any{"url": url}})
		if status != http.StatusBadRequest || !strings.Contains(string(body), "webhook: url must") {
			t.Errorf("%s: %d %s", url, status, body)
		}
	}
}

// A webhook that answers 410 is switched off.
func TestWebhookGone(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	url, posts := receive(t, http.StatusGone)
	p.choose(map[string]any{"channels": map[string]any{"webhook": true, "email": false}, "webhook": map[string]any{"url": url}})
	p.create(time.Second)
	p.eventually(soon, "switched off", func() bool {
		_, body := p.call("GET", "/api/preferences", nil)
		return strings.Contains(string(body), `"webhook":false`)
	})
	p.create(time.Second)
	p.eventually(soon, "told in-app", func() bool { return len(p.inbox()) == 2 })
	p.quiet(time.Second)
	if n := len(posts()); n != 1 {
		t.Errorf("%d posts", n)
	}
}
