package collector

import (
	"context"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Times of replicas. A replica that cannot tell that it is alive stops its own
// runs before the others may take it for dead.
const (
	BeatEvery   = 2 * time.Second
	SilentAfter = 4 * time.Second // without a beat that worked, by the replica's own clock
	DeadAfter   = 6 * time.Second // without a beat, by the database's clock
)

// errSilent is the cause of runs that are stopped because the other replicas may
// take this one for dead.
var errSilent = fmt.Errorf("this replica could not reach the state database for %s, so that others may take over its work: %w", SilentAfter, ErrFenced)

// Replicas is the table of the processes that share a state. Times are those of
// the database's clock where it has one; now is the caller's, for a database that
// has none. Safe for concurrent use.
type Replicas interface {
	// Beat notes that owner is alive, and reports whether it was known: one that
	// is new or was taken for dead is not.
	Beat(ctx context.Context, owner string, now time.Time) (known bool, err error)
	// Alive counts the replicas that are alive.
	Alive(ctx context.Context, now time.Time) (int, error)
	// Bury takes replicas that did not beat for DeadAfter off the table, frees
	// what they had leased, fences their attempts, and returns their names.
	Bury(ctx context.Context, now time.Time) ([]string, error)
	// FreeJobs frees the jobs that owner had leased, and fences their attempts.
	FreeJobs(ctx context.Context, owner string) error
	// Depart frees all that owner had leased and takes it off the table.
	Depart(ctx context.Context, owner string) error
}

// Heartbeat keeps this process known as alive to the other replicas, takes over
// from dead ones, and stops this process's runs when the others may think that it
// is dead. A nil Heartbeat is that of a process that has no others. All fields but
// Buried must be set. It is safe for concurrent use.
type Heartbeat struct {
	Replicas Replicas
	Owner    string
	Now      func() time.Time
	Log      *zap.Logger
	// Buried is called after something was taken over from dead replicas; it must
	// not block.
	Buried func()

	mu     sync.Mutex
	guards map[int]context.CancelCauseFunc // of runs under way
	serial int
	beats  bool // the last beat is not too old
	peers  int
}

// Peers is the number of replicas that are alive, this one included; at least 1.
func (h *Heartbeat) Peers() int {
	if h == nil {
		return 1
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return max(h.peers, 1)
}

// Beats reports whether the others know that this replica is alive.
func (h *Heartbeat) Beats() bool {
	if h == nil {
		return true
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.beats
}

// Guard calls cancel when the others may take this replica for dead, at once if
// they may now, and until the returned function is called.
func (h *Heartbeat) Guard(cancel context.CancelCauseFunc) (free func()) {
	if h == nil {
		return func() {}
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.beats {
		cancel(errSilent)
		return func() {}
	}
	if h.guards == nil {
		h.guards = map[int]context.CancelCauseFunc{}
	}
	h.serial++
	id := h.serial
	h.guards[id] = cancel
	return func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		delete(h.guards, id)
	}
}

// Start beats once, so that the process is known before it takes any work.
func (h *Heartbeat) Start(ctx context.Context) error {
	if _, err := h.Replicas.Beat(ctx, h.Owner, h.Now()); err != nil {
		return err
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beats = true
	return nil
}

// Serve beats until the context ends, and then takes leave, so that the others
// need not wait for a death. Call it after Start; what the process runs must have
// ended before the context does.
func (h *Heartbeat) Serve(ctx context.Context) {
	// Not after a beat has failed, but when none has worked for too long: a call
	// may hang, and a process that was frozen finds the timer run out.
	silent := time.AfterFunc(SilentAfter, h.silence)
	defer silent.Stop()
	since := time.Now() //nolint:forbidigo // of the beats without a gap; what counts is the time that passes for this process
	for {
		sent := time.Now() //nolint:forbidigo // as above
		if err := h.beat(ctx, sent.Sub(since) >= DeadAfter); err == nil {
			silent.Reset(SilentAfter - time.Since(sent))
			h.revive(ctx)
		} else if ctx.Err() == nil {
			h.Log.Warn("the heartbeat of this replica failed", zap.Error(err))
		}
		if !h.Beats() {
			since = time.Now() //nolint:forbidigo // as above
		}
		wait(ctx, BeatEvery-time.Since(sent))
		if ctx.Err() != nil {
			break
		}
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if err := h.Replicas.Depart(ctx, h.Owner); err != nil {
		h.Log.Warn("the others will notice the end of this replica when its heartbeat is too old", zap.Error(err))
	}
}

// beat notes that this replica is alive and, if it may judge, looks for others
// that are not. After a gap of its own it may not: perhaps nobody could beat, and
// the others will in a moment.
func (h *Heartbeat) beat(ctx context.Context, judge bool) error {
	ctx, cancel := context.WithTimeout(ctx, SilentAfter-time.Second)
	defer cancel()
	known, err := h.Replicas.Beat(ctx, h.Owner, h.Now())
	if err != nil {
		return err
	}
	if !known {
		h.Log.Warn("the other replicas took this one for dead: it was frozen, or away from the state database; its runs are stopped")
		h.silence()
	}
	peers, err := h.Replicas.Alive(ctx, h.Now())
	if err != nil {
		return err
	}
	h.mu.Lock()
	h.peers = peers
	h.mu.Unlock()
	if !judge {
		return nil
	}
	dead, err := h.Replicas.Bury(ctx, h.Now())
	if err != nil {
		return err
	}
	if len(dead) > 0 {
		h.Log.Warn("took over from replicas that are dead", zap.Strings("replicas", dead))
		if h.Buried != nil {
			h.Buried()
		}
	}
	return nil
}

// silence stops the runs of this process.
func (h *Heartbeat) silence() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beats = false
	for _, cancel := range h.guards {
		cancel(errSilent)
	}
	clear(h.guards)
}

// revive lets runs begin again after a silence. The jobs that were stopped in it
// go back first.
func (h *Heartbeat) revive(ctx context.Context) {
	if h.Beats() {
		return
	}
	if err := h.Replicas.FreeJobs(ctx, h.Owner); err != nil {
		h.Log.Warn("give back the work that was stopped", zap.Error(err))
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	h.beats = true
	h.Log.Info("the heartbeat of this replica is back")
}
