package state

import (
	"errors"
	"fmt"
)

// ErrInUse says that another process has the state directory open. The error
// itself is an *InUseError.
var ErrInUse = errors.New("state directory is in use")

// ErrUnreachable says that the state database does not answer now, and may later.
var ErrUnreachable = errors.New("the state database does not answer")

// ErrUnfit says that the state database answers and cannot be used as it is: it
// refuses, is too old, or belongs to a newer release. Whoever runs it can mend that.
var ErrUnfit = errors.New("the state database cannot be used as it is")

// unfitError is an ErrUnfit that says what is wrong in its own words.
type unfitError struct {
	what string // that the database does or lacks, as a predicate: "is read-only"
	error
}

// Unwrap gives the cause.
func (e unfitError) Unwrap() error { return e.error }

// Is makes errors.Is(err, ErrUnfit) true.
func (unfitError) Is(target error) bool { return target == ErrUnfit }

// What is wrong with a state database that answers; empty if err does not tell.
func What(err error) string {
	if e := (unfitError{}); errors.As(err, &e) {
		return e.what
	}
	return ""
}

// ErrUnknownTenant says that no such tenant is stored.
var ErrUnknownTenant = errors.New("unknown tenant")

// ErrUnknownSchedule says that a tenant has no schedule for a group.
var ErrUnknownSchedule = errors.New("unknown schedule")

// ErrGenerationMoved says that a credential was rotated or granted anew since
// it was read, so that what was sealed for it does not fit any more.
var ErrGenerationMoved = errors.New("credential changed meanwhile")

// InUseError names who holds a state directory. It is ErrInUse for errors.Is.
type InUseError struct {
	Dir string
	PID int // 0 when unknown
}

// Error says what to do about it.
func (e *InUseError) Error() string {
	who := "another sitedrift process"
	if e.PID > 0 {
		who = fmt.Sprintf("sitedrift process %d", e.PID)
	}
	return fmt.Sprintf("state directory %s is in use by %s, another command or a daemon that does not answer on its control socket: let it end, or stop it first", e.Dir, who)
}

// Unwrap makes errors.Is(err, ErrInUse) true.
func (e *InUseError) Unwrap() error { return ErrInUse }

func unknownTenant(id string) error {
	return fmt.Errorf("%w %q: `sitedrift tenants list` shows the known ones", ErrUnknownTenant, id)
}

func unknownSchedule(tenant, group string) error {
	return fmt.Errorf("%w: tenant %q has no schedule for group %q", ErrUnknownSchedule, tenant, group)
}
