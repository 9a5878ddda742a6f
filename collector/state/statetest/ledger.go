package statetest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/schemas"
)

// begin starts an attempt with an owner of its own.
func begin(t fataler, s *state.Store, tenant, group string, datasets ...string) *collector.Attempt {
	t.Helper()
	run := uuid.New()
	return must[*collector.Attempt](t)(beginReleased(t.Context(), s, collector.Begin{
		Tenant: tenant, Group: group, Datasets: datasets,
		RunID: run, Owner: "owner of " + run.String(), Trigger: collector.TriggerSchedule, StartedAt: noon,
	}))
}

// beginReleased begins an attempt however many before it died.
func beginReleased(ctx context.Context, s *state.Store, b collector.Begin) (*collector.Attempt, error) {
	a, err := s.Begin(ctx, b)
	if closed := (*collector.QuarantineError)(nil); errors.As(err, &closed) {
		if _, err := s.Release(ctx, b.Tenant); err != nil {
			return nil, err
		}
		return beginReleased(ctx, s, b) // others may have closed it again meanwhile
	}
	return a, err
}

// moved returns the heads of datasets as they are when the attempt wrote all of them.
func moved(a *collector.Attempt, datasets ...string) []collector.Head {
	var heads []collector.Head
	for _, d := range datasets {
		h := a.Heads[d]
		h.Seq, h.RunID, h.Epoch, h.Projected = a.Seq, a.RunID, h.Epoch+1, false
		heads = append(heads, h)
	}
	return heads
}

// stayed returns the heads of datasets that were read and not written.
func stayed(a *collector.Attempt, datasets ...string) []collector.Head {
	var heads []collector.Head
	for _, d := range datasets {
		h := a.Heads[d]
		h.ReadStart = a.StartedAt
		heads = append(heads, h)
	}
	return heads
}

func head(t fataler, s *state.Store, tenant, dataset string) collector.Head {
	t.Helper()
	for _, h := range must[[]collector.Head](t)(s.Heads(t.Context(), tenant)) {
		if h.Dataset == dataset {
			return h
		}
	}
	t.Fatalf("no head of %s/%s", tenant, dataset)
	return collector.Head{}
}

func testHeads(t *testing.T, s *state.Store) {
	ctx := t.Context()
	a := begin(t, s, "acme", "posture", "spaces", "groups", "spaces")
	equal(t, "heads of a first attempt", map[string]collector.Head{
		"spaces": {Head: schemas.Head{Tenant: "acme", Dataset: "spaces", Group: "posture"}},
		"groups": {Head: schemas.Head{Tenant: "acme", Dataset: "groups", Group: "posture"}},
	}, a.Heads)
	full := collector.Head{
		Head: schemas.Head{
			Tenant: "acme", Dataset: "spaces", Group: "posture", Seq: a.Seq, Epoch: 4_000_000_000, Rows: 1 << 60,
			Digest: schemas.Digest{Hi: 1<<63 | 5, Lo: ^uint64(0)}, ObservedAt: noon.Add(123 * time.Millisecond), RunID: a.RunID,
		},
		Fingerprint: "f'1", Version: 3, ReadStart: noon, Mismatches: 1, Cursor: `{"window":"2026"}`,
	}
	ok(t, s.Decide(ctx, a, []collector.Head{full}))
	equal(t, "stored head", []collector.Head{full}, must[[]collector.Head](t)(s.Heads(ctx, "acme")))
	equal(t, "heads of all", []collector.Head{full}, must[[]collector.Head](t)(s.Heads(ctx, "")))
	equal(t, "heads of another", nil, must[[]collector.Head](t)(s.Heads(ctx, "beta")))
	equal(t, "not shown yet", []collector.Head{full}, must[[]collector.Head](t)(s.Unprojected(ctx)))

	older := full
	older.Seq--
	ok(t, s.Projected(ctx, []collector.Head{older}))
	if n := len(must[[]collector.Head](t)(s.Unprojected(ctx))); n != 1 {
		t.Error("showing an older head marked the newer one")
	}
	ok(t, s.Projected(ctx, []collector.Head{full}))
	equal(t, "all shown", nil, must[[]collector.Head](t)(s.Unprojected(ctx)))
	full.Projected = true

	// A run that found no change moves what it read from, and nothing else.
	b := begin(t, s, "acme", "posture", "spaces")
	if b.Seq != a.Seq+1 {
		t.Errorf("attempt %d follows %d", b.Seq, a.Seq)
	}
	equal(t, "head at the begin", full, b.Heads["spaces"])
	same := b.Heads["spaces"]
	same.ReadStart, same.Cursor, same.Mismatches, same.Projected, same.Rows = noon.Add(time.Hour), "next", 0, false, 7
	ok(t, s.Decide(ctx, b, []collector.Head{same}))
	full.ReadStart, full.Cursor, full.Mismatches = noon.Add(time.Hour), "next", 0
	equal(t, "head after no change", []collector.Head{full}, must[[]collector.Head](t)(s.Heads(ctx, "")))

	// Failed baseline checks are counted until a run says otherwise.
	for want := 1; want <= 2; want++ {
		c := begin(t, s, "acme", "posture", "spaces", "groups")
		ok(t, s.End(ctx, c, []string{"spaces", "groups"}))
		ok(t, s.End(ctx, c, []string{"spaces"})) // its answer was lost
		if got := head(t, s, "acme", "spaces").Mismatches; got != want {
			t.Errorf("%d mismatches, want %d", got, want)
		}
	}
	d := begin(t, s, "acme", "posture", "spaces")
	h := moved(d, "spaces")
	h[0].Mismatches = 0
	ok(t, s.Decide(ctx, d, h))
	equal(t, "numbers below are void", []uint64{3, 4}, head(t, s, "acme", "spaces").Void)

	for what, b := range map[string]collector.Begin{
		"tenant": {Group: "g", Datasets: []string{"d"}, Owner: "o"}, "group": {Tenant: "t", Datasets: []string{"d"}, Owner: "o"},
		"datasets": {Tenant: "t", Group: "g", Owner: "o"}, "owner": {Tenant: "t", Group: "g", Datasets: []string{"d"}},
	} {
		if _, err := s.Begin(ctx, b); err == nil {
			t.Errorf("an attempt without %s was begun", what)
		}
	}
}

