package sitedrift_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"unicode/utf8"
)

func packageDoc(t *testing.T, file string) string {
	t.Helper()
	f, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.PackageClauseOnly|parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	return f.Doc.Text()
}

// files calls visit for every file of the checkout that is text and not built
// or downloaded.
func files(t *testing.T, visit func(name, text string)) {
	t.Helper()
	seen := 0
	err := filepath.WalkDir(".", func(name string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == "node_modules" || name == ".git" || name == "bin" || name == "dist" || name == "data"):
			return filepath.SkipDir
		case name == ".git": // of a further worktree: a file that names a path
			return nil
		case !d.Type().IsRegular():
			return nil
		}
		b, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		if utf8.Valid(b) {
			seen++
			visit(filepath.ToSlash(name), string(b))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if seen < 20 {
		t.Fatalf("read %d files only: not the root of the checkout?", seen)
	}
}

func goFiles(t *testing.T, visit func(name, text string)) {
	t.Helper()
	files(t, func(name, text string) {
		if strings.HasSuffix(name, ".go") {
			visit(name, text)
		}
	})
}

// unwanted never stands in a file. The patterns are put together so that this
// file passes, too. They are slow: each is tried only where one of its words is.
var unwanted = []struct {
	words   []string // in lower case
	pattern *regexp.Regexp
	except  *regexp.Regexp // of file names
	reason  string
}{
	{[]string{"/ro" + "ot", "/wo" + "rk"}, regexp.MustCompile(`(^|[^A-Za-z0-9_./-])/(ro` + `ot|wo` + `rk)(/|\b)`), nil, "paths of one machine mean nothing on another"},
	{[]string{"../sha" + "red"}, regexp.MustCompile(`\.\./sha` + `red`), regexp.MustCompile(`^\.ci/run$`), "the project stands alone"},
	{[]string{"fac" + "ts/", "des" + "ign.md", "sty" + "le.md"}, regexp.MustCompile(`\bfac` + `ts/[a-z-]+\.md|\bdes` + `ign\.md|\bsty` + `le\.md`), nil, "cite a document of this repository, or the title of a public one"},
	{[]string{"gol" + "ang.org", "npm" + "js.org", "deb" + "ian.org", "python" + "hosted.org"}, regexp.MustCompile(`(?i)proxy\.gol` + `ang\.org|registry\.npm` + `js\.org|sum\.gol` + `ang\.org|deb\.deb` + `ian\.org|files\.python` + `hosted\.org`), nil, "registries are reached through their clients and their configuration"},
	{[]string{"to" + "do", "fix" + "me", "x" + "xx"}, regexp.MustCompile(`\b(TO` + `DO|FIX` + `ME|X` + `XX)\b`), nil, "finish it, or write down as a limit what is left out"},
	{[]string{".sk" + "ip"}, regexp.MustCompile(`\b[tb]\.Sk` + `ip(f|Now)?\(`), nil, "a test that may not run proves nothing: make what it needs (make deps)"},
	{[]string{"imple" + "mented"}, regexp.MustCompile(`panic\("(not |un)imple` + `mented`), nil, "finish it"},
}

func TestUnwantedText(t *testing.T) {
	licence := regexp.MustCompile(`(^|/)(LICENSE|go\.sum|package-lock\.json)$`)
	files(t, func(name, text string) {
		if licence.MatchString(name) {
			return
		}
		lower := strings.ToLower(text)
		for _, u := range unwanted {
			if !slices.ContainsFunc(u.words, func(w string) bool { return strings.Contains(lower, w) }) || u.except != nil && u.except.MatchString(name) {
				continue
			}
			for _, at := range u.pattern.FindAllStringIndex(text, 3) {
				line := 1 + strings.Count(text[:at[0]+1], "\n")
				t.Errorf("%s:%d: %q: %s", name, line, strings.TrimSpace(text[at[0]:at[1]]), u.reason)
			}
		}
	})
}

// maxLines bounds a Go file that people wrote.
const maxLines = 500

func TestFilesHoldOneIdea(t *testing.T) {
	goFiles(t, func(name, text string) {
		if n := strings.Count(text, "\n"); n > maxLines && !strings.Contains(text, "// Code generated ") {
			t.Errorf("%s has %d lines: split it by idea (at most %d)", name, n, maxLines)
		}
	})
}

// sleepers are the files outside tests that may call time.Sleep. None does.
var sleepers = map[string]bool{}

func TestNobodySleeps(t *testing.T) {
	goFiles(t, func(name, text string) {
		if strings.HasSuffix(name, "_test.go") || isHelper(path.Dir(name)) || sleepers[name] {
			return
		}
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		ast.Inspect(f, func(n ast.Node) bool {
			if s, ok := n.(*ast.SelectorExpr); ok && s.Sel.Name == "Sleep" {
				if x, ok := s.X.(*ast.Ident); ok && x.Name == "time" {
					t.Errorf("%s sleeps: wait on a timer and the context in a select, so that stopping does not take as long", name)
				}
			}
			return true
		})
	})
}

func TestNoInitFunctions(t *testing.T) {
	goFiles(t, func(name, text string) {
		f, err := parser.ParseFile(token.NewFileSet(), name, text, parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("%v", err)
			return
		}
		for _, d := range f.Decls {
			if fn, ok := d.(*ast.FuncDecl); ok && fn.Recv == nil && fn.Name.Name == "init" {
				t.Errorf("%s has an init function: wire things where they are used, in cmd", name)
			}
		}
	})
}

// citation is how the code points at docs/invariants.md: "Invariant 3",
// "invariants 1 and 8", "Invariants 2, 3 and 12".
var citation = regexp.MustCompile(`(?i)\binvariants? (\d+(?:(?:, | and |, and )\d+)*)`)

func TestInvariantCitations(t *testing.T) {
	numbers := regexp.MustCompile(`\d+`)
	cited := map[int]bool{}
	files(t, func(name, text string) {
		if name == "docs/invariants.md" {
			return
		}
		for _, m := range citation.FindAllStringSubmatch(text, -1) {
			for _, d := range numbers.FindAllString(m[1], -1) {
				n, err := strconv.Atoi(d)
				if err != nil || n < 1 || n > 12 {
					t.Errorf("%s cites %q: docs/invariants.md has 1 to 12", name, m[0])
					continue
				}
				if strings.HasSuffix(name, ".go") && !strings.HasSuffix(name, "_test.go") {
					cited[n] = true
				}
			}
		}
	})
	for n := 1; n <= 12; n++ {
		if !cited[n] {
			t.Errorf("no line of code says that it enforces Invariant %d", n)
		}
	}
}
