package verify_test

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/verify"
)

const (
	first  = "the-first-key-of-at-least-32-characters"
	second = "the-second-key-of-at-least-32-characters"
)

// list is that of suppressed addresses: its key stays when the key of codes and links goes.
var list = suppress.Keys{Keys: []config.Secret{"the-key-of-the-list-of-at-least-32-characters"}}

func keys(all ...config.Secret) verify.Keys { return verify.Keys{Keys: all} }

// While a key is changed, what the old one has made is good, and afterwards it is not.
func TestKeysChange(t *testing.T) {
	before, during, after := keys(first), keys(second, first), keys(second)
	hits := 0
	for range 100 {
		id := uuid.Must(uuid.NewV7())
		code := before.Code(id)
		if !regexp.MustCompile(`^[0-9]{6}$`).MatchString(code) {
			t.Fatalf("%q", code)
		}
		if !before.IsCode(id, code) || !during.IsCode(id, code) || !during.IsCode(id, after.Code(id)) {
			t.Errorf("%q is not good", code)
		}
		if after.IsCode(id, code) {
			hits++
		}
		for _, wrong := range []string{"", code[:5], code + "0", " " + code} {
			if before.IsCode(id, wrong) {
				t.Errorf("%q is good, too", wrong)
			}
		}
	}
	if hits > 1 {
		t.Errorf("%d of 100 codes are good with another key", hits)
	}

	id := uuid.Must(uuid.NewV7())
	hash := verify.AddressHashes(list, "ada@example.org")[0]
	token := before.Token(id, hash)
	for what, k := range map[string]verify.Keys{"before": before, "during": during} {
		if gotID, gotHash, ok := k.Open(token); !ok || gotID != id || !bytes.Equal(gotHash, hash) {
			t.Errorf("%s: %v", what, ok)
		}
	}
	if _, _, ok := after.Open(token); ok {
		t.Error("a token of a key that is gone is good")
	}
	if _, _, ok := keys().Open(token); ok || keys().IsCode(id, before.Code(id)) || keys().Enabled() {
		t.Error("without a key something is good")
	}
}

// Nothing that is not the very token is good, and a token says no more than it has to.
func TestTokens(t *testing.T) {
	k := keys(first)
	id := uuid.Must(uuid.NewV7())
	token := k.Token(id, verify.AddressHashes(list, "ada@example.org")[0])
	if len(token) != 64 || strings.ContainsAny(token, "+/=") {
		t.Errorf("%q", token)
	}
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	for i := range token {
		c := alphabet[(strings.IndexByte(alphabet, token[i])+1)%len(alphabet)]
		if _, _, ok := k.Open(token[:i] + string(c) + token[i+1:]); ok {
			t.Errorf("it is good with another character at %d", i)
		}
	}
	for _, bad := range []string{"", token[1:], token + "A", token + "\n", token[:10] + "\n" + token[10:]} {
		if _, _, ok := k.Open(bad); ok {
			t.Errorf("%q is good", bad)
		}
	}
}

// What the limits count by is the same for one mailbox, and for nothing else.
func TestHashes(t *testing.T) {
	k := keys(first)
	same := func(a, b string) bool {
		return bytes.Equal(verify.AddressHashes(list, a)[0], verify.AddressHashes(list, b)[0])
	}
	for _, pair := range [][2]string{
		{"ada@example.org", "ADA@Example.ORG"},
		{"ada@example.org", "ada+x@example.org"},
		{"ada@bücher.example", "ada@xn--bcher-kva.example"},
		{"a.d.a@gmail.com", "ada+tag@googlemail.com"},
		{"\uff41da\uff0btag@example.org", "ada@example.org"},
		{"re\u0301mi@example.org", "r\u00e9mi@example.org"},
		{"+15551234567", "+15551234567"},
	} {
		if !same(pair[0], pair[1]) {
			t.Errorf("%q are two", pair)
		}
	}
	for _, pair := range [][2]string{
		{"ada@example.org", "eve@example.org"},
		{"ada@example.org", "ada@example.com"},
		{"a.da@example.org", "ada@example.org"},
		{"+a@example.org", "+b@example.org"},
		{"+15551234567", "+15551234568"},
	} {
		if same(pair[0], pair[1]) {
			t.Errorf("%q are one", pair)
		}
	}
	all := [][]byte{verify.AddressHashes(list, "x")[0], k.UserHashes("x")[0], k.NetworkHashes("x")[0]}
	if bytes.Equal(all[0], all[1]) || bytes.Equal(all[1], all[2]) || k.NetworkHashes("") != nil {
		t.Error("an address, a user and a network of one name are one")
	}
}

func TestConfig(t *testing.T) {
	for environ, want := range map[string]string{
		"": "", "VERIFY_KEY=" + first: "", "VERIFY_KEY=" + second + "," + first: "",
		"VERIFY_KEY=short": "at least 32", "VERIFY_KEY=" + first + ",": "at least 32", "VERIFY_KEY=" + first + "," + first + "," + first: "one key, or two",
		"VERIFY_PER_USER=0": "VERIFY_PER_USER must be at least 1", "VERIFY_PER_NETWORK=0": "VERIFY_PER_NETWORK must be at least 1",
	} {
		type settings struct {
			Keys   verify.Keys
			Limits verify.Limits
		}
		_, err := config.Parse[settings]([]string{environ})
		if (err == nil) != (want == "") || err != nil && (!strings.Contains(err.Error(), want) || strings.Contains(err.Error(), first)) {
			t.Errorf("%q: %v, want %q", environ, err, want)
		}
	}
}

// A text message with a usual address of the API is one message.
func TestMessage(t *testing.T) {
	links := verify.Links{PublicURL: "https://api.example.com/", Keys: keys(first)}
	m := links.Message(uuid.Must(uuid.NewV7()), make([]byte, 16))
	if !strings.HasPrefix(m.Link, "https://api.example.com/api/verify?token=") || !strings.HasPrefix(m.NotMe, "https://api.example.com/api/not-me?token=") {
		t.Errorf("%+v", m)
	}
	if (verify.Links{PublicURL: "https://x.example"}).Message(uuid.Nil, nil) != nil || (verify.Links{Keys: keys(first)}).Message(uuid.Nil, nil) != nil {
		t.Error("there is a message without a link, or a key")
	}
}
