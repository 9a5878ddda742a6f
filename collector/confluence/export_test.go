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
