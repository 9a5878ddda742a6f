package confluencetest

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// generate fills a new site. Nobody else knows it yet, so nothing is locked.
func (dc *DataCenter) generate(seed uint64, start time.Time) {
	name := dc.settings.Name
	dc.rand = newRandom(seed, "dc mutations of "+name)
	dc.spaceByKey, dc.group = map[string]*dcSpace{}, map[string]*dcGroup{}
	dc.byUsername, dc.byUserKey = map[string]*dcUser{}, map[string]*dcUser{}
	dc.pats, dc.passwords = map[string]DCPAT{}, map[string]string{}
	day := start.UTC().Truncate(24 * time.Hour)
	dc.server = DCServer{
		Version: "9.2.4", BuildNumber: 9111, BuildDate: day.AddDate(0, -7, 0), Title: "Intranet \"" + name + "\" \u2013 wiki", AccessMode: "READ_WRITE",
	}
	dc.license = DCLicense{
		Type: "COMMERCIAL", MaximumUsers: 500, Organization: "Example \"Holding\" & Sons", SupportNumber: "SEN-1234567",
		Purchased: day.AddDate(-1, 0, 0), Expires: day.AddDate(1, 0, 0), MaintenanceEnds: day.AddDate(1, 0, 0),
	}
	dc.generateUsers(newRandom(seed, "dc users of "+name))
	dc.generateGroups(newRandom(seed, "dc groups of "+name))
	dc.generateGlobal()
	dc.generateSpaces(newRandom(seed, "dc spaces of "+name))
	dc.generateAddons(newRandom(seed, "dc apps of "+name), day)
	dc.generateAudit(newRandom(seed, "dc audit of "+name), start)
}

func (dc *DataCenter) generateUsers(r random) {
	dc.collector = dc.putUser(DCUser{
		Username: "casey.collector", DisplayName: "Casey Collector", Email: "casey@collector.example", Active: true, Licensed: true, Right: RightSystem,
	})
	dc.reader = dc.putUser(DCUser{Username: "robin.reader", DisplayName: "Robin Reader", Email: "robin@collector.example", Active: true, Licensed: true})
	names, display := nastyDCUsernames(), nastyUserNames()
	for i := range dc.settings.Users - 2 {
		u := newDCUser(r, i)
		if i < len(names) {
			u.Username = names[i]
		}
		if i < len(display) {
			u.DisplayName = display[i]
		}
		switch i {
		case 1:
			u.Email = ""
		case 2:
			u.Active = false
		case 3:
			u.Licensed = false
		case 4:
			u.Right = RightAdmin
		}
		dc.putUser(u)
	}
}

func newDCUser(r random, n int) DCUser {
	first := []string{"Ada", "Björn", "Chidi", "Dana", "Emre", "Fatima", "Grace", "Hiro", "Ines", "Jun", "Kofi", "Lena"}
	last := []string{"Adeyemi", "Brandt", "Costa", "Dubois", "Eriksson", "Fischer", "García", "Haddad", "Ito", "Jansen"}
	username := fmt.Sprintf("user%d", n)
	return DCUser{
		Username: username, DisplayName: pick(r, first) + " " + pick(r, last), Email: username + "@corp.example", Active: true, Licensed: true,
	}
}

// putUser gives a user a key unless it has one and stores it. The caller holds mu.
func (dc *DataCenter) putUser(u DCUser) *dcUser {
	dc.lastUser++
	if u.UserKey == "" {
		u.UserKey = fmt.Sprintf("8a8081%010x%016x", 0x7e57, dc.lastUser)
	}
	stored := &dcUser{data: u}
	at, _ := slices.BinarySearchFunc(dc.users, stored, compareDCUsers)
	dc.users = slices.Insert(slices.Clone(dc.users), at, stored)
	dc.byUsername[u.Username], dc.byUserKey[u.UserKey] = stored, stored
	return stored
}

func (dc *DataCenter) generateGroups(r random) {
	everyone := slices.DeleteFunc(slices.Clone(dc.users), func(u *dcUser) bool { return !u.data.Licensed })
	var admins []*dcUser
	for _, u := range dc.users {
		if u.data.Right > RightUser {
			admins = append(admins, u)
		}
	}
	dc.putGroup("confluence-users", everyone).standing = true
	dc.putGroup("confluence-administrators", admins).standing = true
	staff := dc.putGroup("all-staff", nil)
	division := dc.putGroup("division-emea", everyone[:min(3, len(everyone))])
	staff.standing, division.standing = true, true

	nasty := nastyDCGroups()
	teams := []string{"engineering", "sales", "support", "legal", "finance", "design", "research", "people", "security", "field"}
	var made []*dcGroup
	for i := range dc.settings.Groups - 4 {
		name := fmt.Sprintf("%s-%d", teams[i%len(teams)], i)
		if i < len(nasty) {
			name = nasty[i]
		}
		n := 0 // one group stays empty
		if i != 2 {
			n = min(1+r.IntN(2*dc.settings.MembersPerGroup), len(everyone))
		}
		members := make([]*dcUser, n)
		from, step := r.IntN(len(everyone)), coprime(r, len(everyone))
		for j := range members {
			members[j] = everyone[(from+j*step)%len(everyone)]
		}
		made = append(made, dc.putGroup(name, members))
	}
	staff.nested = []*dcGroup{division, made[0]}
	division.nested = []*dcGroup{made[1]}
	if dc.settings.GroupCycle {
		made[1].nested = []*dcGroup{staff}
	}
}

