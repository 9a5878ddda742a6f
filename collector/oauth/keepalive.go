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
	// warnFrom is the age from which the end of a grant is announced.
	warnFrom = 335 * day
)

// Warning says that a grant ends by age, which no refresh prevents.
type Warning struct {
	Tenant   string
	Kind     string
	DaysLeft int // 0 on the last day and after
	EndsAt   time.Time
}

// KeepAlive refreshes grants that were not refreshed for a week, since idle ones
// end after 90 days, and returns a warning for each grant whose age comes near
// the absolute limit. The error joins those of the single refreshes.
func (t *Tokens) KeepAlive(ctx context.Context) ([]Warning, error) {
	rows, err := t.Store.Credentials(ctx)
	if err != nil {
		return nil, &Error{Class: ErrTemporary, Op: "list the grants", Cause: err}
	}
	now := t.Now()
	var warnings []Warning
	var idle []collector.Credential
	for _, c := range rows {
		if c.Kind != t.Provider.kind() || c.State != collector.CredentialOK {
			continue
		}
		if left, warn := Countdown(c, now); warn {
			warnings = append(warnings, Warning{Tenant: c.Tenant, Kind: c.Kind, DaysLeft: left, EndsAt: c.ConsentedAt.Add(CloudAbsoluteLimit)})
		}
		if isIdle(c, now) {
			idle = append(idle, c)
		}
	}
	return warnings, t.each(ctx, idle, func(c collector.Credential) error {
		_, err := t.fly(ctx, key{c.Tenant, c.Kind}, want{settled: func(c collector.Credential, _ token) bool { return !isIdle(c, t.Now()) }})
		return err
	})
}

func isIdle(c collector.Credential, now time.Time) bool { return now.Sub(c.LastOKAt) >= idleLimit }

// Countdown returns the whole days until the grant ends by age, and whether to
// warn of it: from day 335 of 365 (Atlassian community, staff answer in 60806).
// A grant without a time of consent has no countdown.
func Countdown(c collector.Credential, now time.Time) (daysLeft int, warn bool) {
	if c.ConsentedAt.IsZero() {
		return int(CloudAbsoluteLimit / day), false
	}
	age := now.Sub(c.ConsentedAt)
	return max(int((CloudAbsoluteLimit-age)/day), 0), age >= warnFrom
}
