package confluencetest_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// insider reads a site's own host with a classic API token, through HTTP alone.
type insider struct {
	t     *testing.T
	srv   *confluencetest.Server
	site  *confluencetest.Site
	token confluencetest.APIToken
	first int // page size; 0: the default of each field
}

func newInsider(t *testing.T, srv *confluencetest.Server, site *confluencetest.Site) *insider {
	t.Helper()
	return &insider{t: t, srv: srv, site: site, token: srv.AddToken(confluencetest.APIToken{})}
}

// send makes one request; header values come in pairs.
func send(t *testing.T, method, url, body string, auth func(*http.Request), headers ...string) page {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if body != "" {
		req.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i+1 < len(headers); i += 2 {
		req.Header.Add(headers[i], headers[i+1])
	}
	if auth != nil {
		auth(req)
	}
	resp, err := http.DefaultTransport.RoundTrip(req)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatalf("%s %s: %v", method, url, err)
	}
	return page{status: resp.StatusCode, header: resp.Header, body: b}
}

func (in *insider) auth(req *http.Request) { req.SetBasicAuth(in.token.Email, in.token.Token) }

func (in *insider) get(path string, headers ...string) page {
	in.t.Helper()
	return send(in.t, http.MethodGet, in.site.URL()+path, "", in.auth, headers...)
}

