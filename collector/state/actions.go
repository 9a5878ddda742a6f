package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
)

// AddActions adds to the audit trail, all or none. Nothing here changes or
// deletes an entry, also not when its tenant is removed.
func (s *Store) AddActions(ctx context.Context, actions ...collector.Action) error {
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		for _, a := range actions {
			id, err := uuid.NewV7() // orders entries of one millisecond
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO actions (id, at, actor, action, tenant, detail, failure) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
				id.String(), millis(a.At), a.Actor, a.Name, a.Tenant, a.Detail, a.Failure); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("write the audit trail: %w", err)
	}
	return nil
}

// Actions returns the last entries of the audit trail, at most limit, the newest
// at the end; of one tenant, or of all if tenant is empty.
func (s *Store) Actions(ctx context.Context, tenant string, limit int) ([]collector.Action, error) {
	all, err := collect(ctx, s.db, func(r scanner) (a collector.Action, err error) {
		err = r.Scan(instant{&a.At}, &a.Actor, &a.Name, &a.Tenant, &a.Detail, &a.Failure)
		return a, err
	}, `SELECT at, actor, action, tenant, detail, failure FROM actions WHERE ($1 = '' OR tenant = $1) ORDER BY at DESC, id DESC LIMIT $2`, tenant, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	slices.Reverse(all)
	return all, nil
}
