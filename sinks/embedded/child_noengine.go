//go:build noengine || !((linux || darwin) && (amd64 || arm64))

package embedded

import (
	"context"
	"fmt"
	"io"
)

// Built tells whether this build has the engine's binding.
const Built = false

// RunChild says that this build has no engine, and returns the exit code for a usage error.
func RunChild(_ context.Context, _ []string, stderr io.Writer) int {
	fmt.Fprintln(stderr, ErrNotBuilt)
	return exitUsage
}
