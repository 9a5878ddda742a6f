package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// The limits.
const (
	limitFirstDecode = 4
	limitNoopDecode  = 2.5
	limitNative      = 0.2
	limitPeakMiB     = 256
	limitCalls       = 1.01
)

// bench is one measurement under way.
type bench struct {
	options
	log     io.Writer
	dir     string
	subject subject
	world   *world
	pages   string // recording of the permission pages of the large site
}

// measure takes all figures.
func measure(ctx context.Context, o options, log io.Writer) (figures []figure, err error) {
	b := &bench{options: o, log: log, subject: subject{binary: o.Binary, profiles: o.Profile}}
	// Short, because a socket lies in it.
	if b.dir, err = os.MkdirTemp("", "sdbench-"); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(b.dir)) }()
	if o.Profile != "" {
		if b.subject.profiles, err = filepath.Abs(o.Profile); err != nil {
			return nil, err
		}
		if err := os.MkdirAll(b.subject.profiles, 0o700); err != nil {
			return nil, err
		}
	}
	if b.subject.binary == "" {
		b.say("building sitedrift")
		if b.subject.binary, err = build(ctx, b.dir, o.Profile != ""); err != nil {
			return nil, err
		}
	}
	if o.Tenants > 0 {
		if b.world, err = newTenants(o); err != nil {
			return nil, err
		}
		defer b.world.server.Close()
		return measureTenants(ctx, o, b)
	}
	b.say("making the simulated sites: %d spaces with %d rows each", o.Spaces, o.Rows)
	if b.world, err = newWorld(o); err != nil {
		return nil, err
	}
	defer b.world.server.Close()
	b.pages = filepath.Join(b.dir, "pages")
	if err := b.world.record(ctx, b.pages); err != nil {
		return nil, err
	}
	var rounds []round
	for n := range o.Rounds {
		r, err := b.round(ctx, n+1)
		if err != nil {
			return nil, fmt.Errorf("round %d: %w", n+1, err)
		}
		rounds = append(rounds, r)
	}
	more, err := b.sites(ctx)
	if err != nil {
		return nil, err
	}
	return append(largeFigures(rounds), more...), nil
}

func (b *bench) say(format string, args ...any) { fmt.Fprintf(b.log, format+"\n", args...) }

// round is one first snapshot of the large site and one run without a change,
// with all that they are compared with.
type round struct {
	first, noop cost
	decode      time.Duration
	stored      stored
}

func (b *bench) round(ctx context.Context, n int) (r round, err error) {
	dir := filepath.Join(b.dir, fmt.Sprintf("round%d", n))
	if err := os.Mkdir(dir, 0o700); err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	in, err := install(ctx, b.subject, dir, b.world, siteLarge)
	if err != nil {
		return r, err
	}
	defer func() { err = errors.Join(err, in.stop()) }()

	// Decoding is timed before, between and after, so that all three meet the
	// machine in the same mood.
	var decodes []float64
	var decoded decoding
	decode := func() error {
		if decoded, err = decodeAlone(ctx, b.pages); err != nil {
			return err
		}
		decodes = append(decodes, float64(decoded.CPU))
		return nil
	}
	if err := decode(); err != nil {
		return r, err
	}
	b.world.server.ForgetRequests()
	if r.first, err = in.sync(ctx, schemas.OutcomeChanged, siteLarge, datasets.SpacePermissions.Name); err != nil {
		return r, err
	}
	b.say("round %d of %d: first snapshot of %d rows: %v wall, daemon %v CPU and %.0f MiB, engine %v CPU", n, b.Rounds, r.first.rows(), r.first.wall.Round(time.Millisecond), r.first.cpu, r.first.peak, r.first.engine)
	if served, bytes := b.world.served(); served != decoded.Pages || bytes != decoded.Bytes {
		return r, fmt.Errorf("the daemon read %d pages of %d bytes, decoded were %d of %d", served, bytes, decoded.Pages, decoded.Bytes)
	}
	// A fresh process: what the first snapshot left in memory is not the next run's.
	if err := errors.Join(decode(), in.restart(ctx)); err != nil {
		return r, err
	}
	if r.noop, err = in.sync(ctx, schemas.OutcomeNoChange, siteLarge, datasets.SpacePermissions.Name); err != nil {
		return r, err
	}
	b.say("round %d of %d: run without a change: %v wall, daemon %v CPU and %.0f MiB, engine %v CPU", n, b.Rounds, r.noop.wall.Round(time.Millisecond), r.noop.cpu, r.noop.peak, r.noop.engine)
	if err := errors.Join(decode(), in.stop()); err != nil {
		return r, err
	}
	r.decode = time.Duration(median(decodes))
	if r.stored, err = measureStored(ctx, b.subject.binary, dir, r.first.runs[0]); err != nil {
		return r, err
	}
	b.say("round %d of %d: decoding alone %v CPU, native insert %v, baseline of %d keys %v", n, b.Rounds, r.decode.Round(time.Millisecond), r.stored.native.Round(time.Millisecond), r.stored.rows, r.stored.baseline.Round(time.Millisecond))
	return r, nil
}

