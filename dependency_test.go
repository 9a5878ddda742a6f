package sitedrift_test

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

//go:generate go test -count=1 -run ^TestDependencyList$ -update .

var update = flag.Bool("update", false, "write generated files anew")

const dependencyFile = "docs/dependencies.md"

// dependency is a module of others that the product or its tests are built with.
type dependency struct {
	version, licence string
	linked           bool // into the daemon, not only into tests
	direct           bool // our own code imports it
}

// dependencies asks the toolchain, for linux/amd64 so that every machine
// writes the same list.
func dependencies(t *testing.T) map[string]*dependency {
	t.Helper()
	t.Setenv("GOOS", "linux")
	t.Setenv("GOARCH", "amd64")
	t.Setenv("CGO_ENABLED", "0")
	deps, home := map[string]*dependency{}, map[string]string{}
	add := func(pkgs []listed, linked bool) {
		for _, p := range pkgs {
			if p.Standard || p.Module == nil || p.Module.Path == module {
				continue
			}
			d := deps[p.Module.Path]
			if d == nil {
				d = &dependency{version: p.Module.Version, licence: licenceOf(t, p.Module.Dir)}
				deps[p.Module.Path] = d
			}
			d.linked = d.linked || linked
			home[p.ImportPath] = p.Module.Path
		}
	}
	add(list(t, "-deps", "./cmd/sitedrift"), true)
	add(list(t, "-deps", "-test", "./..."), false)
	for _, p := range list(t, "./...") {
		for _, imp := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if d := deps[home[imp]]; d != nil {
				d.direct = true
			}
		}
	}
	if len(deps) < 10 {
		t.Fatalf("found %d dependencies only", len(deps))
	}
	return deps
}

// licences are those whose terms this product can follow by carrying notices
// along; each is known by words that stand in its text and in no other's here.
var licences = []struct {
	name string
	all  []string
}{
	{"Apache-2.0", []string{"Apache License", "Version 2.0"}},
	{"MPL-2.0", []string{"Mozilla Public License", "2.0"}},
	{"BSD-3-Clause", []string{"Redistribution and use in source and binary forms", "endorse or promote"}},
	{"BSD-2-Clause", []string{"Redistribution and use in source and binary forms"}},
	{"MIT", []string{"Permission is hereby granted, free of charge", "THE SOFTWARE IS PROVIDED"}},
	{"ISC", []string{"Permission to use, copy, modify, and/or distribute"}},
}

// licenceOf reads the licence file in a module's folder; "" when it is none of
// the known ones.
func licenceOf(t *testing.T, dir string) string {
	t.Helper()
	for _, name := range []string{"LICENSE", "LICENSE.md", "LICENSE.txt", "License.txt", "LICENCE", "COPYING"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			continue
		}
		text := strings.Join(strings.Fields(string(b)), " ")
		var found []string
		for _, l := range licences {
			missing := slices.ContainsFunc(l.all, func(s string) bool { return !strings.Contains(text, s) })
			if !missing && !(l.name == "BSD-2-Clause" && slices.Contains(found, "BSD-3-Clause")) {
				found = append(found, l.name)
			}
		}
		return strings.Join(found, " and ")
	}
	return ""
}

// The list of dependencies is complete and up to date, and nothing on it has a
// licence that was not looked at.
func TestDependencyList(t *testing.T) {
	deps := dependencies(t)
	var names []string
	for name := range deps {
		names = append(names, name)
	}
	slices.Sort(names)

	var page strings.Builder
	page.WriteString("# Modules in the build\n\n" +
		"Made by `make generate` from the module graph of linux/amd64 and the licence files of the modules; a test compares it. " +
		"Why each direct one was taken: [adr/0006-dependencies.md](adr/0006-dependencies.md).\n\n" +
		"| module | version | licence | in | imported by our code |\n|---|---|---|---|---|\n")
	for _, name := range names {
		d := deps[name]
		if d.licence == "" {
			t.Errorf("%s %s has no licence that is known here: read it, then extend the list in dependency_test.go or drop the module", name, d.version)
		}
		in, direct := "tests", ""
		if d.linked {
			in = "daemon"
		}
		if d.direct {
			direct = "yes"
		}
		fmt.Fprintf(&page, "| %s | %s | %s | %s | %s |\n", name, d.version, d.licence, in, direct)
	}
	if *update {
		if err := os.WriteFile(dependencyFile, []byte(page.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(dependencyFile)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(string(want), page.String()); diff != "" {
		t.Errorf("%s is out of date, run make generate (-file +build):\n%s", dependencyFile, diff)
	}
}

// Every module that our code imports was decided on.
func TestDirectDependenciesAreDecided(t *testing.T) {
	b, err := os.ReadFile("docs/adr/0006-dependencies.md")
	if err != nil {
		t.Fatal(err)
	}
	for name, d := range dependencies(t) {
		row := fmt.Sprintf("| %s | %s | %s |", name, d.version, d.licence)
		if d.direct && !strings.Contains(string(b), row) {
			t.Errorf("docs/adr/0006-dependencies.md lacks the row %q and why the module was taken", row)
		}
	}
}
