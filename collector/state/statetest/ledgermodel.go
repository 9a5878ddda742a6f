package statetest

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"sync"
	"testing"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/state"
)

// testLedgerModel draws random histories of attempts of a few owners: they
// begin, send rows, decide some datasets, end, crash (are never heard of
// again), and come back from the dead to send more or to decide. A model keeps
// which rows were sent, and which number was decided for which dataset. After
// every step, what a reader of the heads would see of the sent rows must be
// exactly the decided ones, and no number may be void without need.
func testLedgerModel(t *testing.T, s *state.Store) {
	cases := 0
	rapid.Check(t, func(t *rapid.T) {
		cases++
		m := &ledgerModel{tenant: fmt.Sprintf("t%d", cases), sent: map[cell]bool{}, decided: map[cell]bool{}, quiet: map[cell]bool{}}
		t.Repeat(map[string]func(*rapid.T){
			"begin": func(t *rapid.T) {
				datasets := rapid.SliceOfNDistinct(rapid.SampledFrom(modelDatasets), 1, len(modelDatasets), rapid.ID).Draw(t, "datasets")
				a := begin(t, s, m.tenant, "posture", datasets...)
				m.begun(t, a, datasets)
			},
			"send": func(t *rapid.T) {
				if a := m.any(t); a != nil {
					c := cell{rapid.SampledFrom(a.datasets).Draw(t, "dataset"), a.Seq}
					if !m.quiet[c] { // the promise of Untouched and of stayed heads
						m.sent[c] = true
					}
				}
			},
			"decide": func(t *rapid.T) {
				if a := m.any(t); a != nil {
					m.decide(t, s, a)
				}
			},
			"end": func(t *rapid.T) {
				if a := m.any(t); a != nil {
					m.end(t, s, a)
				}
			},
			"decide by a stranger": func(t *rapid.T) {
				if a := m.any(t); a != nil {
					stranger := *a.Attempt
					stranger.Owner = "a stranger"
					if err := s.Decide(t.Context(), &stranger, moved(&stranger, a.datasets...)); !errors.Is(err, collector.ErrFenced) {
						t.Fatalf("a stranger decided attempt %d: %v", a.Seq, err)
					}
				}
			},
			"": func(t *rapid.T) { m.check(t, s) },
		})
	})
}

var modelDatasets = []string{"groups", "spaces", "users"}

// cell is the rows of one dataset under one number.
type cell struct {
	dataset string
	seq     uint64
}

type modelAttempt struct {
	*collector.Attempt
	datasets []string
	closed   bool
}

type ledgerModel struct {
	tenant   string
	attempts []*modelAttempt
	sent     map[cell]bool // rows lie in the warehouse
	decided  map[cell]bool
	quiet    map[cell]bool // the attempt has promised that no row was sent
}

func (m *ledgerModel) any(t *rapid.T) *modelAttempt {
	if len(m.attempts) == 0 {
		return nil
	}
	// Mostly one of the last: otherwise nearly all would be zombies.
	last := len(m.attempts) - 1
	return m.attempts[max(0, last-rapid.IntRange(0, 3).Draw(t, "how old"))]
}

// entitled: the newest attempt, still open.
func (m *ledgerModel) entitled(a *modelAttempt) bool {
	return a == m.attempts[len(m.attempts)-1] && !a.closed
}

func (m *ledgerModel) committed(dataset string) (seq uint64) {
	for c := range m.decided {
		if c.dataset == dataset {
			seq = max(seq, c.seq)
		}
	}
	return seq
}

func (m *ledgerModel) begun(t *rapid.T, a *collector.Attempt, datasets []string) {
	if n := len(m.attempts); n > 0 && a.Seq != m.attempts[n-1].Seq+1 {
		t.Fatalf("attempt %d follows %d", a.Seq, m.attempts[n-1].Seq)
	}
	var abandoned []uint64
	for _, e := range slices.Backward(m.attempts) {
		if e.closed {
			break
		}
		abandoned = append([]uint64{e.Seq}, abandoned...)
	}
	var reported []uint64
	for _, e := range a.Abandoned {
		reported = append(reported, e.Seq)
	}
	equal(t, "abandoned", abandoned, reported)
	for _, d := range datasets {
		h := a.Heads[d]
		if want := m.committed(d); h.Seq != want {
			t.Fatalf("head of %s at the begin of %d is %d, want %d", d, a.Seq, h.Seq, want)
		}
		equal(t, "void for "+d+" at the begin", m.void(d, a.Seq-1), h.Void)
	}
	m.attempts = append(m.attempts, &modelAttempt{Attempt: a, datasets: datasets})
}

// void is every number up to last that may have rows of a dataset, undecided.
func (m *ledgerModel) void(dataset string, last uint64) (seqs []uint64) {
	for _, a := range m.attempts {
		c := cell{dataset, a.Seq}
		if a.Seq <= last && slices.Contains(a.datasets, dataset) && !m.decided[c] && !m.quiet[c] {
			seqs = append(seqs, a.Seq)
		}
	}
	return seqs
}

