package confluence

import (
	"context"
	"errors"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Witness asks for a partition's parent by id: the space, the group, or for what
// is one whole, the site. nil means that the parent answers, so that "nothing
// there" is believable (Invariant 1). A group needs it most: the members of a
// group that does not exist are an empty list with status 200.
func (s *Source) Witness(ctx context.Context, table *schemas.Dataset, partition string) error {
	if s.deployment == schemas.DataCenter {
		return s.dataCenterWitness(ctx, table, partition)
	}
	ask := map[string]struct {
		table *schemas.Dataset
		one   func(v *visit, ctx context.Context, id string) error
	}{
		tableSpaces: {datasets.Spaces.Dataset, (*visit).oneSpace},
		tableGroups: {datasets.Groups.Dataset, (*visit).oneGroup},
	}[table.Parent]
	if ask.one == nil {
		return s.siteAnswers(ctx)
	}
	v, err := s.visit(ask.table, "")
	if err != nil {
		return err
	}
	if err = ask.one(v, ctx, partition); err == nil {
		return nil
	}
	err = v.readError(table, "", err)
	if r, ok := errors.AsType[*collector.ReadError](err); ok && httpx.ClassOf(err) == httpx.ClassNotFound {
		r.State, r.Unlock = schemas.CoverageGone, ""
	}
	if table.Name == tableGroupMembers {
		s.mu.Lock() // what was read of the group is not to be relied on, for users neither
		s.people.ended(partition, err)
		s.mu.Unlock()
	}
	return err
}

// siteAnswers has the site itself answer, with data that only this site has.
// Which question can be asked depends on the scopes; the best is the one about
// its id.
func (s *Source) siteAnswers(ctx context.Context) error {
	v, lacking := s.visit(datasets.SecurityConfiguration.Dataset, sectionSystemInfo)
	if lacking == nil {
		if _, err := v.systemInfo(ctx); err != nil {
			return v.readError(datasets.SecurityConfiguration.Dataset, sectionSystemInfo, err)
		}
		return nil
	}
	if v, err := s.visit(datasets.Users.Dataset, ""); err == nil && v.way.Kind == schemas.Credential3LO && v.way.Principal != "" {
		// The account that connected the site is known to the site. Principals of other
		// kinds are clients or addresses, and no accounts to look up.
		l := lookup{ids: []string{v.way.Principal}}
		rows, _, err := v.lookUp(ctx, &l)
		if err != nil {
			return v.readError(datasets.Users.Dataset, "", err)
		}
		if len(rows) == 0 {
			return &collector.ReadError{State: schemas.CoverageFailed, Evidence: "POST " + pathUsersBulk + ": the site does not know the account that connected it"}
		}
		return nil
	}
	return &collector.ReadError{
		State:    schemas.CoverageFailed,
		Evidence: "no scope is granted by which the site itself could be asked, so an empty listing cannot be believed",
		Unlock:   unlockOf(lacking),
	}
}
