package config

import (
	"crypto/hmac"
	"crypto/sha256"
	"fmt"
	"io"
	"log/slog"
)

const mask = "***"

// Secret is a string that is printed, logged and marshalled as ***, with every verb and in every
// format. Keep it in exported fields: fmt does not call methods on unexported ones.
type Secret string

// Reveal returns the secret.
func (s Secret) Reveal() string { return string(s) }

// MAC returns the HMAC-SHA-256 (RFC 2104) of purpose and data, with the secret as the key. A MAC
// for one purpose is not valid for another, if no purpose is a prefix of another.
func (s Secret) MAC(purpose string, data []byte) []byte {
	mac := hmac.New(sha256.New, []byte(s))
	mac.Write([]byte(purpose))
	mac.Write(data)
	return mac.Sum(nil)
}

// minKey is the least length of a signing key, in characters.
const minKey = 32

// ValidateKeys reports what is wrong with the signing keys in a variable. There may be two while
// one replaces the other: the first signs, and both check. No key is no error. The error names the
// variable, and says what to write.
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
