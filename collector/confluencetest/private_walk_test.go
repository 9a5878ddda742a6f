package confluencetest_test

import (
	"bytes"
	"encoding/json"
	"io"
	"net/http"
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
