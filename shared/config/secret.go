package config

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
)

const mask = "***"

// Secret is a string that must not be seen: it prints, logs and marshals as
// ***, whatever the verb or the format. Keep it in exported fields: fmt calls
// no methods on unexported ones.
type Secret string

// Reveal returns the secret itself, for the one call that needs it.
func (s Secret) Reveal() string { return string(s) }

// MAC returns the HMAC-SHA-256 (RFC 2104) of a purpose and data, with the secret as its key. A MAC
// for one purpose is not valid for another, provided that no purpose is a prefix of another one.
func (s Secret) MAC(purpose string, data []byte) []byte {
	mac := hmac.New(sha256.New, []byte(s))
	mac.Write([]byte(purpose))
	mac.Write(data)
	return mac.Sum(nil)
}

// minKey is how long a key that signs must be, in characters.
const minKey = 32

// ValidateKeys reports what is wrong with the signing keys of a variable, of which there may be two while
// one takes the other's place: the first signs, and each checks. The error names the variable, and says what to
// write. No key is no error.
func ValidateKeys(variable string, keys []Secret) error {
	if len(keys) > 2 {
		return fmt.Errorf("%s must be one key, or two: the new one, a comma and the old one", variable)
	}
	for _, key := range keys {
		if len(key) < minKey {
			return fmt.Errorf("%s must have at least %d characters, each of two keys; make one with: openssl rand -hex 32", variable, minKey)
		}
	}
	return nil
}

// String returns ***.
func (Secret) String() string { return mask }

// GoString returns ***.
func (Secret) GoString() string { return mask }

// Format writes *** for every verb, %x and %q included.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, mask) }

// LogValue returns ***.
func (Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalText returns ***. JSON and YAML encoders use it too.
func (Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }
