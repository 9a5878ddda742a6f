package sitedrift_test

import (
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// Links between documents and to files of the checkout lead somewhere.
func TestLinksResolve(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)#\s]+)(#[^)\s]*)?\)`)
	files(t, func(name, text string) {
		if !strings.HasSuffix(name, ".md") {
			return
		}
		for _, m := range link.FindAllStringSubmatch(text, -1) {
			if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
				continue
			}
			if _, err := os.Stat(filepath.FromSlash(path.Join(path.Dir(name), m[1]))); err != nil {
				t.Errorf("%s links to %s, which does not exist", name, m[1])
			}
		}
	})
}

// A table of a document has a head: rows after a blank line are none to a reader.
func TestTablesAreWhole(t *testing.T) {
	files(t, func(name, text string) {
		if !strings.HasSuffix(name, ".md") {
			return
		}
		before := ""
		lines := strings.Split(text, "\n")
		for i, line := range lines {
			if strings.HasPrefix(line, "|") && !strings.HasPrefix(before, "|") && (i+1 == len(lines) || !strings.HasPrefix(lines[i+1], "|--")) {
				t.Errorf("%s:%d: the first row of a table without a head", name, i+1)
			}
			before = line
		}
	})
}

// testNames are the tests of the checkout, and the functions of its test helpers.
func testNames(t *testing.T) map[string]bool {
	t.Helper()
	tests := map[string]bool{}
	goFiles(t, func(name, text string) {
		if strings.HasSuffix(name, "_test.go") || isHelper(path.Dir(name)) {
			for _, m := range regexp.MustCompile(`(?m)^func (\w+)\(`).FindAllStringSubmatch(text, -1) {
				tests[m[1]] = true
			}
		}
	})
	return tests
}

// Each line of the threat model in docs/security.md names a file that holds
// against the threat and a test that proves it, and both exist.
func TestSecurityPage(t *testing.T) {
	b, err := os.ReadFile("docs/security.md")
	if err != nil {
		t.Fatal(err)
	}
	tests, threats, inside := testNames(t), 0, false
	for line := range strings.SplitSeq(string(b), "\n") {
		if line == "| threat | held by | proved by |" || !strings.HasPrefix(line, "|") {
			inside = strings.HasPrefix(line, "|")
			continue
		}
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		if !inside || strings.HasPrefix(line, "|--") {
			continue
		}
		if threats++; len(cells) != 3 {
			t.Errorf("the threat %q has %d columns, want 3", cells[0], len(cells))
			continue
		}
		named := regexp.MustCompile("`([\\w.-]+/[\\w./-]+|Makefile|Dockerfile)`").FindAllStringSubmatch(cells[1], -1)
		proofs := regexp.MustCompile("`((?:Test|Fuzz)\\w+)`").FindAllStringSubmatch(cells[2], -1)
		if len(named) == 0 || len(proofs) == 0 {
			t.Errorf("the threat %q lacks a file or a test", cells[0])
		}
		for _, m := range named {
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("the threat %q names the file %s, which does not exist", cells[0], m[1])
			}
		}
		for _, m := range proofs {
			if !tests[m[1]] {
				t.Errorf("the threat %q names the test %s, which does not exist", cells[0], m[1])
			}
		}
	}
	if threats < 15 {
		t.Errorf("found %d threats only: has the form of the tables changed?", threats)
	}
}

// docs/invariants.md describes all twelve in order, and the files and tests
// that it names exist.
func TestInvariantsPage(t *testing.T) {
	b, err := os.ReadFile("docs/invariants.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(b)
	heads := regexp.MustCompile(`(?m)^## (\d+)\. .+$`).FindAllStringSubmatch(page, -1)
	if len(heads) != 12 {
		t.Fatalf("%d headings of the form \"## N. ...\", want 12", len(heads))
	}
	for i, h := range heads {
		if h[1] != strconv.Itoa(i+1) {
			t.Errorf("heading %d is numbered %s", i+1, h[1])
		}
	}

	tests := testNames(t)
	sections := strings.Split(page, "\n## ")[1:]
	for i, section := range sections {
		enforced := regexp.MustCompile("(?m)^\\*\\*Enforced\\*\\* in (.+(?:\n[^\n*]+)*)").FindString(section)
		checked := regexp.MustCompile("(?m)^\\*\\*Tested\\*\\* by (.+(?:\n[^\n*]+)*)").FindString(section)
		if enforced == "" || checked == "" {
			t.Errorf("invariant %d lacks its **Enforced** in or **Tested** by line, with files and tests", i+1)
			continue
		}
		for _, m := range regexp.MustCompile("`([\\w./-]+\\.(?:go|sql))`").FindAllStringSubmatch(section, -1) {
			if _, err := os.Stat(m[1]); err != nil {
				t.Errorf("invariant %d names the file %s, which does not exist", i+1, m[1])
			}
		}
		named := regexp.MustCompile("`((?:Test|Fuzz|Example)\\w+)`").FindAllStringSubmatch(checked, -1)
		if len(named) == 0 {
			t.Errorf("invariant %d names no test", i+1)
		}
		for _, m := range named {
			if !tests[m[1]] {
				t.Errorf("invariant %d names the test %s, which does not exist", i+1, m[1])
			}
		}
	}
}

// Decisions are numbered without gaps and have the same three parts.
func TestDecisionRecords(t *testing.T) {
	records, err := filepath.Glob("docs/adr/[0-9]*.md")
	if err != nil || len(records) == 0 {
		t.Fatalf("no records in docs/adr: %v", err)
	}
	for i, name := range records {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		number, _, _ := strings.Cut(filepath.Base(name), "-")
		if want := strconv.Itoa(10001 + i)[1:]; number != want {
			t.Errorf("%s: the next number is %s", name, want)
		}
		for _, part := range []string{"# " + number + ". ", "\n## Context\n", "\n## Decision\n", "\n## Consequences\n"} {
			if !strings.Contains(string(b), part) {
				t.Errorf("%s lacks %q", name, strings.TrimSpace(part))
			}
		}
	}
}