func testFencing(t *testing.T, s *state.Store) {
	ctx := t.Context()
	a := begin(t, s, "acme", "posture", "spaces")
	stranger := *a
	stranger.Owner = "somebody else"
	for what, err := range map[string]error{"Decide": s.Decide(ctx, &stranger, moved(a, "spaces")), "End": s.End(ctx, &stranger, nil)} {
		if !errors.Is(err, collector.ErrFenced) {
			t.Errorf("%s by another owner: %v", what, err)
		}
	}
	b := begin(t, s, "acme", "posture", "spaces")
	other := begin(t, s, "acme", "audit", "audit_events") // another group does not fence
	for what, err := range map[string]error{"Decide": s.Decide(ctx, a, moved(a, "spaces")), "End": s.End(ctx, a, []string{"spaces"})} {
		if !errors.Is(err, collector.ErrFenced) {
			t.Errorf("%s of a zombie: %v", what, err)
		}
	}
	if n := len(must[[]collector.Head](t)(s.Heads(ctx, ""))); n != 0 {
		t.Errorf("%d heads after nothing was decided", n)
	}
	ok(t, s.Decide(ctx, b, moved(b, "spaces")))
	ok(t, s.Decide(ctx, b, moved(b, "spaces"))) // its answer was lost
	if err := s.End(ctx, b, nil); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("a decided attempt was ended: %v", err)
	}
	ok(t, s.Decide(ctx, other, moved(other, "audit_events")))
	c := begin(t, s, "acme", "posture", "spaces")
	if err := s.Decide(ctx, b, moved(b, "spaces")); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("a decided attempt was decided again after a later begin: %v", err)
	}
	ok(t, s.End(ctx, c, nil))
	if err := s.Decide(ctx, c, moved(c, "spaces")); !errors.Is(err, collector.ErrFenced) {
		t.Errorf("an ended attempt was decided: %v", err)
	}
	if h := head(t, s, "acme", "spaces"); h.Seq != b.Seq || len(h.Void) != 1 || h.Void[0] != a.Seq {
		t.Errorf("head %+v, want number %d with %d void", h, b.Seq, a.Seq)
	}
}

func testAbandoned(t *testing.T, s *state.Store) {
	ctx := t.Context()
	var want []collector.Abandoned
	for range 3 { // crashes in a row add up
		a := begin(t, s, "acme", "posture", "spaces")
		equal(t, "abandoned", want, a.Abandoned)
		want = append(want, collector.Abandoned{Seq: a.Seq, RunID: a.RunID, Trigger: collector.TriggerSchedule, StartedAt: noon})
	}
	begin(t, s, "acme", "audit", "audit_events")
	begin(t, s, "beta", "posture", "spaces")
	a := begin(t, s, "acme", "posture", "spaces")
	equal(t, "abandoned by the fourth", want, a.Abandoned)
	ok(t, s.End(ctx, a, nil)) // has told of them
	b := begin(t, s, "acme", "posture", "spaces")
	equal(t, "abandoned after an end", nil, b.Abandoned)
	ok(t, s.Decide(ctx, b, nil))
	if c := begin(t, s, "acme", "posture", "spaces"); len(c.Abandoned) != 0 {
		t.Errorf("abandoned after a decision: %+v", c.Abandoned)
	}
}

