package confluence

import (
	"net/url"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Data Center is another API: endpoints below the site's base address and its
// context path, spaces by key and groups by name instead of ids, listings by
// numbers, and permissions as one answer that is not paged (Confluence Data Center
// REST API). The files dc_*.go read the same datasets from it.

// limitDC is the page size to ask Data Center for. The site cuts it to what it
// allows and says so ("limit" in the answer).
const limitDC = 200

// dataCenterFetches has one line per dataset and interface of Data Center.
func dataCenterFetches() []fetch {
	return []fetch{
		{tableSpaces, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterSpaces},
		{tableSpacePermissions, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterSpacePermissions},
		{tableSecurityConfiguration, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterConfiguration},
		{tableGroups, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterGroups},
		{tableGroupMembers, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterGroupMembers},
		{tableUsers, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterUsers},
		{datasets.SitePermissions.Name, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterSitePermissions},
		{datasets.InstalledApps.Name, schemas.DataCenter, schemas.APIApps, (*visit).readDataCenterApps},
		{datasets.Subscriptions.Name, schemas.DataCenter, schemas.APILicense, (*visit).readDataCenterLicence},
		{datasets.AuditEvents.Name, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterAudit},
		{datasets.UserActivities.Name, schemas.DataCenter, schemas.APIRest, (*visit).readDataCenterActivity},
	}
}

// listDC is the envelope of Data Center's listings. All but the results may be
// missing; some listings count their items.
type listDC[T any] struct {
	Results []T `json:"results"`
	Limit   int `json:"limit"`
	Total   int `json:"totalCount"`
	Links   *struct {
		Next string `json:"next"`
	} `json:"_links"`
}

// decodeDC decodes a page of a listing and checks that each item has an id.
func decodeDC[T any](body []byte, id func(*T) ident) (batch[T], error) {
	var w listDC[T]
	if err := decode(body, &w); err != nil {
		return batch[T]{}, err
	}
	b := batch[T]{items: w.Results, links: w.Links != nil, limit: max(w.Limit, 0), total: max(w.Total, 0)}
	if w.Links != nil {
		b.next = w.Links.Next
	}
	return b, checkItems(w.Results, id)
}

// segment makes a key or a name a part of a path. Names may hold anything; what
// cannot be sent is one that walks up the path, escaped or not, because servers
// and proxies undo the escaping first (Invariant 10).
func segment(what, name string) (string, error) {
	for part := range strings.SplitSeq(name, "/") {
		if part == "." || part == ".." {
			return "", &collector.ReadError{
				State: schemas.CoverageNotExposed, Evidence: "not asked: the " + what + " " + quoted(name) + " cannot stand in the path of a request",
				Unlock: "give the " + what + " another name, without dots between slashes",
			}
		}
	}
	return url.PathEscape(name), nil
}

// quoted is a foreign name as an error shows it.
func quoted(name string) string { return `"` + cut(name, 80) + `"` }
