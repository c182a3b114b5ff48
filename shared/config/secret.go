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
