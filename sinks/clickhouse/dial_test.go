package clickhouse

import (
	"sync"
	"testing"

	"github.com/sitedrift/sitedrift/schemas"
)

// TestReadsAtOnce begins more reads than there are connections, so that some of
// them have to open one.
func TestReadsAtOnce(t *testing.T) {
	w := open(t, nil)
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := w.Coverage(t.Context(), []schemas.Head{{Tenant: "acme", Dataset: "spaces", Seq: 1}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}
