package confluence

import (
	"context"
	"errors"

	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// pageGraph is asked for with first; the largest page is not documented.
const pageGraph = 100

var askSiteGroups = question{"sitePermissions", `query($first: Int, $after: String) { sitePermissions {
  anonymous { operations { operation targetType } }
  unlicensedUserWithPermissions { operations { operation targetType } }
  groups(first: $first, after: $after) { nodes { id ?name operations { operation targetType } } pageInfo { endCursor hasNextPage } } } }`}

var askSitePersons = question{"sitePermissions", `query($first: Int, $after: String) { sitePermissions {
  confluencePersons(first: $first, after: $after) { nodes { accountId ?displayName operations { operation targetType } } pageInfo { endCursor hasNextPage } } } }`}

// sitePrincipalWire is a group or a person of sitePermissions.
type sitePrincipalWire struct {
	ID          string          `json:"id"`
	AccountID   string          `json:"accountId"`
	Name        *string         `json:"name"`
	DisplayName *string         `json:"displayName"`
	Operations  []operationWire `json:"operations"`
}

func (w *sitePrincipalWire) id() string {
	if w.AccountID != "" {
		return w.AccountID
	}
	return w.ID
}

// sitePermissionRows makes a row of each operation; why says what one lacks. No
// list of operations is not an empty one: null is not "nothing".
func sitePermissionRows(kind, id string, name *string, operations []operationWire) (rows []datasets.SitePermission, why string) {
	if operations == nil {
		return nil, "no operations"
	}
	for _, o := range operations {
		row := datasets.SitePermission{PrincipalType: kind, PrincipalID: id, PrincipalName: optional(name)}
		if optional(o.Operation) == nil {
			why = "an operation without a name"
			continue
		}
		row.Operation = *o.Operation
		if o.TargetType != nil {
			row.TargetType = *o.TargetType
		}
		rows = append(rows, row)
	}
	return rows, why
}

// readSitePermissions reads the global permissions of groups, of persons, and of
// those without a login or a licence, from the GraphQL gateway.
func (s *visit) readSitePermissions(ctx context.Context, _ string, yield yielder) error {
	table := datasets.SitePermissions
	var bad lacking
	emit := func(kind string, whole bool, items []*sitePrincipalWire) error {
		var rows []datasets.SitePermission
		for _, w := range items {
			name := w.Name
			if w.DisplayName != nil {
				name = w.DisplayName
			}
			got, why := sitePermissionRows(kind, w.id(), name, w.Operations)
			if why != "" {
				bad.add(kind, w.id(), why)
			}
			rows = append(rows, got...)
		}
		if !whole { // a key or a value may be missing: nothing of it is compared
			return yieldPage(yield, table, nil, rows)
		}
		return yieldPage(yield, table, rows, nil)
	}
	others, seen := false, false
	groups := connectionPages(ctx, s, table.Dataset, walk[sitePrincipalWire]{
		q: askSiteGroups, first: pageGraph, id: (*sitePrincipalWire).id,
		page: func(data *graphData) *connection[sitePrincipalWire] {
			p := data.SitePermissions
			if p == nil {
				return nil
			}
			if !others { // these come with every page
				others = true
				for kind, o := range map[string]*operationsWire{datasets.PrincipalAnonymous: p.Anonymous, datasets.PrincipalUnlicensed: p.Unlicensed} {
					if o == nil {
						continue // nobody has it
					}
					rows, why := sitePermissionRows(kind, kind, nil, o.Operations)
					if why != "" {
						bad.add(kind, kind, why)
					}
					if err := yieldPage(yield, table, rows, nil); err != nil {
						bad.stop = err
					}
				}
			}
			return p.Groups
		},
		emit: func(items []*sitePrincipalWire, whole bool) error {
			seen = true
			return emit(datasets.PrincipalGroup, whole, items)
		},
	})
	if bad.stop != nil {
		return bad.stop
	}
	if groups == nil && !seen && !s.peek { // somebody administers the site
		return s.readError(table.Dataset, "", inGraph(askSiteGroups, malformedf("no group has a permission, not even that of the administrators")))
	}
	if groups != nil && stateOf(groups) != schemas.CoveragePartial {
		return groups
	}
	persons := connectionPages(ctx, s, table.Dataset, walk[sitePrincipalWire]{
		q: askSitePersons, first: pageGraph, id: (*sitePrincipalWire).id,
		page: func(data *graphData) *connection[sitePrincipalWire] {
			if data.SitePermissions == nil {
				return nil
			}
			return data.SitePermissions.Persons
		},
		emit: func(items []*sitePrincipalWire, whole bool) error { return emit(datasets.PrincipalUser, whole, items) },
	})
	if err := errors.Join(groups, persons); err != nil {
		return partly(err, true)
	}
	return bad.err("GraphQL sitePermissions")
}
