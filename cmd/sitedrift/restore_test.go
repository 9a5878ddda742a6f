//go:build linux && !noengine

package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"testing"
	"time"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// stateFiles are what a backup of the state is made of.
var stateFiles = []string{"state.db", "vault.db"}

// stop closes the system as at the end of a process.
func (w *wayWorld) stop() {
	w.t.Helper()
	if err := w.app.close(w.t.Context()); err != nil {
		w.t.Fatal(err)
	}
}

// start opens it again on the files that are there, and returns what it logs.
func (w *wayWorld) start() *observer.ObservedLogs {
	w.t.Helper()
	core, logs := observer.New(zapcore.WarnLevel)
	app, err := open(w.t.Context(), w.app.cfg, w.app.out, zap.New(core), needs{warehouse: true, tokens: true})
	if err != nil {
		w.t.Fatal(err)
	}
	w.app = app
	return logs
}

// dies does something that ends with its goroutine at a point, as a process
// that is killed there.
func (w *wayWorld) dies(point string, do func()) {
	w.t.Helper()
	w.app.runner.Trace = func(p string) {
		if p == point {
			runtime.Goexit()
		}
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		do()
		w.t.Errorf("%s was not reached", point)
	}()
	<-done
	w.app.runner.Trace = nil
}

// copyFiles replaces databases in a directory by those of another.
func copyFiles(t *testing.T, from, to string, names []string) {
	t.Helper()
	for _, name := range names {
		for _, journal := range []string{"-wal", "-shm"} {
			if err := os.Remove(filepath.Join(to, name+journal)); err != nil && !errors.Is(err, fs.ErrNotExist) {
				t.Fatal(err)
			}
		}
		content, err := os.ReadFile(filepath.Join(from, name))
		if err == nil {
			err = os.WriteFile(filepath.Join(to, name), content, 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// TestStateOfABackup: the state database is put back to a time before the
// warehouse's. What was published since stays, rows of a run that died above it
// stay unseen, no number is given out twice, and of the grant one try is made.
func TestStateOfABackup(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	space, first := w.site.Truth().Spaces[1].ID, w.site.Truth().Spaces[1].Name
	step := func(name string) {
		if err := w.site.RenameSpace(space, name); err != nil {
			t.Fatal(err)
		}
	}
	w.stop()
	backup := t.TempDir()
	copyFiles(t, w.app.cfg.DataDir, backup, stateFiles)
	w.start()
	for _, name := range []string{"second", "third"} {
		step(name)
		w.sync(time.Hour)
	}
	step("of a run that dies")
	w.clock.set(w.clock.now().Add(time.Hour))
	tenant, err := w.app.store.Tenant(t.Context(), "acme")
	if err != nil {
		t.Fatal(err)
	}
	w.dies("decide.before", func() {
		_, _ = w.app.runner.Run(t.Context(), collector.Request{Tenant: tenant, Group: schemas.GroupPosture, Trigger: collector.TriggerManual, Owner: "dies"})
	})
	w.stop()
	copyFiles(t, backup, w.app.cfg.DataDir, stateFiles)

	logs := w.start()
	if logs.Len() == 0 {
		t.Error("the log says nothing")
	}
	w.want("SELECT dataset_group, outcome FROM runs WHERE tenant_id = 'acme' AND outcome = 'restored' ORDER BY 1", "audit restored", "inventory restored", "posture restored")
	w.want("SELECT name FROM spaces WHERE tenant_id = 'acme' AND space_id = '"+space+"'", "third")

	calls := w.server.TokenCalls()
	w.clock.set(w.clock.now().Add(time.Hour))
	if err := w.app.boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for range 3 { // as every few seconds
		w.clock.set(w.clock.now().Add(time.Minute))
		_ = w.app.tokens.ServePendingIntents(t.Context()) // that it needs consent is told below
	}
	if n := w.server.TokenCalls() - calls; n != 1 {
		t.Errorf("the restored token was sent %d times", n)
	}
	c, err := w.app.store.Credential(t.Context(), "acme", collector.CredentialKind3LO)
	if err != nil || c.State != collector.CredentialNeedsReconsent {
		t.Errorf("the grant is %s, %v", c.State, err)
	}
	w.consent()

	step("fourth")
	w.sync(time.Hour)
	w.want("SELECT JSONExtractString(before, 'name'), JSONExtractString(after, 'name') FROM changes WHERE tenant_id = 'acme' AND dataset = 'spaces' AND change = 'changed' AND entity_key LIKE '%"+space+"%' ORDER BY observed_at",
		first+" second", "second third", "third fourth")
	w.want("SELECT count() FROM (SELECT seq FROM spaces_versions WHERE tenant_id = 'acme' GROUP BY seq HAVING uniqExact(run_id) > 1)", "0")
	// What the new consent itself does at the site is seen as activity.
	w.want("SELECT dataset, change, entity_name FROM changes WHERE tenant_id = 'acme' AND change NOT IN ('baseline', 'changed', 'coverage') AND dataset != 'user_activity'")
	w.sync(time.Hour)
	w.want("SELECT argMax(outcome, started_at) FROM runs WHERE tenant_id = 'acme' AND dataset_group = 'posture'", "no_change")
	w.stop()
	if logs := w.start(); logs.Len() > 0 {
		t.Errorf("the next start: %v", logs.All())
	}
}