func (m *ledgerModel) decide(t *rapid.T, s *state.Store, a *modelAttempt) {
	var heads []collector.Head
	var move, stay, untouched []string
	for _, d := range a.datasets {
		sent := m.sent[cell{d, a.Seq}]
		switch fate := rapid.SampledFrom([]string{"moved", "stayed", "untouched", "left out"}).Draw(t, d); {
		case fate == "moved":
			move = append(move, d)
		case fate == "stayed" && !sent:
			stay = append(stay, d)
		case fate == "untouched" && !sent:
			untouched = append(untouched, d)
		}
	}
	heads = append(moved(a.Attempt, move...), stayed(a.Attempt, stay...)...)
	a.Untouched = untouched
	m.closing(t, a, s.Decide(t.Context(), a.Attempt, heads), func() {
		for _, d := range move {
			m.decided[cell{d, a.Seq}] = true
		}
		for _, d := range slices.Concat(stay, untouched) {
			m.quiet[cell{d, a.Seq}] = true
		}
	})
}

func (m *ledgerModel) end(t *rapid.T, s *state.Store, a *modelAttempt) {
	a.Untouched = nil
	for _, d := range a.datasets {
		if !m.sent[cell{d, a.Seq}] && rapid.Bool().Draw(t, d) {
			a.Untouched = append(a.Untouched, d)
		}
	}
	m.closing(t, a, s.End(t.Context(), a.Attempt, nil), func() {
		for _, d := range a.Untouched {
			m.quiet[cell{d, a.Seq}] = true
		}
	})
}

// closing compares the answer with what the attempt is entitled to. The newest
// attempt that is closed already may be told that all is well (its first answer
// may have been lost), but nothing must change.
func (m *ledgerModel) closing(t *rapid.T, a *modelAttempt, err error, effect func()) {
	if m.entitled(a) {
		ok(t, err)
		a.closed = true
		effect()
		return
	}
	repeated := a == m.attempts[len(m.attempts)-1] && err == nil
	if !repeated && !errors.Is(err, collector.ErrFenced) {
		t.Fatalf("attempt %d is not entitled, and got %v", a.Seq, err)
	}
}

// check reads the heads like a reader of the warehouse.
func (m *ledgerModel) check(t *rapid.T, s *state.Store) {
	heads := map[string]collector.Head{}
	for _, h := range must[[]collector.Head](t)(s.Heads(t.Context(), m.tenant)) {
		heads[h.Dataset] = h
	}
	for c := range m.sent {
		h := heads[c.dataset]
		visible := c.seq <= h.Seq && !slices.Contains(h.Void, c.seq)
		if visible != m.decided[c] {
			t.Fatalf("rows of %s under %d: visible %v, decided %v; head %d, void %v", c.dataset, c.seq, visible, m.decided[c], h.Seq, h.Void)
		}
	}
	for _, d := range slices.Sorted(maps.Keys(heads)) {
		equal(t, "void for "+d, m.void(d, heads[d].Seq), heads[d].Void)
	}
}

// DecideRace lets workers begin and decide the same tenant and group, each so
// many times, through the given stores of one database. Each decision builds on the head that its
// begin returned, so no decision may be lost: the count that they carry along
// must be the number of decisions.
func DecideRace(t *testing.T, rounds int, stores ...*state.Store) {
	const workers = 6
	ctx := t.Context()
	var mu sync.Mutex
	var decided, fenced int
	var wg sync.WaitGroup
	for w := range workers {
		s := stores[w%len(stores)]
		wg.Go(func() {
			for range rounds {
				a, err := beginReleased(ctx, s, collector.Begin{Tenant: "acme", Group: "posture", Datasets: []string{"spaces", "groups"}, RunID: uuid.New(), Owner: strconv.Itoa(w), StartedAt: noon})
				if err != nil {
					t.Error(err)
					return
				}
				if x, y := a.Heads["spaces"], a.Heads["groups"]; x.Epoch != y.Epoch || x.Seq != y.Seq {
					t.Errorf("half a decision seen: %d at %d, %d at %d", x.Epoch, x.Seq, y.Epoch, y.Seq)
				}
				err = s.Decide(ctx, a, moved(a, "spaces", "groups"))
				mu.Lock()
				switch {
				case err == nil:
					decided++
				case errors.Is(err, collector.ErrFenced):
					fenced++
				default:
					t.Error(err)
				}
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	h := head(t, stores[0], "acme", "spaces")
	if int(h.Epoch) != decided || decided+fenced != workers*rounds || len(h.Void) > fenced {
		t.Errorf("%d decisions arrived of %d; %d fenced, %d void", h.Epoch, decided, fenced, len(h.Void))
	}
	t.Logf("%d decided, %d fenced", decided, fenced)
}
