package subscription

import (
	"bytes"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"fmt"
	"strings"
	"testing"

	"github.com/duebell/duebell/shared/fault"
)

func raw(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func private(t *testing.T, text string) *ecdh.PrivateKey {
	t.Helper()
	key, err := ecdh.P256().NewPrivateKey(raw(t, text))
	if err != nil {
		t.Fatal(err)
	}
	return key
}

// The example of RFC 8291, section 5 and appendix A.
const (
	watermelon     = "When I grow up, I want to be a watermelon"
	browserPrivate = "q1dXpw3UpT5VOmu_cf_v6ih07Aems3njxI-JWgLcM94"
	senderPrivate  = "yfWPiYE-n46HLnH0KqZOF1fJJU3MYrct3AELtAQ-oRw"
	salt           = "DGv6ra1nlYgDCS1FRnbzlw"
	exampleBody    = "DGv6ra1nlYgDCS1FRnbzlwAAEABBBP4z9KsN6nGRTbVYI_c7VJSPQTBtkgcy27mlmlMoZIIgDll6e3vCYLocInmYWAmS6TlzAC8wEqKK6PBru3jl7A_yl95bQpu6cVPT" +
		"pK4Mqgkf1CXztLVBSt2Ks3oZwbuwXPXLWyouBWLVWGNWQexSgSxsj_Qulcy4a-fN"
)

var example = Subscription{
	Endpoint: "https://push.example.net/push/JzLQ3raZJfFBR0aqvOMsLrt54w4rJUsV",
	Keys:     Keys{P256dh: "BCVxsr7N_eNgVRqvHtD0zTZsEc6-VV-JvLexhqUzORcxaOzi6-AYWXvTBHm4bjyPjs7Vd8pZGH6SRpkNtoIAiw4", Auth: "BTBZMqHH6r4Tts7J_aSIgg"},
}

func TestExampleOfRFC8291(t *testing.T) {
	got, err := example.encrypt([]byte(watermelon), private(t, senderPrivate), raw(t, salt))
	if err != nil || base64.RawURLEncoding.EncodeToString(got) != exampleBody {
		t.Errorf("%s, %v", base64.RawURLEncoding.EncodeToString(got), err)
	}
	message, err := Decrypt(raw(t, exampleBody), private(t, browserPrivate), raw(t, example.Keys.Auth))
	if err != nil || string(message) != watermelon {
		t.Errorf("%q, %v", message, err)
	}
}

func TestLengths(t *testing.T) {
	for _, n := range []int{0, 1, MaxPlaintext} {
		body, err := example.Encrypt(bytes.Repeat([]byte("x"), n))
		if err != nil || len(body) > 4096 {
			t.Fatalf("%d: %d bytes, %v", n, len(body), err)
		}
		message, err := Decrypt(body, private(t, browserPrivate), raw(t, example.Keys.Auth))
		if err != nil || len(message) != n {
			t.Errorf("%d: %d, %v", n, len(message), err)
		}
		if again, err := example.Encrypt(message); err != nil || bytes.Equal(again[:headerSize], body[:headerSize]) {
			t.Errorf("%d: the same salt and key twice (%v)", n, err)
		}
	}
	if MaxPlaintext != 3993 {
		t.Errorf("it takes %d bytes", MaxPlaintext)
	}
	if _, err := example.Encrypt(make([]byte, MaxPlaintext+1)); err == nil {
		t.Error("it takes one byte more")
	}
}

func TestCheck(t *testing.T) {
	point := raw(t, example.Keys.P256dh)
	off := bytes.Clone(point)
	off[64] ^= 1
	encode := base64.RawURLEncoding.EncodeToString
	for name, tt := range map[string]struct{ p256dh, auth, problem string }{
		"as browsers give it": {example.Keys.P256dh, example.Keys.Auth, ""},
		"with padding":        {base64.URLEncoding.EncodeToString(point), base64.URLEncoding.EncodeToString(raw(t, example.Keys.Auth)), ""},
		"base64 of e-mail":    {base64.StdEncoding.EncodeToString(point), base64.StdEncoding.EncodeToString(raw(t, example.Keys.Auth)), ""},
		"no key":              {"", example.Keys.Auth, "p256dh must be"},
		"no auth":             {example.Keys.P256dh, "", "auth must be"},
		"not on the curve":    {encode(off), example.Keys.Auth, "p256dh must be"},
		"compressed":          {encode(append([]byte{2}, point[1:33]...)), example.Keys.Auth, "p256dh must be"},
		"at infinity":         {encode(make([]byte, 65)), example.Keys.Auth, "p256dh must be"},
		"15 bytes":            {example.Keys.P256dh, encode(make([]byte, 15)), "auth must be"},
		"17 bytes":            {example.Keys.P256dh, encode(make([]byte, 17)), "auth must be"},
		"a line break":        {example.Keys.P256dh, "BTBZMqHH6r4Tts7J_aSIg\n", "auth must be"},
		"bits too many":       {example.Keys.P256dh, "BTBZMqHH6r4Tts7J_aSIgh", "auth must be"},
		"not base64":          {strings.Repeat("!", 87), example.Keys.Auth, "p256dh must be"},
	} {
		s := Subscription{Keys: Keys{tt.p256dh, tt.auth}}
		err := s.Check()
		if (err == nil) != (tt.problem == "") || err != nil && (!strings.Contains(err.Error(), tt.problem) || fault.CodeOf(err) != fault.CodeInvalid) {
			t.Errorf("%s: %v", name, err)
		}
		if err == nil && s.Keys != example.Keys {
			t.Errorf("%s: stored as %#v", name, []string{s.Keys.P256dh, s.Keys.Auth})
		}
	}
}

func TestShownNowhere(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%s", "%#v"} {
		for _, v := range []any{example, &example} {
			if text := fmt.Sprintf(verb, v); strings.Contains(text, "push.example.net") || strings.Contains(text, example.Keys.Auth) {
				t.Errorf("%s shows %s", verb, text)
			}
		}
	}
	other := example
	other.Endpoint += "x"
	if id := example.ID(); len(id) != 32 || id == other.ID() || id != (Subscription{Endpoint: example.Endpoint}).ID() {
		t.Errorf("the id is %s", id)
	}
}

// Whatever keys are taken can be encrypted for, and are stored in one form.
func FuzzCheck(f *testing.F) {
	f.Add(example.Keys.P256dh, example.Keys.Auth)
	f.Add(example.Keys.P256dh+"=", "+/+/+/+/+/+/+/+/+/+/+w==")
	f.Fuzz(func(t *testing.T, p256dh, auth string) {
		s := Subscription{Keys: Keys{p256dh, auth}}
		if s.Check() != nil {
			return
		}
		again := s
		if err := again.Check(); err != nil || again != s {
			t.Errorf("checked twice it is another: %v", err)
		}
		if _, err := s.Encrypt([]byte("x")); err != nil {
			t.Error(err)
		}
	})
}

// Whatever comes as a body is read or refused.
func FuzzDecrypt(f *testing.F) {
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		f.Fatal(err)
	}
	auth := make([]byte, authSize)
	encode := base64.RawURLEncoding.EncodeToString
	body, err := Subscription{Keys: Keys{encode(key.PublicKey().Bytes()), encode(auth)}}.Encrypt([]byte("x"))
	if err != nil {
		f.Fatal(err)
	}
	f.Add(body)
	f.Add(body[:headerSize])
	f.Fuzz(func(t *testing.T, body []byte) {
		if message, err := Decrypt(body, key, auth); err == nil && string(message) != "x" {
			t.Errorf("a body that nobody has encrypted says %q", message)
		}
	})
}
