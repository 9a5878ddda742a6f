package confluence

import (
	"context"
	"errors"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathCurrentUser = "/rest/api/user/current"

// dataCenterWitness is Witness on Data Center: the space by its key, the group by
// its name, or the site by its base address.
func (s *Source) dataCenterWitness(ctx context.Context, table *schemas.Dataset, partition string) error {
	var parent *schemas.Dataset
	var one func(v *visit, ctx context.Context, id string) error
	switch table.Parent {
	case tableSpaces:
		parent, one = datasets.Spaces.Dataset, (*visit).oneDataCenterSpace
	case tableGroups:
		parent, one = datasets.Groups.Dataset, (*visit).oneDataCenterGroup
	default:
		return s.dataCenterAnswers(ctx)
	}
	v, err := s.visit(parent, "")
	if err != nil {
		return err
	}
	if err = one(v, ctx, partition); err == nil {
		return nil
	}
	gone := httpx.ClassOf(err) == httpx.ClassNotFound
	err = v.readError(table, "", err)
	if r, ok := errors.AsType[*collector.ReadError](err); ok && gone {
		r.State, r.Unlock = schemas.CoverageGone, ""
	}
	return err
}

// dataCenterAnswers has the site say its own base address. Versions before 9.1
// cannot be asked, and a site may keep apps from it; then the user whom the token
// belongs to must be known: no other site has issued the token.
func (s *Source) dataCenterAnswers(ctx context.Context) error {
	table, section := datasets.SecurityConfiguration.Dataset, datasets.SectionServerInformation
	v, err := s.visit(table, section)
	if err != nil {
		return err
	}
	_, err = v.serverInformation(ctx)
	if class := httpx.ClassOf(err); class != httpx.ClassNotFound && class != httpx.ClassForbidden {
		if err != nil {
			return v.readError(table, section, err)
		}
		return nil
	}
	var w dcUserWire
	if err := v.getOne(ctx, pathCurrentUser, nil, &w); err != nil {
		return v.readError(table, section, err)
	}
	if w.UserKey == "" {
		return &collector.ReadError{State: schemas.CoverageFailed, Evidence: "GET " + pathCurrentUser + ": 200: the site does not know whom the credential belongs to"}
	}
	return nil
}
