//go:build linux && !noengine

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/sitedrift/sitedrift/collector/vault"
)

// secretPrefixes begin every token, key and client secret that the simulator
// makes, also those that were rotated out long ago; hexadecimal digits follow.
var secretPrefixes = []string{"ATOA", "eyJ", "eyR", "ATATT", "ATCTT3x", "dcA", "dcR", "NDc2"}

// secretDigits are fewer than any secret has.
const secretDigits = 20

// findSecret returns where one of the secrets, or anything of their shape, begins
// in content; -1 if nowhere. It is fast: a demo writes much.
func findSecret(content []byte, secrets []string) int {
	for _, s := range secrets {
		if at := bytes.Index(content, []byte(s)); at >= 0 {
			return at
		}
	}
	for _, prefix := range secretPrefixes {
		for at := 0; ; at++ {
			next := bytes.Index(content[at:], []byte(prefix))
			if next < 0 {
				break
			}
			at += next
			rest := content[at+len(prefix):]
			if len(rest) >= secretDigits && len(bytes.TrimLeft(rest[:secretDigits], "0123456789abcdef")) == 0 {
				return at
			}
		}
	}
	return -1
}

// canaryLog is the demo's whole log, debug lines included.
type canaryLog struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (l *canaryLog) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *canaryLog) logger() *zap.Logger {
	return zap.New(zapcore.NewCore(zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig()), zapcore.AddSync(l), zapcore.DebugLevel))
}

// checkSecrets looks for secrets in all that the demo wrote and shows: files, the
// warehouse behind its compression, log, report, metrics, arguments and
// environments of processes (Invariant 9).
func (w *demoWitness) checkSecrets(t *testing.T, log *canaryLog) {
	secrets := w.secretsInUse(t)
	clean := func(where string, content []byte) {
		t.Helper()
		if len(content) == 0 {
			t.Errorf("%s is empty: nothing was looked at", where)
		}
		if at := findSecret(content, secrets); at >= 0 {
			t.Errorf("%s holds a secret at byte %d: %.6s...", where, at, content[at:])
		}
	}

	files := 0
	err := filepath.WalkDir(w.demo.app.cfg.DataDir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() || d.Name() == "client-secret" { // where the configuration says that it is
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if files++; len(content) > 0 {
			clean(path, content)
		}
		return nil
	})
	if err != nil || files < 10 {
		t.Errorf("%d files: %v", files, err)
	}

	pattern := fmt.Sprintf("'(%s)[0-9a-f]{%d}|%s'", strings.Join(secretPrefixes, "|"), secretDigits, strings.Join(secrets, "|"))
	if got := w.ask(t, "SELECT match(toString(tuple(1, 'before %s after')), %s)", secrets[0], pattern); got[0][0] != "1" {
		t.Fatalf("the warehouse does not find what is there: %v", got)
	}
	tables := w.ask(t, `SELECT database || '.' || table, arrayStringConcat(groupArray('"' || name || '"'), ', ') FROM system.columns
WHERE (database, table) IN (SELECT database, name FROM system.tables WHERE engine LIKE '%%MergeTree' OR engine IN ('Log', 'TinyLog')) AND type LIKE '%%String%%' GROUP BY database, table`)
	if len(tables) < len(w.demo.app.runner.Tables) {
		t.Errorf("%d tables only", len(tables))
	}
	for _, table := range tables {
		if got := w.ask(t, "SELECT count() FROM %s WHERE match(toString(tuple(%s, '')), %s)", table[0], table[1], pattern); got[0][0] != "0" {
			t.Errorf("%s rows of %s hold a secret", got[0][0], table[0])
		}
	}

	log.mu.Lock()
	clean("the log", log.text.Bytes())
	log.mu.Unlock()
	var report bytes.Buffer
	if err := w.demo.report(t.Context(), &report, true); err != nil {
		t.Fatal(err)
	}
	clean("the report", report.Bytes())
	metrics := httptest.NewRecorder()
	w.demo.app.handler().ServeHTTP(metrics, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	clean("/metrics", metrics.Body.Bytes())
	for _, pid := range []int{os.Getpid(), w.demo.app.engine.PID()} {
		for _, name := range []string{"cmdline", "environ"} {
			where := fmt.Sprintf("/proc/%d/%s", pid, name)
			content, err := os.ReadFile(where)
			if err != nil {
				t.Fatal(err)
			}
			clean(where, content)
		}
	}
}

// secretsInUse are the secrets that are stored now, and the app's. Those that have
// a shape prove that the shapes are right.
func (w *demoWitness) secretsInUse(t *testing.T) (all []string) {
	t.Helper()
	a := w.demo.app
	app, err := a.cfg.OAuth.ClientSecret.Resolve()
	if err != nil {
		t.Fatal(err)
	}
	stored, err := a.store.Credentials(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	shaped := map[string]bool{}
	note := func(v any) {
		if s, ok := v.(string); ok && len(s) >= 20 && !strings.Contains(s, "://") {
			if all = append(all, s); findSecret([]byte("before "+s+" after"), nil) == len("before ") {
				shaped[s[:3]] = true
			}
		}
	}
	note(app)
	for _, c := range stored {
		plain, err := a.vault.Open(c.Sealed, vault.AssociatedData(c.Tenant, c.Kind, c.Generation))
		if err != nil {
			t.Fatal(err)
		}
		var parts map[string]any
		if err := json.Unmarshal(plain, &parts); err != nil {
			t.Fatal(err)
		}
		for _, v := range parts {
			note(v)
		}
	}
	if len(shaped) < 6 || len(all) < 10 {
		t.Fatalf("%d secrets of the shapes %v: too few to prove anything", len(all), shaped)
	}
	return all
}
