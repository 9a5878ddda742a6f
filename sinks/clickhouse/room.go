package clickhouse

import (
	"context"
	"fmt"
)

// leastRoom is how much of a disk must be free after an insert for it to count.
// ClickHouse says that rows are stored when the disk filled up while it wrote them,
// and cannot read them later (seen with 26.7: files of no bytes in an active part).
// The embedded engine begins no insert and no merge with less than twice as much.
const leastRoom = 32 << 20

// room reports whether what was inserted just now had room: if the disk is full
// afterwards, nobody knows what became of it (Invariant 3).
func (w *Warehouse) room(ctx context.Context) error {
	ask := w.free
	if ask == nil {
		ask = func() (uint64, error) { return w.freeOnServer(ctx) }
	}
	free, err := ask()
	if err != nil {
		return fmt.Errorf("ask for the room on the warehouse's disk: %w", err)
	}
	if free >= w.least {
		return nil
	}
	t := &Trouble{At: w.at, What: full.what, Do: full.do, Err: fmt.Errorf("%d MiB are left; what was inserted last does not count", free>>20)}
	w.health.ail(t)
	return t
}

// freeOnServer is the room on the fullest disk with rows of runs, or as much as can
// be while there are none.
func (w *Warehouse) freeOnServer(ctx context.Context) (free uint64, err error) {
	err = w.conn.QueryRow(ctx, fmt.Sprintf(`SELECT if(count() = 0, 18446744073709551615, min(free_space)) FROM system.disks
WHERE name IN (SELECT disk_name FROM system.parts WHERE database = %s AND table = %s AND active)`, text(w.layout.database), text(runsName))).Scan(&free)
	return free, err
}
