// Package sitedrift_test holds the rules of the repository as tests: which
// package may import which, what documentation must say, and what must not
// stand in any file. Each failure says what to do about it.
package sitedrift_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sitedrift/sitedrift"

// listed is what `go list -json` says of a package, as far as the rules ask.
type listed struct {
	ImportPath   string
	Name         string
	ForTest      string
	Dir          string
	Standard     bool
	Module       *struct{ Path, Version, Dir string }
	GoFiles      []string
	CgoFiles     []string
	IgnoredFiles []string `json:"IgnoredGoFiles"`
	Imports      []string
	TestImports  []string
	XTestImports []string
}

// list runs go list with the given arguments. A package that does not compile is
// listed all the same (-e): the build reports it better.
func list(t *testing.T, args ...string) []listed {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append([]string{"list", "-e", "-json"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %s: %v\n%s", strings.Join(args, " "), err, stderr.String())
	}
	var pkgs []listed
	for dec := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			return pkgs
		} else if err != nil {
			t.Fatalf("go list %s: %v", strings.Join(args, " "), err)
		}
		pkgs = append(pkgs, p)
	}
}

// rel is an import path inside the module, without the module's own; false for
// packages of others.
func rel(importPath string) (string, bool) {
	if importPath == module {
		return ".", true
	}
	return strings.CutPrefix(importPath, module+"/")
}

// arrow allows packages of from to import packages of to; the first rule whose
// from matches decides. Patterns are of the kind that match takes.
type arrow struct {
	from   string
	to     []string
	reason string
}

// arrows are section by section what the package tree promises: cmd, then
// adapters, sinks and config, then collector, then schemas.
var arrows = []arrow{
	{"cmd/...", []string{"..."}, ""},
	{"schemas", nil, "schemas is the leaf: everything leans on it, it leans on nothing of ours"},
	{"schemas/...", []string{"schemas", "schemas/..."}, "declarations know only the declaration language"},
	{"config", []string{"schemas", "schemas/..."}, "config reads a file; what it must check with others' rules is handed in as config.Checks"},
	{"collector", []string{"schemas", "schemas/...", "collector/diff", "collector/schedule"}, "the core names interfaces; its adapters and the sinks are joined to it in cmd/sitedrift"},
	{"collector/diff", []string{"schemas", "schemas/..."}, "the comparison is pure"},
	{"collector/schedule", []string{"schemas", "schemas/..."}, "computing times is pure"},
	{"collector/confluencetest/...", []string{"collector/confluencetest/..."}, "the simulator must not share a mistake with the code that is tested against it"},
	{"collector/confluence/...", []string{"collector", "collector/confluence/...", "collector/httpx", "schemas", "schemas/..."}, "the source reads through httpx and knows no other adapter"},
	{"collector/oauth/...", []string{"collector", "collector/oauth/...", "collector/vault", "schemas", "schemas/..."}, "tokens are opened by the vault; the store is an interface"},
	{"collector/state/...", []string{"collector", "collector/state/...", "schemas", "schemas/..."}, "the state keeps sealed bytes and knows no other adapter"},
	{"collector/httpx/...", []string{"collector", "collector/httpx/...", "schemas", "schemas/..."}, "the transport knows no other adapter"},
	{"collector/vault/...", []string{"collector", "collector/vault/...", "schemas", "schemas/..."}, "encryption knows no other adapter"},
	{"sinks", nil, "the room of the sinks holds no code of its own"},
	{"sinks/sinktest/...", []string{"sinks/sinktest/...", "schemas", "schemas/..."}, "the suite sees a sink as the collector does"},
	{"sinks/clickhouse/...", []string{"sinks/clickhouse/...", "schemas", "schemas/..."}, "a sink satisfies the collector's interface with types of schemas, and knows no other sink"},
	{"sinks/embedded/...", []string{"sinks/embedded/...", "schemas", "schemas/..."}, "the engine answers as a server does; the warehouse in front of it is sinks/clickhouse"},
	{"sinks/jsonl/...", []string{"sinks/jsonl/...", "schemas", "schemas/..."}, "a sink satisfies the collector's interface with types of schemas, and knows no other sink"},
}

// match reports whether a pattern covers a path: "a/..." covers a and all below
// it, "..." everything.
func match(pattern, p string) bool {
	if prefix, ok := strings.CutSuffix(pattern, "..."); ok {
		return prefix == "" || p+"/" == prefix || strings.HasPrefix(p, prefix)
	}
	return pattern == p
}

// isHelper reports whether a package serves tests only. The demo runs the
// simulator, which is why confluencetest may be linked into cmd.
func isHelper(p string) bool {
	return slices.ContainsFunc(strings.Split(p, "/"), func(s string) bool {
		return strings.HasSuffix(s, "test")
	})
}

// forbidden says why a package may not import another one of ours, or "".
func forbidden(from, to string) string {
	if isHelper(to) && !isHelper(from) && !(match("cmd/...", from) && match("collector/confluencetest/...", to)) {
		return "it serves tests only and must not be linked into the product"
	}
	if match("cmd/...", to) && !match("cmd/...", from) {
		return "cmd is the composition root; nothing below it may know it"
	}
	for _, a := range arrows {
		if !match(a.from, from) {
			continue
		}
		if slices.ContainsFunc(a.to, func(p string) bool { return match(p, to) }) {
			return ""
		}
		return a.reason
	}
	return "this package has no arrows yet: add it to the table in arch_test.go"
}

