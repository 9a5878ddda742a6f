package sinktest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// Sink is the core's port, repeated here so that the suite need not know the core.
type Sink interface {
	Stage(ctx context.Context, d *schemas.Delta) error
	Show(ctx context.Context, heads []schemas.Head) error
	Runs(ctx context.Context, runs []schemas.Run) error
	Sweep(ctx context.Context, heads []schemas.Head) error
}

// Record is one thing that readers see, as far as every sink can tell it.
type Record struct {
	Type    string // row, change, coverage or run
	Tenant  string
	Dataset string // empty for runs
	Seq     uint64
	Text    string // row: the name or operation; change: entity name; coverage: state; run: outcome
}

// Harness is a sink under test. All functions fail the test on errors.
type Harness struct {
	Sink Sink
	// Read returns everything that readers see, in any order.
	Read func() []Record
	// Reopen closes the sink and opens it again on the same data, as a process
	// that starts after a crash; later calls use the sink returned.
	Reopen func() Sink
}

// Run runs the suite. open is called once per test.
func Run(t *testing.T, open func(t *testing.T) *Harness) {
	for _, c := range []struct {
		name string
		test func(t *testing.T, h *Harness)
	}{
		{"HiddenUntilShown", hiddenUntilShown},
		{"VoidNeverVisible", voidNeverVisible},
		{"RepeatedStage", repeatedStage},
		{"OlderHead", olderHead},
		{"SeveralDatasets", severalDatasets},
		{"Tenants", tenants},
		{"BrokenStream", brokenStream},
		{"NastyText", nastyText},
		{"RunsAlone", runsAlone},
		{"Crash", crash},
	} {
		t.Run(c.name, func(t *testing.T) { c.test(t, open(t)) })
	}
}

// see compares what readers see.
func (h *Harness) see(t *testing.T, when string, want ...Record) {
	t.Helper()
	order := func(a, b Record) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Tenant, b.Tenant), cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.Text, b.Text))
	}
	got := h.Read()
	want = slices.SortedFunc(slices.Values(want), order)
	slices.SortFunc(got, order)
	if diff := gocmp.Diff(want, got); diff != "" && len(want)+len(got) > 0 {
		t.Errorf("%s (-want +seen):\n%s", when, diff)
	}
}

func (h *Harness) stage(t *testing.T, a Attempt) {
	t.Helper()
	if err := h.Sink.Stage(t.Context(), a.Delta()); err != nil {
		t.Fatal(err)
	}
}

func (h *Harness) show(t *testing.T, heads ...schemas.Head) {
	t.Helper()
	if err := h.Sink.Show(t.Context(), heads); err != nil {
		t.Fatal(err)
	}
}

func (h *Harness) sweep(t *testing.T, heads ...schemas.Head) {
	t.Helper()
	if err := h.Sink.Sweep(t.Context(), heads); err != nil {
		t.Fatal(err)
	}
}

var (
	spaces = confluence.Spaces.Dataset
	grants = confluence.SpacePermissions.Dataset
)

func hiddenUntilShown(t *testing.T, h *Harness) {
	a := Attempt{Tenant: "t", Seq: 1, Spaces: []string{"one", "two"}}
	h.see(t, "at first")
	h.stage(t, a)
	h.see(t, "staged")
	h.show(t, a.Head(spaces))
	h.see(t, "shown", a.Records()...)
	h.show(t)
	b := Attempt{Tenant: "t", Seq: 2, Spaces: []string{"three"}}
	h.stage(t, b)
	h.see(t, "the next one staged", a.Records()...)
	h.show(t, b.Head(spaces))
	h.see(t, "the next one shown", append(a.Records(), b.Records()...)...)
}

