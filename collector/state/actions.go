package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
)

// BeginActions puts what is about to be done on record, all or none, and returns
// what EndActions needs to know. From here on the audit trail shows it as
// unfinished.
func (s *Store) BeginActions(ctx context.Context, actions ...collector.Action) (operation string, err error) {
	operation = uuid.NewString()
	err = s.db.tx(ctx, func(tx *sql.Tx) error {
		for _, a := range actions {
			id, err := uuid.NewV7() // orders entries of one millisecond
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO begun_actions (id, operation, at, actor, action, tenant, detail) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
				id.String(), operation, millis(a.At), a.Actor, a.Name, a.Tenant, a.Detail); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return "", fmt.Errorf("write to the audit trail what begins: %w", err)
	}
	return operation, nil
}

// EndActions adds what an operation did, or failed to do, to the audit trail, and
// takes back that it is unfinished, all or none. Without actions it changed nothing.
// No entry that was added is changed or deleted afterwards, also not when its
// tenant is removed.
func (s *Store) EndActions(ctx context.Context, operation string, actions ...collector.Action) error {
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		for _, a := range actions {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `INSERT INTO actions (id, at, actor, action, tenant, detail, failure) VALUES ($1, $2, $3, $4, $5, $6, $7)`,
				id.String(), millis(a.At), a.Actor, a.Name, a.Tenant, a.Detail, a.Failure); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `DELETE FROM begun_actions WHERE operation = $1`, operation)
		return err
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
		var id string
		err = r.Scan(&id, instant{&a.At}, &a.Actor, &a.Name, &a.Tenant, &a.Detail, &a.Failure, &a.Unfinished)
		return a, err
	}, `
SELECT * FROM (
    SELECT id, at, actor, action, tenant, detail, failure, FALSE AS unfinished FROM actions
    WHERE ($1 = '' OR tenant = $1) ORDER BY at DESC, id DESC LIMIT $2) AS ended
UNION ALL
SELECT * FROM (
    SELECT id, at, actor, action, tenant, detail, '' AS failure, TRUE AS unfinished FROM begun_actions
    WHERE ($1 = '' OR tenant = $1) ORDER BY at DESC, id DESC LIMIT $2) AS begun
ORDER BY at DESC, id DESC LIMIT $2`, tenant, limit)
	if err != nil {
		return nil, fmt.Errorf("read the audit trail: %w", err)
	}
	slices.Reverse(all)
	return all, nil
}
