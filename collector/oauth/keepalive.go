package oauth

import (
	"context"
	"time"

	"github.com/sitedrift/sitedrift/collector"
)

const (
	day = 24 * time.Hour
	// idleLimit is after how long without a refresh a grant is refreshed for its
	// own sake, far inside CloudIdleLimit.
	idleLimit = 7 * day
	// warnBefore is how long before it the end of a credential is announced.
	warnBefore = 30 * day
)

// Warning says that a credential ends, which no refresh prevents.
type Warning struct {
	Tenant   string
	Kind     string
	DaysLeft int // 0 on the last day and after
	EndsAt   time.Time
}

// KeepAlive refreshes grants that were not refreshed for a week, since idle ones
// end after 90 days, and returns a warning for each credential that comes near
// its end (see EndsAt). The error joins those of the single refreshes.
func (t *Tokens) KeepAlive(ctx context.Context) ([]Warning, error) {
	rows, err := t.Store.Credentials(ctx)
	if err != nil {
		return nil, &Error{Class: ErrTemporary, Op: "list the grants", Cause: err}
	}
	now := t.Now()
	var warnings []Warning
	var idle []collector.Credential
	for _, c := range rows {
		if !t.rotates(c.Kind) && !isStatic(c.Kind) || c.State != collector.CredentialOK {
			continue
		}
		if left, warn := Countdown(c, now); warn {
			end, _ := EndsAt(c)
			warnings = append(warnings, Warning{Tenant: c.Tenant, Kind: c.Kind, DaysLeft: left, EndsAt: end})
		}
		if isIdle(c, now) {
			idle = append(idle, c)
		}
	}
	return warnings, t.each(ctx, idle, func(c collector.Credential) error {
		_, err := t.fly(ctx, key{c.Tenant, c.Kind}, want{settled: func(r row, _ token) bool { return !isIdle(r.Credential, t.Now()) }})
		return err
	})
}

func isIdle(c collector.Credential, now time.Time) bool { return now.Sub(c.LastOKAt) >= idleLimit }

// EndsAt returns when a credential ends for good, whatever is done to keep it
// alive, and whether that is known: a 3LO grant a year after the consent
// (Atlassian community, staff answer in 60806), a token, a key or a client secret
// at the time that the operator gave.
func EndsAt(c collector.Credential) (time.Time, bool) {
	switch {
	case isStatic(c.Kind):
		return c.AccessExpiresAt, !c.AccessExpiresAt.IsZero()
	case c.Kind == collector.CredentialKindDCOAuth, c.ConsentedAt.IsZero():
		return time.Time{}, false
	}
	return c.ConsentedAt.Add(CloudAbsoluteLimit), true
}

// Countdown returns the whole days until the credential ends, and whether to
// warn of it: in the last 30 days. One whose end is not known counts as far away.
func Countdown(c collector.Credential, now time.Time) (daysLeft int, warn bool) {
	end, known := EndsAt(c)
	if !known {
		return int(CloudAbsoluteLimit / day), false
	}
	left := end.Sub(now)
	return max(int(left/day), 0), left <= warnBefore
}