// graphqlBody encodes a request of the gateway.
func graphqlBody(t *testing.T, query string, variables map[string]any) string {
	t.Helper()
	b, err := json.Marshal(map[string]any{"query": query, "variables": variables})
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func (in *insider) post(query string, variables map[string]any, headers ...string) page {
	in.t.Helper()
	return send(in.t, http.MethodPost, in.site.URL()+"/gateway/api/graphql", graphqlBody(in.t, query, variables), in.auth, headers...)
}

// gqlAnswer is the envelope of the gateway.
type gqlAnswer struct {
	Data   json.RawMessage
	Errors []struct {
		Message    string
		Path       []any
		Locations  []struct{ Line, Column int }
		Extensions map[string]any
	}
	Extensions struct{ RequestID string }
}

func parseAnswer(t *testing.T, p page) gqlAnswer {
	t.Helper()
	var a gqlAnswer
	dec := json.NewDecoder(bytes.NewReader(p.body))
	dec.UseNumber()
	if err := dec.Decode(&a); err != nil || p.status != http.StatusOK {
		t.Fatalf("status %d, %v in %s", p.status, err, p.body)
	}
	return a
}

// data decodes an answer that must be without errors.
func (in *insider) data(into any, query string, variables map[string]any) {
	in.t.Helper()
	a := parseAnswer(in.t, in.post(query, variables))
	if len(a.Errors) > 0 || a.Extensions.RequestID == "" {
		in.t.Fatalf("%s: %+v", query, a)
	}
	if err := json.Unmarshal(a.Data, into); err != nil {
		in.t.Fatalf("%s: %v in %s", query, err, a.Data)
	}
}

func (in *insider) paging(after *string) map[string]any {
	v := map[string]any{"after": after}
	if in.first > 0 {
		v["first"] = in.first
	}
	return v
}

type wireInfo struct {
	EndCursor, EndPage *string
	HasNextPage        bool
}

// next returns the cursor of the next page; false at the end.
func (i wireInfo) next(t *testing.T) (*string, bool) {
	t.Helper()
	c := i.EndCursor
	if c == nil {
		c = i.EndPage
	}
	if i.HasNextPage && c == nil {
		t.Fatal("there is a next page, and no cursor that leads to it")
	}
	return c, i.HasNextPage
}

// checkCount compares a connection's count with what its pages held.
func checkCount(t *testing.T, what string, count *int, got int) {
	t.Helper()
	if count == nil || *count != got {
		t.Errorf("%s: the count says %v, the pages hold %d", what, count, got)
	}
}

type wireOperation struct{ Operation, TargetType string }

func operations(list []wireOperation) []confluencetest.SiteOperation {
	if list == nil {
		return nil
	}
	result := make([]confluencetest.SiteOperation, len(list))
	for i, o := range list {
		result[i] = confluencetest.SiteOperation{Operation: o.Operation, Target: o.TargetType}
	}
	return result
}

type wirePerson struct {
	AccountID, AccountType, PermissionType string
	DisplayName, PublicName, Email         *string
	Operations                             []wireOperation
	SpacesAssigned                         *struct {
		Count int
		Nodes []struct{ ID, Key, Name string }
	}
}

// read collects everything that Posture covers, but for the activity.
func (in *insider) read() confluencetest.Posture {
	in.t.Helper()
	var p confluencetest.Posture
	in.readPermissions(&p)
	in.readSecurity(&p)
	in.readLinks(&p)
	in.readGuests(&p)
	in.readApps(&p)
	in.readLicence(&p)
	return p
}

func (in *insider) readPermissions(p *confluencetest.Posture) {
	in.t.Helper()
	const query = `query Both($first: Int, $groupsAfter: String, $personsAfter: String, $groups: Boolean!, $persons: Boolean!) {
		sitePermissions {
			anonymous { displayName type permissionType operations { operation targetType } }
			anonymousAccessDSPBlocked
			unlicensedUserWithPermissions { operations { operation targetType } }
			groups(first: $first, after: $groupsAfter) @include(if: $groups) {
				count pageInfo { endCursor hasNextPage } nodes { id name managedBy usageType operations { ...op } }
			}
			confluencePersons(first: $first, after: $personsAfter) @include(if: $persons) {
				count pageInfo { endCursor hasNextPage }
				edges { cursor node { accountId accountType displayName publicName email permissionType operations { ...op } } }
			}
		}
	}
	fragment op on OperationCheckResult { operation targetType }`
	v := in.paging(nil)
	delete(v, "after")
	v["groups"], v["persons"] = true, true
	for v["groups"] == true || v["persons"] == true {
		var answer struct {
			SitePermissions struct {
				Anonymous                     *struct{ Operations []wireOperation }
				AnonymousAccessDSPBlocked     bool
				UnlicensedUserWithPermissions *struct{ Operations []wireOperation }
				Groups                        *struct {
					Count    *int
					PageInfo wireInfo
					Nodes    []struct {
						ID                         string
						Name, ManagedBy, UsageType *string
						Operations                 []wireOperation
					}
				}
				ConfluencePersons *struct {
					Count    *int
					PageInfo wireInfo
					Edges    []struct {
						Cursor string
						Node   wirePerson
					}
				}
			}
		}
		in.data(&answer, query, v)
		sp := answer.SitePermissions
		s := &p.SitePermissions
		s.AnonymousBlocked = sp.AnonymousAccessDSPBlocked
		if sp.Anonymous != nil {
			s.Anonymous = operations(sp.Anonymous.Operations)
		}
		if sp.UnlicensedUserWithPermissions != nil {
			s.Unlicensed = operations(sp.UnlicensedUserWithPermissions.Operations)
		}
		if g := sp.Groups; g != nil {
			for _, n := range g.Nodes {
				s.Groups = append(s.Groups, confluencetest.SiteGroup{ID: n.ID, Name: value(n.Name), ManagedBy: value(n.ManagedBy), UsageType: value(n.UsageType), Operations: operations(n.Operations)})
			}
			if v["groupsAfter"], v["groups"] = g.PageInfo.next(in.t); v["groups"] == false {
				checkCount(in.t, "groups", g.Count, len(s.Groups))
			}
		}
		if c := sp.ConfluencePersons; c != nil {
			for _, e := range c.Edges {
				n := e.Node
				s.Persons = append(s.Persons, confluencetest.SitePerson{
					AccountID: n.AccountID, AccountType: n.AccountType, DisplayName: value(n.DisplayName), PublicName: value(n.PublicName), Email: value(n.Email),
					PermissionType: n.PermissionType, Operations: operations(n.Operations),
				})
			}
			if v["personsAfter"], v["persons"] = c.PageInfo.next(in.t); v["persons"] == false {
				checkCount(in.t, "persons", c.Count, len(s.Persons))
			}
		}
	}
}

func (in *insider) readSecurity(p *confluencetest.Posture) {
	in.t.Helper()
	var answer struct {
		Confluence struct {
			SiteConfiguration struct {
				AttachmentSettings *struct {
					AttachmentSecurityLevel *string
					MaxAttachmentSize       *int64
					MaxAttachmentsPerUpload *int
				}
				LoginSettings *struct {
					EnableElevatedSecurityCheck *bool
					LoginAttemptsThreshold      *int
				}
				ContentAccessRequestSettings, SpaceAccessRequestSettings, TeamAdminControlsSettings *struct{ Enabled *bool }
				ConnectionTimeout, SocketTimeout, MaxRssItems                                       *int
				IsAddWildcardsToUserAndGroupSearchesEnabled, IsAnonymousAccessToRemoteApiEnabled    *bool
				IsContactAdministratorsFormEnabled, IsExternalConnectionEnabled                     *bool
				IsHideTitleInUrlEnabled, IsNofollowExternalLinksEnabled, IsPrivacyModeEnabled       *bool
				IsSnippetSharingForSiteEnabled, IsSystemAdminEnabled, IsXsrfAddCommentsEnabled      *bool
				SiteHomePage                                                                        *string
			}
		}
		PublicLinkSiteStatus               struct{ Status string }
		Confluence_shareableLinkSiteConfig struct {
			SiteConfigs []confluencetest.ShareableLink
		}
		TenantContexts []*struct{ CloudID, OrgID, HostName string }
	}
	in.data(&answer, `query Settings($cloudId: ID!) {
		publicLinkSiteStatus { status }
		confluence_shareableLinkSiteConfig { siteConfigs { accessType status } }
		tenantContexts(cloudIds: [$cloudId, "unknown"]) { cloudId orgId hostName }
		confluence { siteConfiguration(cloudId: $cloudId) {
			attachmentSettings { attachmentSecurityLevel maxAttachmentSize maxAttachmentsPerUpload }
			loginSettings { enableElevatedSecurityCheck loginAttemptsThreshold }
			contentAccessRequestSettings { enabled } spaceAccessRequestSettings { enabled } teamAdminControlsSettings { enabled }
			connectionTimeout socketTimeout maxRssItems siteHomePage
			isAddWildcardsToUserAndGroupSearchesEnabled isAnonymousAccessToRemoteApiEnabled isContactAdministratorsFormEnabled isExternalConnectionEnabled
			isHideTitleInUrlEnabled isNofollowExternalLinksEnabled isPrivacyModeEnabled isSnippetSharingForSiteEnabled isSystemAdminEnabled isXsrfAddCommentsEnabled
		} }
	}`, map[string]any{"cloudId": in.site.CloudID()})
	w := answer.Confluence.SiteConfiguration
	c := &p.Configuration
	if a := w.AttachmentSettings; a != nil {
		c.AttachmentSecurityLevel, c.MaxAttachmentSize, c.MaxAttachmentsPerUpload = a.AttachmentSecurityLevel, a.MaxAttachmentSize, a.MaxAttachmentsPerUpload
	}
	if l := w.LoginSettings; l != nil {
		c.ElevatedSecurityCheck, c.LoginAttemptsThreshold = l.EnableElevatedSecurityCheck, l.LoginAttemptsThreshold
	}
	if w.ContentAccessRequestSettings != nil {
		c.ContentAccessRequests = w.ContentAccessRequestSettings.Enabled
	}
	if w.SpaceAccessRequestSettings != nil {
		c.SpaceAccessRequests = w.SpaceAccessRequestSettings.Enabled
	}
	if w.TeamAdminControlsSettings != nil {
		c.TeamAdminControls = w.TeamAdminControlsSettings.Enabled
	}
	c.ConnectionTimeout, c.SocketTimeout, c.MaxRSSItems, c.SiteHomePage = w.ConnectionTimeout, w.SocketTimeout, w.MaxRssItems, w.SiteHomePage
	c.SearchWildcards, c.AnonymousRemoteAPI = w.IsAddWildcardsToUserAndGroupSearchesEnabled, w.IsAnonymousAccessToRemoteApiEnabled
	c.ContactAdministrators, c.ExternalConnections = w.IsContactAdministratorsFormEnabled, w.IsExternalConnectionEnabled
	c.HideTitleInURL, c.NofollowExternalLinks, c.PrivacyMode = w.IsHideTitleInUrlEnabled, w.IsNofollowExternalLinksEnabled, w.IsPrivacyModeEnabled
	c.SnippetSharing, c.SystemAdmin, c.XSRFAddComments = w.IsSnippetSharingForSiteEnabled, w.IsSystemAdminEnabled, w.IsXsrfAddCommentsEnabled
	p.PublicLinkSite, p.ShareableLinks = answer.PublicLinkSiteStatus.Status, answer.Confluence_shareableLinkSiteConfig.SiteConfigs
	if t := answer.TenantContexts; len(t) != 2 || t[0] == nil || t[1] != nil || t[0].CloudID != in.site.CloudID() || t[0].HostName != in.site.HostName() {
		in.t.Fatalf("tenant contexts: %+v", t)
	}
	p.OrganizationID = answer.TenantContexts[0].OrgID
}

func (in *insider) readLinks(p *confluencetest.Posture) {
	in.t.Helper()
	p.PublicLinks = map[string][]confluencetest.PublicLink{}
	for after, more := (*string)(nil), true; more; {
		var answer struct {
			PublicLinkSpacesByCriteria struct {
				PageInfo wireInfo
				Nodes    []struct {
					SpaceID, SpaceKey, Name, Status   string
					SpaceAlias, PreviousStatus        *string
					IsPolicySetForClassificationLevel *bool
					Stats                             struct{ PublicLinks struct{ Active int } }
				}
			}
		}
		in.data(&answer, `query Spaces($first: Int, $after: String) { publicLinkSpacesByCriteria(first: $first, after: $after) {
			pageInfo { startPage endPage hasNextPage }
			nodes { spaceId spaceKey name status spaceAlias previousStatus isPolicySetForClassificationLevel stats { publicLinks { active } } icon { path } }
		} }`, in.paging(after))
		for _, n := range answer.PublicLinkSpacesByCriteria.Nodes {
			p.PublicLinkSpaces = append(p.PublicLinkSpaces, confluencetest.PublicLinkSpace{
				SpaceID: n.SpaceID, Key: n.SpaceKey, Name: n.Name, Status: n.Status, Alias: value(n.SpaceAlias), PreviousStatus: value(n.PreviousStatus),
				ClassificationPolicy: n.IsPolicySetForClassificationLevel, Active: n.Stats.PublicLinks.Active,
			})
			p.PublicLinks[n.SpaceID] = in.linksOf(n.SpaceID)
		}
		after, more = answer.PublicLinkSpacesByCriteria.PageInfo.next(in.t)
	}
}

func (in *insider) linksOf(space string) (list []confluencetest.PublicLink) {
	in.t.Helper()
	for after, more := (*string)(nil), true; more; {
		var answer struct {
			PublicLinksByCriteria struct {
				PageInfo wireInfo
				Nodes    []struct {
					ID, Type, Status, PublicLinkURLPath string
					Title, AccessType, LastEnabledBy    *string
					LastEnabledByUser                   *wirePerson
					LastEnabledDate                     time.Time
				}
			}
		}
		v := in.paging(after)
		v["space"] = space
		in.data(&answer, `query Links($space: ID!, $first: Int, $after: String) { publicLinksByCriteria(spaceId: $space, first: $first, after: $after) {
			pageInfo { startPage endPage hasNextPage }
			nodes { id title type status accessType publicLinkUrlPath lastEnabledBy lastEnabledByUser { accountId } lastEnabledDate }
		} }`, v)
		for _, n := range answer.PublicLinksByCriteria.Nodes {
			if !strings.Contains(n.PublicLinkURLPath, in.site.LinkCanary()) {
				in.t.Errorf("the address %q has no canary", n.PublicLinkURLPath)
			}
			if n.LastEnabledByUser != nil && n.LastEnabledByUser.AccountID != value(n.LastEnabledBy) {
				in.t.Errorf("enabled by %v and by %+v", value(n.LastEnabledBy), n.LastEnabledByUser)
			}
			list = append(list, confluencetest.PublicLink{
				ID: n.ID, Title: value(n.Title), Type: n.Type, Status: n.Status, AccessType: value(n.AccessType), EnabledBy: value(n.LastEnabledBy), EnabledAt: n.LastEnabledDate,
			})
		}
		after, more = answer.PublicLinksByCriteria.PageInfo.next(in.t)
	}
	return list
}

func (in *insider) readGuests(p *confluencetest.Posture) {
	in.t.Helper()
	for after, more := (*string)(nil), true; more; {
		var answer struct {
			List struct {
				Count    *int
				PageInfo wireInfo
				Nodes    []wirePerson
			}
		}
		in.data(&answer, `query Guests($first: Int, $after: String) { list: confluence_externalCollaboratorsByCriteria(first: $first, after: $after) {
			count pageInfo { endCursor hasNextPage } nodes { accountId permissionType spacesAssigned { count nodes { id key name } } }
		} }`, in.paging(after))
		for _, n := range answer.List.Nodes {
			g := confluencetest.GuestAssignment{AccountID: n.AccountID}
			if n.SpacesAssigned != nil {
				g.SpaceIDs = []string{}
				for _, s := range n.SpacesAssigned.Nodes {
					g.SpaceIDs = append(g.SpaceIDs, s.ID)
				}
			}
			p.Guests = append(p.Guests, g)
		}
		if after, more = answer.List.PageInfo.next(in.t); !more {
			checkCount(in.t, "guests", answer.List.Count, len(p.Guests))
		}
	}
	slices.SortFunc(p.Guests, func(a, b confluencetest.GuestAssignment) int { return cmp.Compare(a.AccountID, b.AccountID) })
}

func (in *insider) readLicence(p *confluencetest.Posture) {
	in.t.Helper()
	count := func(what string) int {
		var answer struct{ Count *int }
		got := in.get("/wiki/rest/license/1.0/license/" + what)
		if err := json.Unmarshal(got.body, &answer); err != nil || got.status != http.StatusOK || answer.Count == nil {
			in.t.Fatalf("%s: status %d, %v in %s", what, got.status, err, got.body)
		}
		return *answer.Count
	}
	p.Seats = confluencetest.Seats{Used: count("userCount"), Maximum: count("maxUsers")}
	if left := count("remainingSeats"); left != p.Seats.Remaining() {
		in.t.Errorf("%d seats remain, want %d", left, p.Seats.Remaining())
	}
	switch got := in.get("/wiki/api/v2/admin-key"); got.status {
	case http.StatusNotFound:
	case http.StatusOK:
		var answer struct {
			AccountID      string
			ExpirationTime time.Time
		}
		if err := json.Unmarshal(got.body, &answer); err != nil {
			in.t.Fatal(err)
		}
		p.AdminKey = &confluencetest.AdminKeyState{AccountID: answer.AccountID, Until: answer.ExpirationTime}
	default:
		in.t.Fatalf("admin key: status %d: %s", got.status, got.body)
	}
}

type wireLicense struct {
	Active                            bool
	Type                              *string
	IsEvaluation                      *bool
	TrialEndDate, SubscriptionEndDate *time.Time
}

func (l *wireLicense) license() *confluencetest.AppLicense {
	if l == nil {
		return nil
	}
	at := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	}
	return &confluencetest.AppLicense{Active: l.Active, Type: value(l.Type), Evaluation: l.IsEvaluation, TrialEnd: at(l.TrialEndDate), End: at(l.SubscriptionEndDate)}
}

