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

// PutTombstone records that a tenant was removed.
func (s *Store) PutTombstone(ctx context.Context, t collector.Tombstone) error {
	_, err := s.db.ExecContext(ctx, `
INSERT INTO tombstones (tenant, name, site_url, removed_at, erased) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (tenant) DO UPDATE SET name = excluded.name, site_url = excluded.site_url, removed_at = excluded.removed_at, erased = excluded.erased`,
		t.Tenant, t.Name, t.SiteURL, millis(t.RemovedAt), t.Erased)
	if err != nil {
		return fmt.Errorf("record the removal of tenant %s: %w", t.Tenant, err)
	}
	return nil
}

// Tombstones lists the removed tenants by id.
func (s *Store) Tombstones(ctx context.Context) ([]collector.Tombstone, error) {
	all, err := collect(ctx, s.db, func(r scanner) (t collector.Tombstone, err error) {
		err = r.Scan(&t.Tenant, &t.Name, &t.SiteURL, instant{&t.RemovedAt}, &t.Erased)
		return t, err
	}, `SELECT tenant, name, site_url, removed_at, erased FROM tombstones`)
	if err != nil {
		return nil, fmt.Errorf("list removed tenants: %w", err)
	}
	slices.SortFunc(all, func(a, b collector.Tombstone) int { return cmp.Compare(a.Tenant, b.Tenant) })
	return all, nil
}
