package schedule

import (
	"crypto/sha256"
	"encoding/binary"
	"time"
)

// Quiet is the part of each minute in which no start falls: its beginning, when
// the crons of the whole world fire, above all at the full hour.
const Quiet = 5 * time.Second

// maxMissed bounds the counting of missed ticks.
const maxMissed = 10_000

// Plan is a schedule as one tenant and group follow it: its ticks, each moved
// by the same offset. The zero Plan never starts.
type Plan struct {
	schedule Schedule
	offset   time.Duration
}

// NewPlan parses expr and derives the offset from tenant and group: the same
// for ever, spread evenly over min(window, half the shortest interval), and
// such that no start falls into the Quiet part of a minute. The last holds where
// ticks are on full minutes and there is room for it: for all but @every of
// less than a minute or of odd seconds. A window of 0 or less starts on the
// tick itself.
func NewPlan(tenant, group, expr string, window time.Duration) (Plan, error) {
	s, err := Parse(expr)
	if err != nil {
		return Plan{}, err
	}
	return Plan{schedule: s, offset: offset(tenant, group, min(window, s.shortest(window)/2))}, nil
}

// NextStart is the first start after the given time that the expression gives
// the tenant's group; see NewPlan.
func NextStart(tenant, group, expr string, after time.Time, window time.Duration) (time.Time, error) {
	p, err := NewPlan(tenant, group, expr, window)
	if err != nil {
		return time.Time{}, err
	}
	return p.Next(after), nil
}

// Offset is how long after a tick the plan starts.
func (p Plan) Offset() time.Duration { return p.offset }

// Next returns the first start after the given time; the zero time when there
// is none.
func (p Plan) Next(after time.Time) time.Time {
	tick := p.schedule.Next(after.Add(-p.offset))
	if tick.IsZero() {
		return tick
	}
	return tick.Add(p.offset)
}

// Planned reports whether t is a start of the plan, as against the time of a
// retry or of a request.
func (p Plan) Planned(t time.Time) bool {
	return p.Next(t.Add(-time.Nanosecond)).Equal(t)
}

// Due says what a run stands for that was due at start and is claimed at now:
// the next start of the plan, and how many starts after its own have passed
// (counted up to 10,000). Those are not made up for one by one: this run stands
// for them all (Invariant 11), and is a catch-up if there are any. The next
// start is after both start and now, so a clock that jumps back does not run a
// tick twice.
func (p Plan) Due(start, now time.Time) (next time.Time, missed int) {
	if now.Before(start) {
		now = start
	}
	next = p.Next(start)
	for ; !next.IsZero() && !next.After(now); next = p.Next(next) {
		if missed++; missed == maxMissed {
			return p.Next(now), missed
		}
	}
	return next, missed
}

// Backoff of failed runs.
const (
	RetryFirst = time.Minute // after the first failure; doubled by each further one
	RetryMax   = time.Hour
)

// RetryAt is when to try again after the given number of failed runs in a row:
// after a delay that doubles from RetryFirst to RetryMax, but at nextTick, the
// plan's next start, if that is earlier. Without a failure, or for a nextTick
// already reached, it is nextTick. A zero nextTick is no bound.
func RetryAt(failures int, now, nextTick time.Time) time.Time {
	delay := RetryMax
	if doublings := failures - 1; doublings < 6 { // 2^6 minutes are more than RetryMax
		delay = min(RetryFirst<<max(doublings, 0), RetryMax)
	}
	retry := now.Add(delay)
	if nextTick.IsZero() || failures > 0 && retry.Before(nextTick) {
		return retry
	}
	return nextTick
}

// shortest is the shortest interval between ticks, as far as it matters for a
// window: looking stops at two windows, and after 64 ticks. A shorter interval
// found later would only make the spread wider than half of it; starts would
// still correspond to ticks one to one.
func (s Schedule) shortest(window time.Duration) time.Duration {
	if s.every > 0 {
		return s.every
	}
	shortest := 2 * max(window, 0)
	last := s.Next(reference)
	for range 64 {
		next := s.Next(last)
		if next.IsZero() {
			break
		}
		shortest = min(shortest, next.Sub(last))
		last = next
	}
	return shortest
}

// offset picks a millisecond within the spread by a hash of tenant and group,
// leaving out the first seconds of each minute while anything else is left.
func offset(tenant, group string, spread time.Duration) time.Duration {
	total := uint64(max(spread, 0) / time.Millisecond)
	if total == 0 {
		return 0
	}
	// Lengths are part of the hash: ("ab", "c") is not ("a", "bc").
	var b []byte
	for _, s := range []string{tenant, group} {
		b = binary.AppendUvarint(b, uint64(len(s)))
		b = append(b, s...)
	}
	sum := sha256.Sum256(b)
	h := binary.BigEndian.Uint64(sum[:8])

	minute, quiet := uint64(time.Minute/time.Millisecond), uint64(Quiet/time.Millisecond)
	loud := minute - quiet
	slots := total / minute * loud
	if rest := total % minute; rest > quiet {
		slots += rest - quiet
	}
	if slots == 0 {
		return time.Duration(h%total) * time.Millisecond
	}
	slot := h % slots
	return time.Duration(slot/loud*minute+quiet+slot%loud) * time.Millisecond
}
