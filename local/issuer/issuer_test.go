package issuer_test

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"github.com/google/go-cmp/cmp"

	"github.com/duebell/duebell/local/issuer"
)

// serve makes an issuer whose URL has a path, and serves it.
func serve(t *testing.T, keyFile string) *issuer.Issuer {
	t.Helper()
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	t.Cleanup(server.Close)
	i, err := issuer.New(server.URL+"/dev/issuer", keyFile)
	if err != nil {
		t.Fatal(err)
	}
	mux.Handle("/dev/issuer/", i.Handler())
	return i
}

func verifier(t *testing.T, i *issuer.Issuer, now time.Time) *oidc.IDTokenVerifier {
	t.Helper()
	provider, err := oidc.NewProvider(t.Context(), i.URL())
	if err != nil {
		t.Fatal(err)
	}
	return provider.Verifier(&oidc.Config{ClientID: "duebell", Now: func() time.Time { return now }})
}

func token(t *testing.T, i *issuer.Issuer, c issuer.Claims) string {
	t.Helper()
	signed, err := i.Token(c)
	if err != nil {
		t.Fatal(err)
	}
	return signed
}

func TestTokensHoldForAStandardVerifier(t *testing.T) {
	i := serve(t, filepath.Join(t.TempDir(), "key"))
	for name, test := range map[string]struct {
		claims issuer.Claims
		want   map[string]any
	}{
		"with an address": {
			issuer.Claims{Subject: "demo", Email: "demo@example.com", EmailVerified: true},
			map[string]any{"sub": "demo", "email": "demo@example.com", "email_verified": true},
		},
		"with an address that is not verified": {
			issuer.Claims{Subject: "demo", Email: "demo@example.com"},
			map[string]any{"sub": "demo", "email": "demo@example.com", "email_verified": false},
		},
		"with scopes":   {issuer.Claims{Subject: "admin", Scope: "admin more"}, map[string]any{"sub": "admin", "scope": "admin more"}},
		"with no claim": {issuer.Claims{Subject: "other"}, map[string]any{"sub": "other"}},
	} {
		t.Run(name, func(t *testing.T) {
			test.claims.Audience, test.claims.Lifetime = "duebell", time.Hour
			verified, err := verifier(t, i, time.Now()).Verify(t.Context(), token(t, i, test.claims))
			if err != nil {
				t.Fatal(err)
			}
			var got map[string]any
			if err := verified.Claims(&got); err != nil {
				t.Fatal(err)
			}
			for _, checked := range []string{"iss", "aud", "iat", "exp"} {
				delete(got, checked)
			}
			if diff := cmp.Diff(test.want, got); diff != "" {
				t.Errorf("other claims than given (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTokensThatDoNotHold(t *testing.T) {
	i := serve(t, filepath.Join(t.TempDir(), "key"))
	stranger := serve(t, filepath.Join(t.TempDir(), "key"))
	good := issuer.Claims{Subject: "demo", Audience: "duebell", Lifetime: time.Hour}
	if _, err := verifier(t, i, time.Now().Add(2*time.Hour)).Verify(t.Context(), token(t, i, good)); err == nil {
		t.Error("it holds after its lifetime")
	}
	if _, err := verifier(t, i, time.Now()).Verify(t.Context(), token(t, stranger, good)); err == nil {
		t.Error("one from another issuer holds")
	}
	elsewhere := good
	elsewhere.Audience = "another"
	if _, err := verifier(t, i, time.Now()).Verify(t.Context(), token(t, i, elsewhere)); err == nil {
		t.Error("one for another audience holds")
	}
}

func TestTokensOutliveTheIssuer(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	first := serve(t, keyFile)
	again, err := issuer.New(first.URL(), keyFile)
	if err != nil {
		t.Fatal(err)
	}
	signed := token(t, again, issuer.Claims{Subject: "demo", Audience: "duebell", Lifetime: time.Hour})
	if _, err := verifier(t, first, time.Now()).Verify(t.Context(), signed); err != nil {
		t.Errorf("the key is another one: %v", err)
	}
	info, err := os.Stat(keyFile)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the key's mode is %v (%v)", info.Mode(), err)
	}
}

func TestPrivateKeyIsNotServed(t *testing.T) {
	i := serve(t, filepath.Join(t.TempDir(), "key"))
	response, err := http.Get(i.URL() + "/jwks")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	var set struct{ Keys []map[string]any }
	if err := json.NewDecoder(response.Body).Decode(&set); err != nil {
		t.Fatal(err)
	}
	if len(set.Keys) != 1 || set.Keys[0]["d"] != nil || set.Keys[0]["kid"] == nil || set.Keys[0]["alg"] != "ES256" {
		t.Errorf("it serves %v", set.Keys)
	}
}

func TestDamagedKeyFile(t *testing.T) {
	keyFile := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(keyFile, []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := issuer.New("http://127.0.0.1/dev/issuer", keyFile); err == nil {
		t.Error("a damaged key is taken")
	}
}