// testVoidLists: broken writes leave void numbers, quiet runs leave none.
func testVoidLists(t *testing.T, s *state.Store) {
	ctx := t.Context()
	all := []string{"groups", "spaces"}
	last := begin(t, s, "acme", "posture", all...)
	ok(t, s.Decide(ctx, last, moved(last, all...)))
	for i := range 30 { // a quiet month
		a := begin(t, s, "acme", "posture", all...)
		switch i % 5 {
		case 0: // no change
			ok(t, s.Decide(ctx, a, stayed(a, all...)))
		case 1: // one dataset changed, the other could not be read
			a.Untouched = []string{"groups"}
			ok(t, s.Decide(ctx, a, moved(a, "spaces")))
		case 2: // the site was down
			a.Untouched = all
			ok(t, s.End(ctx, a, nil))
		case 3: // sync --dataset
			a = begin(t, s, "acme", "posture", "spaces")
			ok(t, s.Decide(ctx, a, moved(a, "spaces")))
			fallthrough // its predecessor never ended: void for both
		case 4: // one dataset written and not decided
			a = begin(t, s, "acme", "posture", all...)
			ok(t, s.Decide(ctx, a, moved(a, "spaces")))
		}
	}
	a := begin(t, s, "acme", "posture", all...)
	ok(t, s.Decide(ctx, a, moved(a, all...)))
	// Per round of five: case 3 leaves its first attempt to both, and case 3
	// and 4 their last to groups (4 also abandons its first to both).
	spaces, groups := head(t, s, "acme", "spaces"), head(t, s, "acme", "groups")
	if len(spaces.Void) != 2*6 || len(groups.Void) != 4*6 {
		t.Errorf("%d numbers are void for spaces, %d for groups: %v, %v", len(spaces.Void), len(groups.Void), spaces.Void, groups.Void)
	}
	if _, err := s.Begin(ctx, collector.Begin{Tenant: "acme", Group: "posture", Datasets: all, Owner: "x"}); err != nil {
		t.Error(err)
	}
}

func testDecideRefuses(t *testing.T, s *state.Store) {
	ctx := t.Context()
	first := begin(t, s, "acme", "posture", "spaces", "groups")
	ok(t, s.Decide(ctx, first, moved(first, "spaces", "groups")))
	a := begin(t, s, "acme", "posture", "spaces", "groups")
	good := moved(a, "spaces")[0]
	for what, change := range map[string]func(*collector.Head){
		"another tenant":    func(h *collector.Head) { h.Tenant = "beta" },
		"another group":     func(h *collector.Head) { h.Group = "audit" },
		"another dataset":   func(h *collector.Head) { h.Dataset = "users" },
		"a future number":   func(h *collector.Head) { h.Seq++ },
		"an earlier number": func(h *collector.Head) { h.Seq = 0 },
	} {
		bad := good
		change(&bad)
		if err := s.Decide(ctx, a, []collector.Head{moved(a, "groups")[0], bad}); err == nil || errors.Is(err, collector.ErrFenced) {
			t.Errorf("a head of %s: %v", what, err)
		}
	}
	if h := head(t, s, "acme", "groups"); h.Seq != first.Seq {
		t.Errorf("a refused decision moved a head to %d", h.Seq)
	}
	ok(t, s.Decide(ctx, a, []collector.Head{good}))

	// A dataset that changed its group would count from the start again, below
	// its own head: its rows would appear before they were decided.
	b := begin(t, s, "acme", "inventory", "spaces")
	if err := s.Decide(ctx, b, moved(b, "spaces")); err == nil || !strings.Contains(err.Error(), "another group") {
		t.Errorf("a head was moved back from %d to %d: %v", a.Seq, b.Seq, err)
	}
	if h := head(t, s, "acme", "spaces"); h.Seq != a.Seq || h.Group != "posture" {
		t.Errorf("head after the refused move: %+v", h)
	}
}

