package vapid_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"strings"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/vapid"
)

func key(t *testing.T) (vapid.Key, config.Secret) {
	t.Helper()
	key, err := vapid.New()
	if err != nil {
		t.Fatal(err)
	}
	private, err := key.Private()
	if err != nil {
		t.Fatal(err)
	}
	return key, private
}

func decode(t *testing.T, text string) []byte {
	t.Helper()
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return b
}

func TestAuthorization(t *testing.T) {
	now := time.Now()
	for range 50 { // numbers that begin with zeros, too
		k, _ := key(t)
		authorization, err := k.Authorization("https://push.example.com", "mailto:ops@example.com", now)
		if err != nil {
			t.Fatal(err)
		}
		token, public, found := strings.Cut(strings.TrimPrefix(authorization.Reveal(), "vapid t="), ", k=")
		parts := strings.Split(token, ".")
		if !found || public != k.Public || len(parts) != 3 {
			t.Fatal(authorization.Reveal())
		}
		point, err := ecdsa.ParseUncompressedPublicKey(elliptic.P256(), decode(t, public))
		if err != nil {
			t.Fatal(err)
		}
		signature, hash := decode(t, parts[2]), sha256.Sum256([]byte(parts[0]+"."+parts[1]))
		if len(signature) != 64 || !ecdsa.Verify(point, hash[:], new(big.Int).SetBytes(signature[:32]), new(big.Int).SetBytes(signature[32:])) {
			t.Fatal("the signature does not hold")
		}
		var claims struct {
			Aud, Sub string
			Exp      int64
		}
		if err := json.Unmarshal(decode(t, parts[1]), &claims); err != nil {
			t.Fatal(err)
		}
		left := time.Unix(claims.Exp, 0).Sub(now)
		if claims.Aud != "https://push.example.com" || claims.Sub != "mailto:ops@example.com" || left <= time.Hour || left > 24*time.Hour {
			t.Errorf("%+v", claims)
		}
	}
}

func TestKeys(t *testing.T) {
	first, firstPrivate := key(t)
	second, secondPrivate := key(t)
	zero := config.Secret(base64.RawURLEncoding.EncodeToString(make([]byte, 32)))
	for name, tt := range map[string]struct {
		keys []config.Secret
		want []string // their public keys; nil: refused
	}{
		"none":            {nil, []string{}},
		"one":             {[]config.Secret{firstPrivate}, []string{first.Public}},
		"new and old":     {[]config.Secret{secondPrivate, firstPrivate}, []string{second.Public, first.Public}},
		"three":           {[]config.Secret{secondPrivate, firstPrivate, firstPrivate}, nil},
		"a public one":    {[]config.Secret{config.Secret(first.Public)}, nil},
		"zero":            {[]config.Secret{zero}, nil},
		"cut":             {[]config.Secret{firstPrivate[:40]}, nil},
		"a wrong old one": {[]config.Secret{firstPrivate, "x"}, nil},
	} {
		k := vapid.Keys{Keys: tt.keys}
		opened, err := k.Open()
		if invalid := k.Validate(); (err == nil) != (tt.want != nil) || (invalid == nil) != (err == nil) || len(opened) != len(tt.want) || k.Enabled() != (len(tt.keys) > 0) {
			t.Errorf("%s: %d keys, %v, %v", name, len(opened), err, invalid)
			continue
		}
		for i, want := range tt.want {
			if opened[i].Public != want {
				t.Errorf("%s: the key %d has another public key", name, i)
			}
		}
		for _, secret := range tt.keys {
			if err != nil && (!strings.Contains(err.Error(), "WEBPUSH_KEY") || len(secret) > 5 && strings.Contains(err.Error(), secret.Reveal())) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

func TestPublic(t *testing.T) {
	k, private := key(t)
	for key, good := range map[string]bool{
		"": true, k.Public: true, private.Reveal(): false, k.Public[:86]: false, "A" + k.Public[1:]: false, k.Public + "=": false,
	} {
		if err := (vapid.Public{Key: key}).Validate(); (err == nil) != good {
			t.Errorf("%q: %v", key, err)
		}
	}
}
