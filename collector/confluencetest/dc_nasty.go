package confluencetest

// Values that are legal on a Data Center and break careless clients. Its names are
// keys and stand in paths, so that most of them need escaping there.

// nastyDCGroups follow the standing groups of a site. One is also a username; two
// differ from each other only in what separates their parts.
func nastyDCGroups() []string {
	return []string{
		"ops/night shift", "100% wild", "a+b c", "what?#group", "semi;colon=1", "jane.doe@corp.example",
		"ops|team", "ops", "Ops \"night\" shift\n(on call)", "\u05e7\u05d1\u05d5\u05e6\u05d4 \u05d0", "\U0001f6e1\ufe0f guardians", "..%2F..",
		"\u202eevif-ytxis\u202c", "bell\u0007 and escape\u001b[31m", "trailing blank ",
	}
}

// nastyDCUsernames go to the users after the two standing ones.
func nastyDCUsernames() []string {
	return []string{
		"jane.doe@corp.example", "o'brien", "per%cent", "slash/er", "\u05e9\u05dc\u05d5\u05dd", "user name+tag", "semi;colon", "pipe|d",
	}
}

// standardDCOperations are pairs of operation key and target type of space
// permissions.
func standardDCOperations() [][2]string {
	return [][2]string{
		{"read", "space"},
		{"administer", "space"},
		{"export", "space"},
		{"delete_own", "space"},
		{"restrict_content", "space"},
		{"create", "page"},
		{"create", "blogpost"},
		{"create", "comment"},
		{"create", "attachment"},
		{"delete", "page"},
		{"delete", "blogpost"},
		{"delete", "comment"},
		{"delete", "attachment"},
		{"delete", "mail"},
	}
}

// deletedUserKey belongs to a user who was deleted before the site's history began.
const deletedUserKey = "ff80808144e1b2c30144e1b2deadbeef"

// nastyDCPermissions are rows of the first space: operations and subjects that no
// reference page lists, a deleted user, a row without a subject, and pairs that
// collide when their parts are joined without lengths.
func nastyDCPermissions() []DCPermission {
	return []DCPermission{
		{Subject: AnonymousSubject(), Operation: "read", Target: "space"},
		{Subject: DCSubject{Type: SubjectUser, UserKey: deletedUserKey}, Operation: "administer", Target: "space"},
		{Operation: "read", Target: "space"},
		{Subject: GroupSubject("ops"), Operation: "team|read", Target: "space"},
		{Subject: GroupSubject("ops|team"), Operation: "read", Target: "space"},
		{Subject: GroupSubject("a group that is gone"), Operation: "purge_version", Target: "attachment"},
		{Subject: DCSubject{Type: "app", Name: "com.example.bot", DisplayName: "Bot \u001b[2J"}, Operation: "read", Target: "space"},
		{Subject: GroupSubject("confluence-users"), Operation: "\u202eetaerc\u202c", Target: "page\nsection"},
		{Subject: GroupSubject("jane.doe@corp.example"), Operation: "export", Target: "space"},
	}
}
