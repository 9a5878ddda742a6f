package state

import (
	"context"
	"fmt"

	"github.com/sitedrift/sitedrift/collector"
)

// PutRefusal records what the site said last of a credential itself; the zero
// Refusal records that it takes it. A refusal that stands keeps its beginning,
// whichever process saw it first. False when the generation has moved, or there is
// no such credential: the answer was about an older secret.
func (s *Store) PutRefusal(ctx context.Context, tenant, kind string, generation int64, r collector.Refusal) (bool, error) {
	n, err := affected(ctx, s.vault, `
UPDATE credentials SET refused_since = CASE WHEN CAST($4 AS BIGINT) > 0 AND refused_since > 0 AND refused_since < $4 THEN refused_since ELSE $4 END, refused_at = $5, refused_evidence = $6
WHERE tenant = $1 AND kind = $2 AND generation = $3`, tenant, kind, generation, millis(r.Since), millis(r.At), r.Evidence)
	if err != nil {
		return false, fmt.Errorf("record whether the site takes credential %s of tenant %s: %w", kind, tenant, err)
	}
	return n == 1, nil
}
