package confluence_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluence"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// graphTargets are the targets that are read from the GraphQL gateway.
func graphTargets() []target {
	return slices.DeleteFunc(targets(), func(x target) bool { return x.api != schemas.APIGraphQL })
}

// keys are the keys of rows, sorted.
func keys(table *schemas.Dataset, rows ...[]row) []string {
	var list []string
	for _, some := range rows {
		for _, r := range some {
			var key []string
			for _, k := range table.KeyColumns() {
				key = append(key, r[table.Columns[k].Name])
			}
			list = append(list, strings.Join(key, " "))
		}
	}
	slices.Sort(list)
	return list
}

// missing are the elements of the first list that the second has not.
func missing(want, got []string) []string {
	var gone []string
	for _, key := range want {
		if _, found := slices.BinarySearch(got, key); !found {
			gone = append(gone, key)
		}
	}
	return gone
}

// optionalFields are the types of the gateway's schema that have the fields which
// a target's question can do without, and of fields inside of these.
func optionalFields() map[string]map[string][]string {
	settings := []string{
		"attachmentSettings", "isAnonymousAccessToRemoteApiEnabled", "isExternalConnectionEnabled", "connectionTimeout", "socketTimeout", "loginSettings", "isPrivacyModeEnabled",
		"isSystemAdminEnabled", "isXsrfAddCommentsEnabled", "isNofollowExternalLinksEnabled", "isHideTitleInUrlEnabled", "isContactAdministratorsFormEnabled",
		"contentAccessRequestSettings", "spaceAccessRequestSettings", "isSnippetSharingForSiteEnabled", "isAddWildcardsToUserAndGroupSearchesEnabled", "maxRssItems",
	}
	return map[string]map[string][]string{
		"groups with site permissions":  {"GroupWithPermissions": {"name"}},
		"persons with site permissions": {"ConfluencePerson": {"displayName"}},
		"public_link_spaces":            {"PublicLinkSpace": {"name", "isPolicySetForClassificationLevel", "stats"}, "PublicLinkSpaceStats": {"publicLinks"}, "PublicLinkStats": {"active"}},
		"public_links":                  {"PublicLink": {"title", "type", "accessType", "lastEnabledBy", "lastEnabledByUser", "lastEnabledDate"}, "ConfluencePerson": {"accountId"}},
		"collaborators listed":          {"ConfluencePerson": {"displayName", "email", "spacesAssigned"}},
		"forge apps": {
			"App": {"vendorName", "distributionStatus"}, "AppInstallation": {"appEnvironmentVersion", "createdAt", "createdBy", "license"},
			"AppEnvironmentVersion": {"version", "permissions"}, "AppHostServiceScope": {"key"}, "AppPermission": {"egress"}, "AppNetworkEgressPermission": {"addresses"},
		},
		"site_configuration":     {"ConfluenceSiteConfiguration": settings, "AttachmentSettings": {"maxAttachmentSize"}, "LoginSettings": {"loginAttemptsThreshold"}},
		"switch of public links": {"Query": {"confluence_shareableLinkSiteConfig"}, "ShareableLinkSiteConfig": {"siteConfigs"}},
	}
}

// TestDroppedFields: the gateway has no versions. What it takes away without need
// leaves the rest readable, and all that was known as it was; what rows cannot do
// without is said to be gone.
func TestDroppedFields(t *testing.T) {
	covered := map[string]bool{}
	for _, x := range graphTargets() {
		fields := optionalFields()[x.name]
		t.Run(x.name, func(t *testing.T) {
			s := newSite(t, x.site)
			s.cutPages(10)
			partition := x.partition(s)
			truth := truthBy(s)[x.api][x.table.Name][partition]
			for typ, names := range fields {
				for _, name := range names {
					covered[name] = true
					for how, change := range map[string]func() error{
						"dropped": func() error { return s.sim.DropGraphQLField(typ, name) },
						"renamed": func() error { return s.sim.RenameGraphQLField(typ, name, name+"V2") },
					} {
						s.sim.ResetGraphQLSchema()
						src := x.source(s)
						x.prepare(t, s, src)
						if err := change(); err != nil && how == "dropped" && strings.Contains(err.Error(), "must define one or more fields") {
							continue // its type has no other
						} else if err != nil {
							t.Fatal(err)
						}
						got := read(t, src, x.table, partition)
						if got.state() != schemas.CoveragePartial || !strings.Contains(got.err.Error(), "has no field ") || unlock(got.err) != "upgrade sitedrift" {
							t.Errorf("%s.%s %s: %v (%s)", typ, name, how, got.err, unlock(got.err))
						}
						if line := untrue(x.table, truth, got.rows); line != "" {
							t.Errorf("%s.%s %s: a row that is not true: %q", typ, name, how, line)
						}
						if name == "confluence_shareableLinkSiteConfig" || name == "siteConfigs" {
							continue // nobody knows which there were: nothing is removed from what is partial
						}
						if gone := missing(keys(x.table, truth), keys(x.table, got.rows, got.unknown)); gone != nil {
							t.Errorf("%s.%s %s: rows were lost: %q", typ, name, how, gone)
						}
						if x.kind == byGraph && len(got.unknown) == 0 {
							t.Errorf("%s.%s %s: nothing counts as unknown", typ, name, how)
						}
					}
				}
			}
			for typ, names := range requiredFields()[x.name] {
				for _, name := range names {
					s.sim.ResetGraphQLSchema()
					src := x.source(s)
					x.prepare(t, s, src)
					if err := s.sim.RenameGraphQLField(typ, name, name+"V2"); err != nil {
						t.Fatal(err)
					}
					got := read(t, src, x.table, partition)
					if got.state() != schemas.CoverageNotExposed || !strings.Contains(got.err.Error(), "'"+name+"'") || !strings.Contains(unlock(got.err), "upgrade sitedrift") {
						t.Errorf("%s.%s is gone: %v (%s)", typ, name, got.err, unlock(got.err))
					}
					if n := len(got.rows) + len(got.unknown); n > 0 && !x.behind {
						t.Errorf("%s.%s is gone: %d rows all the same", typ, name, n)
					}
				}
			}
		})
	}
	for question, names := range confluence.OptionalFields() {
		for _, name := range names {
			if !covered[name] {
				t.Errorf("nobody drops %s of %s", name, question)
			}
		}
	}
}

