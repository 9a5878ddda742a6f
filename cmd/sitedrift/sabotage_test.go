//go:build linux && !noengine

package main

import (
	"cmp"
	"flag"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/txtar"
)

var chaosSabotage = flag.Int("sabotage", 0, "number of a file in testdata/sabotage: TestChaos builds the program without a line that keeps an invariant, and passes if that is found out; 0: the program as it is")

// sabotage is a line of the product that keeps an invariant, to be taken out of a
// build: a file of testdata/sabotage. Each text must be in the file once, so that
// the product cannot move away under it.
type sabotage struct {
	name      string
	invariant int
	promise   string
	file      string   // of the checkout
	mode      string   // of chaos
	faults    []string // of each round; a fail point may follow the kind
	caught    []flaw   // what chaos must find; one of them is enough
	edits     []edit
}

var sabotageHead = regexp.MustCompile(`^Invariant (\d+): (.+)\nfile: (\S+)\n(?:mode: (\S+)\n)?faults: (.+)\ncaught as: (.+)\n$`)

// readSabotages reads testdata/sabotage, in the order of their numbers.
func readSabotages(t testing.TB) (all []sabotage) {
	t.Helper()
	names, err := filepath.Glob("testdata/sabotage/*.txt")
	if err != nil || len(names) == 0 {
		t.Fatalf("no sabotages: %v", err)
	}
	for _, name := range names {
		archive, err := txtar.ParseFile(name)
		if err != nil {
			t.Fatal(err)
		}
		head := sabotageHead.FindStringSubmatch(string(archive.Comment))
		if head == nil || len(archive.Files) == 0 || len(archive.Files)%2 != 0 {
			t.Fatalf("%s: it has no head of the lines \"Invariant N: promise\", \"file:\", perhaps \"mode:\", \"faults:\" and \"caught as:\", followed by parts out and in", name)
		}
		s := sabotage{name: filepath.Base(name), promise: head[2], file: head[3], mode: cmp.Or(head[4], chaosModes()[0].name), faults: strings.Split(head[5], ", ")}
		s.invariant, _ = strconv.Atoi(head[1])
		for kind := range strings.SplitSeq(head[6], ", ") {
			if !slices.Contains(flaws, flaw(kind)) {
				t.Fatalf("%s: chaos finds no %q, only %q", name, kind, flaws)
			}
			s.caught = append(s.caught, flaw(kind))
		}
		for i := 0; i < len(archive.Files); i += 2 {
			if archive.Files[i].Name != "out" || archive.Files[i+1].Name != "in" {
				t.Fatalf("%s: the parts are not out and in, in turn", name)
			}
			s.edits = append(s.edits, edit{string(archive.Files[i].Data), string(archive.Files[i+1].Data)})
		}
		all = append(all, s)
	}
	return all
}

// sabotaged are the sources those of the checkout without the lines of sabotages.
func sabotaged(t testing.TB, all ...sabotage) changedSources {
	t.Helper()
	sources := changedSources{}
	for _, s := range all {
		sources.edit(t, "testdata/sabotage/"+s.name, s.file, s.edits...)
	}
	return sources
}

// TestSabotages checks that there is a sabotage for each invariant, and that all of
// them still fit the product and compile. `make chaos ARGS='--sabotage N'` shows that
// chaos notices one.
func TestSabotages(t *testing.T) {
	t.Parallel()
	all, kept := readSabotages(t), map[int]bool{}
	var packages []string
	for i, s := range all {
		if number, _, _ := strings.Cut(s.name, "-"); number != fmt.Sprintf("%02d", i+1) {
			t.Errorf("sabotage %d has the name %s", i+1, s.name)
		}
		kept[s.invariant] = true
		packages = append(packages, "./"+filepath.Dir(s.file))
	}
	for invariant := range 12 {
		if !kept[invariant+1] {
			t.Errorf("invariant %d has no sabotage", invariant+1)
		}
	}
	slices.Sort(packages)
	sabotaged(t, all...).compile(t, slices.Compact(packages)...)
}

// A sabotaged build may go unnoticed for a minute; on a slow machine, for some
// rounds.
const (
	sabotageLimit  = time.Minute
	sabotageRounds = 6
)

// trySabotage builds the program without a line, and expects chaos to find out.
func trySabotage(t *testing.T, number int) {
	t.Helper()
	all := readSabotages(t)
	if number < 1 || number > len(all) {
		t.Fatalf("sabotages have the numbers 1 to %d", len(all))
	}
	s := all[number-1]
	fmt.Fprintf(t.Output(), "sabotage %d, %s: %s\n", number, s.name, s.promise)
	bin := filepath.Join(t.TempDir(), "sitedrift")
	sabotaged(t, s).compile(t, "-o", bin, "./cmd/sitedrift")
	j := newJudge(t)
	c := newChaos(j, bin, *chaosSeed)
	c.patience = sabotageLimit / 2
	began := time.Now()
	c.mode = chaosModes()[slices.IndexFunc(chaosModes(), func(m chaosMode) bool { return m.name == s.mode })]
	j.hear(func() { c.mode.build(c) })
	c.trial(func(c *chaos, round int) []fault {
		if time.Since(began) > sabotageLimit && round >= sabotageRounds {
			return nil
		}
		faults := c.faults(s.faults)
		for i := range faults { // no replica takes over from another: what it does then is right
			faults[i].hold = min(faults[i].hold, takenOverAfter/2)
		}
		return faults
	})
	fmt.Fprint(t.Output(), c.report(time.Since(began)))
	for _, f := range s.caught {
		if j.first[f] != "" {
			fmt.Fprintf(t.Output(), "caught as %s: %s\n", f, j.first[f][:min(300, len(j.first[f]))])
			return
		}
	}
	t.Errorf("sabotage %d was not caught as any of %q; what was found:\n%s", number, s.caught, j.evidence(4000))
}
