package dictionary

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/sitedrift/sitedrift/schemas"
)

// sources is the page that says which credential opens what.
func sources(datasets []*schemas.Dataset) string {
	var b strings.Builder
	b.WriteString(generated + "# What each credential opens\n\n" +
		"The number is the place in the order of preference: of the credentials that a tenant has, a run takes the lowest. " +
		"`(n)` stands for a source that the vendor keeps closed today; it is tried once a week, and used as soon as it opens. " +
		"A dash: this credential cannot open it. `api_token` and `dc_pat` are **unscoped**: they may do all that their account may. Atlassian advises vendors that host apps against asking customers for classic tokens, so they are stored only where a customer chose to.\n")
	for _, deployment := range []string{schemas.Cloud, schemas.DataCenter} {
		kinds := schemas.Credentials(deployment)
		fmt.Fprintf(&b, "\n## %s\n\n", map[string]string{schemas.Cloud: "Cloud", schemas.DataCenter: "Data Center"}[deployment])
		var rows [][]string
		for _, d := range datasets {
			for _, section := range sectionsOf(d, deployment) {
				row := []string{"[" + d.Name + "](" + d.Name + ".md)", section}
				for _, kind := range kinds {
					row = append(row, places(d, deployment, section, kind))
				}
				rows = append(rows, row)
			}
		}
		table(&b, append([]string{"dataset", "section"}, kinds...), rows)
		b.WriteString("Each source, with what it costs. Symbols: S spaces, G groups, U users, R roles, E guests, F Forge apps, L spaces with public links.\n\n")
		rows = nil
		for _, d := range datasets {
			for _, section := range sectionsOf(d, deployment) {
				for _, group := range sameSource(d, deployment, section) {
					a := group[0]
					var with []string
					for _, g := range group {
						with = append(with, g.Credential)
					}
					page := ""
					if a.PageSize > 0 {
						page = strconv.Itoa(a.PageSize)
					}
					cost := a.Cost
					if cost == "" {
						cost = "1"
					}
					rows = append(rows, []string{d.Name, section, a.API, strings.Join(with, ", "), code(a.Calls, "<br>"), scopes(a.Scopes), page, cost})
				}
			}
		}
		table(&b, []string{"dataset", "section", "interface", "credentials", "calls", "scopes", "page", "number of calls"}, rows)
	}
	return b.String()
}

// sectionsOf are the sections on a deployment; one empty one for a dataset without
// sections, none where the deployment does not have it.
func sectionsOf(d *schemas.Dataset, deployment string) []string {
	if !d.On(deployment) {
		return nil
	}
	if len(d.Sections) == 0 {
		return []string{""}
	}
	return d.SectionsOf(deployment)
}

// accesses are the sources of a section, in order of preference.
func accesses(d *schemas.Dataset, deployment, section string) (list []schemas.Access) {
	for _, a := range d.Sources {
		if a.Deployment == deployment && a.Section == section {
			list = append(list, a)
		}
	}
	return list
}

func places(d *schemas.Dataset, deployment, section, kind string) string {
	var list []string
	for i, a := range accesses(d, deployment, section) {
		switch {
		case a.Credential != kind:
		case a.Closed:
			list = append(list, fmt.Sprintf("(%d)", i+1))
		default:
			list = append(list, strconv.Itoa(i+1))
		}
	}
	if len(list) == 0 {
		return "-"
	}
	return strings.Join(list, ", ")
}

// sameSource puts together accesses that differ in nothing but the credential and
// its scopes; the first of a group has the scopes.
func sameSource(d *schemas.Dataset, deployment, section string) (groups [][]schemas.Access) {
	at := map[string]int{}
	for _, a := range accesses(d, deployment, section) {
		key := fmt.Sprint(a.API, a.Calls, a.PageSize, a.Cost)
		i, ok := at[key]
		if !ok {
			i = len(groups)
			at[key], groups = i, append(groups, nil)
		}
		groups[i] = append(groups[i], a)
	}
	return groups
}

// note is what is remarkable about a source.
func note(a schemas.Access) string {
	if !a.Closed {
		return a.Note
	}
	return strings.TrimSpace("Closed to this credential today; tried once a week. " + a.Note)
}
