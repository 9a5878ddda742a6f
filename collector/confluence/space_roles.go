package confluence

import (
	"context"
	"net/http"
	"net/url"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathSpaceRoles = "/wiki/api/v2/space-roles"

// roleNames are the names of the roles that this run has listed, for rows that
// speak of roles.
type roleNames map[string]*string

// spaceRoleWire is a role in "Get available space roles" (Confluence Cloud REST v2).
type spaceRoleWire struct {
	ID          ident    `json:"id"`
	Type        *string  `json:"type"`
	Name        *string  `json:"name"`
	Description *string  `json:"description"`
	Permissions []string `json:"spacePermissions"`
}

func spaceRoleID(w *spaceRoleWire) ident { return w.ID }

func decodeSpaceRoles(body []byte) (batch[spaceRoleWire], error) { return decodeV2(body, spaceRoleID) }

func normalizeSpaceRole(w *spaceRoleWire) (row datasets.SpaceRole, why string) {
	row = datasets.SpaceRole{RoleID: string(w.ID), Name: optional(w.Name), Description: optional(w.Description), Permissions: w.Permissions}
	switch {
	case w.Type == nil:
		return row, "no type"
	case w.Permissions == nil:
		return row, "no permissions"
	}
	row.Type = *w.Type
	return row, ""
}

// rolesInUse is nil on a site whose spaces have roles. Others answer the endpoints
// of roles with one of several refusals, none of which says that there are no
// roles; so the mode is asked for first.
func (s *visit) rolesInUse(ctx context.Context) error {
	mode, err := s.askRoleMode(ctx)
	if err != nil {
		return s.readError(datasets.SecurityConfiguration.Dataset, sectionRoleMode, err)
	}
	if mode == "PRE_ROLES" {
		return &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: "GET " + pathSpaceRoleMode + ": the site is in mode PRE_ROLES: its spaces have permissions, and no roles"}
	}
	return nil
}

// askRoleMode asks once per run.
func (s *visit) askRoleMode(ctx context.Context) (string, error) {
	s.mu.Lock()
	known := s.roleMode
	s.mu.Unlock()
	if known != nil {
		return *known, nil
	}
	var w roleModeWire
	if err := s.getOne(ctx, pathSpaceRoleMode, nil, &w); err != nil {
		return "", err
	}
	if optional(w.Mode) == nil {
		return "", inCall(pathSpaceRoleMode, malformedf("no mode"))
	}
	s.mu.Lock()
	s.roleMode = w.Mode
	s.mu.Unlock()
	return *w.Mode, nil
}

// readSpaceRoles lists the roles of the site.
func (s *visit) readSpaceRoles(ctx context.Context, _ string, yield yielder) error {
	if err := s.rolesInUse(ctx); err != nil {
		s.mu.Lock()
		s.noRoles = err
		s.mu.Unlock()
		return err
	}
	var bad lacking
	names := roleNames{}
	l := listing[spaceRoleWire]{path: pathSpaceRoles, limit: limitV2, weight: weightIdentity, decode: decodeSpaceRoles, id: spaceRoleID}
	err := cursorPages(ctx, s, datasets.SpaceRoles.Dataset, l, func(items []spaceRoleWire) error {
		var rows, unknown []datasets.SpaceRole
		for i := range items {
			row, why := normalizeSpaceRole(&items[i])
			names[row.RoleID] = row.Name
			if why != "" {
				bad.add("role", row.RoleID, why)
				unknown = append(unknown, row)
			} else {
				rows = append(rows, row)
			}
		}
		return yieldPage(yield, datasets.SpaceRoles, rows, unknown)
	})
	s.mu.Lock()
	s.roles = names
	s.mu.Unlock()
	if err != nil {
		return err
	}
	return bad.err("GET " + pathSpaceRoles)
}

// roleAssignmentWire is an assignment in "Get space role assignments" (Confluence
// Cloud REST v2).
type roleAssignmentWire struct {
	Principal struct {
		Type ident `json:"principalType"`
		ID   ident `json:"principalId"`
	} `json:"principal"`
	RoleID ident `json:"roleId"`
}

// assignmentID tells assignments apart: they have no id of their own.
func assignmentID(w *roleAssignmentWire) ident {
	if w.RoleID == "" || w.Principal.Type == "" {
		return ""
	}
	return w.Principal.Type + "\x00" + w.Principal.ID + "\x00" + w.RoleID
}

func decodeRoleAssignments(body []byte) (batch[roleAssignmentWire], error) {
	return decodeV2(body, assignmentID)
}

// readSpaceRoleAssignments reads who has which role in one space.
func (s *visit) readSpaceRoleAssignments(ctx context.Context, space string, yield yielder) error {
	path := pathSpaces + "/" + url.PathEscape(space) + "/role-assignments"
	key := s.name(tableSpaces, space)
	l := listing[roleAssignmentWire]{path: path, limit: limitV2, weight: weightIdentity, decode: decodeRoleAssignments, id: assignmentID}
	err := cursorPages(ctx, s, datasets.SpaceRoleAssignments.Dataset, l, func(items []roleAssignmentWire) error {
		rows := make([]datasets.SpaceRoleAssignment, len(items))
		s.mu.Lock()
		for i, w := range items {
			rows[i] = datasets.SpaceRoleAssignment{
				PrincipalType: string(w.Principal.Type), PrincipalID: string(w.Principal.ID), RoleID: string(w.RoleID), SpaceKey: key, RoleName: s.roles[string(w.RoleID)],
			}
		}
		s.mu.Unlock()
		return yieldPage(yield, datasets.SpaceRoleAssignments, rows, nil)
	})
	if statusOf(err) == http.StatusNotFound {
		return s.hiddenOrGone(ctx, space, err)
	}
	return err
}
