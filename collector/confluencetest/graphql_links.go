package confluencetest

import (
	"cmp"
	"net/http"
	"slices"
	"time"

	"github.com/vektah/gqlparser/v2/ast"
)

func resolveLinkSite(x *execution, _ *ast.Field, _ map[string]any) (any, *gqlError) {
	return &node{typ: "PublicLinkSitePayload", fields: map[string]any{"status": x.c.site.posture.linkSite}}, nil
}

func resolveShareable(x *execution, _ *ast.Field, _ map[string]any) (any, *gqlError) {
	return &node{typ: "ShareableLinkSiteConfig", fields: map[string]any{
		"siteConfigs": listed(x.c.site.posture.shareable, func(l ShareableLink) any {
			return &node{typ: "ShareableLinkConfig", fields: map[string]any{"accessType": l.AccessType, "status": l.Status}}
		}),
	}}, nil
}

// ordered sorts by a comparison, backwards when isAscending is false; the order
// without orderBy is by id.
func ordered[T any](list []T, args map[string]any, compare func(a, b T) int) {
	descending := args["isAscending"] == false
	slices.SortStableFunc(list, func(a, b T) int {
		if descending {
			return -compare(a, b)
		}
		return compare(a, b)
	})
}

func resolveLinkSpaces(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	s := x.c.site
	pattern, _ := args["spaceNamePattern"].(string)
	statuses := texts(args["status"])
	list := slices.DeleteFunc(s.linkSpaces(), func(sp *space) bool {
		return !matches(sp.data.Name, pattern) || statuses != nil && !slices.Contains(statuses, s.posture.links[sp.id].status)
	})
	order, _ := args["orderBy"].(string)
	ordered(list, args, func(a, b *space) int {
		x, y := s.posture.links[a.id], s.posture.links[b.id]
		switch order {
		case "ACTIVE_LINKS":
			return cmp.Compare(x.active(), y.active())
		case "NAME":
			return cmp.Compare(a.data.Name, b.data.Name)
		case "STATUS":
			return cmp.Compare(x.status, y.status)
		}
		return cmp.Compare(a.id, b.id)
	})
	return x.page(args, connection{
		typ: "PublicLinkSpaceConnection", total: len(list), maximum: 100,
		id: func(i int) string { return list[i].data.ID },
		item: func(i int) any {
			p := s.publicLinkSpace(list[i])
			return &node{typ: "PublicLinkSpace", fields: map[string]any{
				"spaceId": p.SpaceID, "spaceKey": p.Key, "name": optional(p.Name), "spaceAlias": optional(p.Alias), "status": p.Status, "previousStatus": optional(p.PreviousStatus),
				"isPolicySetForClassificationLevel": deref(p.ClassificationPolicy),
				"stats": &node{typ: "PublicLinkSpaceStats", fields: map[string]any{
					"publicLinks": &node{typ: "PublicLinkStats", fields: map[string]any{"active": p.Active}},
				}},
				"icon": &node{typ: "Icon", fields: map[string]any{"path": "/images/logo/default-space-logo.svg", "width": 48, "height": 48, "isDefault": true}},
			}}
		},
	})
}

func resolveLinks(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	s := x.c.site
	id, _ := args["spaceId"].(string)
	sp, err := s.findSpace(id)
	if err != nil || sp.hidden {
		return nil, &gqlError{message: "No space found with id: " + id, classification: "DataFetchingException", status: http.StatusNotFound}
	}
	var list []PublicLink
	if l := s.posture.links[sp.id]; l != nil {
		list = slices.Clone(l.links)
	}
	statuses, types := texts(args["status"]), texts(args["type"])
	title, _ := args["title"].(string)
	access, _ := args["accessType"].(string)
	list = slices.DeleteFunc(list, func(l PublicLink) bool {
		return statuses != nil && !slices.Contains(statuses, l.Status) || types != nil && !slices.Contains(types, l.Type) || !matches(l.Title, title) || access != "" && access != l.AccessType
	})
	order, _ := args["orderBy"].(string)
	ordered(list, args, func(a, b PublicLink) int {
		switch order {
		case "ACCESS_TYPE":
			return cmp.Compare(a.AccessType, b.AccessType)
		case "DATE_ENABLED":
			return a.EnabledAt.Compare(b.EnabledAt)
		case "STATUS":
			return cmp.Compare(a.Status, b.Status)
		case "TITLE":
			return cmp.Compare(a.Title, b.Title)
		}
		return cmp.Or(cmp.Compare(len(a.ID), len(b.ID)), cmp.Compare(a.ID, b.ID))
	})
	return x.page(args, connection{
		typ: "PublicLinkConnection", total: len(list), maximum: 100,
		id: func(i int) string { return list[i].ID },
		item: func(i int) any {
			l := list[i]
			return &node{typ: "PublicLink", fields: map[string]any{
				"id": l.ID, "title": optional(l.Title), "type": l.Type, "status": l.Status, "accessType": optional(l.AccessType), "lastEnabledBy": optional(l.EnabledBy),
				"lastEnabledByUser": x.person(l.EnabledBy, nil), "lastEnabledDate": date(l.EnabledAt), "publicLinkUrlPath": s.linkPath(l.ID),
			}}
		},
	})
}

// LinkCanary is part of the address of every public link of the site. Whoever can
// find it in a store has stored the capability itself.
func (s *Site) LinkCanary() string { return "c4n4ry" + s.cloudID[:8] }

func (s *Site) linkPath(id string) string { return "/l/" + s.LinkCanary() + "/" + id }

// date is null for the zero time.
func date(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t.UTC().Format("2006-01-02T15:04:05.000Z")
}
