package collector

import "time"

// Refusal is what a site said last of a credential itself: that it does not take
// it, whatever it is used for. The zero Refusal says that nothing speaks against
// the credential.
//
// Since and At differ because a refusal has to last: each change of the source
// that a dataset is read by begins an epoch, so one bad answer of a site must not
// bring two of them (ADR 0008).
type Refusal struct {
	Since    time.Time // first of the refusals that no acceptance interrupted
	At       time.Time // last of them
	Evidence string    // what was asked and answered at At, for people; never a secret
}

const (
	// refusalSettles is how long refusals must last before another source is taken;
	// the wait of a held removal (Invariant 8).
	refusalSettles = 15 * time.Minute
	// refusalTried is how often a settled refusal is tried again. A credential that
	// works again after all costs one epoch a day at most.
	refusalTried = 24 * time.Hour
)

// Stands reports whether the credential is refused.
func (r Refusal) Stands() bool { return !r.Since.IsZero() }

// Settled (Invariant 6) reports whether the refusal lasts: the credential was refused, refused
// again a quarter of an hour later or more, and not taken in between.
func (r Refusal) Settled() bool { return r.Stands() && r.At.Sub(r.Since) >= refusalSettles }

// Due reports whether it is time to ask the site again.
func (r Refusal) Due(now time.Time) bool {
	if r.Settled() {
		return now.Sub(r.At) >= refusalTried
	}
	return r.Stands() && now.Sub(r.Since) >= refusalSettles
}

// Again is the refusal after the site refused the credential at the given time.
func (r Refusal) Again(at time.Time, evidence string) Refusal {
	if !r.Stands() {
		r.Since = at
	}
	r.At, r.Evidence = at, evidence
	return r
}