// requiredFields are some that rows cannot do without.
func requiredFields() map[string]map[string][]string {
	return map[string]map[string][]string{
		"groups with site permissions":  {"Query": {"sitePermissions"}, "SitePermission": {"groups", "anonymous"}, "GroupWithPermissions": {"id", "operations"}, "OperationCheckResult": {"targetType"}, "PaginatedGroupWithPermissions": {"nodes", "pageInfo"}},
		"persons with site permissions": {"SitePermission": {"confluencePersons"}, "ConfluencePerson": {"accountId"}},
		"public_link_spaces":            {"Query": {"publicLinkSpacesByCriteria"}, "PublicLinkSpace": {"spaceId", "status"}, "PublicLinkPageInfo": {"endPage"}},
		"public_links":                  {"Query": {"publicLinksByCriteria"}, "PublicLink": {"id", "status"}},
		"collaborators listed":          {"Query": {"confluence_externalCollaboratorsByCriteria"}, "ConfluencePerson": {"accountId"}},
		"forge apps":                    {"EcosystemQuery": {"appInstallationsByContext"}, "AppInstallation": {"app"}, "App": {"name"}},
		"site_configuration":            {"ConfluenceQueryApi": {"siteConfiguration"}},
		"switch of public links":        {"Query": {"publicLinkSiteStatus"}, "PublicLinkSitePayload": {"status"}},
	}
}

func unlock(err error) string {
	var e *collector.ReadError
	if !errors.As(err, &e) {
		return ""
	}
	return e.Unlock
}

// TestPartOfAnAnswer: one value that the gateway could not fetch makes its page
// unknown, and no more; none is lost, and none is taken for gone.
func TestPartOfAnAnswer(t *testing.T) {
	for _, c := range []struct{ target, field string }{
		{"groups with site permissions", "sitePermissions.groups.nodes.name"},
		{"persons with site permissions", "sitePermissions.confluencePersons.nodes.displayName"},
		{"public_link_spaces", "publicLinkSpacesByCriteria.nodes.stats"},
		{"public_links", "publicLinksByCriteria.nodes.lastEnabledByUser"},
		{"collaborators listed", "confluence_externalCollaboratorsByCriteria.nodes.spacesAssigned"},
		{"forge apps", "ecosystem.appInstallationsByContext.nodes.appEnvironmentVersion"},
		{"site_configuration", "confluence.siteConfiguration.isPrivacyModeEnabled"},
		{"site_configuration", "confluence.siteConfiguration.loginSettings"},
	} {
		t.Run(c.field, func(t *testing.T) {
			x := targets()[slices.IndexFunc(targets(), func(x target) bool { return x.name == c.target })]
			s := newSite(t, x.site)
			s.cutPages(10)
			partition := x.partition(s)
			truth := truthBy(s)[x.api][x.table.Name][partition]
			src := x.source(s)
			x.prepare(t, s, src)
			x.fail(s, confluencetest.Fault{Kind: confluencetest.FaultPartialData, Field: c.field})
			got := read(t, src, x.table, partition)
			if s.sim.FaultsApplied() != 1 {
				t.Fatal("the fault was not applied")
			}
			if got.state() != schemas.CoveragePartial || len(got.unknown) == 0 || len(got.rows) == 0 {
				t.Errorf("%d rows, %d unknown, %v", len(got.rows), len(got.unknown), got.err)
			}
			if line := untrue(x.table, truth, got.rows); line != "" {
				t.Errorf("a row that is not true: %q", line)
			}
			if gone := missing(keys(x.table, truth), keys(x.table, got.rows, got.unknown)); gone != nil {
				t.Errorf("rows were lost: %q", gone)
			}
		})
	}
}
