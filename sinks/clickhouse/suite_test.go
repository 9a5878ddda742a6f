package clickhouse

import (
	"strconv"
	"testing"

	"github.com/sitedrift/sitedrift/sinks/sinktest"
)

func TestSuite(t *testing.T) {
	sinktest.Run(t, func(t *testing.T) *sinktest.Harness {
		w := open(t, nil)
		return &sinktest.Harness{
			Sink: w,
			Read: func() []sinktest.Record {
				var list []sinktest.Record
				for _, row := range ask(t, w, `
					SELECT 'row', h.tenant_id, 'spaces', r.seq, h.name FROM spaces_history AS h INNER JOIN (SELECT tenant_id, run_id, seq FROM runs) AS r ON r.tenant_id = h.tenant_id AND r.run_id = h.run_id
					UNION ALL SELECT 'row', h.tenant_id, 'space_permissions', r.seq, h.operation FROM space_permissions_history AS h INNER JOIN (SELECT tenant_id, run_id, seq FROM runs) AS r ON r.tenant_id = h.tenant_id AND r.run_id = h.run_id
					UNION ALL SELECT 'change', tenant_id, dataset, seq, entity_name FROM changes
					UNION ALL SELECT 'coverage', tenant_id, dataset, seq, state FROM coverage_history
					UNION ALL SELECT 'run', tenant_id, '', seq, outcome FROM runs`) {
					seq, err := strconv.ParseUint(row[3], 10, 64)
					if err != nil {
						t.Fatal(err)
					}
					list = append(list, sinktest.Record{Type: row[0], Tenant: row[1], Dataset: row[2], Seq: seq, Text: row[4]})
				}
				return list
			},
			Reopen: func() sinktest.Sink { return connect(t, nil) },
		}
	})
}
