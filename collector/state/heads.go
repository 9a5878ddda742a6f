package state

import (
	"context"
	"database/sql"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

const headColumns = `tenant, dataset, grp, seq, epoch, row_count, digest, observed_at, run_id, fingerprint, version, read_start, read_cursor, projected, mismatches`

func scanHead(r scanner) (h collector.Head, err error) {
	var sum []byte
	err = r.Scan(&h.Tenant, &h.Dataset, &h.Group, &h.Seq, &h.Epoch, &h.Rows, &sum, instant{&h.ObservedAt}, &h.RunID,
		&h.Fingerprint, &h.Version, instant{&h.ReadStart}, &h.Cursor, &h.Projected, &h.Mismatches)
	if err != nil {
		return h, err
	}
	if len(sum) != 16 {
		return h, fmt.Errorf("digest of %s/%s has %d bytes instead of 16", h.Tenant, h.Dataset, len(sum))
	}
	h.Digest = schemas.DigestFromBytes([16]byte(sum))
	return h, nil
}

// moveHead makes h the committed head of its dataset.
func moveHead(ctx context.Context, tx *sql.Tx, h collector.Head) error {
	sum := h.Digest.Bytes()
	n, err := affected(ctx, tx, `
INSERT INTO heads (`+headColumns+`) VALUES `+rowValues(1, 1, 15)+`
ON CONFLICT (tenant, dataset) DO UPDATE SET grp = excluded.grp, seq = excluded.seq, epoch = excluded.epoch,
  row_count = excluded.row_count, digest = excluded.digest, observed_at = excluded.observed_at, run_id = excluded.run_id,
  fingerprint = excluded.fingerprint, version = excluded.version, read_start = excluded.read_start,
  read_cursor = excluded.read_cursor, projected = excluded.projected, mismatches = excluded.mismatches
WHERE heads.seq < excluded.seq`,
		h.Tenant, h.Dataset, h.Group, int64(h.Seq), int64(h.Epoch), int64(h.Rows), sum[:], millis(h.ObservedAt), h.RunID.String(),
		h.Fingerprint, h.Version, millis(h.ReadStart), h.Cursor, h.Projected, h.Mismatches)
	if err == nil && n == 0 {
		err = fmt.Errorf("its committed number is not below %d; was the dataset moved to another group?", h.Seq)
	}
	return err
}

// stayHead stores that a dataset was read and nothing of it was written. A
// dataset that was never decided has no head to store it in.
func stayHead(ctx context.Context, tx *sql.Tx, h collector.Head) error {
	n, err := affected(ctx, tx, `
UPDATE heads SET read_start = $4, read_cursor = $5, mismatches = $6 WHERE tenant = $1 AND dataset = $2 AND seq = $3`,
		h.Tenant, h.Dataset, int64(h.Seq), millis(h.ReadStart), h.Cursor, h.Mismatches)
	if err == nil && n == 0 && h.Seq > 0 {
		err = fmt.Errorf("no committed head with number %d", h.Seq)
	}
	return err
}

// debt is one row of residue.
type debt struct {
	tenant, dataset, group string
	seq                    uint64
}

func scanDebt(r scanner) (d debt, err error) {
	err = r.Scan(&d.tenant, &d.dataset, &d.group, &d.seq)
	return d, err
}

// headsForAttempt returns the heads of datasets with all residue of the lane.
// It is called before the new attempt adds its own.
func headsForAttempt(ctx context.Context, tx *sql.Tx, tenant, group string, datasets []string) (map[string]collector.Head, error) {
	heads := make(map[string]collector.Head, len(datasets))
	for _, d := range datasets {
		heads[d] = collector.Head{Head: schemas.Head{Tenant: tenant, Dataset: d, Group: group}}
	}
	committed, err := collect(ctx, tx, scanHead, `SELECT `+headColumns+` FROM heads WHERE tenant = $1 AND grp = $2`, tenant, group)
	if err != nil {
		return nil, err
	}
	for _, h := range committed {
		if _, asked := heads[h.Dataset]; asked {
			heads[h.Dataset] = h
		}
	}
	debts, err := collect(ctx, tx, scanDebt, `
SELECT tenant, dataset, grp, seq FROM residue WHERE tenant = $1 AND grp = $2 ORDER BY seq`, tenant, group)
	if err != nil {
		return nil, err
	}
	for _, d := range debts {
		if h, asked := heads[d.dataset]; asked {
			h.Void = append(h.Void, d.seq)
			heads[d.dataset] = h
		}
	}
	return heads, nil
}

// readHeads returns the heads that meet a condition over h, with their void
// lists, by tenant and dataset.
func (s *Store) readHeads(ctx context.Context, where string, args ...any) ([]collector.Head, error) {
	var heads []collector.Head
	// Both reads in one transaction; the order (heads first) matters where the
	// second sees more: an attempt that decided in between has a number above
	// the head that was read, so its residue is not missed.
	err := s.db.tx(ctx, func(tx *sql.Tx) (err error) {
		heads, err = collect(ctx, tx, scanHead, `SELECT `+headColumns+` FROM heads h WHERE `+where, args...)
		if err != nil || len(heads) == 0 {
			return err
		}
		at := make(map[[2]string]*collector.Head, len(heads))
		for i := range heads {
			at[[2]string{heads[i].Tenant, heads[i].Dataset}] = &heads[i]
		}
		debts, err := collect(ctx, tx, scanDebt, `
SELECT r.tenant, r.dataset, r.grp, r.seq FROM residue r JOIN heads h ON h.tenant = r.tenant AND h.dataset = r.dataset
WHERE `+where+` ORDER BY r.seq`, args...)
		for _, d := range debts {
			if h := at[[2]string{d.tenant, d.dataset}]; h != nil && d.seq <= h.Seq {
				h.Void = append(h.Void, d.seq)
			}
		}
		return err
	})
	slices.SortFunc(heads, func(a, b collector.Head) int {
		return strings.Compare(a.Tenant+"\x00"+a.Dataset, b.Tenant+"\x00"+b.Dataset)
	})
	return heads, err
}

// Heads implements collector.Ledger.
func (s *Store) Heads(ctx context.Context, tenant string) ([]collector.Head, error) {
	heads, err := s.readHeads(ctx, `($1 = '' OR h.tenant = $1)`, tenant)
	if err != nil {
		return nil, fmt.Errorf("read heads: %w", err)
	}
	return heads, nil
}

// Unprojected implements collector.Ledger.
func (s *Store) Unprojected(ctx context.Context) ([]collector.Head, error) {
	heads, err := s.readHeads(ctx, `NOT h.projected`)
	if err != nil {
		return nil, fmt.Errorf("read heads not shown yet: %w", err)
	}
	return heads, nil
}

// Projected implements collector.Ledger.
func (s *Store) Projected(ctx context.Context, heads []collector.Head) error {
	if len(heads) == 0 {
		return nil
	}
	args := make([]any, 0, 3*len(heads))
	for _, h := range heads {
		args = append(args, h.Tenant, h.Dataset, int64(h.Seq))
	}
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		for chunk := range slices.Chunk(args, 3*1000) {
			for h := range slices.Chunk(chunk, 3) {
				if _, err := tx.ExecContext(ctx, `UPDATE heads SET projected = TRUE WHERE tenant = $1 AND dataset = $2 AND seq = $3`, h...); err != nil {
					return err
				}
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("mark heads as shown: %w", err)
	}
	return nil
}

// Sweepable lists, per dataset, the numbers whose rows can be deleted from the
// warehouse: undecided, and fenced before the given time. Wait a day, so that
// no insert of a process that was frozen meanwhile can still arrive. The heads
// carry those numbers as Void, also numbers above Seq; hand them to
// collector.Sink.Sweep, and to Swept when that has succeeded.
func (s *Store) Sweepable(ctx context.Context, before time.Time) ([]schemas.Head, error) {
	debts, err := collect(ctx, s.db, scanDebt, `
SELECT tenant, dataset, grp, seq FROM residue WHERE superseded_at > 0 AND superseded_at < $1
ORDER BY tenant, dataset, seq`, millis(before))
	if err != nil {
		return nil, fmt.Errorf("look for undecided rows to sweep: %w", err)
	}
	committed, err := s.Heads(ctx, "")
	if err != nil {
		return nil, err
	}
	known := make(map[[2]string]schemas.Head, len(committed))
	for _, h := range committed {
		known[[2]string{h.Tenant, h.Dataset}] = h.Head
	}
	var out []schemas.Head
	for _, d := range debts {
		last := len(out) - 1
		if last < 0 || out[last].Tenant != d.tenant || out[last].Dataset != d.dataset {
			h, ok := known[[2]string{d.tenant, d.dataset}]
			if !ok {
				h = schemas.Head{Tenant: d.tenant, Dataset: d.dataset, Group: d.group}
			}
			h.Void = nil
			out = append(out, h)
			last++
		}
		out[last].Void = append(out[last].Void, d.seq)
	}
	return out, nil
}

// Swept takes the numbers in Void of the given heads off the void lists, after
// their rows were deleted. Heads that get a shorter list become unprojected, so
// that the warehouse learns of it.
func (s *Store) Swept(ctx context.Context, heads []schemas.Head) error {
	err := s.db.tx(ctx, func(tx *sql.Tx) error {
		for _, h := range heads {
			if len(h.Void) == 0 {
				continue
			}
			if err := dropResidue(ctx, tx, h.Tenant, h.Dataset, h.Void); err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, `UPDATE heads SET projected = FALSE WHERE tenant = $1 AND dataset = $2 AND seq > $3`,
				h.Tenant, h.Dataset, int64(slices.Min(h.Void))); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("take swept numbers off the void lists: %w", err)
	}
	return nil
}
