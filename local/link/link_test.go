package link_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/duebell/duebell/local/link"
	"github.com/duebell/duebell/local/process"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// begin starts a server and a link to it, and returns what asks the server through the
// link.
func begin(t *testing.T) (*link.Link, func(within time.Duration) (string, error)) {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(w, r.Body)
	}))
	t.Cleanup(server.Close)
	u, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	port, err := strconv.Atoi(u.Port())
	if err != nil {
		t.Fatal(err)
	}
	l, err := link.New(port)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(l.Close)
	return l, func(within time.Duration) (string, error) {
		client := http.Client{Timeout: within, Transport: &http.Transport{DisableKeepAlives: true}}
		resp, err := client.Post("http://"+process.Address(l.Port()), "text/plain", http.NoBody)
		if err != nil {
			return "", err
		}
		defer resp.Body.Close()
		_, err = io.ReadAll(resp.Body)
		return resp.Status, err
	}
}

func TestAnswersAreLate(t *testing.T) {
	l, ask := begin(t)
	if got, err := ask(time.Minute); got != "200 OK" || err != nil {
		t.Fatal(got, err)
	}
	l.Slow(300 * time.Millisecond)
	began := time.Now()
	if got, err := ask(time.Minute); got != "200 OK" || err != nil || time.Since(began) < 300*time.Millisecond {
		t.Errorf("%s, %v after %v", got, err, time.Since(began))
	}
}

func TestAnswersComeWhenItIsHealed(t *testing.T) {
	l, ask := begin(t)
	l.Slow(time.Hour)
	if got, err := ask(200 * time.Millisecond); err == nil {
		t.Errorf("it answers %s", got)
	}
	answered := make(chan error)
	go func() {
		_, err := ask(time.Minute)
		answered <- err
	}()
	select {
	case err := <-answered:
		t.Errorf("an answer: %v", err)
	case <-time.After(200 * time.Millisecond): // in which it must not come
	}
	l.Heal()
	if err := <-answered; err != nil {
		t.Error(err)
	}
}

// Closing ends what waits.
func TestClose(t *testing.T) {
	l, ask := begin(t)
	l.Slow(time.Hour)
	answered := make(chan error)
	go func() {
		_, err := ask(time.Minute)
		answered <- err
	}()
	time.Sleep(100 * time.Millisecond) // so that the call waits; the link does not say when it does
	l.Close()
	if err := <-answered; err == nil {
		t.Error("an answer came")
	}
	if _, err := ask(time.Second); err == nil {
		t.Error("it still takes connections")
	}
}
