package confluence

import (
	"context"
	"time"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Without a key of the organization nobody tells when people used the site; but
// who changes something leaves a record in the audit log.

// activityBack is how far back the audit log is read for the newest record of each
// account. What an earlier run found stays as it was when nothing newer is there.
const activityBack = 7 * 24 * time.Hour

// activity is the newest record of an account.
type activity struct {
	at   time.Time
	name *string
}

// activities keeps the newest record of each account.
type activities map[string]activity

func (a activities) note(account, name *string, at time.Time) {
	if account == nil || !at.After(a[*account].at) {
		return
	}
	a[*account] = activity{at, name}
}

// rows are those of the accounts that have a record. Of the others nobody knows
// whether they used the site: they are neither new nor gone.
func (a activities) rows(accounts []string) (rows, unknown []datasets.UserActivity) {
	for _, id := range accounts {
		row := datasets.UserActivity{AccountID: id, Product: "confluence", Source: "audit"}
		last, ok := a[id]
		if !ok {
			unknown = append(unknown, row)
			continue
		}
		row.Name, row.LastActiveAt = last.name, last.at
		rows = append(rows, row)
	}
	return rows, unknown
}

// readAuditActivity derives the last use from the audit log, for the accounts that
// are in some group of the site.
func (s *visit) readAuditActivity(ctx context.Context, _ string, yield yielder) error {
	table := datasets.UserActivities
	blocking, partial := s.membership()
	if blocking != nil {
		return blocking
	}
	found := activities{}
	r := auditReader{visit: s, table: table.Dataset, take: func(items []auditWire) error {
		for i := range items {
			if author := items[i].Author; author != nil {
				found.note(optional(author.AccountID), optional(author.DisplayName), time.UnixMilli(*items[i].CreationDate).UTC())
			}
		}
		return nil
	}}
	until := s.now()
	if _, err := r.window(ctx, until.Add(-activityBack).UnixMilli(), until.UnixMilli()-1); err != nil {
		return err
	}
	rows, unknown := found.rows(s.accounts())
	if err := yieldPage(yield, table, rows, unknown); err != nil {
		return err
	}
	return partial
}

// readDataCenterActivity derives the last use from the server's audit log.
func (s *visit) readDataCenterActivity(ctx context.Context, _ string, yield yielder) error {
	table := datasets.UserActivities
	blocking, partial := s.listing()
	if blocking != nil {
		return blocking
	}
	found := activities{}
	until := s.now()
	err := s.dataCenterAuditWindow(ctx, table.Dataset, until.Add(-activityBack).UnixMilli(), until.UnixMilli()-1, func(events []dcAuditWire) error {
		for i := range events {
			if author := events[i].Author; author != nil {
				found.note(optional(author.ID), optional(author.Name), time.UnixMilli(events[i].at).UTC())
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	rows, unknown := found.rows(s.accounts())
	if err := yieldPage(yield, table, rows, unknown); err != nil {
		return err
	}
	return partial
}
