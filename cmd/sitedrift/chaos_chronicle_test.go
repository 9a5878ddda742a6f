//go:build linux && !noengine

package main

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

// absent is how an entity looks that is not there.
const absent = ""

// chronicle is everything that ever was true of a site: how each entity looked,
// in the order of the changes. It is not safe for concurrent use.
type chronicle map[[4]string][]string

// note adds how the site is now.
func (c chronicle) note(truth killRows) {
	seen := map[[4]string]bool{}
	for dataset, rows := range truth {
		d := killTable(dataset)
		for _, texts := range rows {
			e := entityOf(d, texts)
			seen[e] = true
			c.add(e, texts)
		}
	}
	for e := range c {
		if !seen[e] {
			c.add(e, absent)
		}
	}
}

func (c chronicle) add(e [4]string, texts string) {
	states, known := c[e]
	if !known {
		states = []string{absent}
	}
	if states[len(states)-1] != texts {
		states = append(states, texts)
	}
	c[e] = states
}

func killTable(name string) *schemas.Dataset {
	i := slices.IndexFunc(tables(), func(d *schemas.Dataset) bool { return d.Name == name })
	return tables()[i]
}

// entityOf is which entity a row is, as killVersion.entity has it.
func entityOf(d *schemas.Dataset, texts string) [4]string {
	values := strings.Split(texts, killSep)
	columns := killColumns(d)
	at := func(column string) string { return values[1+slices.Index(columns, column)] }
	e := [4]string{d.Name, values[0], "", at(keyColumn(d))}
	if d.PartitionColumn != "" {
		e[2] = at(d.PartitionColumn)
	}
	return e
}

// untrue lists the versions that tell what never happened: each version must be
// how its entity looked at some time after the version before it. And nobody can
// know that something was deleted whose parent only left the listing. Of renewed
// datasets a baseline may tell what was told before.
func (c chronicle) untrue(versions []killVersion, renewed ...string) (wrong []string) {
	at, last := map[[4]string]int{}, map[[4]string]string{}
	left := map[[4]string]bool{} // what ended, by run
	for _, v := range versions {
		if v.change == "removed" || v.change == "out_of_view" {
			left[[4]string{v.dataset, v.tenant, v.key, v.run}] = true
		}
	}
	versions = slices.Clone(versions)
	slices.SortStableFunc(versions, func(a, b killVersion) int { return cmp.Compare(a.from, b.from) })
	for _, v := range versions {
		e, texts := v.entity(), v.texts
		ended := v.change == "removed" || v.change == "out_of_view"
		if ended {
			texts = absent
		}
		states := c[e]
		i := at[e]
		for i < len(states) && states[i] != texts {
			i++
		}
		before, there := last[e]
		switch {
		case i == len(states):
			wrong = append(wrong, fmt.Sprintf("%s %q at %s: %s, and it never was so then; it was %q", v.change, e, v.from, shownTexts(texts), each(states, shownTexts)))
		case there && before == texts && !(v.change == "baseline" && slices.Contains(renewed, v.dataset)):
			wrong = append(wrong, fmt.Sprintf("%s %q at %s: %s, as it was told before", v.change, e, v.from, shownTexts(texts)))
		case v.change == "removed" && left[[4]string{killTable(e[0]).Parent, e[1], e[2], v.run}]: // Invariant 12
			wrong = append(wrong, fmt.Sprintf("%s %q at %s: all that is known is that its parent left the listing", v.change, e, v.from))
		default:
			at[e] = i
		}
		last[e] = texts
	}
	return wrong
}

func shownTexts(texts string) string { return strings.ReplaceAll(texts, killSep, " | ") }
