package confluencetest

import (
	"fmt"
	"strings"
	"time"
)

// beyondFloat is the first integer that has no neighbour above it in a float64.
const beyondFloat = int64(1) << 53

// generate fills a new site. Nobody else knows the site yet, so nothing is locked.
func (s *Site) generate(collector Person, start time.Time) {
	c := s.settings
	seed := s.srv.settings.Seed*0x9e3779b97f4a7c15 + c.Seed
	s.rand = newRandom(seed, "mutations of "+s.name)
	s.config = SiteConfiguration{
		Edition: c.Edition, Title: "Site \"" + s.name + "\" \u2013 wiki", DefaultLocale: "en_GB", DefaultTimeZone: "Europe/Berlin",
		RoleMode: c.RoleMode, RetentionNumber: 1, RetentionUnits: "YEARS",
	}
	s.levels = []Level{
		{ID: "level-1", Status: "PUBLISHED", Order: 1, Name: "Public", Description: "Anyone may read it", Guideline: "Share freely", Color: "GREEN"},
		{ID: "level-2", Status: "PUBLISHED", Order: 2, Name: "Confidential \"C2\"", Description: "Staff\nonly", Guideline: "Ask first", Color: "ORANGE"},
		{ID: "level-3", Status: "DRAFT", Order: 3, Name: "Secret", Description: "", Guideline: "", Color: "RED_BOLD"},
	}
	s.generateUsers(newRandom(seed, "users of "+s.name), collector)
	s.generateGroups(newRandom(seed, "groups of "+s.name))
	s.generateRoles(newRandom(seed, "roles of "+s.name))
	s.generateSpaces(newRandom(seed, "spaces of "+s.name), start)
	s.generateAudit(newRandom(seed, "audit of "+s.name), start)
	s.generatePosture(seed, start)
}

func (s *Site) generateUsers(r random, collector Person) {
	s.userByID = make(map[string]*user, s.settings.Users)
	s.putUser(User{
		AccountID: collector.AccountID, AccountType: "atlassian", AccountStatus: "active", Email: collector.Email,
		DisplayName: collector.Name, PublicName: collector.Name, TimeZone: "Etc/UTC", External: new(false),
	})
	nasty := nastyUserNames()
	for i := 1; i < s.settings.Users; i++ {
		u := s.newUser(r, i)
		if i-1 < len(nasty) {
			u.DisplayName = nasty[i-1]
		}
		switch i {
		case 1:
			u.External = nil
		case 2:
			u.Email = ""
		case 3:
			u.TimeZone = ""
		case 4:
			u.AccountType = "app"
		case 5:
			u.AccountStatus = "closed"
		case 6:
			u.AccountType = "service" // no value of the OpenAPI enumeration
		}
		if i >= s.settings.Users-s.settings.Guests {
			u.External = new(true)
		}
		s.putUser(u)
	}
}

func (s *Site) newUser(r random, n int) User {
	first := []string{"Ada", "Björn", "Chidi", "Dana", "Emre", "Fatima", "Grace", "Hiro", "Ines", "Jun", "Kofi", "Lena", "Mei", "Noor", "Oleg", "Priya"}
	last := []string{"Adeyemi", "Brandt", "Costa", "Dubois", "Eriksson", "Fischer", "García", "Haddad", "Ito", "Jansen", "Kowalski", "Lindqvist"}
	name := pick(r, first) + " " + pick(r, last)
	id := r.hex(12)
	if n%3 == 0 {
		id = "557058:" + r.uuid()
	}
	return User{
		AccountID: id, AccountType: "atlassian", AccountStatus: "active",
		Email:       fmt.Sprintf("user%d@%s.example", n, strings.ToLower(s.name)),
		DisplayName: name, PublicName: strings.Fields(name)[0], TimeZone: pick(r, []string{"Europe/Berlin", "America/New_York", "Asia/Tokyo"}),
		External: new(false),
	}
}

func (s *Site) putUser(u User) *user {
	stored := &user{data: u}
	s.users = append(s.users, stored)
	s.userByID[u.AccountID] = stored
	return stored
}

