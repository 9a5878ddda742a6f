package collector_test

import (
	"context"
	"testing"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// guests is a source of guests; of some it keeps the spaces to itself.
type guests struct {
	scripted
	told, partly []datasets.ExternalCollaborator
}

func (g guests) Partitions(*schemas.Dataset) []string { return nil }

func (g guests) Read(_ context.Context, _ *schemas.Dataset, _ string, yield func(collector.Page) error) error {
	return yield(collector.Page{Rows: datasets.ExternalCollaborators.Page(g.told), Partly: datasets.ExternalCollaborators.Page(g.partly)})
}

// TestValueNotToldIsNoChange is Invariant 1 for one value: what a site keeps to itself
// this time stays as it was known last, and a row that is new is told all the same.
func TestValueNotToldIsNoChange(t *testing.T) {
	w := newBareWorld(t, []*schemas.Dataset{datasets.ExternalCollaborators.Dataset})
	run := func(g guests) {
		t.Helper()
		w.runner.Open = func(context.Context, collector.Tenant, []*schemas.Dataset) (collector.Source, error) { return g, nil }
		w.run(schemas.GroupInventory)
	}
	type guest = datasets.ExternalCollaborator
	all := []guest{{AccountID: "ann", SpaceIDs: []string{"s1", "s2"}, SpacesKnown: true}, {AccountID: "bob", SpaceIDs: []string{"s1"}, SpacesKnown: true}}
	run(guests{told: all})
	run(guests{told: all[1:], partly: []guest{{AccountID: "ann"}, {AccountID: "cy"}}})
	w.want("SELECT account_id, space_ids, spaces_known FROM sitedrift.external_collaborators WHERE tenant_id = $T ORDER BY account_id",
		`ann ["s1","s2"] true`, `bob ["s1"] true`, `cy [] false`)
	w.want("SELECT change, entity_key FROM sitedrift.changes WHERE tenant_id = $T AND change != 'baseline'", "added cy")
	all[0].SpaceIDs = all[0].SpaceIDs[:1]
	run(guests{told: all, partly: []guest{{AccountID: "cy"}}})
	w.want("SELECT change, entity_key, fields FROM sitedrift.changes WHERE tenant_id = $T AND change NOT IN ('baseline', 'added')", `changed ann ["space_ids"]`)
}
