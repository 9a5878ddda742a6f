package confluencetest

import (
	"fmt"
	"time"
)

func (org *Organization) generate(settings OrganizationSettings) {
	org.mu.Lock()
	defer org.mu.Unlock()
	r := org.rand
	for i := range settings.Directories {
		org.directories = append(org.directories, Directory{ID: r.uuid(), Name: fmt.Sprintf("Directory \"%d\"", i)})
	}
	for i := range settings.Domains {
		d := Domain{ID: r.uuid(), Name: fmt.Sprintf("mail%d.example", i), ClaimType: []string{"dns", "http"}[i%2], ClaimStatus: "verified"}
		switch i {
		case 1:
			d.ClaimStatus = "unverified"
		case 2:
			d.Name, d.ClaimStatus = "xn--bcher-kva.example", "pending_review" // a status of no list
		}
		org.domains = append(org.domains, d)
	}
	types := []string{"ip-allowlist", "data-residency", "data-security", "generative-ai", "user-join-settings-default", "quantum-safety"}
	rules := []string{`{"in":["192.0.2.0/24","2001:db8::/32"]}`, `{"in":["eu"]}`, `[]`, `[{"effect":"deny","n":9007199254740993}]`, `{"in":[]}`, `{"later":{"deep":[null]}}`}
	for i := range settings.Policies {
		p := Policy{
			ID: r.uuid(), Type: types[i%len(types)], Name: "Policy " + pick(r, nastySpaceNames()), Status: "enabled", Rule: rules[i%len(rules)],
			CreatedAt: org.born.Add(-time.Duration(r.IntN(900*24)) * time.Hour),
		}
		if i%3 == 1 {
			p.Status, p.UpdatedAt = "disabled", org.born.Add(-time.Hour)
		}
		if i == 2 {
			p.Name = ""
		}
		for _, s := range org.sites {
			p.Resources = append(p.Resources, PolicyResource{ID: contextARI + s.cloudID, ApplicationStatus: pick(r, []string{"applied", "applying", "failed"})})
		}
		org.policies = append(org.policies, p)
	}
	names := nastyUserNames()
	for i := range settings.OtherUsers {
		u := org.describe(fmt.Sprintf("712020:%s", r.uuid()), "atlassian", "active")
		u.Name, u.Nickname = names[i%len(names)], "nick\u200b"+r.hex(1)
		u.Email = fmt.Sprintf("other%d@mail0.example", i)
		u.Directory = org.directories[len(org.directories)-1].ID
		org.others = append(org.others, u)
	}
	actions := []string{"user_added_to_group", "login \"failed\"\nagain", "policy_updated", "api_key_created", "user_invited"}
	at := org.born.Add(-time.Duration(settings.Events) * time.Minute)
	for range settings.Events {
		at = at.Add(time.Duration(r.IntN(60000)) * time.Millisecond)
		org.events = append(org.events, OrganizationEvent{
			ID: r.uuid(), At: at, Action: pick(r, actions), ActorID: "557058:" + r.uuid(), ActorName: pick(r, names), IP: fmt.Sprintf("192.0.2.%d", r.IntN(255)), Country: "Norway",
			Product: pick(r, []string{"confluence", "jira", ""}), ObjectID: r.uuid(), ObjectType: "group", ObjectName: pick(r, nastyGroupNames()),
		})
	}
}
