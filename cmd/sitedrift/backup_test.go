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
