package confluencetest

import (
	"fmt"
	"slices"
	"time"
)

// Step is a change of a site that is due at a certain time. Do calls mutation
// methods of the site; the log gives them the step's time.
type Step struct {
	At   time.Time
	Name string
	Do   func(*Site)
}

// Schedule adds steps to the site's future. They are applied by [Server.AdvanceTo].
func (s *Site) Schedule(steps ...Step) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.steps = append(slices.Clone(s.steps), steps...)
	slices.SortStableFunc(s.steps, func(a, b Step) int { return a.At.Compare(b.At) })
}

// Pending returns how many scheduled steps are still to come.
func (s *Site) Pending() int {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return len(s.steps)
}

// scripted is what has a future: a Cloud site or a Data Center.
type scripted interface {
	// due is the time of the next step; false when none is left.
	due() (time.Time, bool)
	applyFirst()
}

// AdvanceTo applies the steps of all sites that are due at t or before, in order
// of time. Calls must not overlap.
func (srv *Server) AdvanceTo(t time.Time) {
	for {
		var next scripted
		var first time.Time
		for _, s := range srv.scripted() {
			if at, ok := s.due(); ok && !at.After(t) && (next == nil || at.Before(first)) {
				next, first = s, at
			}
		}
		if next == nil {
			return
		}
		next.applyFirst()
	}
}

func (srv *Server) scripted() []scripted {
	var all []scripted
	for _, s := range srv.Sites() {
		all = append(all, s)
	}
	for _, dc := range srv.DataCenters() {
		all = append(all, dc)
	}
	return all
}

func (s *Site) due() (time.Time, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.steps) == 0 {
		return time.Time{}, false
	}
	return s.steps[0].At, true
}

func (s *Site) applyFirst() {
	s.mu.Lock()
	step := s.steps[0]
	s.steps = s.steps[1:]
	s.at = step.At
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		s.at = time.Time{}
		s.mu.Unlock()
	}()
	step.Do(s)
}

// GenerateHistory schedules seeded everyday changes between from and to, on
// average stepsPerDay of them, mostly in working hours. Every fifth or so brings a
// change along of what [Site.Posture] holds, drawn from a source of its own. What a step touches is
// drawn when it is applied, from the step's own seed, so the same seed on the
// same site gives the same history. It returns the scheduled steps.
func (s *Site) GenerateHistory(seed uint64, from, to time.Time, stepsPerDay int) []Step {
	r := newRandom(seed, "history of "+s.name)
	beside := newRandom(seed, "posture history of "+s.name)
	total := int(to.Sub(from).Hours() / 24 * float64(stepsPerDay))
	steps := make([]Step, 0, total)
	for range total {
		at := from.Add(time.Duration(r.Int64N(int64(to.Sub(from)))))
		if h := at.UTC().Hour(); (h < 7 || h > 18) && r.IntN(4) > 0 {
			day := at.UTC().Truncate(24 * time.Hour)
			if moved := day.Add(7*time.Hour + time.Duration(r.Int64N(int64(11*time.Hour)))); !moved.Before(from) && moved.Before(to) {
				at = moved
			}
		}
		kind := everyday[weighted(r)]
		own := newRandom(r.Uint64(), kind.name)
		step := Step{At: at.Truncate(time.Second), Name: kind.name, Do: func(s *Site) { kind.do(s, own) }}
		steps = append(steps, step.with(besides(beside)))
	}
	slices.SortStableFunc(steps, func(a, b Step) int { return a.At.Compare(b.At) })
	s.Schedule(steps...)
	return steps
}

type habit struct {
	name   string
	weight int
	do     func(*Site, random)
}

func weighted(r random) int {
	sum := 0
	for _, h := range everyday {
		sum += h.weight
	}
	n := r.IntN(sum)
	for i, h := range everyday {
		if n < h.weight {
			return i
		}
		n -= h.weight
	}
	return 0
}

