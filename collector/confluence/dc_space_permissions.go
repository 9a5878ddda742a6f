package confluence

import (
	"context"
	"strings"

	"github.com/sitedrift/sitedrift/collector/httpx"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// accessClasses are the words that Cloud has in space_permissions for those who
// are no user and no group, so that one question finds them on both.
var accessClasses = map[string]string{
	datasets.PrincipalAnonymous: "anonymous-users", datasets.PrincipalUnlicensed: "unlicensed-users",
}

// normalizeDataCenterPermission turns a permission of a space into a row; why says
// what it lacks to be one.
func normalizeDataCenterPermission(w *dcPermissionWire, space, key string) (row datasets.SpacePermission, why string) {
	p, why := w.principal()
	if class, ok := accessClasses[p.kind]; ok {
		p.kind, p.id = "access-class", class
	}
	row = datasets.SpacePermission{
		SpaceKey: key, PrincipalType: p.kind, PrincipalID: p.id, Operation: string(w.Operation.Key), TargetType: string(w.Operation.TargetType),
	}
	switch {
	case why != "":
		return row, why
	case row.Operation == "":
		return row, "no operation"
	}
	row.PermissionID = grantID(space, row.PrincipalType, row.PrincipalID, row.Operation, row.TargetType)
	return row, ""
}

// readDataCenterSpacePermissions reads the permissions of one space: one answer,
// which holds all of them.
func (s *visit) readDataCenterSpacePermissions(ctx context.Context, space string, yield yielder) error {
	key, path, err := s.spacePathDC(space)
	if err != nil {
		return err
	}
	path += "/permissions"
	var list []dcPermissionWire
	err = s.get(ctx, path, nil, nil, func(a answer) error {
		var err error
		if list, err = decodeDataCenterPermissions(a.body); err != nil {
			return err
		}
		return aboutSpace(list, space, key)
	})
	if err != nil {
		missing := httpx.ClassOf(err) == httpx.ClassNotFound
		if err = s.readError(datasets.SpacePermissions.Dataset, "", err); missing {
			return s.whatOfDataCenterSpace(ctx, space, err)
		}
		return err
	}
	var bad lacking
	rows := make([]datasets.SpacePermission, 0, len(list))
	had := make(map[string]bool, len(list))
	for i := range list {
		row, why := normalizeDataCenterPermission(&list[i], space, key)
		switch {
		case why != "":
			// Without all its parts it has no id, and cannot be named as unknown.
			bad.add("a permission", strings.Join([]string{row.PrincipalType, row.PrincipalID, row.Operation, row.TargetType}, " "), why)
		case !had[row.PermissionID]:
			had[row.PermissionID] = true
			rows = append(rows, row)
		}
	}
	if err := yieldPage(yield, datasets.SpacePermissions, rows, nil); err != nil {
		return err
	}
	return bad.err("GET " + path)
}

// aboutSpace refuses an answer about another space: keys can pass from one space
// to another between two calls.
func aboutSpace(list []dcPermissionWire, space, key string) error {
	for i := range list {
		w := &list[i]
		if w.SpaceID != "" && string(w.SpaceID) != space || w.SpaceKey != nil && !strings.EqualFold(*w.SpaceKey, key) {
			return malformedf("[%d] is about another space: %q", i, cut(string(w.SpaceID), 80))
		}
	}
	return nil
}
