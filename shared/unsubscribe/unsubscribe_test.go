package unsubscribe_test

import (
	"encoding/base64"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/unsubscribe"
)

const (
	first  = "first-key-of-at-least-32-characters"
	second = "second-key-of-at-least-32-characters"
)

func keys(list ...config.Secret) unsubscribe.Keys { return unsubscribe.Keys{Keys: list} }

func TestTokenNamesUserAndAddress(t *testing.T) {
	for _, c := range [][2]string{
		{"ada", "ada@example.com"},
		{"auth0|5f7c8ec7c33c6c004bbafe82", "ada+duebell@example.com"},
		{strings.Repeat("ü", 255), strings.Repeat("x", 300) + "@example.com"},
		{"", ""},
		{"a\x00b", "c"},
	} {
		user, address, ok := keys(first).Open(keys(first).Token(c[0], c[1]))
		if !ok || user != c[0] || address != c[1] {
			t.Errorf("%.30q: %v, %.30q, %.30q", c, ok, user, address)
		}
	}
	// The border between the two counts.
	if keys(first).Token("ab", "c") == keys(first).Token("a", "bc") {
		t.Error("two meanings of one token")
	}
}

func TestRotation(t *testing.T) {
	old, mixed, new := keys(first), keys(second, first), keys(second)
	token := old.Token("ada", "ada@example.com")
	for what, c := range map[string]struct {
		keys unsubscribe.Keys
		want bool
	}{"before": {old, true}, "during": {mixed, true}, "after": {new, false}, "no key": {keys(), false}} {
		if _, _, ok := c.keys.Open(token); ok != c.want {
			t.Errorf("%s: %v", what, ok)
		}
	}
	if _, _, ok := new.Open(mixed.Token("ada", "x")); !ok {
		t.Error("the first key does not sign")
	}
}

// Every bit of a token counts, and there is one way to write it.
func TestTamperedTokens(t *testing.T) {
	token := keys(first).Token("ada", "ada@example.com")
	raw, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil {
		t.Fatal(err)
	}
	for i := range raw {
		for bit := range 8 {
			changed := append([]byte{}, raw...)
			changed[i] ^= 1 << bit
			if _, _, ok := keys(first).Open(base64.RawURLEncoding.EncodeToString(changed)); ok {
				t.Errorf("bit %d of byte %d does not count", bit, i)
			}
		}
	}
	for _, other := range []string{
		"", " ", token + "A", token + "=", token + "\n", "\r\n" + token, token[1:], token[:len(token)-1], token[:43], strings.ToUpper(token),
		token + token, strings.Repeat("A", 43), strings.Repeat("A", 10_000), "%", "\x00", "ada",
	} {
		if _, _, ok := keys(first).Open(other); ok {
			t.Errorf("%.60q is taken", other)
		}
	}
}

func TestLink(t *testing.T) {
	c := unsubscribe.Config{PublicURL: "https://api.example.com/duebell/", Keys: keys(first)}
	u, err := url.Parse(c.Link("ada", "ada+x@example.com"))
	if err != nil || !strings.HasPrefix(u.String(), "https://api.example.com/duebell/api/unsubscribe?token=") {
		t.Fatalf("%v, %v", u, err)
	}
	if user, address, ok := c.Open(u.Query().Get("token")); !ok || user != "ada" || address != "ada+x@example.com" {
		t.Errorf("the link holds %q %q %v", user, address, ok)
	}
	if got := (unsubscribe.Config{}).Link("ada", "x"); got != "" {
		t.Errorf("without configuration: %q", got)
	}
}

func TestConfig(t *testing.T) {
	for _, tt := range []struct{ environ, want string }{
		{"", ""},
		{"PUBLIC_URL=https://x.example UNSUBSCRIBE_KEY=" + first, ""},
		{"PUBLIC_URL=https://x.example UNSUBSCRIBE_KEY=" + second + "," + first, ""},
		{"PUBLIC_URL=http://127.0.0.1:8080 UNSUBSCRIBE_KEY=" + first, ""},
		{"PUBLIC_URL=http://localhost UNSUBSCRIBE_KEY=" + first, ""},
		{"PUBLIC_URL=https://x.example", "UNSUBSCRIBE_KEY is missing"},
		{"UNSUBSCRIBE_KEY=" + first, "PUBLIC_URL is missing"},
		{"PUBLIC_URL=https://x.example UNSUBSCRIBE_KEY=short-key", "at least 32"},
		{"PUBLIC_URL=https://x.example UNSUBSCRIBE_KEY=" + first + ",", "at least 32"},
		{"PUBLIC_URL=https://x.example UNSUBSCRIBE_KEY=" + first + ",short-key", "at least 32"},
		{"PUBLIC_URL=https://x.example UNSUBSCRIBE_KEY=" + first + "," + first + "," + first, "one key, or two"},
		{"PUBLIC_URL=http://x.example UNSUBSCRIBE_KEY=" + first, "must be an https URL"},
		{"PUBLIC_URL=ftp://x.example UNSUBSCRIBE_KEY=" + first, "must be an https URL"},
		{"PUBLIC_URL=https://u:p@x.example UNSUBSCRIBE_KEY=" + first, "must be an https URL"},
		{"PUBLIC_URL=https://x.example?a=b UNSUBSCRIBE_KEY=" + first, "must be an https URL"},
		{"PUBLIC_URL=https://x.example/> UNSUBSCRIBE_KEY=" + first, "must be an https URL"},
		{"PUBLIC_URL=x.example UNSUBSCRIBE_KEY=" + first, "must be an https URL"},
	} {
		cfg, err := config.Parse[unsubscribe.Config](strings.Fields(tt.environ))
		switch {
		case tt.want == "" && err != nil, tt.want != "" && (err == nil || !strings.Contains(err.Error(), tt.want)):
			t.Errorf("%s: %v", tt.environ, err)
		case err != nil && (strings.Contains(err.Error(), first) || strings.Contains(err.Error(), "short-key")):
			t.Errorf("%s: the error tells the key: %v", tt.environ, err)
		case strings.Contains(fmt.Sprintf("%+v %#v", cfg, cfg), first):
			t.Errorf("%s: it prints its key", tt.environ)
		}
	}
}

func FuzzOpen(f *testing.F) {
	f.Add(keys(first).Token("ada", "ada@example.com"))
	f.Add("")
	f.Add(base64.RawURLEncoding.EncodeToString(make([]byte, 40)))
	f.Fuzz(func(t *testing.T, token string) {
		if user, address, ok := keys(first).Open(token); ok && keys(first).Token(user, address) != token {
			t.Errorf("%q is taken, and is not what was signed", token)
		}
	})
}

// Whatever the names, they come back, and another key does not take them.
func FuzzToken(f *testing.F) {
	f.Add("ada", "ada@example.com")
	f.Fuzz(func(t *testing.T, user, address string) {
		if len(user)+len(address) > 2500 {
			return
		}
		token := keys(first).Token(user, address)
		if u, a, ok := keys(second, first).Open(token); !ok || u != user || a != address {
			t.Errorf("%q %q became %q %q %v", user, address, u, a, ok)
		}
		if _, _, ok := keys(second).Open(token); ok {
			t.Error("another key takes it")
		}
	})
}
