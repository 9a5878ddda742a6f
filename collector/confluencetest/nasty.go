package confluencetest

// Values that are legal and break careless clients. Every generated site has all
// that fit into its size; the first space carries several at once, so that even a
// site of one space is not harmless.

// nastySpaceNames go to the first spaces.
func nastySpaceNames() []string {
	return []string{
		"Quotes \" and 'single', a\nnewline, \u05e9\u05dc\u05d5\u05dd, \U0001f512 lock",
		"Tab\tand bell \u0007, escape \u001b[31mred\u001b[0m, delete \u007f",
		"\u202egnp.drowssap\u202c right to left",
		"b|c", // with the key of its neighbour below: "a" + "b|c" and "a|b" + "c"
		"c",
		"'; DROP TABLE spaces; --",
		"<script>alert(1)</script> & {{template}} ${env}",
		"  leading and trailing blanks  ",
		"Line\u2028separator, zero\u200bwidth, e\u0301 decomposed and \u00e9 composed",
		"=HYPERLINK(\"http://example.invalid\",\"click\")",
		"\\N \\' \\\\ backslashes \\t",
		"null",
		"Family \U0001f468\u200d\U0001f469\u200d\U0001f467 and flag \U0001f1e9\U0001f1ea",
	}
}

// collidingKeys are the keys of the fourth and the fifth space.
func collidingKeys() (first, second string) { return "a", "a|b" }

// nastyGroupNames follow the standing groups of a site.
func nastyGroupNames() []string {
	return []string{
		"ops|team", "Ops \"night\" shift\n(on call)", "\u05e7\u05d1\u05d5\u05e6\u05d4 \u05d0", "\U0001f6e1\ufe0f guardians", "a,b;c\td", "100%_wild\\card",
	}
}

// nastyUserNames go to the users after the collecting one; two of them are equal.
func nastyUserNames() []string {
	return []string{
		"Alex Kim", "Alex Kim", "O'Brien, \"Pat\"", "\u0645\u062d\u0645\u062f \u0639\u0644\u064a", "Zo\u00eb \U0001f984", "name\nwith newline", "\u001b[2Jcleared",
	}
}

// standardOperations are pairs of operation key and target type as the OpenAPI
// file knows them.
func standardOperations() [][2]string {
	return [][2]string{
		{"read", "space"},
		{"create", "page"},
		{"create", "blogpost"},
		{"create", "comment"},
		{"create", "attachment"},
		{"delete", "page"},
		{"delete", "blogpost"},
		{"delete", "comment"},
		{"delete", "attachment"},
		{"delete", "space"},
		{"export", "space"},
		{"administer", "space"},
		{"archive", "page"},
		{"restrict_content", "space"},
		{"update", "page"},
		{"copy", "page"},
		{"move", "page"},
		{"purge", "page"},
		{"restore", "page"},
		{"purge_version", "attachment"},
	}
}

// nastyPermissions are rows of the first space. The live API sends principal
// types and operations beyond the enumerations of the OpenAPI file; the last two
// collide when their parts are joined without lengths.
func nastyPermissions() []Permission {
	return []Permission{
		{PrincipalType: "access-class", PrincipalID: "anonymous-users", Operation: "read", Target: "space"},
		{PrincipalType: "access-class", PrincipalID: "all-licensed-users", Operation: "manage_users", Target: "space"},
		{PrincipalType: "role", PrincipalID: "c0ffee00-0000-4000-8000-000000000001", Operation: "archive_space", Target: "space"},
		{PrincipalType: "user", PrincipalID: "557058:gone|user", Operation: "administer", Target: "space|page"},
		{PrincipalType: "user", PrincipalID: "557058:gone|user", Operation: "administer|space", Target: "page"},
	}
}
