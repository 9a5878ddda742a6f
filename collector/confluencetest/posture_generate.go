package confluencetest

import (
	"fmt"
	"slices"
	"time"
)

// standardSiteOperations are the global permissions that the published schema knows.
func standardSiteOperations() []SiteOperation {
	return []SiteOperation{
		{"USE_CONFLUENCE", "APPLICATION"},
		{"LIMITED_USE_CONFLUENCE", "APPLICATION"},
		{"CREATE_SPACE", "SPACE"},
		{"USE_PERSONALSPACE", "SPACE"},
		{"UPDATE_USERSTATUS", "USERPROFILE"},
		{"READ_USERPROFILE", "USERPROFILE"},
		{"CREATE_PROFILEATTACHMENT", "USERPROFILE"},
		{"EXTERNAL_COLLABORATOR", "APPLICATION"},
		{"ADMINISTER_CONFLUENCE", "APPLICATION"},
		{"ADMINISTER_SYSTEM", "SYSTEM"},
	}
}

// nastySiteOperations are in no list; the last two collide when their parts are
// joined without lengths.
func nastySiteOperations() []SiteOperation {
	return []SiteOperation{{"MANAGE_AI_FEATURES", "APPLICATION"}, {"USE_CONFLUENCE|SPACE", "SITE"}, {"USE_CONFLUENCE", "SPACE|SITE"}}
}

// generatePosture fills in what OAuth tokens cannot see. It draws from its own
// stream, so that the rest of a seed's world does not depend on it.
func (s *Site) generatePosture(seed uint64, start time.Time) {
	r := newRandom(seed, "posture of "+s.name)
	x := &s.posture
	*x = posture{
		rand: newRandom(seed, "posture mutations of "+s.name), groups: map[string][]SiteOperation{}, persons: map[string][]SiteOperation{},
		links: map[int64]*linkSpace{}, guests: map[string][]string{}, activity: map[string]map[string]time.Time{}, linkSite: "ON",
		shareable: []ShareableLink{{"EXTERNAL", "ON"}, {"INTERNAL_LICENSED", "OFF"}}, noLicence: s.settings.NoLicenceEndpoints,
	}
	operations := standardSiteOperations()
	for i, g := range s.groups {
		switch {
		case g.data.Access != "user":
			x.groups[g.data.ID] = slices.Clone(operations)
		case len(g.members) > len(s.users)/2:
			x.groups[g.data.ID] = slices.Clone(operations[:7])
		case i%2 == 0:
			x.groups[g.data.ID] = slices.Clone(operations[:1+r.IntN(3)])
		}
	}
	x.groups[s.groups[len(s.groups)-1].data.ID] = nastySiteOperations()
	x.persons[s.users[0].data.AccountID] = []SiteOperation{operations[0], operations[8]}
	for i := 1; i < len(s.users); i++ {
		u := s.users[i]
		switch {
		case u.data.Guest():
			x.persons[u.data.AccountID] = []SiteOperation{operations[7]}
		case i <= 7:
			x.persons[u.data.AccountID] = slices.Clone(operations[i%3 : i%3+2])
		case i%20 == 0:
			x.persons[u.data.AccountID] = []SiteOperation{pick(r, operations)}
		}
	}
	x.unlicensed = []SiteOperation{operations[1]}
	x.config = generateSecurity(r)
	s.generateLinks(r, start)
	s.generateGuests(r)
	s.generateApps(r, start)
	used := s.seats().Used
	if x.maxSeats = (used/50 + 1) * 50; s.config.Edition == "enterprise" {
		x.maxSeats = -1
	}
	for _, u := range s.users {
		s.generateActivity(r, u, start)
	}
}

func generateSecurity(r random) SecurityConfiguration {
	c := SecurityConfiguration{
		AttachmentSecurityLevel: new("SMART"), MaxAttachmentSize: new(int64(104857600)), MaxAttachmentsPerUpload: new(20), AnonymousRemoteAPI: new(false), ExternalConnections: new(true),
		ConnectionTimeout: new(10000), SocketTimeout: new(10000), ElevatedSecurityCheck: new(true), LoginAttemptsThreshold: new(3), PrivacyMode: new(false), SystemAdmin: new(true),
		XSRFAddComments: new(true), NofollowExternalLinks: new(true), HideTitleInURL: new(false), ContactAdministrators: new(false), ContentAccessRequests: new(true),
		SpaceAccessRequests: new(false), SnippetSharing: new(true), SearchWildcards: new(false), MaxRSSItems: new(200), SiteHomePage: new("dashboard \"home\"\n\u202e1"), TeamAdminControls: new(true),
	}
	switch r.IntN(4) { // some sites answer null for some
	case 0:
		c.TeamAdminControls, c.MaxRSSItems, c.SnippetSharing = nil, nil, nil
	case 1:
		c.ElevatedSecurityCheck, c.LoginAttemptsThreshold = nil, nil
		c.MaxAttachmentSize = new(beyondFloat + 1)
	case 2:
		c.SiteHomePage, c.PrivacyMode = nil, nil
	}
	return c
}