const installationFields = `id createdAt createdBy { accountId name } installationContext appEnvironment { type key }
	appEnvironmentVersion { version isLatest permissions { scopes { key name description } egress { type addresses } } trustSignal(key: "x") { key result } }
	license { active type isEvaluation trialEndDate subscriptionEndDate }`

type wireInstallation struct {
	ID                    string
	CreatedAt             time.Time
	CreatedBy             *struct{ AccountID string }
	AppEnvironment        struct{ Type string }
	AppEnvironmentVersion struct {
		Version     string
		IsLatest    bool
		Permissions []struct {
			Scopes []struct{ Key string }
			Egress []confluencetest.Egress
		}
	}
	License *wireLicense
}

func (w wireInstallation) fill(a *confluencetest.InstalledApp) {
	a.Installation, a.InstalledAt, a.Environment, a.Version, a.Latest = w.ID, w.CreatedAt, w.AppEnvironment.Type, w.AppEnvironmentVersion.Version, w.AppEnvironmentVersion.IsLatest
	if w.CreatedBy != nil {
		a.InstalledBy = w.CreatedBy.AccountID
	}
	for _, p := range w.AppEnvironmentVersion.Permissions {
		for _, s := range p.Scopes {
			a.Scopes = append(a.Scopes, s.Key)
		}
		a.Egress = append(a.Egress, p.Egress...)
	}
	a.License = w.License.license()
}

