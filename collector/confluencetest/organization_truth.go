package confluencetest

import "slices"

// workspaces lists the products of the sites and one that is on none of them.
func (org *Organization) workspaces() []Workspace {
	var list []Workspace
	for _, s := range org.sites {
		s.mu.RLock()
		w := Workspace{
			ID: contextARI + s.cloudID, TypeKey: "confluence", Type: "Confluence", Name: s.config.Title, Status: "online", HostURL: "https://" + s.HostName(), Plan: s.config.Edition,
		}
		if n := s.posture.maxSeats; n >= 0 {
			w.Capacity = &n
		}
		s.mu.RUnlock()
		list = append(list, w)
	}
	return append(list, Workspace{
		ID: "ari:cloud:bitbucket::workspace/" + org.id, TypeKey: "bitbucket", Type: "Bitbucket", Name: "code \"repos\"\n", Status: "deprecated", Plan: "free", Usage: new(3), Capacity: new(5),
	})
}

// OrganizationTruth is everything that a key with all scopes reads of an
// organization. It shares no memory with it.
type OrganizationTruth struct {
	ID, Name    string
	Directories []Directory
	Users       []OrganizationUser // ascending by account id
	Domains     []Domain
	Policies    []Policy
	Workspaces  []Workspace
	Events      []OrganizationEvent // ascending by time
}

// Truth takes a snapshot of the organization.
func (org *Organization) Truth() OrganizationTruth {
	org.mu.RLock()
	defer org.mu.RUnlock()
	t := OrganizationTruth{
		ID: org.id, Name: org.name, Directories: slices.Clone(org.directories), Users: org.users(), Domains: slices.Clone(org.domains), Workspaces: org.workspaces(), Events: slices.Clone(org.events),
	}
	for _, p := range org.policies {
		p.Resources = slices.Clone(p.Resources)
		t.Policies = append(t.Policies, p)
	}
	return t
}