func (s *Site) generateLinks(r random, start time.Time) {
	titles := nastySpaceNames()
	statuses := []string{"ON", "ON", "ON", "OFF", "SPACE_DISABLED", "TRASHED", "BLOCKED_BY_CLASSIFICATION_LEVEL", "QUARANTINED"}
	s.posture.lastLink = beyondFloat + 1000
	n := 0
	for i, sp := range s.spaces {
		if sp.hidden || i%3 != 0 {
			continue
		}
		l := &linkSpace{status: "ON", policy: new(i%2 == 0)}
		switch n {
		case 1:
			l.status, l.previous, l.policy = "OFF", "ON", nil
		case 2:
			l.status = "BLOCKED_BY_CONTAINER_POLICY"
		}
		count := r.IntN(2 * s.settings.PublicLinks)
		if n == 0 {
			count = 2 * s.settings.PublicLinks
		}
		for j := range count {
			p := s.newLink(r, start)
			p.Status = statuses[(j+n)%len(statuses)]
			if j < len(titles) && n == 0 {
				p.Title = titles[j]
			}
			switch j {
			case 2:
				p.Type = "whiteboard"
			case 3:
				p.Title, p.EnabledBy, p.AccessType = "", "", ""
			case 4:
				p.EnabledBy = "557058:gone|user"
			}
			l.links = append(l.links, p)
		}
		s.posture.links[sp.id] = l
		n++
	}
}

func (s *Site) newLink(r random, now time.Time) PublicLink {
	s.posture.lastLink += int64(1 + r.IntN(3))
	return PublicLink{
		ID: formatID(s.posture.lastLink), Title: "Page " + r.hex(2), Type: "page", Status: "ON", AccessType: "EXTERNAL", EnabledBy: s.users[r.IntN(len(s.users))].data.AccountID,
		EnabledAt: now.Add(-time.Duration(r.IntN(200*24)) * time.Hour).UTC().Truncate(time.Millisecond),
	}
}

func (s *Site) generateGuests(r random) {
	var visible []*space
	for _, sp := range s.spaces {
		if !sp.hidden {
			visible = append(visible, sp)
		}
	}
	n := 0
	for _, u := range s.users {
		if !u.data.Guest() {
			continue
		}
		if n++; n%4 == 3 { // invited and let into nothing
			continue
		}
		list := []string{pick(r, visible).data.ID}
		if other := pick(r, visible).data.ID; n == 1 && other != list[0] {
			list = append(list, other)
		}
		s.posture.guests[u.data.AccountID] = list
	}
}

func (s *Site) generateActivity(r random, u *user, start time.Time) {
	if u != s.users[0] && r.IntN(10) == 0 {
		return // never seen
	}
	ago := func(days int) time.Time {
		return start.Add(-time.Duration(r.IntN(days*24*3600)) * time.Second).UTC().Truncate(time.Second)
	}
	products := map[string]time.Time{"confluence": ago(120)}
	if r.IntN(3) == 0 {
		products["jira-software"] = ago(400)
	}
	s.posture.activity[u.data.AccountID] = products
}

func (s *Site) generateApps(r random, start time.Time) {
	names := []string{"Diagrams \"Pro\"", "Table|Filter", "Backup & <b>Restore</b>", "\u202eevil plugin", "Forms\nfor teams", "\u65e5\u672c\u8a9e Macro", "Whiteboard"}
	for i := range s.settings.Apps {
		a := s.newApp(r, i%2 == 1, start.Add(-time.Duration(1+r.IntN(700*24))*time.Hour))
		a.Name = names[i%len(names)]
		if i >= len(names) {
			a.Name = fmt.Sprintf("%s %d", a.Name, i)
		}
		switch i {
		case 0:
			a.License = &AppLicense{Active: true, Type: "COMMERCIAL", Evaluation: new(false), End: start.AddDate(1, 0, 0).UTC().Truncate(24 * time.Hour)}
		case 1:
			a.VendorType, a.Vendor, a.DistributionStatus = "ATLASSIAN", "Atlassian", "PUBLIC"
			a.PersonalData = nil
		case 2:
			a.Vendor, a.InstalledBy, a.Enabled = "", "", false
			a.License = &AppLicense{Active: false, Type: "EVALUATION", Evaluation: new(true), TrialEnd: start.AddDate(0, 0, -3).UTC().Truncate(24 * time.Hour)}
		case 3:
			a.DistributionStatus, a.MarketplaceKey, a.Environment, a.Latest = "PRIVATE", "", "DEVELOPMENT", false
			a.Egress = append(a.Egress, Egress{Type: "TELEMETRY", Addresses: []string{"*"}})
		case 5:
			a.Environment, a.DistributionStatus, a.InstalledBy = "SANDBOX", "UNDER_REVIEW", "557058:gone|user"
		}
		s.posture.apps = append(s.posture.apps, a)
	}
	slices.SortStableFunc(s.posture.apps, func(a, b InstalledApp) int { return a.InstalledAt.Compare(b.InstalledAt) })
}

// newApp makes a Connect or a Forge app.
func (s *Site) newApp(r random, forge bool, at time.Time) InstalledApp {
	key := "com.vendor-" + r.hex(2) + ".app"
	a := InstalledApp{
		ID: key, Kind: connectApp, Name: "App " + key, Vendor: "Vendor " + r.hex(1), Version: fmt.Sprintf("%d.%d.0", 1+r.IntN(4), r.IntN(10)), Latest: true, Enabled: true,
		DistributionStatus: "PUBLIC", MarketplaceKey: key, Scopes: []string{"READ", "WRITE"}, Installation: r.uuid(), InstalledBy: s.users[r.IntN(len(s.users))].data.AccountID,
		InstalledAt: at.UTC().Truncate(time.Millisecond), BaseURL: "https://" + key + ".example",
	}
	if forge {
		a.Kind, a.ID, a.BaseURL = forgeApp, "ari:cloud:ecosystem::app/"+r.uuid(), ""
		a.Installation = "ari:cloud:ecosystem::installation/" + a.Installation
		a.VendorType, a.Environment, a.PersonalData = "THIRD_PARTY", "PRODUCTION", new(true)
		a.Scopes = []string{"read:confluence-content.all", "storage:app"}
		a.Egress = []Egress{{Type: "FETCH_BACKEND_SIDE", Addresses: []string{"api." + key + ".example", "*.cdn.example"}}}
	}
	return a
}