func (dc *DataCenter) putGroup(name string, members []*dcUser) *dcGroup {
	g := &dcGroup{name: name, members: slices.Clone(members)}
	at, _ := slices.BinarySearchFunc(dc.groups, g, compareDCGroups)
	dc.groups = slices.Insert(slices.Clone(dc.groups), at, g)
	dc.group[name] = g
	return g
}

func (dc *DataCenter) generateGlobal() {
	users, admins := GroupSubject("confluence-users"), GroupSubject("confluence-administrators")
	put := func(s DCSubject, operation, target string) {
		dc.global = append(dc.global, DCPermission{Subject: s, Operation: operation, Target: target})
	}
	for _, o := range globalOperations() {
		put(admins, o[0], o[1])
	}
	put(users, "use", "application")
	put(users, "create", "personal_space")
	put(AnonymousSubject(), "use", "application")
	put(DCSubject{Type: SubjectUser, UserKey: dc.collector.data.UserKey}, "administer", "system")
	put(DCSubject{Type: SubjectUser, UserKey: deletedUserKey}, "use", "application")
	put(users, "impersonate|user", "application") // no operation of the reference pages
	put(GroupSubject("division-emea"), "create", "space")
	dc.unlicensed = []DCPermission{{Subject: UnlicensedSubject(), Operation: "use", Target: "application"}}
}

// globalOperations are pairs of operation key and target type of global permissions.
func globalOperations() [][2]string {
	return [][2]string{{"use", "application"}, {"administer", "application"}, {"administer", "system"}, {"create", "personal_space"}, {"create", "space"}}
}

func (dc *DataCenter) generateSpaces(r random) {
	c := dc.settings
	operations := standardDCOperations()
	var subjects []DCSubject
	for _, g := range dc.groups {
		subjects = append(subjects, GroupSubject(g.name))
	}
	for _, u := range dc.users {
		subjects = append(subjects, DCSubject{Type: SubjectUser, UserKey: u.data.UserKey})
	}
	id := int64(98304)
	for i := range c.Spaces + c.HiddenSpaces {
		if i == c.Spaces/3 && id < beyondFloat-4 {
			id = beyondFloat - 3 // from here on, ids cross 2^53
		}
		id++
		if id < beyondFloat-3 {
			id += int64(r.IntN(65536))
		}
		sp := &dcSpace{id: id, data: dc.newSpace(r, id, i), hidden: i >= c.Spaces}
		sp.rows = dc.generateRows(r, i, subjects, operations)
		dc.putSpace(sp)
	}
}

func (dc *DataCenter) newSpace(r random, id int64, n int) DCSpace {
	topics := []string{"Roadmap", "Handbook", "Incidents", "Architecture", "Onboarding", "Releases", "Contracts", "Runbooks", "Research", "Travel"}
	sp := DCSpace{
		ID: formatID(id), Key: fmt.Sprintf("S%dX%s", n, strings.ToUpper(r.hex(2))), Name: fmt.Sprintf("%s %d", pick(r, topics), n),
		Type: "global", Status: "current", HomepageID: formatID(id + 1),
	}
	if nasty := nastySpaceNames(); n < len(nasty) {
		sp.Name = nasty[n]
	}
	personal := func(username string) {
		if _, taken := dc.spaceByKey["~"+username]; !taken && dc.byUsername[username] != nil {
			sp.Type, sp.Key = "personal", "~"+username
		}
	}
	first, second := collidingKeys()
	switch n {
	case 1:
		sp.HomepageID = ""
	case 2:
		sp.Type = "team_hub" // no value of the reference pages
	case 3:
		sp.Key = first
	case 4:
		sp.Key = second
	case 5:
		sp.Status = "archived"
	case 6:
		personal("jane.doe@corp.example")
	case 7:
		sp.Description = "Text with \"quotes\", <b>markup</b> and \U0001f4dd"
	case 8:
		personal("slash/er")
	case 9:
		personal("per%cent")
	}
	return sp
}

// putSpace stores a space at its place by key. The caller holds mu.
func (dc *DataCenter) putSpace(sp *dcSpace) {
	at, _ := slices.BinarySearchFunc(dc.spaces, sp, compareDCSpaces)
	dc.spaces = slices.Insert(slices.Clone(dc.spaces), at, sp)
	dc.spaceByKey[sp.data.Key] = sp
	dc.lastSpace = max(dc.lastSpace, sp.id)
}

