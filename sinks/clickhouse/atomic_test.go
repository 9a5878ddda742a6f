package clickhouse

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestAtomicity: while runs are written and shown, no statement over two views
// sees half of one (Invariant 2). A setting of the engine widens the gap between
// the snapshots that one statement takes; without it even naive views pass.
// The same reads through a list of open runs must find violations, or the test
// would prove nothing.
func TestAtomicity(t *testing.T) {
	w := open(t, nil)
	deny, err := os.ReadFile(filepath.Join("testdata", "deny_list.sql"))
	if err != nil {
		t.Fatal(err)
	}
	for sql := range strings.SplitSeq(string(deny), ";\n") {
		exec(t, w, sql)
	}
	t.Cleanup(func() { _ = w.conn.Exec(context.Background(), "DROP TABLE IF EXISTS sitedrift.open_runs SYNC") })

	mark := func(ctx context.Context, seq uint64, closed int) error {
		return w.conn.Exec(ctx, fmt.Sprintf("INSERT INTO sitedrift.open_runs VALUES (%d, %d)", seq, closed))
	}
	writer := func(ctx context.Context) error {
		var void []uint64
		for seq := uint64(1); ; seq++ {
			if err := mark(ctx, seq, 0); err != nil {
				return err
			}
			d, heads := wholeRun(seq, void)
			if err := w.Stage(ctx, d); err != nil {
				return err
			}
			// Every third attempt dies here, and the next one voids it. The list
			// of open runs keeps it open for ever, which hides it as well.
			if seq%3 == 0 {
				void = append(void, seq)
				continue
			}
			if err := mark(ctx, seq, 1); err != nil {
				return err
			}
			if err := w.Show(ctx, heads); err != nil {
				return err
			}
		}
	}
	const reads = 40
	if bad := halfSeen(t, w, writer, "spaces", "space_permissions", reads, reads); len(bad) > 0 {
		t.Errorf("%d of %d reads saw half a run, for example %s", len(bad), reads, bad[0])
	}
	if bad := halfSeen(t, w, writer, "spaces_deny", "space_permissions_deny", 10*reads, 1); len(bad) == 0 {
		t.Errorf("%d reads through a list of open runs saw nothing wrong: this test would not notice half-seen runs", 10*reads)
	}
}

// wholeRun sets all rows of two datasets to the number of the run.
func wholeRun(seq uint64, void []uint64) (*schemas.Delta, []schemas.Head) {
	var spaces []confluence.Space
	var grants []confluence.SpacePermission
	for i := range 6 {
		spaces = append(spaces, space(strconv.Itoa(i), strconv.FormatUint(seq, 10)))
		grants = append(grants, confluence.SpacePermission{PermissionID: strconv.Itoa(i), Operation: strconv.FormatUint(seq, 10)})
	}
	hs, hp := head("t", confluence.Spaces.Dataset, seq), head("t", confluence.SpacePermissions.Dataset, seq)
	hs.Void, hp.Void = void, void
	d := delta(hs, stream(spacesBlock(schemas.OpChanged, spaces...)))
	d.Parts = append(d.Parts, schemas.Part{Table: confluence.SpacePermissions.Dataset, Head: hp, Rows: stream(block(confluence.SpacePermissions, "s", schemas.OpChanged, grants...))})
	return d, []schemas.Head{hs, hp}
}

// halfSeen reads two views in one statement, from two readers at once, while the
// writer runs, and returns what was seen of reads that mixed runs. It stops
// after so many reads, or findings.
func halfSeen(t *testing.T, w *Warehouse, writer func(context.Context) error, spaces, grants string, reads, findings int) []string {
	t.Helper()
	for _, table := range []string{"spaces_versions", "space_permissions_versions", "heads", "open_runs", "runs_log"} {
		exec(t, w, "TRUNCATE TABLE sitedrift."+table)
	}
	sql := fmt.Sprintf(`SELECT arrayStringConcat(s.names, ','), arrayStringConcat(p.names, ','), s.n, p.n
FROM (SELECT groupUniqArray(name) AS names, count() AS n FROM sitedrift.%s WHERE tenant_id = 't') AS s
CROSS JOIN (SELECT groupUniqArray(operation) AS names, count() AS n FROM sitedrift.%s WHERE tenant_id = 't') AS p`, spaces, grants)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var writing, reading sync.WaitGroup
	writing.Go(func() {
		if err := writer(ctx); err != nil && ctx.Err() == nil {
			t.Error(err)
		}
	})
	var mu sync.Mutex
	var bad []string
	seen := map[string]bool{}
	left := reads
	reader := func() {
		for {
			mu.Lock()
			done := left <= 0 || len(bad) >= findings && findings < reads
			// On a busy machine the writer is slow: the gap widens until it writes in it.
			gap := 40 * (1 + (reads-left)/40)
			left--
			mu.Unlock()
			if done {
				return
			}
			widened := ch.Context(ctx, ch.WithSettings(ch.Settings{"merge_tree_storage_snapshot_sleep_ms": gap}))
			var a, b string
			var n, m uint64
			if err := w.conn.QueryRow(widened, sql).Scan(&a, &b, &n, &m); err != nil {
				t.Error(err)
				return
			}
			mu.Lock()
			seen[a] = true
			if a != b || n != m || n != 0 && n != 6 {
				bad = append(bad, fmt.Sprintf("%s: runs %q (%d rows), %s: runs %q (%d rows)", spaces, a, n, grants, b, m))
			}
			mu.Unlock()
		}
	}
	reading.Go(reader)
	reading.Go(reader)
	reading.Wait()
	cancel()
	writing.Wait()
	if findings == reads && len(seen) < 3 {
		t.Errorf("the reads saw %d different runs: the writer did not get on", len(seen))
	}
	return bad
}
