package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// FuzzParse feeds any text to the loader: it must end with a configuration or
// with problems that have a message, and never panic.
func FuzzParse(f *testing.F) {
	f.Add(Reference())
	for _, pattern := range []string{"testdata/bad/*.yml", "testdata/good/*.yml"} {
		files, err := filepath.Glob(pattern)
		if err != nil || len(files) == 0 {
			f.Fatalf("no seeds in %s: %v", pattern, err)
		}
		for _, file := range files {
			src, err := os.ReadFile(file)
			if err != nil {
				f.Fatal(err)
			}
			f.Add(src)
		}
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		c, err := parse("fuzz.yml", src, checks())
		if err == nil {
			if c.Warehouse.Mode == "" || c.State.Driver == "" || len(c.Schedules) != len(Groups()) {
				t.Errorf("loaded an incomplete configuration: %+v", c)
			}
			return
		}
		var errs *Errors
		if !errors.As(err, &errs) || len(errs.Problems) == 0 {
			t.Fatalf("error without problems: %v", err)
		}
		for _, p := range errs.Problems {
			if p.Message == "" {
				t.Errorf("problem without a message: %+v", p)
			}
		}
	})
}

// FuzzParseTenants feeds any text to the import of tenants, in both formats:
// either there are tenants that could be stored as they are, no two of one id, or
// problems with a message.
func FuzzParseTenants(f *testing.F) {
	for _, src := range []string{
		"id,site\nacme,https://acme.atlassian.net\n", "\xef\xbb\xbfid;site\n", "id,site\n\"acme,https://a.example\n", "id,id\na,b\n", "id,site,paused\na,https://a.example,maybe\n",
		"tenants:\n- {id: acme, site: 'https://acme.atlassian.net'}\n", "tenants: [&a {id: a, site: 'https://a.example'}, *a]\n", "tenants: {a: b}\n", "id,site\n=1+1,javascript:x\n",
		"id,site,deployment,name\na,https://wiki.example/x,data_center,\"a\nb\"\n", "", "\x00", "id\r\n\r\n",
	} {
		f.Add([]byte(src), true)
		f.Add([]byte(src), false)
	}
	files, err := filepath.Glob("testdata/bad/*tenants*.yml")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, file := range files {
		src, err := os.ReadFile(file)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(src, false)
	}
	f.Fuzz(func(t *testing.T, src []byte, table bool) {
		name := map[bool]string{true: "fuzz.csv", false: "fuzz.yml"}[table]
		list, err := ParseTenants(name, src, checks())
		if err != nil {
			var errs *Errors
			if !errors.As(err, &errs) || len(errs.Problems) == 0 || errs.Problems[0].Message == "" || list != nil {
				t.Fatalf("%v with %d tenants", err, len(list))
			}
			return
		}
		seen := map[string]bool{}
		for _, x := range list {
			if x.ID == "" || x.Site == "" || x.Name == "" || x.Deployment == "" || seen[x.ID] || strings.ContainsAny(x.ID, "/\\ \t\r\n'\"`\x00") {
				t.Fatalf("taken: %+v", x)
			}
			seen[x.ID] = true
		}
		if len(list) == 0 {
			t.Fatal("neither tenants nor problems")
		}
	})
}