// readApps reads the apps from the newer field, and checks the older one and the
// plugin manager against it. What neither tells about Connect apps stays empty.
func (in *insider) readApps(p *confluencetest.Posture) {
	in.t.Helper()
	ari := "ari:cloud:confluence::site/" + in.site.CloudID()
	for after, more := (*string)(nil), true; more; {
		var answer struct {
			Ecosystem struct {
				AppsInstalledInContexts struct {
					TotalCount *int
					PageInfo   wireInfo
					Edges      []struct {
						Node struct {
							Typename                        string `json:"__typename"`
							ID, Name, DistributionStatus    string
							VendorName, VendorType, BaseURL *string
							StoresPersonalData              *bool
							MarketplaceApp                  *struct{ AppKey string }
							Installations                   []struct {
								AppVersion struct {
									Version     string
									Permissions []string
								}
								InstallationContext string
								License             *wireLicense
							}
							InstallationsByContexts struct {
								TotalCount int
								Nodes      []wireInstallation
							}
						}
					}
				}
			}
		}
		v := in.paging(after)
		v["context"] = ari
		in.data(&answer, `query Apps($context: ID!, $first: Int, $after: String) { ecosystem { appsInstalledInContexts(contextIds: [$context], first: $first, after: $after) {
			totalCount pageInfo { endCursor hasNextPage }
			edges { cursor node { __typename
				... on App { id name distributionStatus vendorName vendorType storesPersonalData marketplaceApp { appKey } installationsByContexts(contexts: [$context]) { totalCount nodes { `+installationFields+` } } }
				... on EcosystemConnectApp { id name distributionStatus vendorName baseUrl marketplaceApp { appKey }
					installations { appVersion { version permissions } installationContext license { active type isEvaluation trialEndDate subscriptionEndDate } } }
			} }
		} } }`, v)
		list := answer.Ecosystem.AppsInstalledInContexts
		for _, e := range list.Edges {
			n := e.Node
			a := confluencetest.InstalledApp{
				ID: n.ID, Name: n.Name, DistributionStatus: n.DistributionStatus, Vendor: value(n.VendorName), VendorType: value(n.VendorType), BaseURL: value(n.BaseURL), PersonalData: n.StoresPersonalData,
			}
			if n.MarketplaceApp != nil {
				a.MarketplaceKey = n.MarketplaceApp.AppKey
			}
			switch n.Typename {
			case "App":
				a.Kind, a.Enabled = "forge", true
				if len(n.InstallationsByContexts.Nodes) != 1 {
					in.t.Fatalf("app %s has %d installations", n.ID, len(n.InstallationsByContexts.Nodes))
				}
				n.InstallationsByContexts.Nodes[0].fill(&a)
			case "EcosystemConnectApp":
				a.Kind, a.Version, a.Scopes, a.License = "connect", n.Installations[0].AppVersion.Version, n.Installations[0].AppVersion.Permissions, n.Installations[0].License.license()
			default:
				in.t.Fatalf("an app is a %q", n.Typename)
			}
			p.Apps = append(p.Apps, a)
		}
		if after, more = list.PageInfo.next(in.t); !more {
			checkCount(in.t, "apps", list.TotalCount, len(p.Apps))
		}
	}
	in.checkInstallations(p, ari)
	in.readPlugins(p)
}

