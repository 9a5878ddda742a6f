package clickhouse

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestHolding: rows of a tenant are found in whichever table they are, among many
// tenants that have none, and none are left after they were erased.
func TestHolding(t *testing.T) {
	w := open(t, nil)
	var asked []string
	for n := range 3000 {
		asked = append(asked, fmt.Sprintf("%04d-%s", n, strings.Repeat("x", 50)))
	}
	holding := func(when string, want ...string) {
		t.Helper()
		if got, err := w.Holding(t.Context(), asked); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: %v, %v; want %v", when, got, err, want)
		}
	}
	holding("at first")
	staged, expected := asked[7], asked[2999]
	a := attempt{tenant: staged, seq: 1, ops: []schemas.Op{schemas.OpAdded}, spaces: []confluence.Space{space("1", "one")}, state: schemas.CoverageComplete}
	stage(t, w, a.delta()) // nobody decides it
	expect(t, w, schemas.Expected{Tenant: expected, Dataset: "spaces", Group: schemas.GroupPosture}, schemas.Expected{Tenant: "another", Dataset: "spaces", Group: schemas.GroupPosture})
	holding("with rows", staged, expected)
	for _, tenant := range []string{staged, expected} {
		if n, err := w.Erase(t.Context(), tenant); err != nil || n == 0 {
			t.Errorf("erased %d, %v", n, err)
		}
	}
	holding("after they were erased")
	if got := ask(t, w, "SELECT count() FROM expected"); got[0][0] != "1" {
		t.Errorf("%s rows of others are left", got[0][0])
	}
}
