package state

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
)

// KeyProof returns the value that was sealed with the installation's key; nil when
// there is none yet.
func (s *Store) KeyProof(ctx context.Context) (sealed []byte, err error) {
	err = s.vault.QueryRowContext(ctx, `SELECT sealed FROM vault_key`).Scan(&sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read what proves the key: %w", err)
	}
	return sealed, nil
}

// PutKeyProof replaces the value that proves the key, if it is still old; nil
// stands for none. It reports whether it did: of several processes one wins.
func (s *Store) PutKeyProof(ctx context.Context, old, sealed []byte) (bool, error) {
	query, args := `UPDATE vault_key SET sealed = $2 WHERE sealed = $1`, []any{old, sealed}
	if old == nil {
		query, args = `INSERT INTO vault_key (id, sealed) VALUES (1, $1) ON CONFLICT DO NOTHING`, []any{sealed}
	}
	res, err := s.vault.ExecContext(ctx, query, args...)
	if err != nil {
		return false, fmt.Errorf("store what proves the key: %w", err)
	}
	n, err := res.RowsAffected()
	return n == 1, err
}
