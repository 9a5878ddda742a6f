package clickhouse

import (
	"context"
	"fmt"
	"strconv"
	"syscall"
	"testing"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// cpu is the processor time that this process used; the engine is another one.
func cpu() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

const million = 1_000_000

// permissions makes n rows in blocks of one partition each, before the clock runs.
func permissions(n, partitions int) []*schemas.Block {
	var blocks []*schemas.Block
	for p := range partitions {
		var list []confluence.SpacePermission
		for i := range n / partitions {
			list = append(list, confluence.SpacePermission{
				PermissionID: strconv.Itoa(10_000_000 + p*n + i), SpaceKey: fmt.Sprintf("KEY%d", p), PrincipalType: "user",
				PrincipalID: fmt.Sprintf("712020:%08x-93a8-4e6c-b8d1-4f2a6c%06x", i%5000, i%5000), Operation: []string{"read", "create", "delete", "administer"}[i%4], TargetType: "space",
			})
		}
		blocks = append(blocks, block(confluence.SpacePermissions, strconv.Itoa(98_304+p), schemas.OpBaseline, list...))
	}
	return blocks
}

// BenchmarkStage inserts a million rows of space_permissions in one attempt.
func BenchmarkStage(b *testing.B) {
	w := open(b, nil)
	rows := stream(permissions(million, 500)...)
	seq := uint64(0)
	start := cpu()
	b.ReportAllocs()
	for b.Loop() {
		seq++
		if err := w.Stage(context.Background(), delta(head("t", confluence.SpacePermissions.Dataset, seq), rows)); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(million*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric((cpu()-start).Seconds()/float64(b.N), "client-cpu-s/1M")
}

// BenchmarkStageSmall inserts a change of 200 rows: the usual run.
func BenchmarkStageSmall(b *testing.B) {
	w := open(b, nil)
	rows := stream(permissions(200, 2)...)
	seq := uint64(0)
	for b.Loop() {
		seq++
		if err := w.Stage(context.Background(), delta(head("t", confluence.SpacePermissions.Dataset, seq), rows)); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkBaseline reads a million keys under a memory limit of 100 MB in the
// engine.
func BenchmarkBaseline(b *testing.B) {
	w := open(b, nil)
	h := head("t", confluence.SpacePermissions.Dataset, 1)
	stage(b, w, delta(h, stream(permissions(million, 500)...)))
	limited := connect(b, func(s *Settings) { s.Options.Settings = ch.Settings{"max_memory_usage": 100_000_000} })
	start := cpu()
	b.ReportAllocs()
	for b.Loop() {
		n := 0
		var sum schemas.Digest
		if err := limited.Baseline(context.Background(), confluence.SpacePermissions.Dataset, h, "", "\xff", func(_ string, keys []schemas.BaselineKey) error {
			n += len(keys)
			for i := range keys {
				sum.Lo += keys[i].Seq
			}
			return nil
		}); err != nil {
			b.Fatal(err)
		}
		if n != million || sum.Lo != million {
			b.Fatalf("%d keys, sum %d", n, sum.Lo)
		}
	}
	b.ReportMetric((cpu()-start).Seconds()/float64(b.N), "client-cpu-s/1M")
}

// BenchmarkCurrent counts and reads the current rows of one of ten tenants.
func BenchmarkCurrent(b *testing.B) {
	w := open(b, nil)
	for tenant := range 10 {
		h := head(fmt.Sprintf("t%d", tenant), confluence.SpacePermissions.Dataset, 1)
		stage(b, w, delta(h, stream(permissions(million/10, 50)...)))
		show(b, w, h)
	}
	for _, c := range []struct{ name, sql string }{
		{"count", "SELECT count() FROM sitedrift.space_permissions WHERE tenant_id = 't3'"},
		{"rows", "SELECT * FROM sitedrift.space_permissions WHERE tenant_id = 't3' FORMAT Null"},
		{"all-tenants", "SELECT tenant_id, operation, count() FROM sitedrift.space_permissions GROUP BY ALL FORMAT Null"},
		{"history", "SELECT * FROM sitedrift.space_permissions_history WHERE tenant_id = 't3' FORMAT Null"},
	} {
		b.Run(c.name, func(b *testing.B) {
			for b.Loop() {
				if err := w.conn.Exec(context.Background(), c.sql); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
