package config

import (
	"errors"
	"os"
	"path/filepath"
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
