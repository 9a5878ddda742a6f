//go:build linux && !noengine

package main

import (
	"fmt"
	"io"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
)

// flaw is a kind of what chaos may find.
type flaw string

// Flaws, as the report names them.
const (
	flawFalse   flaw = "false changes"
	flawMissed  flaw = "missed changes"
	flawDoubled flaw = "doubled events"
	flawToken   flaw = "lost tokens"
	flawRun     flaw = "broken runs"
	flawSecret  flaw = "secrets in the open"
	flawOther   flaw = "other failures" // of the daemon to work, or of the harness
)

var flaws = []flaw{flawFalse, flawMissed, flawDoubled, flawToken, flawRun, flawSecret, flawOther}

// judge is a test that notes what is wrong, and of which kind, in the place of
// failing: a build that was sabotaged is to be caught. Safe for concurrent use.
type judge struct {
	testing.TB
	mu    sync.Mutex
	of    flaw
	count map[flaw]int
	first map[flaw]string // what was found first
}

func newJudge(t testing.TB) *judge {
	return &judge{TB: t, of: flawOther, count: map[flaw]int{}, first: map[flaw]string{}}
}

// about says what kind of flaw is found from now on.
func (j *judge) about(of flaw) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.of = of
}

// found notes n flaws.
func (j *judge) found(of flaw, n int, text string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.count[of] += n
	if _, ok := j.first[of]; !ok {
		j.first[of] = text
	}
}

func (j *judge) fail(text string) {
	j.mu.Lock()
	of := j.of
	j.mu.Unlock()
	j.found(of, 1, text)
}

func (j *judge) Error(args ...any)                 { j.fail(fmt.Sprint(args...)) }
func (j *judge) Errorf(format string, args ...any) { j.fail(fmt.Sprintf(format, args...)) }
func (j *judge) Fatal(args ...any)                 { j.fail(fmt.Sprint(args...)); runtime.Goexit() }
func (j *judge) Fatalf(format string, args ...any) {
	j.fail(fmt.Sprintf(format, args...))
	runtime.Goexit()
}

// Failed reports whether anything is wrong.
func (j *judge) Failed() bool {
	j.mu.Lock()
	defer j.mu.Unlock()
	return len(j.count) > 0
}

// hear runs one part of the trial, which may end early.
func (j *judge) hear(part func()) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		part()
	}()
	<-done
}

// report prints the counts.
func (j *judge) report(w io.Writer) {
	j.mu.Lock()
	defer j.mu.Unlock()
	var parts []string
	for _, f := range flaws {
		parts = append(parts, fmt.Sprintf("%d %s", j.count[f], f))
	}
	fmt.Fprintf(w, "found: %s\n", strings.Join(parts, ", "))
}

// evidence is the first flaw of each kind, shortened.
func (j *judge) evidence(most int) string {
	j.mu.Lock()
	defer j.mu.Unlock()
	var b strings.Builder
	for _, f := range slices.DeleteFunc(slices.Clone(flaws), func(f flaw) bool { return j.count[f] == 0 }) {
		text := j.first[f]
		fmt.Fprintf(&b, "%s: %s\n", f, text[:min(most, len(text))])
	}
	return b.String()
}
