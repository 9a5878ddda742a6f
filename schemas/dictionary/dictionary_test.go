package dictionary_test

import (
	"encoding/json"
	"os"
	"path/filepath"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/schemas/dictionary"
)

// TestPages compares the checked-in pages with the declarations.
func TestPages(t *testing.T) {
	dir := filepath.Join("..", "..", "docs", "datasets")
	pages := dictionary.Markdown(confluence.All())
	files, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != len(pages) {
		t.Errorf("%d pages are checked in, %d are declared; go generate ./schemas/dictionary", len(files), len(pages))
	}
	for name, want := range pages {
		got, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
			continue
		}
		if diff := cmp.Diff(want, string(got)); diff != "" {
			t.Errorf("%s is out of date; go generate ./schemas/dictionary (-declared +checked in):\n%s", name, diff)
		}
	}
}

// TestJSON: programs find every declared column, its role, the key and the scopes.
func TestJSON(t *testing.T) {
	data, err := dictionary.JSON(confluence.All())
	if err != nil {
		t.Fatal(err)
	}
	var list []map[string]any
	if err := json.Unmarshal(data, &list); err != nil {
		t.Fatal(err)
	}
	if len(list) != len(confluence.All()) {
		t.Fatalf("%d datasets, declared are %d", len(list), len(confluence.All()))
	}
	for i, d := range confluence.All() {
		got := list[i]
		if got["name"] != d.Name || got["group"] != d.Group || len(got["sources"].([]any)) != len(d.Sources) {
			t.Errorf("%s: %v", d.Name, got)
		}
		if (got["partition"] == nil) != (d.PartitionColumn == "") {
			t.Errorf("%s: partition %v", d.Name, got["partition"])
		}
		roles := map[string]any{}
		for _, c := range got["columns"].([]any) {
			roles[c.(map[string]any)["name"].(string)] = c.(map[string]any)["role"]
		}
		for _, c := range d.Columns {
			if roles[c.Name] != c.Role.String() {
				t.Errorf("%s.%s has role %v, declared is %s", d.Name, c.Name, roles[c.Name], c.Role)
			}
		}
		for _, name := range []string{"tenant_id", "first_seen_at", "observed_at", "run_id"} {
			if roles[name] != "engine" {
				t.Errorf("%s.%s has role %v", d.Name, name, roles[name])
			}
		}
	}
	grants := dictionary.Describe(confluence.SpacePermissions.Dataset)
	if diff := cmp.Diff([]string{"space_id", "permission_id"}, grants.Key); diff != "" {
		t.Errorf("key of space_permissions:\n%s", diff)
	}
	if diff := cmp.Diff([][]string{{"read:space:confluence"}}, grants.Sources[0].Scopes); diff != "" {
		t.Errorf("scopes of space_permissions:\n%s", diff)
	}
}
