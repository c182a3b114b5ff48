package notify

import (
	"errors"
	"net/http"
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
		"99999999999999999999":          0,
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

func TestKindOf(t *testing.T) {
	if kind, _ := KindOf(errors.New("anything")); kind != Unknown {
		t.Errorf("an error that says nothing: %s", kind)
	}
}