func testSweep(t *testing.T, s *state.Store) {
	ctx := t.Context()
	a := begin(t, s, "acme", "posture", "spaces", "groups") // abandoned
	b := begin(t, s, "acme", "posture", "spaces", "groups")
	ok(t, s.Decide(ctx, b, moved(b, "spaces")))
	ok(t, s.Projected(ctx, moved(b, "spaces")))
	sweepable := func(before time.Time) []string {
		var got []string
		for _, h := range must[[]schemas.Head](t)(s.Sweepable(ctx, before)) {
			got = append(got, fmt.Sprintf("%s/%s %s %d %v", h.Tenant, h.Dataset, h.Group, h.Seq, h.Void))
		}
		return got
	}
	// b's rows of groups are not decided either, but nobody has fenced b yet.
	want := []string{"acme/groups posture 0 [1]", "acme/spaces posture 2 [1]"}
	equal(t, "after the second begin", want, sweepable(noon.Add(time.Millisecond)))
	equal(t, "not yet old enough", nil, sweepable(noon))

	ok(t, s.Swept(ctx, must[[]schemas.Head](t)(s.Sweepable(ctx, noon.Add(time.Hour)))))
	equal(t, "after the sweep", nil, sweepable(noon.Add(time.Hour)))
	again := must[[]collector.Head](t)(s.Unprojected(ctx))
	if len(again) != 1 || again[0].Dataset != "spaces" || len(again[0].Void) != 0 {
		t.Errorf("to be shown with a shorter list: %+v", again)
	}
	c := begin(t, s, "acme", "posture", "groups")
	if h := c.Heads["groups"]; len(h.Void) != 1 || h.Void[0] != b.Seq {
		t.Errorf("void for groups: %v, want only %d of %d and %d", h.Void, b.Seq, a.Seq, b.Seq)
	}
	ok(t, s.Swept(ctx, nil))
}

// hold decides that removals of a dataset have to wait.
func hold(t fataler, s *state.Store, h collector.Hold) {
	t.Helper()
	a := begin(t, s, h.Tenant, "posture", h.Dataset)
	a.Held = []collector.Hold{h}
	ok(t, s.Decide(t.Context(), a, nil))
}

func testHolds(t *testing.T, s *state.Store) {
	ctx := t.Context()
	h := collector.Hold{
		Tenant: "acme", Dataset: "spaces", Fingerprint: "f", RunID: uuid.New(), HeldAt: noon, Removed: 40, Rows: 100,
		Sample: []string{"A", `"B"`, "ü,\n"}, Keys: []byte{0, 1, 255, '\''}, Reason: "too many",
	}
	g := collector.Hold{Tenant: "acme", Dataset: "groups", RunID: uuid.New(), HeldAt: noon.Add(time.Second)}
	x := collector.Hold{Tenant: "beta", Dataset: "spaces", RunID: uuid.New(), HeldAt: noon}
	for _, one := range []collector.Hold{h, g, x} {
		hold(t, s, one)
	}
	equal(t, "all holds", []collector.Hold{g, h, x}, must[[]collector.Hold](t)(s.Holds(ctx, "")))
	h.RunID, h.Removed = uuid.New(), 41
	hold(t, s, h)
	equal(t, "holds of acme", []collector.Hold{g, h}, must[[]collector.Hold](t)(s.Holds(ctx, "acme")))
	if n := must[int](t)(s.Approve(ctx, "acme")); n != 2 {
		t.Errorf("approved %d holds, want 2", n)
	}
	g.Approved, h.Approved = true, true
	equal(t, "after the approval", []collector.Hold{g, h, x}, must[[]collector.Hold](t)(s.Holds(ctx, "")))

	// A run that had looked at a hold before it was approved keeps the approval, unless
	// it sees with other eyes.
	h.HeldAt, h.Approved = noon.Add(time.Hour), false
	hold(t, s, h)
	g.Fingerprint, g.Approved = "another", false
	hold(t, s, g)
	h.Approved = true
	equal(t, "after a run beside the approval", []collector.Hold{g, h, x}, must[[]collector.Hold](t)(s.Holds(ctx, "")))

	a := begin(t, s, "acme", "posture", "spaces")
	a.Held, a.Passed = []collector.Hold{{Tenant: "acme", Dataset: "groups"}}, []string{"spaces", "users"}
	ok(t, s.End(ctx, a, nil))
	equal(t, "after a run that decided nothing", []collector.Hold{g, h, x}, must[[]collector.Hold](t)(s.Holds(ctx, "")))
	a = begin(t, s, "acme", "posture", "spaces")
	a.Passed = []string{"spaces", "users"}
	ok(t, s.Decide(ctx, a, nil))
	equal(t, "after one that passed", []collector.Hold{g, x}, must[[]collector.Hold](t)(s.Holds(ctx, "")))
	if n := must[int](t)(s.Approve(ctx, "nobody")); n != 0 {
		t.Errorf("approved %d holds of nobody", n)
	}
	if strings.Contains(fmt.Sprint(must[[]collector.Hold](t)(s.Holds(ctx, "gamma"))), "acme") {
		t.Error("another tenant's holds")
	}
}
