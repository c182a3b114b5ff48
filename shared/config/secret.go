package config

import (
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
