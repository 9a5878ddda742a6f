//go:build !unix

package embedded

import (
	"context"

	"github.com/ClickHouse/clickhouse-go/v2"
)

// Engine is a running engine. There is none on this platform.
type Engine struct{}

// Start says that there is no engine for this platform.
func Start(context.Context, Settings) (*Engine, error) { return nil, ErrNotBuilt }

// Options returns nil here.
func (*Engine) Options() *clickhouse.Options { return nil }

// HTTPAddr is empty here.
func (*Engine) HTTPAddr() string { return "" }

// Token is empty here.
func (*Engine) Token() string { return "" }

// Restarts is 0 here.
func (*Engine) Restarts() int { return 0 }

// PID is 0 here.
func (*Engine) PID() int { return 0 }

// Free says that there is no engine for this platform.
func (*Engine) Free() (uint64, error) { return 0, ErrNotBuilt }

// Renew does nothing here.
func (*Engine) Renew(error) {}

// Close does nothing here.
func (*Engine) Close(context.Context) error { return nil }
