package main

import (
	"fmt"
	"strings"
	"unicode"
)

// printable replaces what could steer a terminal or reverse the reading
// direction: names come from the sites that are watched (Invariant 10). Line
// feeds and tabs stay.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if steers(r) {
			return unicode.ReplacementChar
		}
		return r
	}, s)
}

// cell is printable on one line, cut to a width.
func cell(s string, width int) string {
	s = strings.NewReplacer("\n", "⏎", "\t", " ").Replace(printable(s))
	if runes := []rune(s); width > 1 && len(runes) > width {
		return string(runes[:width-1]) + "…"
	}
	return s
}

// count is a number with its noun.
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
