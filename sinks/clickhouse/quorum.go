package clickhouse

import (
	"context"
	"errors"
	"maps"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// On a cluster heads may reach a replica before the rows that they cover, and a
// replica that lags would show half a run. So an insert counts when a majority
// has it, and a read goes by what a majority has (Invariant 2). ClickHouse
// keeps that order only for inserts that follow each other, table by table
// (its documentation, "select_sequential_consistency").

// clusterSettings are the settings of every statement on a cluster. What the
// address says of them wins.
func clusterSettings(given ch.Settings) ch.Settings {
	s := ch.Settings{"insert_quorum": "auto", "insert_quorum_parallel": 0, "select_sequential_consistency": 1}
	maps.Copy(s, given)
	return s
}

// How long an insert waits for others into the same table, and how long between
// two tries.
const (
	turnPatience = time.Minute
	turnFirst    = 10 * time.Millisecond
	turnLongest  = time.Second
)

// inTurn repeats an insert that found another one into its table unfinished,
// which is a matter of milliseconds when the replicas are well. Of a repeated
// insert the table drops what it has already, by the token.
func (w *Warehouse) inTurn(ctx context.Context, insert func() error) error {
	deadline := time.NewTimer(turnPatience)
	defer deadline.Stop()
	for wait := turnFirst; ; wait = min(2*wait, turnLongest) {
		err := insert()
		var e *ch.Exception
		if !errors.As(err, &e) || e.Code != codeUnsatisfiedQuorum {
			return err
		}
		again := time.NewTimer(wait)
		select {
		case <-again.C:
		case <-deadline.C:
			again.Stop()
			return err
		case <-ctx.Done():
			again.Stop()
			return errors.Join(err, ctx.Err())
		}
	}
}
