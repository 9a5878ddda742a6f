package clickhouse

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"slices"
	"strings"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/schemas"
)

// seenRuns is how far back rows of runs are looked at. Older runs that wrote
// anything are known by their other rows.
const seenRuns = 92 * 24 * time.Hour

// Seen tells of each tenant and group which attempts left rows, decided or not.
// It reads the attempt numbers of all rows: a second for a hundred million.
func (w *Warehouse) Seen(ctx context.Context) ([]schemas.Seen, error) {
	if w.layout.cluster != "" {
		ctx = ch.Context(ctx, ch.WithSettings(ch.Settings{"select_sequential_consistency": 1}))
	}
	type lane struct{ tenant, group string }
	lanes := map[lane]*schemas.Seen{}
	groups := map[string]string{}
	for _, d := range w.datasets {
		groups[d.Name] = d.Group
	}
	// at is the head of a dataset; nil for one that is not declared here.
	at := func(tenant, dataset string) (*schemas.Seen, *schemas.SeenHead) {
		group, ok := groups[dataset]
		if !ok {
			return nil, nil
		}
		s := lanes[lane{tenant, group}]
		if s == nil {
			s = &schemas.Seen{Tenant: tenant, Group: group}
			for _, d := range w.datasets {
				if d.Group == group {
					s.Heads = append(s.Heads, schemas.SeenHead{Head: schemas.Head{Tenant: tenant, Dataset: d.Name, Group: group}})
				}
			}
			lanes[lane{tenant, group}] = s
		}
		i := slices.IndexFunc(s.Heads, func(h schemas.SeenHead) bool { return h.Head.Dataset == dataset })
		return s, &s.Heads[i]
	}
	var (
		h       schemas.Head
		digest  big.Int
		version uint32
		run     uuid.UUID
	)
	err := w.each(ctx, "SELECT tenant_id, dataset, dataset_group, committed_seq, void, epoch, rows, digest, observed_at, run_id, version FROM "+w.layout.object(headsName)+" FINAL",
		func() {
			if s, own := at(h.Tenant, h.Dataset); s != nil {
				h.RunID, h.Void = run, slices.Clone(h.Void)
				h.Digest = schemas.DigestFromBytes([16]byte(digest.FillBytes(make([]byte, 16))))
				own.Head, own.Version = h, int(version)
				s.Last = max(s.Last, h.Seq)
			}
		}, &h.Tenant, &h.Dataset, &h.Group, &h.Seq, &h.Void, &h.Epoch, &h.Rows, &digest, &h.ObservedAt, &run, &version)
	if err != nil {
		return nil, fmt.Errorf("read the heads that are shown: %w", err)
	}
	var tenant, dataset, group string
	var above []uint64
	err = w.each(ctx, w.aboveHeads(), func() {
		if s, own := at(tenant, dataset); s != nil {
			own.Above = slices.Clone(above)
			s.Last = max(s.Last, slices.Max(above))
		}
	}, &tenant, &dataset, &above)
	if err != nil {
		return nil, fmt.Errorf("look for rows above the heads: %w", err)
	}
	var last uint64
	since := w.now().Add(-seenRuns).UnixMilli()
	err = w.each(ctx, fmt.Sprintf("SELECT tenant_id, dataset_group, max(seq) FROM %s WHERE started_at > fromUnixTimestamp64Milli(%d, 'UTC') GROUP BY tenant_id, dataset_group", w.layout.object(runsName), since),
		func() {
			if i := slices.IndexFunc(w.datasets, func(d *schemas.Dataset) bool { return d.Group == group }); i >= 0 {
				s, _ := at(tenant, w.datasets[i].Name)
				s.Last = max(s.Last, last)
			}
		}, &tenant, &group, &last)
	if err != nil {
		return nil, fmt.Errorf("read the numbers of runs: %w", err)
	}
	all := make([]schemas.Seen, 0, len(lanes))
	for _, s := range slices.SortedFunc(maps.Values(lanes), func(a, b *schemas.Seen) int {
		return cmp.Or(cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Group, b.Group))
	}) {
		all = append(all, *s)
	}
	return all, nil
}

// aboveHeads selects the numbers of rows above the head that is shown, by tenant
// and dataset. Each number meets the heads once, not once for each of its rows:
// that is nine times faster.
func (w *Warehouse) aboveHeads() string {
	heads := w.layout.object(headsName)
	var parts []string
	for _, d := range w.datasets {
		parts = append(parts, fmt.Sprintf("SELECT DISTINCT tenant_id, %s AS dataset, seq FROM %s", text(d.Name), w.layout.object(versionsName(d))))
	}
	for _, log := range []string{changesName, coverageName} {
		parts = append(parts, "SELECT DISTINCT tenant_id, dataset, seq FROM "+w.layout.object(log))
	}
	parts = append(parts, fmt.Sprintf("SELECT tenant_id, gate AS dataset, seq FROM %s WHERE gate != ''", w.layout.object(runsName)))
	return fmt.Sprintf(`SELECT toString(v.tenant_id), toString(v.dataset), arraySort(groupUniqArray(v.seq))
FROM (%s) AS v
LEFT JOIN (SELECT tenant_id, dataset, committed_seq FROM %s FINAL) AS h ON h.tenant_id = v.tenant_id AND h.dataset = v.dataset
WHERE v.seq > h.committed_seq GROUP BY v.tenant_id, v.dataset`, strings.Join(parts, "\nUNION ALL "), heads)
}
