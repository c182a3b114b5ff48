package auth

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"net/http"
	"strings"
	"unicode"

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
)

const (
	appTokenHeader    = "dapr-api-token"
	minAppTokenLength = 16
	maxAppTokens      = 2
)

// AppToken is the configuration and the check of the token that Dapr sends
// with every callback. Two tokens may be valid at a time, so that a new one can be
// set first here and then at daprd.
type AppToken struct {
	Tokens []config.Secret `env:"APP_API_TOKEN,required" help:"daprd's app token, 16 characters or more; to change it, the new one, a comma and the old one"`
}

// Validate says what is wrong with the configuration.
func (t AppToken) Validate() error {
	for _, token := range t.Tokens {
		value := token.Reveal()
		if len(value) < minAppTokenLength || strings.ContainsFunc(value, isSpaceOrControl) {
			return fmt.Errorf("APP_API_TOKEN must have at least %d characters, and no spaces", minAppTokenLength)
		}
	}
	if len(t.Tokens) > maxAppTokens {
		return fmt.Errorf("APP_API_TOKEN must not be more than %d tokens", maxAppTokens)
	}
	return nil
}

func isSpaceOrControl(c rune) bool { return unicode.IsSpace(c) || unicode.IsControl(c) }

// Check returns an unauthenticated error unless the request carries one of the
// tokens, once. It takes the same time whichever token is sent. An AppToken
// without tokens refuses everything.
func (t AppToken) Check(r *http.Request) error {
	var sent [sha256.Size]byte
	headers := r.Header.Values(appTokenHeader)
	if len(headers) == 1 {
		sent = sha256.Sum256([]byte(headers[0]))
	}
	good := 0
	for _, token := range t.Tokens {
		if token == "" {
			continue
		}
		want := sha256.Sum256([]byte(token.Reveal()))
		good |= subtle.ConstantTimeCompare(sent[:], want[:])
	}
	if good != 1 {
		return fault.Unauthenticated("send the app's token, in one %s header", appTokenHeader)
	}
	return nil
}