func voidNeverVisible(t *testing.T, h *Harness) {
	first := Attempt{Tenant: "t", Seq: 1, Spaces: []string{"one"}}
	void := Attempt{Tenant: "t", Seq: 2, Spaces: []string{"void"}}
	next := Attempt{Tenant: "t", Seq: 3, Void: []uint64{2}, Spaces: []string{"three"}}
	h.stage(t, first)
	h.show(t, first.Head(spaces))
	h.stage(t, void)
	h.stage(t, next)
	h.see(t, "two staged", first.Records()...)
	h.show(t, next.Head(spaces))
	want := append(first.Records(), next.Records()...)
	h.see(t, "the void one skipped", want...)
	h.sweep(t, next.Head(spaces))
	h.see(t, "swept", want...)
	h.stage(t, void) // a process that woke up late
	h.show(t, next.Head(spaces))
	h.see(t, "the void one staged late", want...)
	h.sweep(t, next.Head(spaces), first.Head(spaces))
	h.see(t, "swept again", want...)
}

func repeatedStage(t *testing.T, h *Harness) {
	a := Attempt{Tenant: "t", Seq: 1, Spaces: []string{"one", "two"}}
	h.stage(t, a)
	h.stage(t, a)
	h.show(t, a.Head(spaces))
	h.see(t, "staged twice", a.Records()...)
	h.stage(t, a)
	h.show(t, a.Head(spaces))
	h.show(t, a.Head(spaces))
	h.see(t, "staged and shown again", a.Records()...)
}

func olderHead(t *testing.T, h *Harness) {
	a := Attempt{Tenant: "t", Seq: 1, Spaces: []string{"one"}}
	b := Attempt{Tenant: "t", Seq: 2, Spaces: []string{"two"}}
	h.stage(t, a)
	h.stage(t, b)
	h.show(t, b.Head(spaces))
	want := append(a.Records(), b.Records()...)
	h.see(t, "both", want...)
	h.show(t, a.Head(spaces))
	h.see(t, "an older head", want...)
}

// severalDatasets: the datasets of an attempt show together, and one that an
// attempt did not touch does not decide about it.
func severalDatasets(t *testing.T, h *Harness) {
	both := Attempt{Tenant: "t", Seq: 1, Spaces: []string{"one"}, Grants: []string{"read"}}
	h.stage(t, both)
	h.show(t, both.Head(spaces), both.Head(grants))
	want := both.Records()
	h.see(t, "both", want...)
	one := Attempt{Tenant: "t", Seq: 2, Spaces: []string{"two"}}
	h.stage(t, one)
	other := Attempt{Tenant: "t", Seq: 3, Void: []uint64{2}, Grants: []string{"write"}}
	h.stage(t, other)
	h.show(t, other.Head(grants)) // for grants attempt 2 is void: it had none
	want = append(want, other.Records()...)
	h.see(t, "the head of the second dataset", want...)
	h.sweep(t, other.Head(grants))
	h.show(t, one.Head(spaces))
	h.see(t, "the head of the first", append(want, one.Records()...)...)
}

func tenants(t *testing.T, h *Harness) {
	a := Attempt{Tenant: "a", Seq: 1, Spaces: []string{"of a"}}
	b := Attempt{Tenant: "b", Seq: 1, Spaces: []string{"of b"}}
	h.stage(t, a)
	h.stage(t, b)
	h.show(t, a.Head(spaces))
	h.see(t, "one of two tenants", a.Records()...)
	h.sweep(t, Attempt{Tenant: "a", Seq: 2, Void: []uint64{1}}.Head(grants))
	h.show(t, b.Head(spaces))
	h.see(t, "both", append(a.Records(), b.Records()...)...)
}

