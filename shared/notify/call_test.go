package notify_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/duebell/duebell/shared/notify"
)

// The answer counts, not what the library makes of it. Without a request nothing was sent.
func TestCall(t *testing.T) {
	call := notify.NewCall(notify.NewClient())
	if kind, _ := notify.KindOf(call.Outcome("")); kind != notify.Retry {
		t.Errorf("without a request: %s", kind)
	}
	hits := 0
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		hits++
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusTemporaryRedirect)
		_, _ = io.WriteString(w, "over there")
	}))
	defer s.Close()
	response, err := call.Client().Get(s.URL)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close() // unread
	status, body := call.Answer()
	if kind, _ := notify.KindOf(call.Outcome("")); kind != notify.Retry || status != http.StatusTemporaryRedirect || string(body) != "over there" || hits != 1 {
		t.Errorf("%s after %d requests: %d %q", kind, hits, status, body)
	}
}
