package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

// asFunction, in the environment of this program, makes it the function itself.
const asFunction = "SEND_TEST_AS_FUNCTION"

func TestMain(m *testing.M) {
	if os.Getenv(asFunction) != "" {
		function.Run("send", New)
	}
	storetest.Main(m)
}

// provider stands in for SendGrid. It holds each send until the test releases it, and counts the
// sends.
type provider struct {
	url   string
	hold  chan struct{} // closed: nobody waits
	began atomic.Int32
	ended atomic.Int32
}

func newProvider(t *testing.T) *provider {
	t.Helper()
	p := &provider{hold: make(chan struct{})}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		p.began.Add(1)
		<-p.hold
		p.ended.Add(1)
		w.WriteHeader(http.StatusAccepted)
	}))
	p.url = server.URL
	t.Cleanup(server.Close)
	return p
}

func (p *provider) letGo() { close(p.hold) }

// settings returns the function's settings with this provider. The function does not wait for
// deliveries that are due soon.
func (p *provider) settings() []string {
	return []string{"SENDGRID_API_KEY=SG.secret", "SENDGRID_URL=" + p.url, "EMAIL_FROM=Duebell <reminders@duebell.example>", "SEND_LINGER=0s"}
}

// plan fires a reminder of a user. It plans an e-mail, or what the user's preferences say.
func plan(w *functiontest.World, user string) task.Task {
	w.Helper()
	due := task.Instant(time.Now().Add(-time.Second))
	t := w.Seed(user, task.Draft{Title: "Pay rent", DueDate: &due, Before: task.DefaultBefore()})
	firer := fire.New(w.Store, fire.Channels{task.Email: {"sendgrid"}, task.Webhook: {"webhook"}}, suppress.Keys{}, schedule.NewMover(w.Store, time.Now, schedule.MoveRules{PastGrace: 24 * time.Hour}), func() {}, time.Now)
	if outcome, err := firer.FireTask(w.Context(), user, t.ID); err != nil || outcome.Status != fire.Success {
		w.Fatalf("%+v, %v", outcome, err)
	}
	return t
}

// states returns the states of ada's e-mails.
func states(w *functiontest.World, t task.Task) (all []store.DeliveryState) {
	w.Helper()
	deliveries, err := w.Store.ListDeliveries(w.Context(), "ada", t.ID)
	if err != nil {
		w.Fatal(err)
	}
	for _, d := range deliveries {
		if d.Channel == task.Email {
			all = append(all, d.State)
		}
	}
	return all
}

func sent(w *functiontest.World, t task.Task) bool {
	w.Helper()
	all := states(w, t)
	return len(all) == 1 && all[0] == store.Sent
}

// answer is an answer whose beginning has arrived.
type answer struct {
	t    testing.TB
	body io.ReadCloser
}

// wake calls the function, and returns when its answer has begun.
func wake(t testing.TB, url string) answer {
	t.Helper()
	client := &http.Client{Transport: &http.Transport{}, Timeout: time.Minute}
	t.Cleanup(client.CloseIdleConnections)
	resp, err := client.Post(url, "application/json", strings.NewReader("what it says is nobody's concern"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = resp.Body.Close() })
	if resp.StatusCode != http.StatusOK || resp.Header.Get("Content-Type") != "application/json" {
		t.Fatalf("%d %v", resp.StatusCode, resp.Header)
	}
	return answer{t, resp.Body}
}

// end waits for the end of the answer.
func (a answer) end() {
	a.t.Helper()
	if text, err := io.ReadAll(a.body); err != nil || string(text) != "{}\n" {
		a.t.Errorf("the answer is %q, %v", text, err)
	}
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("not after a minute: %s", what)
		}
	}
}

// The answer begins before the provider has answered, and ends when the work is done. A second
// answer ends at once.
func TestSends(t *testing.T) {
	w, p := functiontest.New(t), newProvider(t)
	s := functiontest.Serve(w, New, p.settings()...)
	first := plan(w, "ada")
	held := wake(t, s.URL())
	eventually(t, "a send", func() bool { return p.began.Load() == 1 })

	second := plan(w, "ada")
	wake(t, s.URL()).end()
	eventually(t, "a second send", func() bool { return p.began.Load() == 2 })
	if p.ended.Load() != 0 {
		t.Fatal("the provider has answered: the test shows nothing")
	}
	p.letGo()
	held.end()
	if !sent(w, first) || !sent(w, second) || p.ended.Load() != 2 {
		t.Errorf("the answer has ended, with %v and %v, by %d sends", states(w, first), states(w, second), p.ended.Load())
	}

	third := plan(w, "ada") // the next answer is held like the first
	wake(t, s.URL()).end()
	if !sent(w, third) {
		t.Errorf("the answer has ended, with %v", states(w, third))
	}
}

