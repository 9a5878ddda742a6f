package confluencetest

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"

	"github.com/vektah/gqlparser/v2/ast"
)

func operationNodes(list []SiteOperation) []any {
	return listed(list, func(o SiteOperation) any {
		return &node{typ: "OperationCheckResult", fields: map[string]any{"operation": o.Operation, "targetType": o.Target}}
	})
}

// resolveSitePermissions answers with principals that hold one of the operations
// asked for, each with all of its operations.
func resolveSitePermissions(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	s := x.c.site
	wanted, types := texts(args["operations"]), texts(args["permissionTypes"])
	holds := func(list []SiteOperation) bool {
		return wanted == nil || slices.ContainsFunc(list, func(o SiteOperation) bool { return slices.Contains(wanted, o.Operation) })
	}
	ofType := func(t string) bool { return types == nil || slices.Contains(types, t) }
	fields := map[string]any{"anonymousAccessDSPBlocked": s.posture.anonymousBlocked}
	if list := s.posture.anonymous; list != nil && holds(list) && ofType("ANONYMOUS") {
		fields["anonymous"] = &node{typ: "Anonymous", fields: map[string]any{
			"displayName": "Anonymous", "type": "anonymous", "permissionType": "ANONYMOUS", "operations": operationNodes(list),
		}}
	}
	if list := s.posture.unlicensed; list != nil && holds(list) {
		fields["unlicensedUserWithPermissions"] = &node{typ: "UnlicensedUserWithPermissions", fields: map[string]any{"operations": operationNodes(list)}}
	}
	fields["groups"] = resolver(func(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
		filter, _ := args["filterText"].(string)
		list := slices.DeleteFunc(s.siteGroups(), func(g SiteGroup) bool { return !holds(g.Operations) || !matches(g.Name, filter) })
		return x.page(args, connection{
			typ: "PaginatedGroupWithPermissions", edge: "GroupWithPermissionsEdge", count: "count", total: len(list), maximum: 200,
			id: func(i int) string { return list[i].ID }, item: func(i int) any { return groupNode(&list[i]) },
		})
	})
	fields["confluencePersons"] = resolver(func(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
		filter, _ := args["filterText"].(string)
		list := slices.DeleteFunc(s.sitePersons(), func(p SitePerson) bool {
			return !holds(p.Operations) || !ofType(p.PermissionType) || !matches(p.DisplayName, filter)
		})
		return x.page(args, connection{
			typ: "ConfluencePersonWithPermissionsConnection", edge: "ConfluencePersonEdge", count: "count", total: len(list), maximum: 200,
			id:   func(i int) string { return list[i].AccountID },
			item: func(i int) any { return x.person(list[i].AccountID, list[i].Operations) },
		})
	})
	return &node{typ: "SitePermission", fields: fields}, nil
}

func groupNode(g *SiteGroup) any {
	return &node{typ: "GroupWithPermissions", fields: map[string]any{
		"id": g.ID, "name": optional(g.Name), "currentUserCanEdit": true, "managedBy": optional(g.ManagedBy), "usageType": optional(g.UsageType),
		"resourceAri": "ari:cloud:identity::group/" + g.ID, "operations": operationNodes(g.Operations),
	}}
}

// person is a ConfluencePerson; null when the account is gone.
func (x *execution) person(account string, operations []SiteOperation) any {
	s := x.c.site
	u := s.userByID[account]
	if u == nil {
		return nil
	}
	d := &u.data
	return &node{typ: "ConfluencePerson", fields: map[string]any{
		"accountId": d.AccountID, "accountType": d.AccountType, "displayName": optional(d.DisplayName), "publicName": optional(d.PublicName), "email": optional(d.Email),
		"permissionType": permissionType(d), "type": "known", "timeZone": optional(d.TimeZone), "operations": operationNodes(operations),
		"spacesAssigned": resolver(func(x *execution, _ *ast.Field, _ map[string]any) (any, *gqlError) {
			if s.posture.guests[account] == nil {
				return nil, nil
			}
			return x.assigned(s.assignedSpaces(account)), nil
		}),
	}}
}

func (x *execution) assigned(ids []string) any {
	var nodes, edges []any
	for i, id := range ids {
		sp, err := x.c.site.findSpace(id)
		if err != nil {
			continue
		}
		item := &node{typ: "Space", fields: map[string]any{"id": id, "key": sp.data.Key, "name": sp.data.Name, "alias": optional(sp.data.Alias)}}
		nodes = append(nodes, item)
		edges = append(edges, &node{typ: "SpaceEdge", fields: map[string]any{"node": item, "cursor": strconv.Itoa(i)}})
	}
	return &node{typ: "PaginatedSpaceList", fields: map[string]any{
		"count": len(nodes), "nodes": nodes, "edges": edges,
		"pageInfo": &node{typ: "PageInfo", fields: map[string]any{"hasNextPage": false, "hasPreviousPage": false}},
	}}
}

func resolveCollaborators(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	if failed := x.sameSite(args); failed != nil {
		return nil, failed
	}
	s := x.c.site
	name, _ := args["name"].(string)
	email, _ := args["email"].(string)
	assignment, _ := args["spaceAssignmentType"].(string)
	groups := texts(args["groupIds"])
	var spaces []string
	if list, ok := args["spaceIds"].([]any); ok {
		spaces = make([]string, len(list))
		for i, v := range list {
			spaces[i] = fmt.Sprint(v)
		}
	}
	var list []*user
	for _, u := range s.users {
		if !u.data.Guest() || !matches(u.data.DisplayName, name) || !matches(u.data.Email, email) {
			continue
		}
		assigned := s.assignedSpaces(u.data.AccountID)
		if spaces != nil && !slices.ContainsFunc(assigned, func(id string) bool { return slices.Contains(spaces, id) }) {
			continue
		}
		if assignment != "" && (assignment == "ASSIGNED") != (len(assigned) > 0) {
			continue
		}
		if groups != nil && !slices.ContainsFunc(groups, func(id string) bool {
			g := s.groupByID[id]
			return g != nil && slices.Contains(g.members, u)
		}) {
			continue
		}
		list = append(list, u)
	}
	descending := false
	if sorts, ok := args["sorts"].([]any); ok && len(sorts) > 0 {
		if first, ok := sorts[0].(map[string]any); ok {
			descending = first["isAscending"] == false
		}
	}
	slices.SortStableFunc(list, func(a, b *user) int {
		c := cmp.Or(cmp.Compare(a.data.DisplayName, b.data.DisplayName), cmp.Compare(a.data.AccountID, b.data.AccountID))
		if descending {
			return -c
		}
		return c
	})
	offset, _ := args["offset"].(int64)
	return x.page(args, connection{
		typ: "ConfluencePersonConnection", edge: "ConfluencePersonEdge", count: "count", total: len(list), maximum: 200, offset: int(max(offset, 0)),
		id:   func(i int) string { return list[i].data.AccountID },
		item: func(i int) any { return x.person(list[i].data.AccountID, s.posture.persons[list[i].data.AccountID]) },
	})
}
