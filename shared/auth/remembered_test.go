package auth

import (
	"fmt"
	"testing"
	"time"
)

func TestRememberedTokens(t *testing.T) {
	var r remembered
	if _, ok := r.find("a"); ok {
		t.Error("found what was never kept")
	}
	r.keep("a", User{ID: "ada", Expiry: time.Now().Add(time.Hour)})
	r.keep("old", User{ID: "eve", Expiry: time.Now()})
	if user, ok := r.find("a"); !ok || user.ID != "ada" {
		t.Errorf("%v %v", user, ok)
	}
	for _, token := range []string{"old", "A", "a "} {
		if user, ok := r.find(token); ok {
			t.Errorf("%q is a token of %v", token, user)
		}
	}
	for i := range 3 * maxRemembered {
		r.keep(fmt.Sprint(i), User{Expiry: time.Now().Add(time.Hour)})
		if len(r.users) > maxRemembered {
			t.Fatalf("%d tokens are remembered", len(r.users))
		}
	}
}
