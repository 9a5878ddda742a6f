package confluence

import (
	"context"
	"time"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathLicenceDC = "/rest/license/1.0/license/"

// licenceWire is the licence of the installation (CONFSERVER-37100; its shape is
// not documented). Times are milliseconds; -1 users are no limit.
type licenceWire struct {
	Type       *string `json:"licenseType"`
	Active     *bool   `json:"active"`
	MaxUsers   *int64  `json:"maximumNumberOfUsers"`
	Expires    *int64  `json:"expiryDate"`
	Maintained *int64  `json:"maintenanceExpiryDate"`
}

// countWire is the answer of the endpoints that count.
type countWire struct {
	Count *int64 `json:"count"`
}

// readDataCenterLicence reads the licence and how many users use it up. The seats
// that are left follow from the two, so that they always fit together.
func (s *visit) readDataCenterLicence(ctx context.Context, _ string, yield yielder) error {
	table := datasets.Subscriptions
	var licence licenceWire
	if err := s.getOne(ctx, pathLicenceDC+"details", nil, &licence); err != nil {
		return s.readError(table.Dataset, "", err)
	}
	count := func(name string) (*int64, error) {
		var w countWire
		err := s.getOne(ctx, pathLicenceDC+name, nil, &w)
		if err == nil && w.Count == nil {
			err = inCall(pathLicenceDC+name, malformedf("no count"))
		}
		return w.Count, err
	}
	used, err := count("userCount")
	if err == nil && licence.MaxUsers == nil {
		licence.MaxUsers, err = count("maxUsers")
	}
	if err != nil {
		return s.readError(table.Dataset, "", err)
	}
	return yieldPage(yield, table, []datasets.Subscription{normalizeLicence(&licence, used)}, nil)
}

func normalizeLicence(w *licenceWire, used *int64) datasets.Subscription {
	row := datasets.Subscription{
		Product: "confluence", Used: used, Unlimited: new(*w.MaxUsers < 0), LicenseType: optional(w.Type), Active: w.Active,
		ExpiresAt: millis(w.Expires), MaintenedTo: millis(w.Maintained),
	}
	if !*row.Unlimited {
		row.Total, row.Free = w.MaxUsers, new(max(*w.MaxUsers-*used, 0))
	}
	return row
}

// lastMillis is the end of the year 9999; what is later is no date.
const lastMillis = 253402300799999

// millis is a time in milliseconds since 1970; nothing is the zero time.
func millis(ms *int64) time.Time {
	if ms == nil || *ms <= 0 || *ms > lastMillis {
		return time.Time{}
	}
	return time.UnixMilli(*ms).UTC()
}
