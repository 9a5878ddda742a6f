package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"go.uber.org/zap"
)

// Pauses between two tries of a server that could not be used.
const (
	firstTry  = time.Second
	longTry   = 15 * time.Second
	tryLength = 10 * time.Second
)

// trialRow is the name in the table of views under which try writes; no view has it.
const trialRow = "(a trial: the warehouse takes rows)"

// health is whether the server could be used, as far as is known.
type health struct {
	mu    sync.Mutex
	ill   *Trouble // nil: well
	table string   // into which no rows could be inserted; empty: it was something else
	pause time.Duration
	next  time.Time // of the next try
	tries bool      // a try is under way
}

// ail notes a trouble. The first one of a row is due for a try after firstTry.
func (h *health) ail(t *Trouble) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ill == nil {
		h.pause, h.next = firstTry, time.Now().Add(firstTry) //nolint:forbidigo // a pause between calls, whatever the clock of the runs says
	}
	h.ill = t
}

// refused notes the table that did not take rows.
func (h *health) refused(table string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ill != nil {
		h.table = table
	}
}

// due returns the trouble, and whether the caller should try the server now.
func (h *health) due() (ill *Trouble, table string, try bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ill == nil || h.tries || time.Now().Before(h.next) { //nolint:forbidigo // as in ail
		return h.ill, h.table, false
	}
	h.tries = true
	return h.ill, h.table, true
}

// now is the trouble; nil if there is none.
func (h *health) now() *Trouble {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.ill
}

// tried notes the outcome of a try and returns the pause to the next.
func (h *health) tried(err error) time.Duration {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.tries = false
	if err == nil {
		h.ill, h.table = nil, ""
		return 0
	}
	h.pause = min(2*h.pause, longTry)
	h.next = time.Now().Add(h.pause) //nolint:forbidigo // as in ail
	return h.pause
}

// Usable reports whether runs may begin: nothing went wrong with the server since
// rows last went in. After a trouble it tries a row now and then, with growing
// pauses; other callers are told no meanwhile.
func (w *Warehouse) Usable(ctx context.Context) bool {
	ill, table, try := w.health.due()
	if !try {
		return ill == nil
	}
	ctx, cancel := context.WithTimeout(ctx, tryLength)
	defer cancel()
	err := w.try(ctx, table)
	pause := w.health.tried(err)
	if err != nil {
		w.log.Warn("no runs are begun: the warehouse cannot be used", zap.Duration("next_try_in", pause), zap.Error(err))
		return false
	}
	w.log.Info("the warehouse can be used again", zap.String("it", ill.What))
	return true
}

// Ready returns nil if the warehouse answers and takes rows, as far as is known;
// a *Trouble otherwise.
func (w *Warehouse) Ready(ctx context.Context) error {
	if !w.Usable(ctx) {
		if ill := w.health.now(); ill != nil {
			return ill
		}
	}
	return w.Ping(ctx)
}

// try stores a row that means nothing, in the place of the one before, and asks
// whether a certain table takes inserts: a grant may be missing for it alone, and
// of a cluster it alone may be read-only.
func (w *Warehouse) try(ctx context.Context, table string) error {
	insert := fmt.Sprintf("INSERT INTO %s (name, statement, stored, created_at) SELECT %s, '', '', fromUnixTimestamp64Milli(%d, 'UTC')",
		w.layout.object(objectsName), text(trialRow), w.now().UnixMilli())
	err := w.inTurn(ctx, func() error { return w.conn.Exec(ctx, insert) })
	if err == nil && table != "" {
		err = w.conn.Exec(ctx, fmt.Sprintf("INSERT INTO %s SELECT * FROM %s WHERE false", w.layout.object(table), w.layout.object(table)))
	}
	if err == nil {
		err = w.room(ctx)
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return &Trouble{At: w.at, What: silent.what, Do: "look at what it does; it is tried again", Err: err}
	}
	return err
}
