package collector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// QuarantineAfter is how many runs of a tenant's group, in a row, take the
// process down before the group is run no more.
const QuarantineAfter = 3

// suspectAfter is how many of them make a group run while no other suspect does:
// the next death then tells the one that brings it from those that were just
// there. After the first one nobody is held up, since most deaths are no run's.
const suspectAfter = 2

// Quarantine is a tenant's group that is run no more until a person releases it.
type Quarantine struct {
	Tenant, Group string
	Since         time.Time
}

// QuarantineError is the error of a run that was not begun.
type QuarantineError struct{ Quarantine }

func (e *QuarantineError) Error() string {
	return fmt.Sprintf("%s of %s is quarantined since %s: %d runs in a row took the process down; "+
		"look for its last lines in the log and for the end of the process (out of memory?), then: sitedrift tenants resume %s",
		e.Group, e.Tenant, e.Since.UTC().Format("2006-01-02 15:04"), QuarantineAfter, e.Tenant)
}

// Suspects keeps the runs of suspects in this process apart from each other; the
// ledger keeps them apart from those of other replicas. The zero value is ready to
// use; one is shared by all runs of a process.
type Suspects struct{ running sync.Mutex }

// SuspectPause is how long a suspect waits before it asks again whether it is the
// only one.
const SuspectPause = 5 * time.Second

// ErrSuspect says that a run has to wait for that of another suspect.
var ErrSuspect = errors.New("its runs took the process down twice, so that it is run while no other such group is, and one is: try again when that run has ended")

// alone makes sure that no other suspect is run, if the group is one; free lets
// others go. ErrSuspect says that one is: a suspect that waits has not begun, so
// that it is not blamed for the death that another brings (Invariant 7).
func (s *Suspects) alone(ctx context.Context, ledger Ledger, req Request, now time.Time) (free func(), err error) {
	n, err := ledger.Deaths(ctx, req.Tenant.ID, req.Group)
	if err != nil || n < suspectAfter {
		return func() {}, err
	}
	if !s.running.TryLock() {
		return nil, fmt.Errorf("%s of %s: %w", req.Group, req.Tenant.ID, ErrSuspect)
	}
	only, err := ledger.RunAlone(ctx, req.Owner, now)
	if err == nil && !only {
		err = fmt.Errorf("%s of %s: %w", req.Group, req.Tenant.ID, ErrSuspect)
	}
	if err != nil {
		s.running.Unlock()
		return nil, err
	}
	return s.running.Unlock, nil
}

// closed tells of a group that was quarantined just now.
func (x *run) closed(ctx context.Context) (schemas.Run, error) {
	row := x.row(schemas.OutcomeQuarantined)
	err := &QuarantineError{Quarantine{x.tenant.ID, x.request.Group, x.started}}
	row.Error = err.Error()
	return row, x.end(ctx, row, nil)
}