func (dc *DataCenter) generateRows(r random, n int, subjects []DCSubject, operations [][2]string) []DCPermission {
	count := dc.settings.PermissionsPerSpace
	if !dc.settings.Exact && dc.settings.Spaces > 4 {
		switch n {
		case 3:
			return nil
		case 4:
			count = max(count, 263)
		}
	}
	rows := make([]DCPermission, 0, count)
	there := map[DCPermission]bool{}
	put := func(p DCPermission) {
		if !there[p] && len(rows) < count {
			there[p] = true
			rows = append(rows, p)
		}
	}
	if n == 0 {
		for _, p := range nastyDCPermissions() {
			put(p)
		}
	}
	if n%10 == 9 {
		put(DCPermission{Subject: AnonymousSubject(), Operation: "read", Target: "space"})
	}
	from, step := r.IntN(len(subjects)), coprime(r, len(subjects))
	for i := range len(subjects) * len(operations) {
		o := operations[i%len(operations)]
		put(DCPermission{Subject: subjects[(from+i/len(operations)*step)%len(subjects)], Operation: o[0], Target: o[1]})
	}
	return rows
}

func (dc *DataCenter) generateAddons(r random, day time.Time) {
	license := func(kind string) *DCAddonLicense {
		return &DCAddonLicense{
			Type: kind, Valid: true, MaximumUsers: 500, Expires: day.AddDate(0, 5, 0), MaintenanceEnds: day.AddDate(0, 5, 0), Raw: "AAAB" + r.hex(40),
		}
	}
	expired := license("COMMERCIAL")
	expired.Valid, expired.Expires, expired.MaintenanceEnds = false, day.AddDate(0, 0, -3), day.AddDate(0, 0, -3)
	evaluation := license("EVALUATION")
	evaluation.Evaluation, evaluation.MaximumUsers = true, 0
	standing := []DCAddon{
		{Key: "com.atlassian.confluence.plugins.confluence-macro-browser", Name: "Confluence Macro Browser", Version: "9.2.4", Vendor: "Atlassian", Enabled: true},
		{Key: "com.example.diagrams", Name: "Diagrams \"Pro\" <b>", Version: "21.5.0-rc.1", Vendor: "Example & Co", Description: "Draw\nthings", Enabled: true, UserInstalled: true, UsesLicensing: true, License: license("COMMERCIAL")},
		{Key: "com.example.scripts/runner", Name: "Scripts \u202enuR\u202c", Version: "8.0", Enabled: true, UserInstalled: true, UsesLicensing: true, License: expired},
		{Key: "com.example.trial", Name: "Trial", Version: "1", Vendor: "\u05d7\u05d1\u05e8\u05d4", Enabled: false, UserInstalled: true, UsesLicensing: true, License: evaluation},
		{Key: "in-house 100%", Name: "In-house; helper", Version: "", Vendor: "We", Enabled: true, UserInstalled: true},
		{Key: "com.example.unlicensed", Name: "Unlicensed", Version: "3.1", Vendor: "Example & Co", Enabled: true, UserInstalled: true, UsesLicensing: true},
	}
	for i := range dc.settings.Addons {
		a := DCAddon{Key: fmt.Sprintf("com.example.addon%d", i), Name: fmt.Sprintf("Addon %d", i), Version: fmt.Sprintf("1.%d", i), Vendor: "Example & Co", Enabled: true, UserInstalled: true}
		if i < len(standing) {
			a = standing[i]
		}
		dc.addons = append(dc.addons, a)
	}
	slices.SortFunc(dc.addons, compareDCAddons)
}

func (dc *DataCenter) generateAudit(r random, start time.Time) {
	at := start.Add(-time.Duration(dc.settings.AuditEvents) * time.Minute)
	for i := range dc.settings.AuditEvents {
		if i%4 != 3 { // every fourth event shares its predecessor's millisecond
			at = at.Add(time.Duration(1+r.IntN(60000)) * time.Millisecond)
		}
		u := pick(r, dc.users).data
		a := DCAuditRecord{
			At: at, AuthorKey: u.UserKey, AuthorName: u.DisplayName, Category: "Security", Source: fmt.Sprintf("192.0.2.%d", r.IntN(255)), Method: "Browser",
			Action:  pick(r, []string{"Space exported", "Login \"failed\"\nagain", "Page restrictions changed", "App installed"}),
			Objects: []DCAuditObject{{ID: formatID(int64(r.IntN(1 << 20))), Name: pick(r, nastySpaceNames()), Type: "SPACE"}},
			Changed: []DCAuditChange{{Key: "Mode", To: "on"}},
		}
		if i%9 == 4 {
			a.AuthorKey, a.AuthorName, a.Source, a.Method = "-2", "System", "", "System"
			a.Extra = []DCAuditAttribute{{Name: "Job", Value: "nightly\tpurge"}}
		}
		dc.putAudit(a)
	}
}
