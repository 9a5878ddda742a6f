//go:build linux && !noengine

package main

import (
	"os"
	"path/filepath"
	"testing"
	"time"
)

// TestBackupOfTheDataDirectory drills what the operations guide says of backups:
// the daemon is stopped, data_dir is copied, and the copy starts elsewhere. It
// shows the same, knows itself as the same installation, and the next run is clean.
func TestBackupOfTheDataDirectory(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	if err := w.site.RenameSpace(w.site.Truth().Spaces[1].ID, "renamed"); err != nil {
		t.Fatal(err)
	}
	w.sync(time.Hour)
	const picture = "SELECT (SELECT (count(), sum(cityHash64(*))) FROM changes), (SELECT (count(), sum(cityHash64(*))) FROM spaces_history), (SELECT sum(rows_or_null) FROM tiles)"
	before, err := w.rows(t.Context(), picture)
	if err != nil {
		t.Fatal(err)
	}
	w.stop()
	backup := filepath.Join(t.TempDir(), "data")
	if err := os.CopyFS(backup, os.DirFS(w.app.cfg.DataDir)); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(w.app.cfg.DataDir); err != nil {
		t.Fatal(err)
	}
	w.app.cfg.DataDir = backup
	if logs := w.start(); logs.Len() > 0 {
		t.Errorf("the copy starts with: %v", logs.All())
	}
	var want []string
	for _, v := range before[0] {
		want = append(want, v.Text())
	}
	w.want(picture, want[0]+" "+want[1]+" "+want[2])
	w.sync(time.Hour)
	w.want("SELECT argMax(outcome, started_at) FROM runs WHERE tenant_id = 'acme' AND dataset_group = 'posture'", "no_change")
	w.want("SELECT countIf(outcome IN ('restored', 'baseline_mismatch')) FROM runs", "0")
}

// TestBackupWhileItWorks drills `sitedrift backup`: runs are published between the
// copies of state, heads and rows. The copy starts as a data directory, shows each
// run whole or not at all, goes on above every number that was given out, and tells
// of each change once.
func TestBackupWhileItWorks(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	w.sync(time.Hour)
	space := w.site.Truth().Spaces[1].ID
	step := func(name string) {
		t.Helper()
		if err := w.site.RenameSpace(space, name); err != nil {
			t.Fatal(err)
		}
		w.sync(time.Hour)
	}
	backUp := func(dir string) {
		t.Helper()
		res, err := opBackup(t.Context(), w.app, backupParams{dir}, nil)
		if err != nil || res.Bytes == 0 {
			t.Fatalf("%+v, %v", res, err)
		}
	}
	step("first")
	still, busy := filepath.Join(t.TempDir(), "still"), filepath.Join(t.TempDir(), "busy")
	const picture = "SELECT toString((SELECT (count(), sum(cityHash64(*))) FROM changes)), toString((SELECT (count(), sum(cityHash64(*))) FROM spaces_history)), toString((SELECT (count(), sum(rows_or_null)) FROM tiles))"
	before, err := w.rows(t.Context(), picture)
	if err != nil {
		t.Fatal(err)
	}
	backUp(still)
	w.app.out.trace = func(point string) {
		switch point {
		case "backup.state":
			step("second")
		case "backup.heads":
			step("third")
		}
	}
	backUp(busy)
	w.app.out.trace = func(string) {}
	if _, err := opBackup(t.Context(), w.app, backupParams{busy}, nil); err == nil {
		t.Error("a backup was overwritten")
	}

	use := func(dir string) int {
		t.Helper()
		w.stop()
		w.app.cfg.DataDir = dir
		return w.start().Len()
	}
	if n := use(still); n > 0 {
		t.Errorf("the copy of a quiet time is taken for an old one: %d lines of log", n)
	}
	w.want(picture, before[0][0].Text()+" "+before[0][1].Text()+" "+before[0][2].Text())

	if n := use(busy); n == 0 {
		t.Error("runs were published meanwhile, and nothing is said of it")
	}
	// The heads have the second name, and the third lies above them, unseen.
	w.want("SELECT name FROM spaces WHERE space_id = '"+space+"'", "second")
	w.want("SELECT count() > 0 FROM spaces_versions WHERE name = 'third'", "1")
	w.consent() // the token was rotated after the copy of the state
	step("fourth")
	w.want("SELECT JSONExtractString(before, 'name'), JSONExtractString(after, 'name') FROM changes WHERE dataset = 'spaces' AND change = 'changed' AND entity_key LIKE '%"+space+"%' AND JSONExtractString(after, 'name') != 'first' ORDER BY observed_at",
		"first second", "second fourth")
	w.want("SELECT count() FROM (SELECT seq FROM spaces_versions GROUP BY seq HAVING uniqExact(run_id) > 1)", "0")
	w.want("SELECT countIf(outcome = 'baseline_mismatch') FROM runs", "0")
	w.sync(time.Hour)
	w.want("SELECT argMax(outcome, started_at) FROM runs WHERE dataset_group = 'posture'", "no_change")
}