func (s *Site) generateGroups(r random) {
	s.groupByID = make(map[string]*group, s.settings.Groups)
	guests := s.settings.Guests
	insiders := s.users[:len(s.users)-guests]
	outsiders := s.users[len(s.users)-guests:]
	outsiders = outsiders[:len(outsiders)-min(s.settings.UngroupedGuests, guests)]

	add := func(name, access string, members []*user) {
		g := &group{data: Group{ID: r.uuid(), Name: name, Access: access}, members: append([]*user(nil), members...)}
		s.groups = append(s.groups, g)
		s.groupByID[g.data.ID] = g
	}
	add("confluence-users-"+s.name, "user", insiders)
	add("confluence-admins-"+s.name, "admin", insiders[:min(3, len(insiders))])
	add("site-admins", "site-admin", insiders[:min(2, len(insiders))])
	add("confluence-guests-"+s.name, "user", outsiders)

	nasty := nastyGroupNames()
	teams := []string{"engineering", "sales", "support", "legal", "finance", "design", "research", "people", "security", "field"}
	for i := 4; i < s.settings.Groups; i++ {
		name := fmt.Sprintf("%s-%d", teams[i%len(teams)], i)
		if i-4 < len(nasty) {
			name = nasty[i-4]
		}
		n := 0 // one group stays empty
		if i != 5 {
			n = 1 + r.IntN(2*s.settings.MembersPerGroup)
		}
		n = min(n, len(insiders))
		members := make([]*user, n)
		from, step := r.IntN(len(insiders)), coprime(r, len(insiders))
		for j := range members {
			members[j] = insiders[(from+j*step)%len(insiders)]
		}
		add(name, "user", members)
	}
	sortGroups(s.groups)
}

// coprime returns a step that visits each of n places before it repeats one.
func coprime(r random, n int) int {
	for {
		step := 1 + r.IntN(n)
		a, b := step, n
		for b != 0 {
			a, b = b, a%b
		}
		if a == 1 {
			return step
		}
	}
}

func (s *Site) generateRoles(r random) {
	catalogue := roleCatalogue()
	ids := func(n int) []string {
		list := make([]string, n)
		for i := range list {
			list[i] = catalogue[i].id
		}
		return list
	}
	for i, name := range []string{"Viewer", "Commenter", "Collaborator", "Manager", "Admin"} {
		s.roles = append(s.roles, Role{ID: r.uuid(), Type: "SYSTEM", Name: name, Description: "Default role " + name, Permissions: ids(1 + i)})
	}
	s.roles = append(s.roles, Role{ID: r.uuid(), Type: "CUSTOM", Name: "Auditor | \"read only\"", Description: "Made\nhere", Permissions: ids(2)})
}

func (s *Site) generateSpaces(r random, start time.Time) {
	c := s.settings
	s.principals = newInterned("type", "id")
	s.operations = newInterned("key", "targetType")
	n := c.Spaces + c.HiddenSpaces
	s.spaceByID = make(map[int64]*space, n)
	s.spaceByKey = make(map[string]*space, n)
	s.spaces = make([]*space, 0, n)

	operations := make([]uint32, 0, 20)
	for _, o := range standardOperations() {
		operations = append(operations, s.operations.put(o[0], o[1]))
	}
	var principals []uint32
	for _, g := range s.groups {
		principals = append(principals, s.principals.put("group", g.data.ID))
	}
	for _, u := range s.users {
		principals = append(principals, s.principals.put("user", u.data.AccountID))
	}
	anonymous := s.principals.put("access-class", "anonymous-users")

	id := int64(98304)
	s.lastRow = 1000003
	// Hidden spaces are spread between the visible ones.
	every := n + 1
	if c.HiddenSpaces > 0 {
		every = n/(c.HiddenSpaces+1) + 1
	}
	hidden, visible := 0, 0
	for i := range n {
		if i == n/3 && id < beyondFloat-4 {
			id = beyondFloat - 3 // from here on, ids differ by one and cross 2^53
		}
		id++
		if id < beyondFloat-3 {
			id += int64(r.IntN(65536))
		}
		sp := &space{id: id}
		if hidden < c.HiddenSpaces && ((i+1)%every == 0 || n-i <= c.HiddenSpaces-hidden) {
			sp.hidden = true
			hidden++
			sp.data = s.newSpace(r, id, 1000000+hidden, start)
		} else {
			sp.data = s.newSpace(r, id, visible, start)
			visible++
		}
		if i == n/2 {
			s.lastRow = max(s.lastRow, beyondFloat-2)
		}
		sp.rows = s.generateRows(r, visible-1, sp.hidden, principals, operations, anonymous)
		sp.assignments = s.generateAssignments(r, visible)
		sp.blocked = visible%5 == 2
		s.config.AnyContentBlocked = s.config.AnyContentBlocked || sp.blocked
		s.putSpace(sp)
	}
}

func (s *Site) putSpace(sp *space) {
	s.spaces = append(s.spaces, sp)
	s.spaceByID[sp.id] = sp
	s.spaceByKey[sp.data.Key] = sp
	s.lastSpace = max(s.lastSpace, sp.id)
	s.version++
}

