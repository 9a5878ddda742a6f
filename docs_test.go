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

	tests := map[string]bool{}
	goFiles(t, func(name, text string) {
		if strings.HasSuffix(name, "_test.go") || isHelper(path.Dir(name)) {
			for _, m := range regexp.MustCompile(`(?m)^func (\w+)\(`).FindAllStringSubmatch(text, -1) {
				tests[m[1]] = true
			}
		}
	})
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
