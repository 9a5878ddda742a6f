package collector

import (
	"context"
	"fmt"
)

// Projector shows what was decided and is not shown: whoever decided it died in
// between, or a sink was away. One is used by one goroutine at a time.
type Projector struct {
	Ledger Ledger
	Sinks  []Sink
	Trace  func(point string)

	waiting map[[2]string]uint64 // by tenant and dataset: the head that was not shown at the last look
}

// Look shows the heads that were not shown at the look before either, and returns
// their number; all others are being shown by those who decided them. To show one
// twice, or after a newer one, changes nothing.
func (p *Projector) Look(ctx context.Context) (int, error) {
	heads, err := p.Ledger.Unprojected(ctx)
	if err != nil {
		return 0, fmt.Errorf("look for runs that are decided and not shown: %w", err)
	}
	waiting := make(map[[2]string]uint64, len(heads))
	var left []Head
	for _, h := range heads {
		at := [2]string{h.Tenant, h.Dataset}
		waiting[at] = h.Seq
		if p.waiting[at] == h.Seq {
			left = append(left, h)
		}
	}
	p.waiting = waiting
	if err := Show(ctx, p.Ledger, p.Sinks, left, p.Trace); err != nil {
		return 0, err
	}
	return len(left), nil
}
