package confluence

import (
	"context"
	"errors"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Identify asks the tenant's own address which site answers there, before anything
// is read from it (Invariant 7). A classic token opens every site that its account
// is on, and the address of a site that was renamed can be another customer's: of a
// token at another site nothing is read in this run, nor of one whose site does not
// answer the question. The gateway needs no question: the cloud id is part of its
// addresses. A token of Data Center opens one server.
//
// It returns the cloud id that was told; empty when nobody was asked, or may ask.
func (s *Source) Identify(ctx context.Context) string {
	i := -1
	for n, w := range s.ways {
		if w.Kind == schemas.CredentialAPIToken && w.Refused == nil {
			i = n
		}
	}
	if i < 0 {
		return ""
	}
	v := &visit{Source: s, way: s.ways[i]}
	for _, a := range s.accesses(datasets.SecurityConfiguration.Dataset, sectionSystemInfo) {
		if a.Credential == v.way.Kind {
			v.access = a
		}
	}
	info, err := v.siteInfo(ctx)
	if err == nil {
		if s.site == "" {
			s.site = info.CloudID
		}
		return info.CloudID
	}
	err = v.readError(datasets.SecurityConfiguration.Dataset, sectionSystemInfo, err)
	if refused := (*collector.ReadError)(nil); errors.As(err, &refused) && refused.State == schemas.CoverageFailed {
		v.way.Refused = refused
	}
	return ""
}

// siteInfo asks the site who it is. An answer about another site is worth nothing:
// storing it would mix two customers (Invariant 7).
func (s *visit) siteInfo(ctx context.Context) (w systemInfoWire, err error) {
	if err := s.getOne(ctx, pathSystemInfo, nil, &w); err != nil {
		return w, err
	}
	if w.CloudID == "" {
		return w, inCall(pathSystemInfo, malformedf("no cloudId"))
	}
	if s.site != "" && !strings.EqualFold(w.CloudID, s.site) {
		return w, &collector.ReadError{
			State:    schemas.CoverageFailed,
			Evidence: "GET " + pathSystemInfo + ": 200: the answer is about another site: cloud id " + quoted(w.CloudID) + ", expected " + quoted(s.site),
			Unlock:   "look who answers at the tenant's address: if the site moved, correct it; another site is another tenant",
		}
	}
	return w, nil
}
