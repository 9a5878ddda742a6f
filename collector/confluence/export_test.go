package confluence

import "slices"

// FetchLines are the readers that there are: dataset, deployment and interface.
func FetchLines() [][3]string {
	var list [][3]string
	for _, f := range slices.Concat(fetches(), dataCenterFetches()) {
		list = append(list, [3]string{f.dataset, f.deployment, f.api})
	}
	return list
}

// OptionalFields are the fields that each question can do without, by its field.
func OptionalFields() map[string][]string {
	fields := map[string][]string{}
	for _, q := range []question{askSiteGroups, askSitePersons, askPublicLinkSpaces, askPublicLinks, askSiteConfiguration, askPublicLinkSwitch, askExternalCollaborators, askForgeApps} {
		for i := range q.text {
			if q.text[i] == '?' {
				fields[q.field] = append(fields[q.field], q.text[i+1:nameEnd(q.text, i+1)])
			}
		}
	}
	return fields
}