func (in *insider) checkInstallations(p *confluencetest.Posture, ari string) {
	in.t.Helper()
	var got []string
	for after, more := (*string)(nil), true; more; {
		var answer struct {
			Ecosystem struct {
				AppInstallationsByContext struct {
					PageInfo wireInfo
					Nodes    []struct {
						wireInstallation
						App struct{ ID string }
					}
				}
			}
		}
		v := in.paging(after)
		v["filter"] = map[string]any{"appInstallations": map[string]any{"contexts": []string{ari}}}
		in.data(&answer, `query Forge($filter: AppInstallationsByContextFilter!, $first: Int, $after: String) { ecosystem { appInstallationsByContext(filter: $filter, first: $first, after: $after) {
			totalCount pageInfo { endCursor hasNextPage } nodes { app { id } `+installationFields+` }
		} } }`, v)
		for _, n := range answer.Ecosystem.AppInstallationsByContext.Nodes {
			got = append(got, n.App.ID+" "+n.AppEnvironmentVersion.Version)
		}
		after, more = answer.Ecosystem.AppInstallationsByContext.PageInfo.next(in.t)
	}
	var want []string
	for _, a := range p.Apps {
		if a.Kind == "forge" {
			want = append(want, a.ID+" "+a.Version)
		}
	}
	if !slices.Equal(got, want) {
		in.t.Errorf("the older field lists %q, the newer one %q", got, want)
	}
}

