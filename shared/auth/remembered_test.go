package auth

import (
	"crypto/sha256"
	"fmt"
	"testing"
	"time"
)

func TestRememberedTokens(t *testing.T) {
	var r remembered
	hash := func(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }
	if r.find(hash("a")) != nil {
		t.Error("found what was never kept")
	}
	r.keep(hash("a"), &session{user: User{ID: "ada", Expiry: time.Now().Add(time.Hour)}})
	r.keep(hash("old"), &session{user: User{ID: "eve", Expiry: time.Now()}})
	if s := r.find(hash("a")); s == nil || s.user.ID != "ada" {
		t.Errorf("%v", s)
	}
	for _, token := range []string{"old", "A", "a "} {
		if s := r.find(hash(token)); s != nil {
			t.Errorf("%q is a token of %v", token, s.user)
		}
	}
	for i := range 3 * maxRemembered {
		r.keep(hash(fmt.Sprint(i)), &session{user: User{Expiry: time.Now().Add(time.Hour)}})
		if len(r.sessions) > maxRemembered {
			t.Fatalf("%d tokens are remembered", len(r.sessions))
		}
	}
}