// The function observes its limits. A delivery over the hourly limit is held, and the answer does
// not wait for it.
func TestLimits(t *testing.T) {
	w, p := functiontest.New(t), newProvider(t)
	p.letGo()
	storetest.WithinHour(time.Minute)
	s := functiontest.Serve(w, New, append(p.settings(), "QUOTA_PER_HOUR=email=1,push=0,sms=0,webhook=0")...)
	first, second := plan(w, "ada"), plan(w, "ada")
	wake(t, s.URL()).end()
	all := append(states(w, first), states(w, second)...)
	slices.Sort(all)
	if !slices.Equal(all, []store.DeliveryState{store.Planned, store.Sent}) || p.began.Load() != 1 {
		t.Errorf("%v, by %d sends", all, p.began.Load())
	}
	if n := w.Count(`select count(*) from deliveries where state = 'planned' and last_error like 'held until %' and attempts = 0
		and next_attempt_at = date_trunc('hour', now(), 'UTC') + interval '1 hour'`); n != 1 {
		t.Error("none is held until the next hour")
	}
}

// Without work the answer ends at once.
func TestNothingToDo(t *testing.T) {
	w, p := functiontest.New(t), newProvider(t)
	s := functiontest.Serve(w, New, p.settings()...)
	for range 3 {
		wake(t, s.URL()).end()
	}
	if p.began.Load() != 0 {
		t.Errorf("%d sends", p.began.Load())
	}
}

// If the caller hangs up, the work goes on, and the next call's answer lasts until it is done.
func TestCallerHangsUp(t *testing.T) {
	w, p := functiontest.New(t), newProvider(t)
	s := functiontest.Serve(w, New, p.settings()...)
	due := plan(w, "ada")
	_ = wake(t, s.URL()).body.Close()
	eventually(t, "a send", func() bool { return p.began.Load() == 1 })
	p.letGo()
	eventually(t, "it is sent", func() bool { return sent(w, due) })
}

// A webhook's receiver that never answers delays its own deliveries only.
func TestHostThatHangs(t *testing.T) {
	w, p := functiontest.New(t), newProvider(t)
	p.letGo()
	silent := functiontest.Silent(t)
	s := functiontest.Serve(w, New, append(p.settings(), "WEBHOOK_ALLOWED_HOSTS="+silent, "DELIVERY_SEND_TIMEOUT=3s")...)
	hooked := preferences.Default(true)
	hooked.Version, hooked.Channels = 1, []task.Channel{task.Webhook}
	hooked.Webhook = &preferences.Webhook{URL: "http://" + silent + "/"}
	err := w.Store.SaveUser(t.Context(), store.User{ID: "eve"})
	if err == nil {
		err = w.Store.InTx(t.Context(), func(ctx context.Context, tx store.Tx) error { return tx.SavePreferences(ctx, "eve", hooked) })
	}
	if err != nil {
		t.Fatal(err)
	}
	plan(w, "eve")
	held := wake(t, s.URL())
	due := plan(w, "ada")
	wake(t, s.URL()).end()
	held.end()
	if !sent(w, due) {
		t.Errorf("another's e-mail came to %v", states(w, due))
	}
	if n := w.Count(`select count(*) from deliveries where channel = 'webhook' and attempts = 1 and state = 'unknown'`); n != 1 {
		t.Error("the webhook was not tried once, to be tried again")
	}
}

// A provider's error contains a NUL, which Postgres can't store. The refusal is recorded all the
// same.
func TestProviderNUL(t *testing.T) {
	w := functiontest.New(t)
	provider := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusBadRequest)
		_, _ = io.WriteString(w, `{"errors":[{"message":"no \u0000","field":"to"}]}`)
	}))
	defer provider.Close()
	s := functiontest.Serve(w, New, "SENDGRID_API_KEY=SG.secret", "SENDGRID_URL="+provider.URL, "EMAIL_FROM=reminders@duebell.example", "SEND_LINGER=0s")
	due := plan(w, "ada")
	wake(t, s.URL()).end()
	if all := states(w, due); len(all) != 1 || all[0] != store.Failed {
		t.Errorf("it comes to %v", all)
	}
}

