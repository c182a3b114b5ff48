package web_test

import (
	"net/http/httptest"
	"testing"

	"github.com/duebell/duebell/shared/web"
)

func TestNetwork(t *testing.T) {
	for _, tt := range []struct {
		peer      string
		forwarded []string
		want      string
	}{
		{"203.0.113.9:1234", nil, "203.0.113.9/32"},
		{"10.0.0.1:1234", []string{"203.0.113.9"}, "203.0.113.9/32"},
		{"10.0.0.1:1234", []string{"203.0.113.9, 10.0.0.7"}, "203.0.113.9/32"},
		// What a caller has written itself comes first.
		{"10.0.0.1:1234", []string{"198.51.100.1, 203.0.113.9"}, "203.0.113.9/32"},
		{"10.0.0.1:1234", []string{"198.51.100.1", "203.0.113.9"}, "203.0.113.9/32"},
		{"203.0.113.9:1234", []string{"198.51.100.1"}, "203.0.113.9/32"},
		{"10.0.0.1:1234", []string{"unknown, 203.0.113.9:4711, nonsense"}, "203.0.113.9/32"},
		{"[2001:db8:1:2:3:4:5:6]:1234", nil, "2001:db8:1:2::/64"},
		{"10.0.0.1:1234", []string{"2001:db8:1:2:ffff::1"}, "2001:db8:1:2::/64"},
		{"10.0.0.1:1234", []string{"[2001:db8:1:2::1]:80"}, "2001:db8:1:2::/64"},
		{"10.0.0.1:1234", []string{"::ffff:203.0.113.9"}, "203.0.113.9/32"},
		{"10.0.0.1:1234", []string{"fe80::1%eth0, 203.0.113.9, fd00::1"}, "203.0.113.9/32"},
		// Nobody but private ones: the first.
		{"127.0.0.1:1234", []string{"192.168.1.7, 10.0.0.7"}, "192.168.1.7/32"},
		{"127.0.0.1:1234", nil, "127.0.0.1/32"},
		{"pipe", nil, ""},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = tt.peer
		r.Header["X-Forwarded-For"] = tt.forwarded
		if got := web.Network(r); got != tt.want {
			t.Errorf("%s, %q: %q, want %q", tt.peer, tt.forwarded, got, tt.want)
		}
	}
}
