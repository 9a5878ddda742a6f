package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// The sites of the many tenants are like the small one.
func tenantSites(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("t%04d", i))
	}
	return names
}

// share is what a group of runs took, one of each tenant.
type share struct {
	daemon, engine time.Duration
	calls, points  int64
}

// fleetOf is one daemon with many small tenants, for the page about sizes.
type fleetOf struct {
	*bench
	in      *installation
	tenants []string
}

// measureTenants lets one daemon watch many small sites, one after the other, and
// says what each of them takes: time, memory, disk, calls and points.
func measureTenants(ctx context.Context, o options, b *bench) (figures []figure, err error) {
	dir := filepath.Join(b.dir, "tenants")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	f := &fleetOf{bench: b, tenants: tenantSites(o.Tenants)}
	b.say("connecting %d tenants", o.Tenants)
	if f.in, err = install(ctx, b.subject, dir, b.world, f.tenants...); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, f.in.stop()) }()
	for _, pass := range []struct {
		name    string
		outcome schemas.Outcome
		groups  []string
		change  bool
	}{
		{"first", schemas.OutcomeChanged, schemas.Groups, false},
		{"quiet", schemas.OutcomeNoChange, schemas.Groups, false},
		{"changed", schemas.OutcomeChanged, []string{schemas.GroupPosture}, true},
	} {
		for _, group := range pass.groups {
			if pass.change {
				if err := f.changeAll(); err != nil {
					return nil, err
				}
			}
			took, err := f.runs(ctx, group, pass.outcome)
			if err != nil {
				return nil, err
			}
			b.say("%s runs of %s: daemon %v CPU, engine %v CPU, %d calls, %d points", pass.name, group, took.daemon, took.engine, took.calls, took.points)
			each := float64(o.Tenants)
			name := pass.name + "_" + group
			figures = append(figures,
				figure{name: name + "_cpu", unit: "ms/run", value: took.daemon.Seconds() * 1e3 / each},
				figure{name: name + "_engine_cpu", unit: "ms/run", value: took.engine.Seconds() * 1e3 / each},
				figure{name: name + "_calls", unit: "calls/run", value: float64(took.calls) / each},
				figure{name: name + "_points", unit: "points/run", value: float64(took.points) / each})
		}
	}
	rest, err := f.sizes(ctx, dir)
	return append(figures, rest...), err
}

// runs runs a group of every tenant.
func (f *fleetOf) runs(ctx context.Context, group string, outcome schemas.Outcome) (s share, err error) {
	var names []string
	for _, d := range datasets.All() {
		if d.Group == group {
			names = append(names, d.Name)
		}
	}
	for _, t := range f.tenants {
		site := f.world.server.Site(t)
		calls, points := site.APICalls(), site.PointsUsed()
		c, err := f.in.sync(ctx, outcome, t, names...)
		if err != nil {
			return s, err
		}
		s.daemon, s.engine = s.daemon+c.cpu, s.engine+c.engine
		s.calls, s.points = s.calls+site.APICalls()-calls, s.points+site.PointsUsed()-points
	}
	return s, nil
}

// changeAll alters one in a hundred grants of each site.
func (f *fleetOf) changeAll() error {
	for _, t := range f.tenants {
		site := f.world.server.Site(t)
		truth := site.Truth()
		for i := range 10 {
			if _, err := site.AddPermission(truth.Spaces[i%len(truth.Spaces)].ID, confluencetest.Permission{}); err != nil {
				return err
			}
		}
	}
	return nil
}

// sizes are memory and disk as of now.
func (f *fleetOf) sizes(ctx context.Context, dir string) ([]figure, error) {
	each := float64(len(f.tenants))
	pid := f.in.daemon.Process.Pid
	daemon, err := peakMiB(pid)
	if err != nil {
		return nil, err
	}
	engine, err := peakMiB(childOf(pid))
	if err != nil {
		return nil, err
	}
	figures := []figure{
		{name: "daemon_peak_mib", unit: "MiB", value: daemon},
		{name: "engine_peak_mib", unit: "MiB", value: engine},
	}
	for _, file := range []string{"state.db", "vault.db"} {
		info, err := os.Stat(filepath.Join(dir, "data", file))
		if err != nil {
			return nil, err
		}
		figures = append(figures, figure{name: strings.TrimSuffix(file, ".db") + "_file", unit: "KiB/tenant", value: float64(info.Size()) / 1024 / each})
	}
	out, err := f.in.command(ctx, "query", `SELECT table, sum(p.rows) AS rows, sum(p.bytes_on_disk) AS bytes FROM system.parts AS p WHERE database = 'sitedrift' AND active GROUP BY table HAVING rows > 0 ORDER BY bytes DESC`)
	if err != nil {
		return nil, err
	}
	var all float64
	for lines := bufio.NewScanner(bytes.NewReader(out)); lines.Scan(); {
		var row struct {
			Table       string
			Rows, Bytes float64
		}
		if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
			return nil, err
		}
		all += row.Bytes
		figures = append(figures,
			figure{name: "rows_" + row.Table, unit: "rows/tenant", value: row.Rows / each},
			figure{name: "bytes_" + row.Table, unit: "bytes/row", value: row.Bytes / row.Rows})
	}
	return append(figures, figure{name: "warehouse_parts", unit: "KiB/tenant", value: all / 1024 / each}), nil
}