// everyday is what happens on a site, by frequency. An action that finds nothing
// to act on does nothing; errors cannot occur, for every id was just read.
var everyday = []habit{
	{"grant a permission", 24, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			o := pick(r, standardOperations())
			p := Permission{PrincipalType: "user", PrincipalID: s.anyUser(r), Operation: o[0], Target: o[1]}
			if g, ok := s.anyGroup(r); ok && r.IntN(2) == 0 {
				p.PrincipalType, p.PrincipalID = "group", g
			}
			_, _ = s.AddPermission(sp, p)
		}
	}},
	{"withdraw a permission", 20, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			if row, ok := s.anyRow(r, sp); ok {
				_ = s.RemovePermission(sp, row.ID)
			}
		}
	}},
	{"change a permission", 6, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			if row, ok := s.anyRow(r, sp); ok {
				o := pick(r, standardOperations())
				row.Operation, row.Target = o[0], o[1]
				_ = s.ChangePermission(sp, row.ID, row)
			}
		}
	}},
	{"open a space to the world", 1, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			_, _ = s.AddPermission(sp, Permission{PrincipalType: "access-class", PrincipalID: "anonymous-users", Operation: "read", Target: "space"})
		}
	}},
	{"create a space", 4, func(s *Site, r random) {
		s.AddSpace(Space{Name: fmt.Sprintf("Project \"%s\"", r.hex(3))}, 5+r.IntN(20))
	}},
	{"delete a space", 2, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			_ = s.RemoveSpace(sp)
		}
	}},
	{"hide a space", 1, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, func(sp *space) bool { return !sp.hidden }); ok {
			_ = s.HideSpace(sp)
		}
	}},
	{"show a space", 1, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, func(sp *space) bool { return sp.hidden }); ok {
			_ = s.ShowSpace(sp)
		}
	}},
	{"rename a space", 3, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			_ = s.RenameSpace(sp, "Renamed \u2728 "+r.hex(3))
		}
	}},
	{"archive a space", 1, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			_ = s.ArchiveSpace(sp)
		}
	}},
	{"put somebody into a group", 14, func(s *Site, r random) {
		if g, ok := s.anyGroup(r); ok {
			_ = s.AddMember(g, s.anyUser(r))
		}
	}},
	{"take somebody out of a group", 10, func(s *Site, r random) {
		if g, ok := s.anyGroup(r); ok {
			if m, ok := s.anyMember(r, g); ok {
				_ = s.RemoveMember(g, m)
			}
		}
	}},
	{"found a group", 1, func(s *Site, r random) { s.AddGroup(Group{Name: "project-" + r.hex(3)}) }},
	{"dissolve a group", 1, func(s *Site, r random) {
		if g, ok := s.anyGroup(r); ok && s.dissolvable(g) {
			_ = s.RemoveGroup(g)
		}
	}},
	{"hire somebody", 5, func(s *Site, r random) {
		u := s.AddUser(User{})
		if g, ok := s.anyGroup(r); ok {
			_ = s.AddMember(g, u.AccountID)
		}
	}},
	{"deactivate an account", 3, func(s *Site, r random) { _ = s.DeactivateUser(s.anyUser(r)) }},
	{"rename somebody", 2, func(s *Site, r random) { _ = s.RenameUser(s.anyUser(r), "New Name "+r.hex(2)) }},
	{"invite as a guest or adopt", 2, func(s *Site, r random) { _ = s.SetExternal(s.anyUser(r), new(r.IntN(2) == 0)) }},
	{"set a data policy", 1, func(s *Site, r random) {
		if sp, ok := s.anySpace(r, nil); ok {
			_ = s.BlockSpace(sp, r.IntN(2) == 0)
		}
	}},
	{"change the audit retention", 1, func(s *Site, r random) {
		s.ChangeSettings(func(c *SiteConfiguration) { c.RetentionNumber, c.RetentionUnits = 1+r.IntN(12), "MONTHS" })
	}},
}

func (s *Site) anySpace(r random, which func(*space) bool) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	list := s.spaces
	if which != nil {
		list = slices.DeleteFunc(slices.Clone(list), func(sp *space) bool { return !which(sp) })
	}
	if len(list) == 0 {
		return "", false
	}
	return pick(r, list).data.ID, true
}

func (s *Site) anyRow(r random, spaceID string) (Permission, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	sp, err := s.findSpace(spaceID)
	if err != nil || len(sp.rows) == 0 {
		return Permission{}, false
	}
	return s.permission(pick(r, sp.rows)), true
}

func (s *Site) anyGroup(r random) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	if len(s.groups) == 0 {
		return "", false
	}
	return pick(r, s.groups).data.ID, true
}

// dissolvable tells whether a group may go: the standing groups of a site do not.
func (s *Site) dissolvable(id string) bool {
	s.mu.RLock()
	defer s.mu.RUnlock()
	g := s.groupByID[id]
	return g != nil && g.data.Access == "user" && len(g.members) < len(s.users)/2
}

// anyUser draws an account other than the collecting user's.
func (s *Site) anyUser(r random) string {
	s.mu.RLock()
	defer s.mu.RUnlock()
	return s.users[1+r.IntN(len(s.users)-1)].data.AccountID
}

func (s *Site) anyMember(r random, groupID string) (string, bool) {
	s.mu.RLock()
	defer s.mu.RUnlock()
	g := s.groupByID[groupID]
	if g == nil {
		return "", false
	}
	for _, m := range g.members {
		if m != s.users[0] && r.IntN(3) == 0 {
			return m.data.AccountID, true
		}
	}
	return "", false
}
