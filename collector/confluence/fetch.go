package confluence

import (
	"context"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// fetch reads one partition of a dataset by one interface of a deployment.
type fetch struct {
	dataset, deployment, api string
	read                     func(v *visit, ctx context.Context, partition string, yield yielder) error
}

// fetches has one line per dataset and interface.
func fetches() []fetch {
	return []fetch{
		{tableSpaces, schemas.Cloud, schemas.APIRest, (*visit).readSpaces},
		{tableSpacePermissions, schemas.Cloud, schemas.APIRest, (*visit).readSpacePermissions},
		{tableSecurityConfiguration, schemas.Cloud, schemas.APIRest, (*visit).readSecurityConfiguration},
		{tableGroups, schemas.Cloud, schemas.APIRest, (*visit).readGroups},
		{tableGroupMembers, schemas.Cloud, schemas.APIRest, (*visit).readGroupMembers},
		{tableUsers, schemas.Cloud, schemas.APIRest, (*visit).readUsers},
		{tableExternalCollaborators, schemas.Cloud, schemas.APIRest, (*visit).readExternalCollaborators},
	}
}

// read finds the line for the visit's source and reads by it.
func (s *visit) read(ctx context.Context, table *schemas.Dataset, partition string, yield yielder) error {
	for _, f := range fetches() {
		if f.dataset == table.Name && f.deployment == s.deployment && f.api == s.access.API {
			return f.read(s, ctx, partition, yield)
		}
	}
	return &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: "no reader for " + table.Name + " by " + s.access.API}
}
