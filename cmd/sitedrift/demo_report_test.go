//go:build linux && !noengine

package main

import (
	"bytes"
	"encoding/json"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// checkReport reads the report as people and programs get it.
func (w *demoWitness) checkReport(t *testing.T) {
	var text, document bytes.Buffer
	if err := w.demo.report(t.Context(), &text, false); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"Sites, ", "What can be seen", "What is wrong", "What another credential would open", "Changes per day", "The five gravest", "Quiet epochs", "read:audit-log:confluence", "–", "○", "◐", "✗"} {
		if !strings.Contains(text.String(), want) {
			t.Errorf("the report lacks %q:\n%s", want, &text)
		}
	}
	for line := range strings.Lines(text.String()) {
		if n := utf8.RuneCountInString(strings.TrimSuffix(line, "\n")); n > reportWidth {
			t.Errorf("%d columns: %s", n, line)
		}
	}
	if err := w.demo.report(t.Context(), &document, true); err != nil {
		t.Fatal(err)
	}
	var answers map[string][][]any
	if err := json.Unmarshal(document.Bytes(), &answers); err != nil {
		t.Fatal(err)
	}
	for name, sql := range questions() {
		if rows := w.ask(t, sql); len(answers[name]) != len(rows) || len(rows) == 0 {
			t.Errorf("%s: %d rows in JSON, %d by SQL", name, len(answers[name]), len(rows))
		}
	}
}

// TestDemoCommand runs the command as people and programs do.
func TestDemoCommand(t *testing.T) {
	t.Parallel()
	dir := demoDir(t)
	c := exec.CommandContext(t.Context(), program(t), "demo", "--exit", "--json", "--weeks", "1", "--dir", dir)
	var told strings.Builder
	c.Stderr = &told
	out, err := c.Output()
	if err != nil {
		t.Fatalf("%v\n%s", err, &told)
	}
	var answers map[string][][]any
	if err := json.Unmarshal(out, &answers); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if n := len(stories()); len(answers["sites"]) != n || len(answers["coverage"]) != n*len(tables()) {
		t.Errorf("%d sites, %d cells of coverage", len(answers["sites"]), len(answers["coverage"]))
	}
	want := []string{"Playing 1 weeks of 7 simulated Confluence sites through connectors, schedules, runs and ClickHouse.", "week 1 of 1"}
	if lines := strings.Split(strings.TrimSpace(told.String()), "\n"); !slices.Equal(want, lines[:len(lines)-1]) || !strings.HasPrefix(lines[len(lines)-1], "Done in ") {
		t.Errorf("told:\n%s", &told)
	}
}
