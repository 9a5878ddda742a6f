package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
)

// TestKeyFileIsSwappedUnderTheDaemon: what is stored afterwards opens with the
// installation's key, as at the next start, and the log says what happened.
func TestKeyFileIsSwappedUnderTheDaemon(t *testing.T) {
	cfg := config.Default()
	cfg.DataDir, cfg.Vault.KeyFile = t.TempDir(), filepath.Join(t.TempDir(), "vault.key")
	core, logs := observer.New(zapcore.ErrorLevel)
	a, err := open(t.Context(), cfg, outside{now: time.Now, trace: func(string) {}}, zap.New(core), needs{tokens: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.close(t.Context()) })
	kept := cfg.Vault.KeyFile + ".kept"
	if err := os.Rename(cfg.Vault.KeyFile, kept); err != nil {
		t.Fatal(err)
	}
	if _, err := vault.Create(cfg.Vault.KeyFile); err != nil {
		t.Fatal(err)
	}
	sealed, err := a.vault.Seal([]byte("token"), nil)
	if err != nil {
		t.Fatal(err)
	}
	right, err := vault.Open(kept)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := right.Open(sealed, nil); err != nil {
		t.Errorf("sealed with a key that the installation does not have: %v", err)
	}
	if logs.FilterMessageSnippet("the key file was replaced").Len() == 0 {
		t.Errorf("the log says %v", logs.All())
	}
	if _, err := opRekey(t.Context(), a, rekeyParams{}, nil); err == nil {
		t.Error("a foreign key file is rotated")
	}
	if err := os.Rename(kept, cfg.Vault.KeyFile); err != nil {
		t.Fatal(err)
	}
	if res, err := opRekey(t.Context(), a, rekeyParams{}, nil); err != nil || len(res.Old) != 1 {
		t.Errorf("with the right file: %+v, %v", res, err)
	}
}
