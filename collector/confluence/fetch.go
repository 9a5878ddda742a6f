package confluence

import (
	"context"
	"slices"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
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
		{tableUsers, schemas.Cloud, schemas.APIAdmin, (*visit).readOrganizationUsers},
		{tableExternalCollaborators, schemas.Cloud, schemas.APIAdmin, (*visit).readOrganizationGuests},
		{tableExternalCollaborators, schemas.Cloud, schemas.APIGraphQL, (*visit).listExternalCollaborators},
		{tableExternalCollaborators, schemas.Cloud, schemas.APIRest, (*visit).readExternalCollaborators},
		{datasets.SpaceRoles.Name, schemas.Cloud, schemas.APIRest, (*visit).readSpaceRoles},
		{datasets.SpaceRoleAssignments.Name, schemas.Cloud, schemas.APIRest, (*visit).readSpaceRoleAssignments},
		{datasets.SitePermissions.Name, schemas.Cloud, schemas.APIGraphQL, (*visit).readSitePermissions},
		{tableSecurityConfiguration, schemas.Cloud, schemas.APIGraphQL, (*visit).readGraphSettings},
		{tableSecurityConfiguration, schemas.Cloud, schemas.APIAdmin, (*visit).readOrganizationSettings},
		{tablePublicLinkSpaces, schemas.Cloud, schemas.APIGraphQL, (*visit).readPublicLinkSpaces},
		{datasets.PublicLinks.Name, schemas.Cloud, schemas.APIGraphQL, (*visit).readPublicLinks},
		{datasets.DataPolicies.Name, schemas.Cloud, schemas.APIRest, (*visit).readDataPolicies},
		{datasets.ClassificationLevels.Name, schemas.Cloud, schemas.APIRest, (*visit).readClassificationLevels},
		{datasets.InstalledApps.Name, schemas.Cloud, schemas.APIApps, (*visit).readConnectApps},
		{datasets.InstalledApps.Name, schemas.Cloud, schemas.APIGraphQL, (*visit).readForgeApps},
		{datasets.Subscriptions.Name, schemas.Cloud, schemas.APIAdmin, (*visit).readOrganizationSeats},
		{datasets.Subscriptions.Name, schemas.Cloud, schemas.APILicense, (*visit).readLicenceSeats},
		{datasets.AuditEvents.Name, schemas.Cloud, schemas.APIRest, (*visit).readAuditEvents},
		{datasets.AuditEvents.Name, schemas.Cloud, schemas.APIAdmin, (*visit).readOrganizationEvents},
		{datasets.UserActivities.Name, schemas.Cloud, schemas.APIAdmin, (*visit).readUserActivity},
		{datasets.UserActivities.Name, schemas.Cloud, schemas.APIRest, (*visit).readAuditActivity},
	}
}

// read finds the line for the visit's source and reads by it.
func (s *visit) read(ctx context.Context, table *schemas.Dataset, partition string, yield yielder) error {
	for _, f := range slices.Concat(fetches(), dataCenterFetches()) {
		if f.dataset == table.Name && f.deployment == s.deployment && f.api == s.access.API {
			return f.read(s, ctx, partition, yield)
		}
	}
	return &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: "no reader for " + table.Name + " by " + s.access.API}
}
