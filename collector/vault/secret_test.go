package vault

import (
	"bytes"
	"encoding/json"
	"encoding/xml"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.yaml.in/yaml/v3"
)

const canary = "c4n4ry-value"

// holder has the secret in an exported and in an unexported field: fmt calls
// methods only on the first.
type holder struct {
	Token  Secret
	hidden Secret
	nested *holder
}

func TestSecretNeverPrints(t *testing.T) {
	secret := NewSecret(canary)
	values := map[string]any{
		"value":   secret,
		"pointer": &secret,
		"struct":  holder{Token: secret, hidden: secret, nested: &holder{Token: secret, hidden: secret}},
		"slice":   []Secret{secret},
		"map":     map[string]Secret{"token": secret},
		"error":   fmt.Errorf("with %v inside", secret),
	}
	check := func(where, got string) {
		t.Helper()
		if strings.Contains(got, canary) || strings.Contains(got, fmt.Sprintf("%x", canary)) {
			t.Errorf("%s shows the secret: %s", where, got)
		}
	}
	for name, value := range values {
		for verb := rune('A'); verb <= 'z'; verb++ {
			for _, flags := range []string{"", "+", "#", "-20", " ", "020", ".3"} {
				check(name+" %"+flags+string(verb), fmt.Sprintf("%"+flags+string(verb), value))
			}
		}
		check(name+" Sprint", fmt.Sprint(value))
		if b, err := json.Marshal(value); err == nil {
			check(name+" JSON", string(b))
		}
		if b, err := yaml.Marshal(value); err == nil {
			check(name+" YAML", string(b))
		}
		if b, err := xml.Marshal(value); err == nil {
			check(name+" XML", string(b))
		}
		var log bytes.Buffer
		slog.New(slog.NewTextHandler(&log, nil)).Info("m", "v", value)
		slog.New(slog.NewJSONHandler(&log, nil)).Info("m", "v", value)
		for _, enc := range []zapcore.Encoder{
			zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()),
			zapcore.NewConsoleEncoder(zap.NewDevelopmentEncoderConfig()),
		} {
			logger := zap.New(zapcore.NewCore(enc, zapcore.AddSync(&log), zap.DebugLevel))
			logger.Info("m", zap.Any("any", value), zap.Reflect("reflect", value), zap.Object("o", secret), zap.Stringer("s", secret), zap.Inline(secret))
			logger.Sugar().Infow("m", "v", value)
		}
		check(name+" logs", log.String())
	}
	if got := fmt.Sprintf("%v %s %#v", secret, secret, secret); got != "[secret] [secret] [secret]" {
		t.Errorf("printed as %q", got)
	}
	if b, err := json.Marshal(values["map"]); err != nil || string(b) != `{"token":"[secret]"}` {
		t.Errorf("JSON = %s, %v", b, err)
	}
	if b, err := yaml.Marshal(values["map"]); err != nil || strings.TrimSpace(string(b)) != `token: '[secret]'` {
		t.Errorf("YAML = %s, %v", b, err)
	}
}

func TestSecretKeepsItsValue(t *testing.T) {
	secret := NewSecret(canary)
	if secret.Reveal() != canary || secret.IsZero() {
		t.Error("the value is lost")
	}
	if !(Secret{}).IsZero() || (Secret{}).Reveal() != "" {
		t.Error("the zero secret is not empty")
	}
	if !secret.Equal(NewSecret(canary)) || secret.Equal(NewSecret("other")) || secret.Equal(Secret{}) {
		t.Error("Equal does not compare values")
	}
	if _, err := secret.Value(); err == nil {
		t.Error("a database driver was given the secret")
	}
}
