package clickhouse

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestTenantPushdown: a statement about one tenant reads that tenant's rows of
// the data table and no others, through every view.
func TestTenantPushdown(t *testing.T) {
	w := open(t, nil)
	for _, tenant := range []string{"a", "b", "c", "d"} {
		h := head(tenant, confluence.Spaces.Dataset, 1)
		d := delta(h, nil)
		var spaces []confluence.Space
		var changes []schemas.Change
		var coverage []schemas.Coverage
		var runs []schemas.Run
		for i := range 20_000 {
			id := uuid.NewSHA1(uuid.NameSpaceOID, []byte(tenant+strconv.Itoa(i)))
			spaces = append(spaces, confluence.Space{SpaceID: strconv.Itoa(i), CreatedAt: epoch})
			changes = append(changes, schemas.Change{EventID: id, Tenant: tenant, Dataset: "spaces", ObservedAt: epoch, Seq: 1, RunID: h.RunID})
			coverage = append(coverage, schemas.Coverage{Tenant: tenant, Dataset: "spaces", Partition: strconv.Itoa(i), State: "complete", ObservedAt: epoch, Seq: 1, RunID: h.RunID})
			runs = append(runs, schemas.Run{RunID: id, Tenant: tenant, Group: h.Group, Seq: 1, StartedAt: epoch, EndedAt: epoch, Outcome: schemas.OutcomeNoChange})
		}
		d.Parts[0].Rows = stream(block(confluence.Spaces, "", schemas.OpAdded, spaces...))
		d.Parts[0].Changes, d.Parts[0].Coverage = records(schemas.ChangesTable, changes...), records(schemas.CoverageTable, coverage...)
		stage(t, w, d)
		if err := w.Runs(t.Context(), runs); err != nil {
			t.Fatal(err)
		}
		show(t, w, h)
	}
	for _, table := range []string{"spaces_versions", "changes_log", "coverage_log", "runs_log"} {
		exec(t, w, "OPTIMIZE TABLE sitedrift."+table+" FINAL")
	}
	granules := regexp.MustCompile(`Granules: (\d+)/(\d+)`)
	for view, table := range map[string]string{
		"spaces": "spaces_versions", "spaces_history": "spaces_versions", "spaces_at(at = '2100-01-01 00:00:00')": "spaces_versions",
		"changes": "changes_log", "coverage": "coverage_log", "coverage_history": "coverage_log", "runs": "runs_log", "tiles": "runs_log",
	} {
		plan := ask(t, w, "EXPLAIN indexes = 1 SELECT * FROM "+view+" WHERE tenant_id = 'b'")
		var read, total int
		inside := false
		for _, line := range plan {
			if strings.Contains(line[0], "ReadFromMergeTree (sitedrift.") {
				inside = strings.Contains(line[0], "(sitedrift."+table+")")
			}
			if m := granules.FindStringSubmatch(line[0]); inside && m != nil {
				read, _ = strconv.Atoi(m[1])
				total, _ = strconv.Atoi(m[2])
			}
		}
		if total < 8 || read*2 > total {
			t.Errorf("%s reads %d of %d granules of %s", view, read, total, table)
		}
	}
}

// TestBaselineMemory: the engine streams a baseline in far less memory than it
// would take to sort or group it.
func TestBaselineMemory(t *testing.T) {
	w := open(t, nil)
	h := fill(t, w, 300_000, 20)
	limited := connect(t, func(s *Settings) { s.Options.Settings = ch.Settings{"max_memory_usage": 60_000_000} })
	rows := 0
	err := limited.Baseline(t.Context(), confluence.Spaces.Dataset, h, "", "\xff", func(_ string, keys []schemas.BaselineKey) error {
		rows += len(keys)
		return nil
	})
	if err != nil || rows != 300_000 {
		t.Errorf("%d keys: %v", rows, err)
	}
	// The limit is one: what groups the same rows does not pass.
	err = limited.conn.Exec(t.Context(), "SELECT partition_id, key_hash, argMax(row_hash, seq), argMax(name, seq) FROM sitedrift.spaces_versions GROUP BY partition_id, key_hash FORMAT Null")
	if err == nil {
		t.Error("grouping passed too: the limit limits nothing")
	}
}
