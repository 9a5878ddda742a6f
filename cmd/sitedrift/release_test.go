//go:build linux && !noengine

package main

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// renewedDataset is the one whose declaration the next release changes.
const renewedDataset = "spaces"

// nextRelease builds the program as a later release could be: both parts of the
// state have a migration more, and a dataset has a column more.
func nextRelease(t testing.TB) string {
	t.Helper()
	next := changedSources{}
	next.edit(t, "the next release", "schemas/confluence/spaces.go",
		edit{`Name: "spaces", Version: 1,`, `Name: "spaces", Version: 2,`},
		edit{
			"\t},\n\tEntityName: []string{\"space_key\", \"name\"},\n",
			"\t\tschemas.String(\"label\", \"Key and type.\", func(r *Space) string { return r.Key + \"/\" + r.Type }).Since(2),\n\t},\n\tEntityName: []string{\"space_key\", \"name\"},\n",
		})
	for part, table := range map[string]string{"state": "tenants", "vault": "credentials"} {
		dir := "collector/state/migrations/" + part
		present, err := filepath.Glob(filepath.Join("../..", dir, "*.sql"))
		if err != nil || len(present) == 0 {
			t.Fatalf("no migrations in %s: %v", dir, err)
		}
		next[fmt.Sprintf("%s/%05d_next.sql", dir, len(present)+1)] = fmt.Sprintf("-- +goose Up\nALTER TABLE %s ADD COLUMN next TEXT NOT NULL DEFAULT '';\n-- +goose Down\nALTER TABLE %[1]s DROP COLUMN next;\n", table)
	}
	bin := filepath.Join(t.TempDir(), "sitedrift")
	next.compile(t, "-o", bin, "./cmd/sitedrift")
	return bin
}

// TestRollingUpgrade replaces replicas one by one by those of the next release. The
// old ones work on beside it, also those that are started again, and leave alone
// what it alone understands; nothing is told twice, and nothing is missed.
func TestRollingUpgrade(t *testing.T) {
	t.Parallel()
	next := nextRelease(t)
	f := newFleet(t)
	first, second := f.replica(t, "a"), f.replica(t, "b")
	old := first.start(t, "")
	old.listens(t)
	replaced := second.start(t, "")
	replaced.listens(t)
	replaced.mustShow(t, "before the upgrade")

	replaced.stop(t)
	second.bin = next
	upgraded := second.start(t, "")
	upgraded.listens(t)
	if err := f.change(1); err != nil {
		t.Fatal(err)
	}
	upgraded.mustShow(t, "by the first replica of the next release")

	for _, restarted := range []bool{false, true} {
		if restarted {
			old.kill()
			<-old.ended
			old = first.start(t, "")
			old.listens(t)
			old.says(t, "leaves it as it is")
			if told := string(first.command(t, "migrate")); !strings.Contains(told, "leaves it as it is") {
				t.Errorf("migrate of the old release: %s", told)
			}
		}
		if err := f.change(2); err != nil {
			t.Fatal(err)
		}
		before := upgraded.mustRows(t, "SELECT * FROM spaces ORDER BY space_id")
		old.sync(t, killGroups()...)
		if got := old.mustRows(t, "SELECT state, evidence FROM coverage WHERE dataset = '"+renewedDataset+"' AND partition_id = ''"); len(got) != 1 || got[0][0] != "failed" {
			t.Errorf("the old release tells of what it does not understand: %q", got)
		}
		if diff := cmp.Diff(before, upgraded.mustRows(t, "SELECT * FROM spaces ORDER BY space_id")); diff != "" {
			t.Errorf("the old release changed what it does not understand (-before +after):\n%s", diff)
		}
		if got, err := old.shown(t.Context(), ""); err != nil || cmp.Diff(f.truth()["users"], got["users"]) != "" {
			t.Errorf("the old release does not work on: %v\n%s", err, cmp.Diff(f.truth()["users"], got["users"]))
		}
	}
	upgraded.mustShow(t, "after the old release")

	old.stop(t)
	first.bin = next
	last := first.start(t, "")
	last.listens(t)
	if err := f.change(3); err != nil {
		t.Fatal(err)
	}
	last.mustShow(t, "after the upgrade")
	versions := last.history(t)
	checkHistory(t, versions, f.truth(), renewedDataset)
	last.checkRuns(t, versions, renewedDataset)
	checkEvents(t, last.events(t), versions, f.truth(), renewedDataset)
	last.checkTenants(t)
	last.stop(t)
	upgraded.stop(t)
}