func TestImportArrows(t *testing.T) {
	for _, p := range list(t, "./...") {
		from, _ := rel(p.ImportPath)
		if from == "." {
			continue // these rules
		}
		for _, imp := range p.Imports {
			if to, ours := rel(imp); ours {
				if why := forbidden(from, to); why != "" {
					t.Errorf("%s imports %s: %s", from, to, why)
				}
			}
		}
		// Tests run the real parts together, in any combination but from above.
		for _, imp := range slices.Concat(p.TestImports, p.XTestImports) {
			if to, ours := rel(imp); ours && match("cmd/...", to) && !match("cmd/...", from) {
				t.Errorf("a test of %s imports %s: test the binary from cmd", from, to)
			}
		}
	}
}

// The rules themselves are checked with arrows that must and must not pass.
func TestForbiddenArrows(t *testing.T) {
	for _, c := range []struct {
		from, to string
		ok       bool
	}{
		{"cmd/sitedrift", "sinks/clickhouse", true},
		{"cmd/sitedrift", "collector/confluencetest", true},
		{"cmd/sitedrift", "sinks/embedded/enginetest", false},
		{"collector", "schemas", true},
		{"collector", "collector/state", false},
		{"collector", "collector/httpx", false},
		{"collector", "sinks/clickhouse", false},
		{"collector/confluence", "collector/httpx", true},
		{"collector/confluence", "collector/oauth", false},
		{"collector/oauth", "collector/vault", true},
		{"collector/vault", "collector/oauth", false},
		{"collector/confluencetest", "schemas", false},
		{"collector/state", "collector/confluencetest", false},
		{"config", "schemas/confluence", true},
		{"config", "collector", false},
		{"schemas", "collector", false},
		{"schemas", "schemas/confluence", false},
		{"schemas/confluence", "schemas", true},
		{"sinks/clickhouse", "schemas", true},
		{"sinks/clickhouse", "collector", false},
		{"sinks/clickhouse", "sinks/embedded", false},
		{"sinks/embedded", "sinks/embedded/front", true},
		{"sinks/new", "schemas", false},
		{"collector", "cmd/sitedrift", false},
	} {
		if why := forbidden(c.from, c.to); (why == "") != c.ok {
			t.Errorf("%s -> %s: %q, want allowed = %v", c.from, c.to, why, c.ok)
		}
	}
}

// confined are libraries that only some packages may import in code that ships.
var confined = []struct {
	lib    string
	where  []string
	reason string
}{
	{"github.com/ebitengine/purego", []string{"sinks/embedded/..."}, "it makes binaries dynamic; server builds leave the engine out"},
	{"github.com/jackc/pgx/v5", []string{"collector/state/..."}, "only the state talks to PostgreSQL"},
	{"modernc.org/sqlite", []string{"collector/state/..."}, "only the state talks to SQLite"},
	{"github.com/pressly/goose/v3", []string{"collector/state/..."}, "the warehouse has a planner of its own"},
	{"github.com/ClickHouse/clickhouse-go/v2", []string{"sinks/...", "cmd/..."}, "only sinks and the query command talk to ClickHouse"},
	{"golang.org/x/oauth2", []string{"collector/oauth/..."}, "its TokenSource forgets rotated tokens; only oauth may go near it"},
	{"github.com/tink-crypto/tink-go/v2", []string{"collector/vault/..."}, "encryption has one home"},
	{"github.com/robfig/cron/v3", []string{"collector/schedule/..."}, "it panics on some expressions; schedule guards it"},
	{"go.yaml.in/yaml/v3", []string{"config/..."}, "the configuration is the only YAML"},
	{"github.com/vektah/gqlparser/v2", []string{"collector/confluencetest/..."}, "the client writes fixed documents; only the simulator reads them"},
	{"github.com/alecthomas/kong", []string{"cmd/..."}, "the command line lives in cmd"},
	{"go.uber.org/zap", []string{"cmd/...", "collector/...", "sinks/..."}, "schemas and config return errors and never log"},
	{"github.com/google/go-cmp", nil, "it is for tests"},
	{"pgregory.net/rapid", nil, "it is for tests"},
	{"go.uber.org/goleak", nil, "it is for tests"},
	{"github.com/rogpeppe/go-internal", nil, "it is for tests"},
	{"github.com/getkin/kin-openapi", nil, "it is for tests"},
	{"github.com/stretchr/testify", nil, "compare with go-cmp"},
}

func TestLibrariesStayInTheirRoom(t *testing.T) {
	for _, p := range list(t, "./...") {
		from, _ := rel(p.ImportPath)
		if isHelper(from) {
			continue
		}
		for _, imp := range p.Imports {
			for _, c := range confined {
				allowed := slices.ContainsFunc(c.where, func(w string) bool { return match(w, from) })
				if match(c.lib+"/...", imp) && !allowed {
					t.Errorf("%s imports %s: %s", from, imp, c.reason)
				}
			}
		}
	}
}

// TestOnePackageComment: one comment a package, and one place to look for it.
func TestOnePackageComment(t *testing.T) {
	for _, p := range list(t, "./...") {
		files := slices.Concat(p.GoFiles, p.CgoFiles, p.IgnoredFiles)
		if len(files) == 0 {
			continue // tests only
		}
		var with []string
		for _, f := range files {
			if strings.HasSuffix(f, "_test.go") {
				continue
			}
			if doc := packageDoc(t, path.Join(p.Dir, f)); doc != "" {
				with = append(with, f)
				want := fmt.Sprintf("Package %s ", p.Name)
				if p.Name == "main" {
					want = "Command "
				}
				if !strings.HasPrefix(doc, want) {
					t.Errorf("%s: the package comment must start with %q", path.Join(p.Dir, f), want)
				}
			}
		}
		if len(with) != 1 {
			t.Errorf("%s has %d package comments %v: it must have one, that says what the package is for and who its neighbours are", p.ImportPath, len(with), with)
		}
	}
}
