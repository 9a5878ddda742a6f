package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/sitedrift/sitedrift/collector"
)

// AskErasure records that a person is to be erased, before anything is. Asking
// again while it is not done returns the same one.
func (s *Store) AskErasure(ctx context.Context, tenant, account string, now time.Time) (e collector.Erasure, err error) {
	err = s.db.tx(ctx, func(tx *sql.Tx) error {
		e, err = scanErasure(tx.QueryRowContext(ctx, `SELECT `+erasureColumns+` FROM erasures WHERE tenant = $1 AND account = $2 AND done_at = 0`, tenant, account))
		if !errors.Is(err, sql.ErrNoRows) {
			return err
		}
		e = collector.Erasure{ID: uuid.NewString(), Tenant: tenant, Account: account, AskedAt: fromMillis(millis(now))}
		_, err = tx.ExecContext(ctx, `INSERT INTO erasures (id, tenant, account, asked_at) VALUES ($1, $2, $3, $4)`, e.ID, tenant, account, millis(now))
		return err
	})
	if err != nil {
		return e, fmt.Errorf("record the erasure of a person from tenant %s: %w", tenant, err)
	}
	return e, nil
}

// Erasures lists the erasures of persons, the oldest first.
func (s *Store) Erasures(ctx context.Context) ([]collector.Erasure, error) {
	all, err := collect(ctx, s.db, scanErasure, `SELECT `+erasureColumns+` FROM erasures`)
	if err != nil {
		return nil, fmt.Errorf("list erasures: %w", err)
	}
	slices.SortStableFunc(all, func(a, b collector.Erasure) int { return a.AskedAt.Compare(b.AskedAt) })
	return all, nil
}

// PendingErasures lists the erasures of persons from a tenant that are not complete.
func (s *Store) PendingErasures(ctx context.Context, tenant string) ([]collector.Erasure, error) {
	all, err := collect(ctx, s.db, scanErasure, `SELECT `+erasureColumns+` FROM erasures WHERE tenant = $1 AND done_at = 0`, tenant)
	if err != nil {
		return nil, fmt.Errorf("look for unfinished erasures from tenant %s: %w", tenant, err)
	}
	return all, nil
}

// FinishErasure records that a person is erased, drops holds whose samples name
// the account, and forgets the account.
func (s *Store) FinishErasure(ctx context.Context, e collector.Erasure, rows int64, now time.Time) error {
	holds, err := s.Holds(ctx, e.Tenant)
	if err != nil {
		return err
	}
	err = s.db.tx(ctx, func(tx *sql.Tx) error {
		for _, h := range holds {
			if !strings.Contains(strings.Join(h.Sample, "\n"), e.Account) {
				continue
			}
			if err := dropHold(ctx, tx, h.Tenant, h.Dataset); err != nil {
				return err
			}
		}
		_, err := tx.ExecContext(ctx, `UPDATE erasures SET account = '', done_at = $2, erased = $3 WHERE id = $1`, e.ID, max(millis(now), 1), rows)
		return err
	})
	if err != nil {
		return fmt.Errorf("record that a person is erased from tenant %s: %w", e.Tenant, err)
	}
	return nil
}

const erasureColumns = `id, tenant, account, asked_at, done_at, erased`

func scanErasure(r scanner) (e collector.Erasure, err error) {
	err = r.Scan(&e.ID, &e.Tenant, &e.Account, instant{&e.AskedAt}, instant{&e.DoneAt}, &e.Rows)
	return e, err
}
