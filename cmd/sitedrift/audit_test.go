//go:build linux && !noengine

package main

import (
	"encoding/json"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
)

// TestKilledActionIsOnRecord kills the real program right before it changes
// something, and right after: each time the audit trail has who did what, and
// that its end is not known.
func TestKilledActionIsOnRecord(t *testing.T) {
	bin, dir := killable(t), t.TempDir()
	config := "data_dir: data\nserver: {metrics: off}\ntenants: [{id: acme, site: \"https://acme.atlassian.net\"}]\n"
	if err := os.WriteFile(filepath.Join(dir, "sitedrift.yml"), []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	run := func(point string, args ...string) ([]byte, error) {
		c := exec.CommandContext(t.Context(), bin, args...)
		c.Dir, c.Env = dir, append(os.Environ(), "SITEDRIFT_CONFIG=sitedrift.yml", "SITEDRIFT_FAILPOINT="+point)
		return c.Output()
	}
	read := func(v any, args ...string) {
		t.Helper()
		out, err := run("", append(args, "--json")...)
		if err == nil {
			err = json.Unmarshal(out, v)
		}
		if err != nil {
			t.Fatalf("%v: %v\n%s", args, err, out)
		}
	}
	var tenants []struct{ Paused bool }
	read(&tenants, "tenants") // the configuration's tenant is added, and on record
	for i, kill := range []struct {
		point  string
		paused bool
	}{{"action.begun", false}, {"action.done", true}} {
		_, err := run(kill.point, "tenants", "pause", "acme")
		failed := (*exec.ExitError)(nil)
		if !errors.As(err, &failed) || failed.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
			t.Fatalf("%s: it was not killed: %v", kill.point, err)
		}
		read(&tenants, "tenants")
		if tenants[0].Paused != kill.paused {
			t.Errorf("%s: paused is %v", kill.point, tenants[0].Paused)
		}
		var trail []actionShown
		read(&trail, "tenants", "audit")
		if len(trail) != 2+i {
			t.Fatalf("%s: %+v", kill.point, trail)
		}
		if e := trail[len(trail)-1]; !e.Unfinished || e.Action != "tenants pause" || e.Tenant != "acme" || e.Actor != actorOf(os.Geteuid()) {
			t.Errorf("%s: %+v", kill.point, e)
		}
	}
}