// On SIGTERM the function ends its answer at once. It exits when the sends that have begun are done
// and recorded.
func TestDraining(t *testing.T) {
	w, p := functiontest.New(t), newProvider(t)
	ports, err := process.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	address := process.Address(ports[0])
	host, port, _ := net.SplitHostPort(address)
	self := exec.Command(os.Args[0])
	self.Env = append(append(w.Environ(), p.settings()...), asFunction+"=1", "HOST="+host, "PORT="+port)
	out, err := self.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	self.Stderr = os.Stderr
	if err := self.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	defer func() { _ = self.Process.Kill() }()
	go func() {
		for lines := bufio.NewScanner(out); lines.Scan(); {
			fmt.Println(lines.Text())
		}
		exited <- self.Wait()
	}()
	eventually(t, "the function answers", func() bool {
		resp, err := http.Get("http://" + address + "/readyz")
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	due := plan(w, "ada")
	held := wake(t, "http://"+address)
	eventually(t, "a send", func() bool { return p.began.Load() == 1 })
	if err := self.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	held.end()
	select {
	case err := <-exited:
		t.Fatalf("it has not waited for its send: %v", err)
	case <-time.After(200 * time.Millisecond): // in which it must not end
	}
	p.letGo()
	if err := <-exited; err != nil {
		t.Error(err)
	}
	if !sent(w, due) {
		t.Errorf("it has ended, with %v", states(w, due))
	}
}

func TestOnlyPost(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	w.WantProblem(s.Call("GET", "/", nil), 405, "invalid", "POST")
}

// The database is away when the function is woken, and then comes back. The answer begins at once,
// and lasts until the due deliveries are sent.
func TestDatabaseAway(t *testing.T) {
	w, p := functiontest.New(t), newProvider(t)
	p.letGo()
	due := plan(w, "ada")
	database := newLink(w)
	database.cut()
	s := functiontest.Serve(w, New, append(p.settings(), "SEND_LINGER=1s")...) // which is longer than it waits between two tries
	held := wake(t, s.URL())
	wake(t, s.URL()).end()
	time.Sleep(time.Second) // tries are refused; that is the kernel's answer, and nobody counts it
	database.mend()
	held.end()
	if !sent(w, due) {
		t.Errorf("with the database it comes to %v", states(w, due))
	}
}

// The database goes away while a provider accepts a message, and comes back after the lease has
// expired. Then the delivery is recorded as sent, and not sent again.
func TestDatabaseAwayWhileSending(t *testing.T) {
	w, p := functiontest.New(t), newProvider(t)
	due := plan(w, "ada")
	database := newLink(w)
	s := functiontest.Serve(w, New, append(p.settings(), "DELIVERY_SEND_TIMEOUT=5s", "DELIVERY_LEASE=10s")...)
	wake(t, s.URL())
	eventually(t, "a send", func() bool { return p.began.Load() == 1 })
	database.cut()
	p.letGo()
	time.Sleep(11 * time.Second) // longer than the lease
	database.mend()
	eventually(t, "it is sent", func() bool {
		wake(t, s.URL()).end()
		return sent(w, due)
	})
	if n := p.began.Load(); n != 1 {
		t.Errorf("it was sent %d times", n)
	}
}

// link is a connection to the database that the test can cut.
type link struct {
	t           testing.TB
	address, to string

	mu       sync.Mutex
	listener net.Listener // nil while it is cut
	conns    []net.Conn
}

// newLink makes the functions of the world connect to the database through a link.
func newLink(w *functiontest.World) *link {
	w.Helper()
	database, err := url.Parse(w.DatabaseURL)
	if err != nil {
		w.Fatal(err)
	}
	ports, err := process.FreePorts(0)
	if err != nil {
		w.Fatal(err)
	}
	l := &link{t: w, address: process.Address(ports[0]), to: database.Host}
	l.mend()
	database.Host = l.address
	w.DatabaseURL = database.String()
	w.Cleanup(l.cut)
	return l
}

func (l *link) mend() {
	l.t.Helper()
	listener, err := net.Listen("tcp", l.address)
	if err != nil {
		l.t.Fatal(err)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.listener = listener
	go l.serve(listener)
}

func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.listener != nil {
		_ = l.listener.Close()
	}
	for _, c := range l.conns {
		_ = c.Close()
	}
	l.listener, l.conns = nil, nil
}

func (l *link) serve(listener net.Listener) {
	for {
		here, err := listener.Accept()
		if err != nil {
			return
		}
		there, err := net.Dial("tcp", l.to)
		if err != nil {
			_ = here.Close()
			continue
		}
		l.mu.Lock()
		l.conns = append(l.conns, here, there)
		if l.listener != listener { // it has been cut meanwhile
			_, _ = here.Close(), there.Close()
		}
		l.mu.Unlock()
		for from, to := range map[net.Conn]net.Conn{here: there, there: here} {
			go func() {
				_, _ = io.Copy(to, from)
				_ = to.Close()
			}()
		}
	}
}
