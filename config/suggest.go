package config

import (
	"fmt"
	"strings"
)

// suggest is the advice for a key that a section does not have: the key that
// was probably meant, the section where it stands, or the keys there are.
func suggest(key, at string, known []field) string {
	names := make([]string, len(known))
	for i, f := range known {
		names[i] = f.key
	}
	if near, ok := nearest(key, names); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	if elsewhere := places(fields(Default()), "", key); len(elsewhere) > 0 {
		return "this key stands elsewhere: " + strings.Join(elsewhere, ", ")
	}
	where := "in " + at
	if at == "" {
		where = "at the top"
	}
	return "known keys " + where + ": " + strings.Join(names, ", ")
}

// choice is the advice for a value that is not one of a list.
func choice(v string, values []string) string {
	if near, ok := nearest(v, values); ok {
		return fmt.Sprintf("did you mean %s?", near)
	}
	return "write " + strings.Join(values, " or ")
}

// places lists the full names of a key in all sections.
func places(fields []field, at, key string) []string {
	var out []string
	for _, f := range fields {
		name := join(at, f.key)
		if f.key == key {
			out = append(out, name)
		}
		out = append(out, places(f.sub, name, key)...)
	}
	return out
}

// nearest is the name with the fewest edits to word, if they are few enough
// to be a slip of the fingers.
func nearest(word string, names []string) (string, bool) {
	word = strings.ReplaceAll(strings.ToLower(word), "-", "_")
	best, least := "", 1+max(1, len(word)/3)
	for _, name := range names {
		if d := distance(word, name); d < least {
			best, least = name, d
		}
	}
	return best, best != ""
}

// distance is the number of insertions, deletions, replacements and swaps of
// neighbours between two words (Damerau-Levenshtein, optimal alignment).
func distance(a, b string) int {
	s, t := []rune(a), []rune(b)
	if len(s) > 64 {
		return len(s)
	}
	d := make([][]int, len(s)+1)
	for i := range d {
		d[i] = make([]int, len(t)+1)
		d[i][0] = i
	}
	for j := range t {
		d[0][j+1] = j + 1
	}
	for i := range s {
		for j := range t {
			cost := 1
			if s[i] == t[j] {
				cost = 0
			}
			n := min(d[i][j+1]+1, d[i+1][j]+1, d[i][j]+cost)
			if i > 0 && j > 0 && s[i] == t[j-1] && s[i-1] == t[j] {
				n = min(n, d[i-1][j-1]+1)
			}
			d[i+1][j+1] = n
		}
	}
	return d[len(s)][len(t)]
}
