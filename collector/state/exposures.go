package state

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/sitedrift/sitedrift/collector"
)

// PutExposure stores what a probe found out, replacing what an earlier one did.
func (s *Store) PutExposure(ctx context.Context, e collector.Exposure) error {
	_, err := s.db.ExecContext(ctx, `
INSERT INTO exposures (tenant, dataset, section, credential, is_open, evidence, probed_at) VALUES ($1, $2, $3, $4, $5, $6, $7)
ON CONFLICT (tenant, dataset, section, credential) DO UPDATE SET is_open = excluded.is_open, evidence = excluded.evidence, probed_at = excluded.probed_at`,
		e.Tenant, e.Dataset, e.Section, e.Credential, e.Open, e.Evidence, millis(e.ProbedAt))
	if err != nil {
		return fmt.Errorf("store what a probe of %s for tenant %s found: %w", e.Dataset, e.Tenant, err)
	}
	return nil
}

// Exposures lists what probes found out for a tenant, by dataset, section and
// credential.
func (s *Store) Exposures(ctx context.Context, tenant string) ([]collector.Exposure, error) {
	all, err := collect(ctx, s.db, func(r scanner) (e collector.Exposure, err error) {
		err = r.Scan(&e.Tenant, &e.Dataset, &e.Section, &e.Credential, &e.Open, &e.Evidence, instant{&e.ProbedAt})
		return e, err
	}, `SELECT tenant, dataset, section, credential, is_open, evidence, probed_at FROM exposures WHERE tenant = $1`, tenant)
	if err != nil {
		return nil, fmt.Errorf("read what probes found for tenant %s: %w", tenant, err)
	}
	slices.SortFunc(all, func(a, b collector.Exposure) int {
		return cmp.Or(cmp.Compare(a.Dataset, b.Dataset), cmp.Compare(a.Section, b.Section), cmp.Compare(a.Credential, b.Credential))
	})
	return all, nil
}
