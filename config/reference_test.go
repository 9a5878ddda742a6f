package config

import (
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:generate go test -count=1 -run ^TestReferenceIsTheExampleFile$ -update .

const exampleFile = "../deployments/sitedrift.example.yml"

//go:generate go test -count=1 -run ^TestReferenceIsTheExampleFile$ -update .

func TestReferenceIsTheExampleFile(t *testing.T) {
	got := Reference()
	if *update {
		if err := os.WriteFile(exampleFile, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(exampleFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), string(got)); diff != "" {
		t.Errorf("%s is out of date, run make generate (-file +declarations):\n%s", exampleFile, diff)
	}
}

func TestReferenceMeansTheDefaults(t *testing.T) {
	home(t)
	got, err := parse("", Reference(), checks())
	if err != nil {
		t.Fatal(err)
	}
	want, err := parse("", nil, checks())
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Ref{})); diff != "" {
		t.Errorf("(-empty file +reference):\n%s", diff)
	}
}

// The keys that are commented out are valid as they stand, too. Of those that
// exclude each other one is left out.
func TestReferenceExamplesLoad(t *testing.T) {
	home(t)
	commented := regexp.MustCompile(`(?m)^( *)#( *(- )?[a-z_]+:( .*)?)$`)
	src := commented.ReplaceAllString(string(Reference()), "$1$2")
	src = regexp.MustCompile(`(?m)^ *(dsn|cluster|binary): .*\n`).ReplaceAllString(src, "")
	c, err := parse("reference.yml", []byte(src), checks())
	if err != nil {
		t.Fatalf("%v\n%s", err, src)
	}
	if len(c.Tenants) != 1 || c.Tenants[0].ID != "acme" || c.OAuth.ClientID == "" || c.Warehouse.Listen == "" {
		t.Errorf("examples were not uncommented: %+v", c)
	}
}

// Every key says what it is for, and has either a default or an example.
func TestFieldsAreDocumented(t *testing.T) {
	var walk func(at string, fields []field)
	walk = func(at string, fields []field) {
		for _, f := range fields {
			name := join(at, f.key)
			replaces := strings.HasPrefix(name, "tenants[].schedules.") || strings.HasPrefix(name, "tenants[].limits.")
			if len(f.doc) == 0 && !replaces {
				t.Errorf("%s has no documentation", name)
			}
			switch {
			case f.sub != nil:
				walk(name, f.sub)
			case f.item != nil:
				walk(name+"[]", f.item(0))
			case f.value == "" && f.sample == "":
				t.Errorf("%s has neither default nor example", name)
			case f.want == "" || f.scalar == nil:
				t.Errorf("%s cannot be read", name)
			}
		}
	}
	walk("", fields(Default()))
}
