package state

import (
	"context"
	"fmt"
	"time"
)

// Daily claims a chore that one process is to do once a day: true for the first
// that asks when a day has gone by since it was begun last.
func (s *Store) Daily(ctx context.Context, chore string, now time.Time) (bool, error) {
	n, err := affected(ctx, s.db, `
INSERT INTO chores (name, begun_at) VALUES ($1, $2)
ON CONFLICT (name) DO UPDATE SET begun_at = excluded.begun_at WHERE chores.begun_at <= excluded.begun_at - 86400000`, chore, millis(now))
	if err != nil {
		return false, fmt.Errorf("claim the daily %s: %w", chore, err)
	}
	return n == 1, nil
}
