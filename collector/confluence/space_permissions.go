package confluence

import (
	"context"
	"net/url"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// SpacePermissionWire is a grant as the site sends it (Confluence Cloud REST v2,
// "Get space permissions assignments").
type SpacePermissionWire struct {
	ID        ident `json:"id"`
	Principal struct {
		Type term  `json:"type"`
		ID   ident `json:"id"`
	} `json:"principal"`
	Operation struct {
		Key        term `json:"key"`
		TargetType term `json:"targetType"`
	} `json:"operation"`
}

// SpacePermissionsWire is one decoded page of grants.
type SpacePermissionsWire = listV2[SpacePermissionWire]

// DecodeSpacePermissions decodes one page of grants, as reading does: with the
// same decoder and the same types. The error tells where the answer is malformed.
func DecodeSpacePermissions(body []byte) (*SpacePermissionsWire, error) {
	// About 130 bytes a grant: room for all of them, so that it never grows. The
	// one empty item is overwritten by any list, an empty one too, and gives away
	// an answer that has none.
	w := SpacePermissionsWire{Results: make([]SpacePermissionWire, 1, min(len(body)/128, limitV2)+1)}
	if err := decode(body, &w); err != nil {
		return nil, err
	}
	if len(w.Results) == 1 && w.Results[0] == (SpacePermissionWire{}) {
		return nil, malformedf("no results, or an empty one")
	}
	return &w, checkItems(w.Results, permissionID)
}

func permissionID(w *SpacePermissionWire) ident { return w.ID }

func decodePermissions(body []byte) (batch[SpacePermissionWire], error) {
	w, err := DecodeSpacePermissions(body)
	if err != nil {
		return batch[SpacePermissionWire]{}, err
	}
	return batch[SpacePermissionWire]{items: w.Results, next: w.Links.Next}, nil
}

// normalizePermission turns the answer into a row; why says what it lacks to be
// one. Principals without an id pass when their type says who they are.
func normalizePermission(w *SpacePermissionWire, spaceKey string) (row datasets.SpacePermission, why string) {
	row = datasets.SpacePermission{
		PermissionID: string(w.ID), SpaceKey: spaceKey,
		PrincipalType: string(w.Principal.Type), PrincipalID: string(w.Principal.ID),
		Operation: string(w.Operation.Key), TargetType: string(w.Operation.TargetType),
	}
	switch {
	case row.PrincipalType == "":
		why = "no principal type"
	case row.PrincipalID == "" && (row.PrincipalType == "user" || row.PrincipalType == "group" || row.PrincipalType == "role"):
		why = "no principal id"
	case row.Operation == "":
		why = "no operation"
	}
	return row, why
}

// readSpacePermissions reads the grants of one space. This is the hot path: a
// million rows in a few thousand calls.
func (s *visit) readSpacePermissions(ctx context.Context, space string, yield yielder) error {
	key := s.name(tableSpaces, space)
	path := pathSpaces + "/" + url.PathEscape(space) + "/permissions"
	var bad lacking
	l := listing[SpacePermissionWire]{path: path, limit: limitV2, weight: weightIdentity, decode: decodePermissions, id: permissionID}
	err := cursorPages(ctx, s, datasets.SpacePermissions.Dataset, l, func(items []SpacePermissionWire) error {
		rows := make([]datasets.SpacePermission, 0, len(items))
		var unknown []datasets.SpacePermission
		for i := range items {
			row, why := normalizePermission(&items[i], key)
			if why != "" {
				bad.add("grant", row.PermissionID, why)
				unknown = append(unknown, row)
				continue
			}
			rows = append(rows, row)
		}
		return yieldPage(yield, datasets.SpacePermissions, rows, unknown)
	})
	if httpx.ClassOf(err) == httpx.ClassNotFound {
		return s.hiddenOrGone(ctx, space, err)
	}
	if err != nil {
		return err
	}
	return bad.err("GET " + path)
}

// hiddenOrGone tells what a 404 for the grants of a listed space means: v2 says
// so of spaces that are gone and of what may not be seen alike. The space itself
// decides.
func (s *visit) hiddenOrGone(ctx context.Context, space string, cause error) error {
	err := s.oneSpace(ctx, space)
	r := &collector.ReadError{Err: cause, Evidence: cause.Error()}
	switch {
	case err == nil:
		r.State, r.Evidence = schemas.CoverageForbidden, evidenceOf(cause)+"; the space itself answers"
		r.Unlock = s.needsRight(datasets.SpacePermissions.Dataset, "")
	case httpx.ClassOf(err) == httpx.ClassNotFound:
		r.State, r.Evidence = schemas.CoverageGone, evidenceOf(cause)+"; the space itself is not found either: deleted, or hidden from the account"
	default:
		return s.readError(datasets.SpacePermissions.Dataset, "", err)
	}
	return r
}
