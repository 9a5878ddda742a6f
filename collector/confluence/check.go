package confluence

import (
	"context"
	"net/url"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Finding is what a check says of a dataset, or of one of its sections.
type Finding struct {
	Dataset, Section string
	State            schemas.CoverageState // complete: it can be read
	Evidence         string                // what was asked and answered
	Unlock           string                // what would make it readable
}

// Check asks, with one small request for each dataset or section, whether it can
// be read, and says what would unlock it if not. It reads at most one item each
// and changes nothing. Datasets that have to be read before others come first.
func (s *Source) Check(ctx context.Context) []Finding {
	c := checker{s: s}
	var list []Finding
	for _, table := range datasets.All() {
		if !s.reads(table.Name) {
			continue
		}
		sections := table.Sections
		if len(sections) == 0 {
			sections = []string{""}
		}
		for _, section := range sections {
			f := Finding{Dataset: table.Name, Section: section, State: schemas.CoverageComplete}
			err := s.mayRead(table, section)
			if err == nil {
				f.Evidence, err = c.ask(ctx, table, section)
			}
			if err != nil {
				f.State, f.Evidence, f.Unlock = stateOf(err), evidenceOf(err), unlockOf(err)
			}
			list = append(list, f)
		}
	}
	return list
}

// checker remembers what earlier questions brought for later ones to ask about.
type checker struct {
	s                     *Source
	space, group, account string
	guest                 flag
	looked                error // of users
}

// ask puts the question for one dataset or section.
func (c *checker) ask(ctx context.Context, table *schemas.Dataset, section string) (string, error) {
	s := c.s
	switch table.Name {
	case tableSpaces:
		first, err := firstItem(ctx, s, table, pathSpaces, nil, decodeSpaces)
		if err != nil || first == nil {
			return "GET " + pathSpaces + ": answers, but shows no space", err
		}
		c.space = string(first.ID)
		return "GET " + pathSpaces + ": answers", nil
	case tableSpacePermissions:
		if c.space == "" {
			return "", &collector.ReadError{State: schemas.CoverageNeverRun, Evidence: "not asked: no space is known to ask about"}
		}
		path := pathSpaces + "/" + url.PathEscape(c.space) + "/permissions"
		_, err := firstItem(ctx, s, table, path, nil, decodePermissions)
		return "GET " + path + ": answers", err
	case tableSecurityConfiguration:
		err := s.readSecurityConfiguration(ctx, section, func(collector.Page) error { return nil })
		return "GET " + pathOf(section) + ": answers", err
	case tableGroups:
		first, err := firstItem(ctx, s, table, pathGroups, nil, decodeGroups)
		if err != nil || first == nil {
			return "GET " + pathGroups + ": answers, but shows no group", err
		}
		c.group = string(first.ID)
		return "GET " + pathGroups + ": answers", nil
	case tableGroupMembers:
		if c.group == "" {
			return "", &collector.ReadError{State: schemas.CoverageNeverRun, Evidence: "not asked: no group is known to ask about"}
		}
		l := membersOf(c.group)
		first, err := firstItem(ctx, s, table, l.path, l.query, decodeMembers)
		if err == nil && first != nil {
			c.account, c.guest = string(first.AccountID), first.external()
		}
		return "GET " + l.path + ": answers", err
	case tableUsers:
		c.looked = c.users(ctx, table)
		return "POST " + pathUsersBulk + ": answers", c.looked
	default: // external_collaborators: from the same answers
		if !s.reads(tableUsers) {
			c.looked = c.users(ctx, table)
		}
		if c.looked == nil && c.account != "" && c.guest != flagTrue && c.guest != flagFalse {
			return "POST " + pathUsersBulk + ": answers, but did not say of the account asked about whether it is a guest", nil
		}
		return "POST " + pathUsersBulk + ": answers", c.looked
	}
}

// users looks up one account: a member that was seen, else the one that granted.
func (c *checker) users(ctx context.Context, table *schemas.Dataset) error {
	if c.account == "" {
		c.account = c.s.principal
	}
	if c.account == "" {
		return &collector.ReadError{State: schemas.CoverageNeverRun, Evidence: "not asked: no account is known to ask about"}
	}
	l := lookup{ids: []string{c.account}}
	rows, _, err := c.s.lookUp(ctx, &l)
	if err != nil {
		return c.s.readError(table, "", err)
	}
	if len(rows) == 0 {
		return l.left.err("POST " + pathUsersBulk)
	}
	if g := rows[0].External; g != nil {
		c.guest = flagFalse
		if *g {
			c.guest = flagTrue
		}
	}
	return nil
}

// firstItem reads one item of a listing; nil when it is empty.
func firstItem[T any](ctx context.Context, s *Source, table *schemas.Dataset, path string, query url.Values, decode func([]byte) (batch[T], error)) (*T, error) {
	var b batch[T]
	err := s.get(ctx, path, query, func(q url.Values) { q.Set("limit", "1") }, func(a answer) error {
		var err error
		b, err = decode(a.body)
		return err
	})
	if err != nil {
		return nil, s.readError(table, "", err)
	}
	if len(b.items) == 0 {
		return nil, nil
	}
	return &b.items[0], nil
}
