package confluence

import (
	"context"

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
	var err error
	switch table.Parent {
	case tableSpaces:
		err = s.oneSpace(ctx, partition)
	case tableGroups:
		err = s.oneGroup(ctx, partition)
	default:
		return s.site(ctx)
	}
	if err == nil {
		return nil
	}
	err = s.readError(table, "", err)
	if r, ok := err.(*collector.ReadError); ok && httpx.ClassOf(err) == httpx.ClassNotFound {
		r.State, r.Unlock = schemas.CoverageGone, ""
	}
	if table.Name == tableGroupMembers {
		s.mu.Lock() // what was read of the group is not to be relied on, for users neither
		s.people.ended(partition, err)
		s.mu.Unlock()
	}
	return err
}

// site has the site itself answer, with data that only this site has. Which
// question can be asked depends on the scopes; the best is the one about its id.
func (s *Source) site(ctx context.Context) error {
	switch {
	case s.mayRead(datasets.SecurityConfiguration.Dataset, sectionSystemInfo) == nil:
		if _, err := s.systemInfo(ctx); err != nil {
			return s.readError(datasets.SecurityConfiguration.Dataset, sectionSystemInfo, err)
		}
		return nil
	case s.principal != "" && s.mayRead(datasets.Users.Dataset, "") == nil:
		// The account that connected the site is known to the site.
		l := lookup{ids: []string{s.principal}}
		rows, _, err := s.lookUp(ctx, &l)
		if err != nil {
			return s.readError(datasets.Users.Dataset, "", err)
		}
		if len(rows) == 0 {
			return &collector.ReadError{State: schemas.CoverageFailed, Evidence: "POST " + pathUsersBulk + ": the site does not know the account that connected it"}
		}
		return nil
	default:
		return &collector.ReadError{
			State:    schemas.CoverageFailed,
			Evidence: "no scope is granted by which the site itself could be asked, so an empty listing cannot be believed",
			Unlock:   s.grantScopes(s.scopesFor(datasets.SecurityConfiguration.Dataset, sectionSystemInfo)),
		}
	}
}
