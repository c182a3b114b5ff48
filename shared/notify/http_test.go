package notify

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"
)

func TestRetryAfter(t *testing.T) {
	now := time.Date(2026, 11, 23, 14, 30, 0, 0, time.UTC)
	for value, want := range map[string]time.Duration{
		"":                              0,
		"0":                             0,
		"120":                           2 * time.Minute,
		"-5":                            0,
		"soon":                          0,
		"1.5":                           0,
		"2147483647":                    maxRetryAfter,
		"2147483648":                    maxRetryAfter,
		"9223372036854775807":           maxRetryAfter,
		"99999999999999999999":          maxRetryAfter,
		"-99999999999999999999":         0,
		"86400":                         maxRetryAfter,
		"Mon, 23 Nov 2026 14:31:00 GMT": time.Minute,
		"Mon, 23 Nov 2026 14:29:00 GMT": 0,
		"Tue, 23 Nov 2027 14:29:00 GMT": maxRetryAfter,
	} {
		err := FromStatus(http.StatusServiceUnavailable, http.Header{"Retry-After": {value}}, "", now)
		if kind, after := KindOf(err); kind != Retry || after != want {
			t.Errorf("%q: got %s after %v, want %v", value, kind, after, want)
		}
	}
}

func TestFromStatus(t *testing.T) {
	header := http.Header{"Retry-After": {"7"}}
	for status, want := range map[int]Kind{
		200: "", 202: "", 204: "", 299: "",
		101: Retry, 301: Retry, 302: Retry, 307: Retry, 401: Retry, 403: Retry, 404: Retry, 405: Retry, 407: Retry, 425: Retry, 429: Retry,
		500: Retry, 501: Retry, 503: Retry, 507: Retry, 511: Retry,
		400: Permanent, 402: Permanent, 406: Permanent, 410: Permanent, 413: Permanent, 422: Permanent, 499: Permanent,
		408: Unknown, 502: Unknown, 504: Unknown, 520: Unknown, 524: Unknown, 599: Unknown,
	} {
		err := FromStatus(status, header, "key is hunter2", time.Now(), "hunter2", "")
		kind, after := KindOf(err)
		if err == nil {
			kind = ""
		}
		if kind != want || (after != 0) != (want == Retry || want == Unknown) {
			t.Errorf("%d: %s after %v, want %s", status, kind, after, want)
		}
		if err != nil && !strings.Contains(err.Error(), "key is ***") {
			t.Errorf("%d: %v", status, err)
		}
	}
}

// Without a connection nothing was sent: the host is unknown, its certificate is invalid, or a
// proxy refuses. The conformance kit can't test these.
func TestFromTransport(t *testing.T) {
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	defer proxy.Close()
	for what, client := range map[string]*http.Client{
		"no such host": NewClientOn(&http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
			return nil, &net.DNSError{Err: "no such host", Name: "nowhere.example", IsNotFound: true}
		}}),
		"a proxy refuses": NewClientOn(&http.Transport{Proxy: func(*http.Request) (*url.URL, error) { return url.Parse(proxy.URL) }}),
	} {
		resp, err := client.Post("https://nowhere.example/", "text/plain", strings.NewReader("x"))
		if err == nil {
			resp.Body.Close()
			t.Fatal(what, resp.Status)
		}
		if kind, _ := KindOf(FromTransport(err)); kind != Retry {
			t.Errorf("%s: %s, %v", what, kind, err)
		}
	}
}

func TestIsGone(t *testing.T) {
	for err, want := range map[error]bool{
		&Error{Kind: Permanent, Gone: true}: true, &Error{Kind: Permanent}: false, &Error{Kind: Retry, Gone: true}: false, io.EOF: false, nil: false,
	} {
		if IsGone(err) != want {
			t.Errorf("%#v: %v", err, !want)
		}
	}
}

func TestKindOf(t *testing.T) {
	if kind, _ := KindOf(errors.New("anything")); kind != Unknown {
		t.Errorf("an error that says nothing: %s", kind)
	}
}