func (s *Site) newSpace(r random, id int64, n int, start time.Time) Space {
	topics := []string{"Roadmap", "Handbook", "Incidents", "Architecture", "Onboarding", "Releases", "Contracts", "Runbooks", "Research", "Travel"}
	sp := Space{
		ID: formatID(id), Key: fmt.Sprintf("S%dX%s", n, strings.ToUpper(r.hex(2))), Name: fmt.Sprintf("%s %d", pick(r, topics), n),
		Type: "global", Status: "current", AuthorID: s.users[r.IntN(len(s.users))].data.AccountID,
		CreatedAt:  start.Add(-time.Duration(1+r.IntN(2000*24)) * time.Hour).Truncate(time.Millisecond).UTC(),
		HomepageID: formatID(id + 1),
	}
	sp.Alias = sp.Key
	if nasty := nastySpaceNames(); n < len(nasty) {
		sp.Name = nasty[n]
	}
	first, second := collidingKeys()
	switch n {
	case 1:
		sp.HomepageID, sp.Alias = "", ""
	case 2:
		sp.Type = "team_hub" // no value of the OpenAPI enumeration
	case 3:
		sp.Key = first
	case 4:
		sp.Key = second
	case 5:
		sp.Status = "archived"
	case 6:
		owner := s.users[len(s.users)/2]
		sp.Type, sp.Key, owner.data.PersonalSpace = "personal", "~"+owner.data.AccountID, sp.ID
	case 7:
		sp.Description = "Text with \"quotes\", <b>markup</b> and \U0001f4dd"
	}
	return sp
}

func (s *Site) generateRows(r random, n int, hidden bool, principals, operations []uint32, anonymous uint32) []row {
	count := s.settings.PermissionsPerSpace
	if !s.settings.Exact && !hidden && s.settings.Spaces > 4 {
		switch n {
		case 3:
			count = 0
		case 4:
			count = max(count, 263)
		}
	}
	rows := make([]row, 0, count)
	put := func(principal, operation uint32) {
		s.lastRow++
		rows = append(rows, row{id: s.lastRow, principal: principal, operation: operation})
	}
	if n == 0 && !hidden && count > 5 {
		for _, p := range nastyPermissions() {
			put(s.principals.put(p.PrincipalType, p.PrincipalID), s.operations.put(p.Operation, p.Target))
		}
	}
	if n%10 == 9 && count > 0 {
		put(anonymous, operations[0])
	}
	from, step := r.IntN(len(principals)), coprime(r, len(principals))
	for i := 0; len(rows) < count; i++ {
		put(principals[(from+i/len(operations)*step)%len(principals)], operations[i%len(operations)])
	}
	return rows
}

func (s *Site) generateAssignments(r random, n int) []RoleAssignment {
	list := []RoleAssignment{
		{PrincipalType: "GROUP", PrincipalID: s.groups[r.IntN(len(s.groups))].data.ID, RoleID: s.roles[r.IntN(len(s.roles))].ID},
		{PrincipalType: "USER", PrincipalID: s.users[r.IntN(len(s.users))].data.AccountID, RoleID: s.roles[4].ID},
	}
	if n%7 == 1 {
		list = append(list, RoleAssignment{PrincipalType: "ACCESS_CLASS", PrincipalID: "anonymous-users", RoleID: s.roles[0].ID})
	}
	return list
}

func (s *Site) generateAudit(r random, start time.Time) {
	at := start.Add(-time.Duration(s.settings.AuditEvents) * time.Minute)
	for range s.settings.AuditEvents {
		at = at.Add(time.Duration(r.IntN(60000)) * time.Millisecond)
		u := s.users[r.IntN(len(s.users))].data
		s.audit = append(s.audit, AuditRecord{
			At: at.Truncate(time.Millisecond).UTC(), AuthorID: u.AccountID, AuthorName: u.DisplayName, Address: fmt.Sprintf("192.0.2.%d", r.IntN(255)),
			Summary: pick(r, []string{"Space exported", "Login \"failed\"\nagain", "Page restrictions changed", "App installed"}), Category: "Security",
			Object: pick(r, nastySpaceNames()), ObjectType: "Space",
			Changed: []AuditChange{{Name: "Mode", Old: "", New: "on"}},
		})
	}
}

// catalogueEntry is one of the permissions that roles are made of.
type catalogueEntry struct{ id, name, text string }

func roleCatalogue() []catalogueEntry {
	return []catalogueEntry{
		{"read/space", "View space", "See the space and its content"},
		{"create/comment", "Comment", "Write comments"},
		{"create/page", "Create pages", "Write pages"},
		{"delete/page", "Delete pages", "Delete the pages of others"},
		{"administer/space", "Administer", "Change the space's settings"},
	}
}
