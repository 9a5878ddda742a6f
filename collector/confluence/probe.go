package confluence

import (
	"context"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Probe asks, with one small request each, whether the vendor lets the tenant's
// credentials into sources that the declarations call closed. Those for which due
// is false are left out. What is found counts for this source, too.
func (s *Source) Probe(ctx context.Context, due func(dataset, section, credential string) bool) []collector.Exposure {
	var found []collector.Exposure
	tables := s.tables
	if tables == nil {
		tables = datasets.All()
	}
	for _, table := range tables {
		if table.Parent != "" {
			continue // its parent speaks for it
		}
		for _, a := range table.Sources {
			w := s.wayOf(a)
			if !a.Closed || w == nil || !due(table.Name, a.Section, a.Credential) {
				continue
			}
			e := collector.Exposure{Tenant: s.tenant, Dataset: table.Name, Section: a.Section, Credential: a.Credential, ProbedAt: s.now().UTC()}
			v := &visit{Source: s, way: w, access: a, peek: true}
			rows := 0
			err := v.read(ctx, table, a.Section, func(p collector.Page) error {
				for _, told := range []schemas.Rows{p.Rows, p.Partly} {
					if told != nil {
						rows += told.Len()
					}
				}
				return nil
			})
			if ctx.Err() != nil {
				return found
			}
			// A gateway also answers those whom it lets see nothing, with nothing.
			e.Open = (err == nil || stateOf(err) == schemas.CoveragePartial) && rows > 0
			e.Evidence = a.String() + ": answers"
			switch {
			case err == nil && rows == 0:
				e.Evidence += " without a row, which may mean that it shows none"
			case err != nil:
				e.Evidence = evidenceOf(err)
				if stateOf(err) == schemas.CoverageFailed {
					continue // nothing was learnt
				}
			}
			found = append(found, e)
		}
	}
	known := s.open
	s.open = func(dataset, section, credential string) bool {
		for _, e := range found {
			if e.Dataset == dataset && e.Section == section && e.Credential == credential {
				return e.Open
			}
		}
		return known != nil && known(dataset, section, credential)
	}
	return found
}

// wayOf is the credential that an access is for, if the tenant has it and it works.
func (s *Source) wayOf(a schemas.Access) *Way {
	if a.Deployment != s.deployment {
		return nil
	}
	for _, w := range s.ways {
		if w.Kind == a.Credential && w.Refused == nil {
			return w
		}
	}
	return nil
}