func (in *insider) readPlugins(p *confluencetest.Posture) {
	in.t.Helper()
	got := in.get("/wiki/rest/plugins/1.0/", "Accept", "application/vnd.atl.plugins.installed+json")
	var answer struct {
		Plugins []struct {
			Key, Name, Version                string
			Enabled, UserInstalled, Remotable bool
			Vendor                            *struct{ Name string }
		}
	}
	if err := json.Unmarshal(got.body, &answer); err != nil || got.status != http.StatusOK || got.header.Get("Content-Type") != "application/vnd.atl.plugins.installed+json" {
		in.t.Fatalf("plugins: status %d, %v, %v", got.status, got.header, err)
	}
	for _, row := range answer.Plugins {
		if !row.Remotable {
			p.InternalPlugins++
			continue
		}
		i := slices.IndexFunc(p.Apps, func(a confluencetest.InstalledApp) bool { return a.ID == row.Key })
		if i < 0 || p.Apps[i].Name != row.Name || p.Apps[i].Version != row.Version || !row.UserInstalled {
			in.t.Errorf("the plugin manager has %+v, the gateway does not", row)
			continue
		}
		p.Apps[i].Enabled = row.Enabled
		if want := ""; row.Vendor != nil {
			want = row.Vendor.Name
			if want != p.Apps[i].Vendor {
				in.t.Errorf("vendor of %s: %q and %q", row.Key, want, p.Apps[i].Vendor)
			}
		}
	}
}

// visible blanks what no endpoint shows.
func visible(p confluencetest.Posture) confluencetest.Posture {
	p.Activity = nil
	for i := range p.Apps {
		if a := &p.Apps[i]; a.Kind == "connect" {
			a.Installation, a.InstalledBy, a.InstalledAt, a.Environment, a.Latest, a.Egress = "", "", time.Time{}, "", false, nil
		}
	}
	return p
}

// fieldNames reads the fields of a type through introspection.
func (in *insider) fieldNames(typ string) []string {
	in.t.Helper()
	var answer struct {
		Type *struct{ Fields []struct{ Name string } } `json:"__type"`
	}
	in.data(&answer, fmt.Sprintf(`{ __type(name: %q) { name kind fields { name type { kind name ofType { name } } } } }`, typ), nil)
	if answer.Type == nil {
		return nil
	}
	var names []string
	for _, f := range answer.Type.Fields {
		names = append(names, f.Name)
	}
	return names
}