// largeFigures are the medians over the rounds. Quotients are taken within a
// round first.
func largeFigures(rounds []round) []figure {
	over := func(f func(r round) float64) float64 {
		var all []float64
		for _, r := range rounds {
			all = append(all, f(r))
		}
		return median(all)
	}
	second := func(d time.Duration) float64 { return d.Seconds() }
	perMillion := func(d time.Duration, rows int) float64 { return d.Seconds() * 1e3 * 1e6 / float64(rows) }
	return []figure{
		{name: "first_snapshot_vs_decode", unit: "x", limit: limitFirstDecode, value: over(func(r round) float64 { return second(r.first.cpu) / second(r.decode) })},
		{name: "noop_vs_decode", unit: "x", limit: limitNoopDecode, value: over(func(r round) float64 { return second(r.noop.cpu) / second(r.decode) })},
		{name: "first_snapshot_vs_native", unit: "x", limit: limitNative, least: true, value: over(func(r round) float64 { return second(r.stored.native) / second(r.first.wall) })},
		{name: "first_snapshot_peak_mib", unit: "MiB", limit: limitPeakMiB, absolute: true, value: over(func(r round) float64 { return r.first.peak })},
		{name: "noop_peak_mib", unit: "MiB", limit: limitPeakMiB, absolute: true, value: over(func(r round) float64 { return r.noop.peak })},
		{name: "first_snapshot_wall", unit: "s", value: over(func(r round) float64 { return second(r.first.wall) })},
		{name: "first_snapshot_cpu", unit: "s", value: over(func(r round) float64 { return second(r.first.cpu) })},
		{name: "first_snapshot_engine_cpu", unit: "s", value: over(func(r round) float64 { return second(r.first.engine) })},
		{name: "first_snapshot_publish", unit: "s", value: over(func(r round) float64 { return second(r.first.afterwards) })},
		{name: "first_snapshot_site_cpu", unit: "s", value: over(func(r round) float64 { return second(r.first.site) })},
		{name: "first_snapshot_rate", unit: "rows/s", value: over(func(r round) float64 { return float64(r.first.rows()) / second(r.first.wall) })},
		{name: "noop_wall", unit: "s", value: over(func(r round) float64 { return second(r.noop.wall) })},
		{name: "noop_cpu", unit: "s", value: over(func(r round) float64 { return second(r.noop.cpu) })},
		{name: "noop_engine_cpu", unit: "s", value: over(func(r round) float64 { return second(r.noop.engine) })},
		{name: "decode_cpu", unit: "s", value: over(func(r round) float64 { return second(r.decode) })},
		{name: "native_insert_wall", unit: "s", value: over(func(r round) float64 { return second(r.stored.native) })},
		{name: "baseline_read", unit: "ms per 1M keys", value: over(func(r round) float64 { return perMillion(r.stored.baseline, r.stored.rows) })},
		{name: "diff_cpu", unit: "ns/row", value: over(func(r round) float64 { return perMillion(r.stored.diff, r.stored.rows) })},
	}
}

// smallRuns is how often the small site is read without a change, and with a
// small one.
const smallRuns = 5

// sites measures what does not depend on the number of rows: the calls of a
// full snapshot, and the costs of a run on a small site.
func (b *bench) sites(ctx context.Context) (figures []figure, err error) {
	dir := filepath.Join(b.dir, "sites")
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, err
	}
	in, err := install(ctx, b.subject, dir, b.world, siteFleet, siteSmall)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, in.stop()) }()

	truth, before := b.world.fleet.Truth(), b.world.fleet.APICalls()
	if _, err := in.sync(ctx, schemas.OutcomeChanged, siteFleet); err != nil {
		return nil, err
	}
	made, least := b.world.fleet.APICalls()-before, minimum(truth)
	b.say("calls of a full snapshot: %d, at least %d are needed", made, least)

	if _, err := in.sync(ctx, schemas.OutcomeChanged, siteSmall); err != nil {
		return nil, err
	}
	var runs, cpu, queries, publish []float64
	for range smallRuns {
		asked, err := in.queries(ctx)
		if err != nil {
			return nil, err
		}
		c, err := in.sync(ctx, schemas.OutcomeNoChange, siteSmall)
		if err != nil {
			return nil, err
		}
		then, err := in.queries(ctx)
		if err != nil {
			return nil, err
		}
		var took time.Duration
		for _, r := range c.runs {
			took += r.EndedAt.Sub(r.StartedAt)
		}
		runs, cpu = append(runs, took.Seconds()*1e3), append(cpu, c.cpu.Seconds()*1e3)
		queries = append(queries, then-asked-1) // the question itself
	}
	for n := range smallRuns {
		if err := b.change(n); err != nil {
			return nil, err
		}
		c, err := in.sync(ctx, schemas.OutcomeChanged, siteSmall, datasets.SpacePermissions.Name)
		if err != nil {
			return nil, err
		}
		publish = append(publish, c.afterwards.Seconds()*1e3)
	}
	return []figure{
		{name: "calls_vs_minimum", unit: "x", limit: limitCalls, value: float64(made) / float64(least)},
		{name: "snapshot_calls", unit: "calls", value: float64(made)},
		{name: "snapshot_calls_beyond", unit: "calls", value: float64(made) - float64(least)},
		{name: "small_noop_run", unit: "ms", value: median(runs)},
		{name: "small_noop_cpu", unit: "ms", value: median(cpu)},
		{name: "small_noop_queries", unit: "queries", value: median(queries)},
		{name: "small_delta_publish", unit: "ms", value: median(publish)},
	}, nil
}

// change alters a few grants of the small site.
func (b *bench) change(n int) error {
	truth := b.world.small.Truth()
	for i := range 10 {
		space := truth.Spaces[(10*n+i)%len(truth.Spaces)].ID
		if _, err := b.world.small.AddPermission(space, confluencetest.Permission{}); err != nil {
			return err
		}
	}
	return nil
}

// queries is the number of statements that the engine has begun so far, this
// question included.
func (in *installation) queries(ctx context.Context) (float64, error) {
	out, err := in.command(ctx, "query", "SELECT toFloat64(value) AS n FROM system.events WHERE event = 'Query'")
	if err != nil {
		return 0, err
	}
	var row struct{ N float64 }
	return row.N, json.Unmarshal(out, &row)
}
