package confluence_test

import (
	"testing"

	"github.com/sitedrift/sitedrift/schemas"
	"github.com/sitedrift/sitedrift/schemas/confluence"
)

func TestDeclarations(t *testing.T) {
	if err := schemas.Check(confluence.All()); err != nil {
		t.Error(err)
	}
	records := []*schemas.Dataset{schemas.ChangesTable.Dataset, schemas.CoverageTable.Dataset, schemas.RunsTable.Dataset}
	if err := schemas.Check(records); err != nil {
		t.Error(err)
	}
}
