package vault

import (
	"crypto/subtle"
	"database/sql/driver"
	"errors"
	"fmt"
	"io"
	"log/slog"

	"go.uber.org/zap/zapcore"
)

// redacted is what every printer shows instead of a secret.
const redacted = "[secret]"

// Secret holds a token, password or key. Every way of printing it (fmt with any
// verb, JSON, text, YAML, slog, zap) gives "[secret]"; Reveal alone gives the
// value. The zero Secret is empty. Secrets are immutable and safe for
// concurrent use; compare them with Equal, since == compares identities.
type Secret struct {
	// A pointer and not a string: fmt does not call methods on unexported
	// fields of other structs, but it prints a pointer inside a struct as an
	// address.
	value *string
}

// NewSecret wraps value.
func NewSecret(value string) Secret { return Secret{&value} }

// Reveal returns the value. Call it only where the secret leaves for the one
// place it belongs to.
func (s Secret) Reveal() string {
	if s.value == nil {
		return ""
	}
	return *s.value
}

// IsZero reports whether the secret is empty.
func (s Secret) IsZero() bool { return s.value == nil || *s.value == "" }

// Equal compares in constant time for values of equal length.
func (s Secret) Equal(other Secret) bool {
	return subtle.ConstantTimeCompare([]byte(s.Reveal()), []byte(other.Reveal())) == 1
}

// String returns "[secret]".
func (Secret) String() string { return redacted }

// GoString returns "[secret]".
func (Secret) GoString() string { return redacted }

// Format writes "[secret]" for every verb and flag.
func (Secret) Format(f fmt.State, _ rune) { _, _ = io.WriteString(f, redacted) }

// MarshalText returns "[secret]"; JSON, XML and YAML encoders use it too.
func (Secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// MarshalJSON returns "[secret]" in quotes.
func (Secret) MarshalJSON() ([]byte, error) { return []byte(`"` + redacted + `"`), nil }

// MarshalYAML returns "[secret]".
func (Secret) MarshalYAML() (any, error) { return redacted, nil }

// LogValue returns "[secret]" to log/slog.
func (Secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// MarshalLogObject adds one field, "value": "[secret]", to a zap object.
func (Secret) MarshalLogObject(enc zapcore.ObjectEncoder) error {
	enc.AddString("value", redacted)
	return nil
}

// Value refuses to hand the secret to a database driver unsealed.
func (Secret) Value() (driver.Value, error) {
	return nil, errors.New("a secret must be sealed by the vault before it is stored")
}
