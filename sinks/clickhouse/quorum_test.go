package clickhouse

import (
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// onCluster says that the warehouse is on a cluster. The engine is none, and
// ignores the settings of a quorum.
func onCluster(s *Settings) { s.Cluster = "main" }

// TestClusterDDL lets the real parser read what only a cluster could run: every
// table and view is made on all replicas, and no table keeps its rows on one.
func TestClusterDDL(t *testing.T) {
	w := open(t, nil)
	for _, sql := range DDL(confluence.All(), "main") {
		formatted := ask(t, w, "SELECT formatQuery("+text(sql)+")")[0][0]
		if !strings.Contains(formatted, "ON CLUSTER main") {
			t.Errorf("not for a cluster: %s", formatted)
		}
		if strings.HasPrefix(formatted, "CREATE TABLE") && !strings.Contains(formatted, "\nENGINE = Replicated") {
			t.Errorf("not replicated: %s", formatted)
		}
	}
	// And what brings an older schema up to date.
	p := &Plan{}
	l := layout{Database, "main"}
	p.columns(l, versionsTable(grown.Dataset), &foundTable{columns: versionsTable(confluence.Groups.Dataset).columns})
	p.table(l, headsTable(), &foundTable{engine: "ReplicatedReplacingMergeTree", sortingKey: "dataset, tenant_id", columns: headsTable().columns})
	if len(p.Steps) < 4 || len(p.Refused) > 0 {
		t.Errorf("unexpected plan:\n%s", steps(p))
	}
	for _, s := range p.Steps {
		if formatted := ask(t, w, "SELECT formatQuery("+text(s.Statement)+")")[0][0]; !strings.Contains(formatted, "ON CLUSTER main") {
			t.Errorf("not for a cluster: %s", formatted)
		}
	}
}

// TestClusterIsRefused: tables that keep their rows on one replica are not taken
// for a cluster's, and neither is a cluster that the server does not know.
func TestClusterIsRefused(t *testing.T) {
	open(t, nil) // tables of one server
	got := steps(plan(t, connect(t, onCluster)))
	for _, want := range []string{
		"refused: cluster main: the server knows no such cluster; it knows ",
		"refused: spaces_versions: the engine is MergeTree, declared is ReplicatedMergeTree: its rows stay on one replica",
		"refused: heads: the engine is ReplacingMergeTree, declared is ReplicatedReplacingMergeTree(committed_seq): its rows stay on one replica",
	} {
		if !strings.Contains(got, want) {
			t.Errorf("the plan lacks %q:\n%s", want, got)
		}
	}
}

// TestClusterSettings: every statement asks for a quorum, and what the address
// says of it wins.
func TestClusterSettings(t *testing.T) {
	open(t, nil)
	const sql = "SELECT toString(getSetting('insert_quorum')), toString(getSetting('insert_quorum_parallel')), toString(getSetting('select_sequential_consistency'))"
	for _, c := range []struct {
		change func(*Settings)
		want   []string
	}{
		{nil, []string{"0", "true", "0"}},
		{onCluster, []string{"auto", "false", "1"}},
		{func(s *Settings) { onCluster(s); s.Options.Settings = ch.Settings{"insert_quorum": 2} }, []string{"2", "false", "1"}},
	} {
		w := connect(t, c.change)
		if got := ask(t, w, sql)[0]; !cmp.Equal(got, c.want) {
			t.Errorf("statements of people run with %v, want %v", got, c.want)
		}
		var own [3]string
		if err := w.conn.QueryRow(t.Context(), sql).Scan(&own[0], &own[1], &own[2]); err != nil || !cmp.Equal(own[:], c.want) {
			t.Errorf("own statements run with %v, %v, want %v", own, err, c.want)
		}
	}
}

// busyTable answers some inserts as a replica does whose table has another one
// under way.
type busyTable struct {
	http.RoundTripper
	left *atomic.Int64
}

func (b busyTable) RoundTrip(r *http.Request) (*http.Response, error) {
	if strings.HasPrefix(r.URL.Query().Get("query"), "INSERT") && b.left.Add(-1) >= 0 {
		_, _ = io.Copy(io.Discard, r.Body)
		const reason = "Code: 286. DB::Exception: Another quorum insert has been already started. (UNSATISFIED_QUORUM_FOR_PREVIOUS_WRITE)"
		return &http.Response{
			StatusCode: http.StatusInternalServerError, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Request: r,
			Header: http.Header{"X-Clickhouse-Exception-Code": {"286"}}, Body: io.NopCloser(strings.NewReader(reason)),
		}, nil
	}
	return b.RoundTripper.RoundTrip(r)
}

// TestInsertsWaitForTheirTurn: runs of several tenants meet in the shared
// tables, and one that must wait is not a failed one.
func TestInsertsWaitForTheirTurn(t *testing.T) {
	open(t, nil)
	left := &atomic.Int64{}
	w := connect(t, func(s *Settings) {
		onCluster(s)
		s.Options.TransportFunc = func(tr *http.Transport) (http.RoundTripper, error) { return busyTable{tr, left}, nil }
	})
	a := attempt{tenant: "t", seq: 1, ops: []schemas.Op{schemas.OpAdded}, spaces: []confluence.Space{space("1", "one")}, state: schemas.CoverageComplete}
	left.Store(2)
	stage(t, w, a.delta())
	left.Store(1)
	show(t, w, a.head())
	left.Store(1)
	expect(t, w, schemas.Expected{Tenant: "t", Dataset: "spaces", Group: schemas.GroupPosture})
	if got := ask(t, w, "SELECT (SELECT count() FROM spaces), (SELECT count() FROM changes), (SELECT count() FROM runs), (SELECT count() FROM tiles)"); !cmp.Equal(got, [][]string{{"1", "1", "1", "1"}}) {
		t.Errorf("rows after waiting: %v", got)
	}
	if left.Load() >= 0 {
		t.Errorf("%d of the refusals were not used", left.Load())
	}
}