// brokenStream: an error of the rows is the caller's to see, and nothing of the
// attempt may come to light with a later head that voids it.
func brokenStream(t *testing.T, h *Harness) {
	a := Attempt{Tenant: "t", Seq: 1, Spaces: []string{"one"}}
	d := a.Delta()
	broken := errors.New("the spool file is gone")
	rows := d.Parts[0].Rows
	d.Parts[0].Rows = func(yield func(*schemas.Block, error) bool) {
		for b, err := range rows {
			if !yield(b, err) {
				return
			}
		}
		yield(nil, broken)
	}
	if err := h.Sink.Stage(t.Context(), d); !errors.Is(err, broken) {
		t.Errorf("Stage returned %v, want the stream's error", err)
	}
	b := Attempt{Tenant: "t", Seq: 2, Void: []uint64{1}, Spaces: []string{"two"}}
	h.stage(t, b)
	h.show(t, b.Head(spaces))
	h.see(t, "after a broken attempt", b.Records()...)

	// An error that says "end of file" must not pass for the end of the rows.
	d = Attempt{Tenant: "t", Seq: 3, Spaces: []string{"cut"}}.Delta()
	rows = d.Parts[0].Rows
	for _, first := range []bool{true, false} {
		d.Parts[0].Rows = func(yield func(*schemas.Block, error) bool) {
			if !first {
				for b, err := range rows {
					if !yield(b, err) {
						return
					}
				}
			}
			yield(nil, fmt.Errorf("read the spool file: %w", io.EOF))
		}
		if err := h.Sink.Stage(t.Context(), d); err == nil {
			t.Errorf("Stage took rows that end early for all rows (first block: %v)", first)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	c := Attempt{Tenant: "t", Seq: 4, Spaces: []string{"three"}}
	if err := h.Sink.Stage(ctx, c.Delta()); err == nil {
		t.Error("Stage with a context that is over returned no error")
	}
	h.see(t, "after a cancelled attempt", b.Records()...)
}

func nastyText(t *testing.T, h *Harness) {
	a := Attempt{Tenant: "t", Seq: 1, Spaces: []string{
		"", "'", `"`, `\`, "line\nend\r\n", "\t", "nul\x00nul", "\x1b[31m", "\u202eevil", "שלום", "🦊", "{\"type\":\"run\"}", "'); DROP TABLE x; --", "NULL", `\N`,
	}}
	h.stage(t, a)
	h.show(t, a.Head(spaces))
	h.see(t, "texts", a.Records()...)
}

func runsAlone(t *testing.T, h *Harness) {
	a, b := Attempt{Tenant: "t", Seq: 1}.Alone(), Attempt{Tenant: "u", Seq: 4}.Alone()
	if err := h.Sink.Runs(t.Context(), []schemas.Run{a, b}); err != nil {
		t.Fatal(err)
	}
	if err := h.Sink.Runs(t.Context(), nil); err != nil {
		t.Fatal(err)
	}
	want := []Record{{"run", "t", "", 1, "no_change"}, {"run", "u", "", 4, "no_change"}}
	h.see(t, "at once", want...)
	a.Gate = "spaces"
	if err := h.Sink.Runs(t.Context(), []schemas.Run{a}); err == nil {
		t.Error("a run that waits for a head was taken as one that stands alone")
	}
	h.Sink = h.Reopen()
	h.see(t, "after a restart", want...)
}

// crash: the process dies between any two calls.
func crash(t *testing.T, h *Harness) {
	a := Attempt{Tenant: "t", Seq: 1, Spaces: []string{"one"}}
	h.stage(t, a)
	h.Sink = h.Reopen()
	h.see(t, "staged, then a restart")
	h.show(t, a.Head(spaces))
	h.Sink = h.Reopen()
	h.see(t, "shown, then a restart", a.Records()...)
	lost := Attempt{Tenant: "t", Seq: 2, Spaces: []string{"lost"}}
	h.stage(t, lost)
	h.Sink = h.Reopen()
	again := Attempt{Tenant: "t", Seq: 3, Void: []uint64{2}, Spaces: []string{"again"}}
	h.stage(t, again)
	h.show(t, again.Head(spaces))
	h.see(t, "the run again under a new attempt", append(a.Records(), again.Records()...)...)
}
