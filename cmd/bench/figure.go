package main

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"
)

// figure is one measured value and, for some, its limit.
type figure struct {
	name, unit string
	value      float64
	limit      float64 // 0: none
	least      bool    // the limit is a lower one
	absolute   bool    // the value is no ratio by itself
}

// kept reports whether the value is within its limit.
func (f figure) kept() bool {
	switch {
	case f.limit == 0:
		return true
	case f.least:
		return f.value >= f.limit
	default:
		return f.value <= f.limit
	}
}

// MarshalJSON writes the form that scripts read. Ratio is that of the two
// things compared; of a figure with an absolute limit, that of value to limit.
// Both are null for figures without a limit.
func (f figure) MarshalJSON() ([]byte, error) {
	var limit, ratio *float64
	if f.limit != 0 {
		limit, ratio = &f.limit, new(f.value)
		if f.absolute {
			*ratio = f.value / f.limit
		}
	}
	return json.Marshal(struct {
		Name  string   `json:"name"`
		Value float64  `json:"value"`
		Unit  string   `json:"unit"`
		Limit *float64 `json:"limit"`
		Ratio *float64 `json:"ratio"`
	}{f.name, f.value, f.unit, limit, ratio})
}

// show prints the figures, for people or as one JSON object a line.
func show(w io.Writer, figures []figure, asJSON bool) error {
	if asJSON {
		enc := json.NewEncoder(w)
		for _, f := range figures {
			if err := enc.Encode(f); err != nil {
				return err
			}
		}
		return nil
	}
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "NAME\tVALUE\tUNIT\tLIMIT\t")
	for _, f := range figures {
		limit, verdict := "", ""
		if f.limit != 0 {
			limit, verdict = "at most ", "ok"
			if f.least {
				limit = "at least "
			}
			limit += number(f.limit)
			if !f.kept() {
				verdict = "MISS"
			}
		}
		fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\n", f.name, number(f.value), f.unit, limit, verdict)
	}
	return t.Flush()
}

func number(v float64) string {
	switch {
	case v >= 1000:
		return fmt.Sprintf("%.0f", v)
	case v >= 10:
		return strings.TrimSuffix(fmt.Sprintf("%.1f", v), ".0")
	default:
		return fmt.Sprintf("%.4g", v)
	}
}

// missed says which limits are not kept, if any.
func missed(figures []figure) error {
	var names []string
	for _, f := range figures {
		if !f.kept() {
			names = append(names, f.name)
		}
	}
	if names == nil {
		return nil
	}
	return fmt.Errorf("beyond the limit: %s", strings.Join(names, ", "))
}

func median(values []float64) float64 {
	if len(values) == 0 {
		return 0
	}
	s := slices.Sorted(slices.Values(values))
	if n := len(s); n%2 == 0 {
		return (s[n/2-1] + s[n/2]) / 2
	}
	return s[len(s)/2]
}
