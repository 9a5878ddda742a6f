package confluencetest

import (
	"fmt"
	"time"
)

// sides is what happens on a site beside the everyday, by frequency; each acts on
// what it draws when it is applied. Errors cannot occur, for every id was just read.
var sides = []habit{
	{"grant a site permission", 5, func(s *Site, r random) {
		_ = s.GrantSitePermission(s.anyPrincipal(r), pick(r, standardSiteOperations()))
	}},
	{"revoke a site permission", 5, func(s *Site, r random) {
		p := s.anyPrincipal(r)
		if held := s.held(p); len(held) > 0 {
			_ = s.RevokeSitePermission(p, pick(r, held))
		}
	}},
	{"change anonymous access", 1, func(s *Site, r random) {
		if r.IntN(2) == 0 {
			s.SetAnonymousAccess()
			return
		}
		s.SetAnonymousAccess(standardSiteOperations()[:1+r.IntN(2)]...)
	}},
	{"change a setting", 3, func(s *Site, r random) {
		s.ChangeSecurity(func(c *SecurityConfiguration) {
			switch r.IntN(4) {
			case 0:
				c.ExternalConnections = new(r.IntN(2) == 0)
			case 1:
				c.LoginAttemptsThreshold = new(1 + r.IntN(9))
			case 2:
				c.AttachmentSecurityLevel = new(pick(r, []string{"INSECURE", "SECURE", "SMART"}))
			case 3:
				c.AnonymousRemoteAPI = nil
			}
		})
	}},
	{"turn the public link switch", 1, func(s *Site, r random) { s.SetPublicLinks(pick(r, []string{"ON", "OFF", "BLOCKED_BY_ORG"})) }},
	{"enable a public link", 6, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			_, _ = s.EnablePublicLink(sp, PublicLink{Title: "Shared " + r.hex(2)})
		}
	}},
	{"disable a public link", 4, func(s *Site, r random) {
		if sp, link, ok := s.anyLink(r); ok {
			_ = s.DisablePublicLink(sp, link)
		}
	}},
	{"install an app", 2, func(s *Site, r random) {
		s.InstallApp(InstalledApp{Kind: pick(r, []string{connectApp, forgeApp}), Name: "New app " + r.hex(2)})
	}},
	{"update an app", 3, func(s *Site, r random) {
		if id, ok := s.anyApp(r); ok {
			_ = s.UpdateApp(id, func(a *InstalledApp) {
				a.Version = fmt.Sprintf("%d.%d.0", 5+r.IntN(5), r.IntN(10))
				a.Scopes = append(a.Scopes, "scope:"+r.hex(2))
			})
		}
	}},
	{"remove an app", 1, func(s *Site, r random) {
		if id, ok := s.anyApp(r); ok {
			_ = s.RemoveApp(id)
		}
	}},
	{"buy seats", 1, func(s *Site, r random) { s.SetSeats(50 * (1 + r.IntN(20))) }},
	{"be active", 6, func(s *Site, r random) {
		at := s.currentTime().Add(-time.Duration(r.IntN(3600)) * time.Second)
		_ = s.TouchActivity(s.anyUser(r), "confluence", at)
	}},
}

// besides draws whether a step brings something along, and what.
func besides(r random) (habit, random, bool) {
	if r.IntN(5) != 0 {
		return habit{}, random{}, false
	}
	sum := 0
	for _, h := range sides {
		sum += h.weight
	}
	n := r.IntN(sum)
	for _, h := range sides {
		if n < h.weight {
			return h, newRandom(r.Uint64(), h.name), true
		}
		n -= h.weight
	}
	return habit{}, random{}, false
}

// with makes a step do something else, too.
func (st Step) with(h habit, r random, also bool) Step {
	if !also {
		return st
	}
	first := st.Do
	st.Name += " and " + h.name
	st.Do = func(s *Site) {
		first(s)
		h.do(s, r)
	}
	return st
}

func (s *Site) currentTime() time.Time {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.now()
}

func (s *Site) anyPrincipal(r random) SitePrincipal {
	if g, ok := s.anyGroup(r); ok && r.IntN(2) == 0 {
		return SitePrincipal{"group", g}
	}
	return SitePrincipal{"person", s.anyUser(r)}
}

func (s *Site) held(p SitePrincipal) []SiteOperation {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if holders, err := s.holders(p); err == nil {
		return holders[p.ID]
	}
	return nil
}

func (s *Site) anyLink(r random) (spaceID, linkID string, ok bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := s.linkSpaces()
	if len(list) == 0 {
		return "", "", false
	}
	sp := pick(r, list)
	links := s.posture.links[sp.id].links
	if len(links) == 0 {
		return "", "", false
	}
	return sp.data.ID, pick(r, links).ID, true
}

func (s *Site) anyApp(r random) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.posture.apps) == 0 {
		return "", false
	}
	return pick(r, s.posture.apps).ID, true
}
