package clickhouse

import (
	"context"
	"errors"
	"fmt"
	"time"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// partsWindow is how new parts are that CheckParts looks at. What a merge replaced
// stays on disk for eight minutes (ClickHouse, old_parts_lifetime): so long a broken
// part can be given up, and the ones before it come back.
const partsWindow = 6 * time.Minute

// partCheck remembers which parts were read.
type partCheck map[[2]string]bool

// CheckParts reads the parts that were written in the last minutes and that no call
// before has read, as a merge that ran out of space leaves files of no bytes without
// an error. If one cannot be read, the engine is started again (Settings.Renew), and
// the error names all of them. Call it at least every few minutes, one call at a time.
func (w *Warehouse) CheckParts(ctx context.Context) error {
	var part [2]string
	var parts [][2]string
	err := w.each(ctx, fmt.Sprintf("SELECT table, name FROM system.parts WHERE database = %s AND active AND modification_time >= now() - %d", text(w.layout.database), int(partsWindow/time.Second)),
		func() { parts = append(parts, part) }, &part[0], &part[1])
	if err != nil {
		return fmt.Errorf("list the parts that are new: %w", err)
	}
	read := partCheck{}
	for _, part := range parts {
		if !w.parts[part] {
			err = errors.Join(err, w.checkPart(ctx, part[0], part[1]))
		}
		read[part] = true // one that cannot be read starts the engine again once, and not for ever
	}
	w.parts = read
	return err
}

func (w *Warehouse) checkPart(ctx context.Context, table, part string) error {
	var passed bool
	var path, message string
	sql := fmt.Sprintf("CHECK TABLE %s PART %s", w.layout.object(table), text(part))
	err := w.conn.QueryRow(ch.Context(ctx, ch.WithSettings(ch.Settings{"check_query_single_value_result": 0})), sql).Scan(&path, &passed, &message)
	if e := (*ch.Exception)(nil); errors.As(err, &e) && e.Code == codeNoSuchPart { // merged away meanwhile
		return nil
	}
	if err == nil && !passed {
		err = w.trouble(ctx, &ch.Exception{Code: codeCorrupted, Message: message})
	}
	if err != nil {
		return fmt.Errorf("read the part %s of %s: %w", part, table, err)
	}
	return nil
}
