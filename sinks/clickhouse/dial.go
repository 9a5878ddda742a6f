package clickhouse

import (
	"context"

	ch "github.com/ClickHouse/clickhouse-go/v2"
)

// withPlainDial makes the driver greet new connections without the settings of
// the statement that needs one. The driver sends the greeting with everything
// that the statement's context carries, and a baseline read, which asks for
// Native blocks of revision 0, would get a greeting that the driver cannot read.
func withPlainDial(o *ch.Options) {
	strategy := o.DialStrategy
	if strategy == nil {
		strategy = ch.DefaultDialStrategy
	}
	o.DialStrategy = func(ctx context.Context, id int, o *ch.Options, dial ch.Dial) (ch.DialResult, error) {
		return strategy(bareContext{ctx}, id, o, dial)
	}
}

// bareContext ends with its parent and carries no values.
type bareContext struct{ context.Context }

// Value has none.
func (bareContext) Value(any) any { return nil }
