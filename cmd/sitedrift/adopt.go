package main

import (
	"context"
	"fmt"

	"github.com/google/uuid"
	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// allSinks are the warehouse and what stands beside it.
func (a *app) allSinks() []collector.Sink { return append([]collector.Sink{a.warehouse}, a.sinks...) }

// adopt recognizes a state database that was restored from a backup, before
// anything runs. What the warehouse shows is taken over; every grant becomes a
// suspect, since its token was probably rotated after the backup. The ledger
// comes last: after a crash before, all of it happens again.
func (a *app) adopt(ctx context.Context) error {
	behind, err := collector.Ahead(ctx, a.store, a.warehouse)
	if err != nil || len(behind) == 0 {
		return err
	}
	a.log.Warn("the state database is older than the warehouse: it was restored from a backup. What the warehouse shows is taken over, every grant is tried once and otherwise needs consent; tenants, schedules and removals since the backup are lost: look at them",
		zap.Int("groups", len(behind)))
	if err := a.store.SuspectCredentials(ctx); err != nil {
		return err
	}
	now := a.out.now().UTC()
	rows := make([]schemas.Run, len(behind))
	for i, b := range behind {
		id, err := uuid.NewV7()
		if err != nil {
			return fmt.Errorf("make a run id: %w", err)
		}
		rows[i] = b.Row(schemas.Run{RunID: id}, now)
		a.metrics.observe(rows[i])
	}
	for _, s := range a.allSinks() {
		if err := s.Runs(ctx, rows); err != nil {
			return err
		}
	}
	for i, b := range behind {
		if err := a.store.Adopt(ctx, b, now); err != nil {
			return err
		}
		a.log.Warn("attempts go on above those that the warehouse has seen", zap.String("tenant", b.Tenant), zap.String("group", b.Group), zap.String("reason", rows[i].Error))
	}
	return nil
}
