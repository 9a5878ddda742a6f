package confluencetest

import (
	"slices"
	"time"
)

// GenerateHistory schedules seeded everyday changes between from and to, on
// average stepsPerDay of them. What a step touches is drawn when it is applied,
// from the step's own seed, so the same seed on the same site gives the same
// history. It returns the scheduled steps.
func (dc *DataCenter) GenerateHistory(seed uint64, from, to time.Time, stepsPerDay int) []DCStep {
	r := newRandom(seed, "dc history of "+dc.settings.Name)
	total := int(to.Sub(from).Hours() / 24 * float64(stepsPerDay))
	sum := 0
	for _, h := range dcEveryday {
		sum += h.weight
	}
	steps := make([]DCStep, 0, total)
	for range total {
		at := from.Add(time.Duration(r.Int64N(int64(to.Sub(from))))).Truncate(time.Second)
		n, i := r.IntN(sum), 0
		for n >= dcEveryday[i].weight {
			n -= dcEveryday[i].weight
			i++
		}
		kind, own := dcEveryday[i], newRandom(r.Uint64(), dcEveryday[i].name)
		steps = append(steps, DCStep{At: at, Name: kind.name, Do: func(dc *DataCenter) { kind.do(dc, own) }})
	}
	slices.SortStableFunc(steps, func(a, b DCStep) int { return a.At.Compare(b.At) })
	dc.Schedule(steps...)
	return steps
}

type dcHabit struct {
	name   string
	weight int
	do     func(*DataCenter, random)
}

// dcEveryday is what happens on a Data Center, by frequency. An action that finds
// nothing to act on, or the wanted state already there, does nothing.
var dcEveryday = []dcHabit{
	{"grant a permission", 24, func(dc *DataCenter, r random) {
		if sp, ok := dc.anySpace(r, nil); ok {
			dc.mu.RLock()
			p := dc.anyPermission(r)
			dc.mu.RUnlock()
			_ = dc.AddPermission(sp, p)
		}
	}},
	{"withdraw a permission", 20, func(dc *DataCenter, r random) {
		if sp, ok := dc.anySpace(r, nil); ok {
			if p, ok := dc.anyRow(r, sp); ok {
				_ = dc.RemovePermission(sp, p)
			}
		}
	}},
	{"give a global permission", 2, func(dc *DataCenter, r random) {
		o := pick(r, globalOperations())
		_ = dc.AddGlobal(DCPermission{Subject: GroupSubject(dc.anyGroup(r)), Operation: o[0], Target: o[1]})
	}},
	{"withdraw a global permission", 1, func(dc *DataCenter, r random) {
		t := dc.Truth().Global
		if len(t) > 5 {
			_ = dc.RemoveGlobal(pick(r, t[5:]))
		}
	}},
	{"open a space to everybody", 1, func(dc *DataCenter, r random) {
		if sp, ok := dc.anySpace(r, nil); ok {
			_ = dc.AddPermission(sp, DCPermission{Subject: AnonymousSubject(), Operation: "read", Target: "space"})
		}
	}},
	{"create a space", 3, func(dc *DataCenter, r random) {
		dc.AddSpace(DCSpace{Name: "Project \U0001f680 " + r.hex(2)}, 5+r.IntN(20))
	}},
	{"delete a space", 1, func(dc *DataCenter, r random) {
		if sp, ok := dc.anySpace(r, nil); ok {
			_ = dc.RemoveSpace(sp)
		}
	}},
	{"hide a space", 1, func(dc *DataCenter, r random) {
		if sp, ok := dc.anySpace(r, func(sp *dcSpace) bool { return !sp.hidden }); ok {
			_ = dc.HideSpace(sp)
		}
	}},
	{"show a space", 1, func(dc *DataCenter, r random) {
		if sp, ok := dc.anySpace(r, func(sp *dcSpace) bool { return sp.hidden }); ok {
			_ = dc.ShowSpace(sp)
		}
	}},
	{"rename a space", 3, func(dc *DataCenter, r random) {
		if sp, ok := dc.anySpace(r, nil); ok {
			_ = dc.RenameSpace(sp, "Renamed \u2728 "+r.hex(3))
		}
	}},
	{"archive a space", 1, func(dc *DataCenter, r random) {
		if sp, ok := dc.anySpace(r, nil); ok {
			_ = dc.ArchiveSpace(sp)
		}
	}},
	{"put somebody into a group", 14, func(dc *DataCenter, r random) { _ = dc.AddMember(dc.anyGroup(r), dc.anyUser(r)) }},
	{"take somebody out of a group", 10, func(dc *DataCenter, r random) {
		g := dc.anyGroup(r)
		if m, ok := dc.anyMember(r, g); ok {
			_ = dc.RemoveMember(g, m)
		}
	}},
	{"found a group", 1, func(dc *DataCenter, r random) { _ = dc.AddGroup("project/" + r.hex(3)) }},
	{"dissolve a group", 1, func(dc *DataCenter, r random) {
		if g := dc.anyGroup(r); dc.dissolvable(g) {
			_ = dc.RemoveGroup(g)
		}
	}},
	{"nest a group", 2, func(dc *DataCenter, r random) { _ = dc.NestGroup(dc.anyGroup(r), dc.anyGroup(r)) }},
	{"hire somebody", 5, func(dc *DataCenter, r random) { _ = dc.AddMember(dc.anyGroup(r), dc.AddUser(DCUser{}).Username) }},
	{"deactivate an account", 3, func(dc *DataCenter, r random) { _ = dc.DeactivateUser(dc.anyUser(r)) }},
	{"delete an account", 1, func(dc *DataCenter, r random) { _ = dc.RemoveUser(dc.anyUser(r)) }},
	{"rename somebody", 2, func(dc *DataCenter, r random) { _ = dc.RenameUser(dc.anyUser(r), "renamed."+r.hex(3)) }},
	{"upgrade an app", 2, func(dc *DataCenter, r random) {
		if a := dc.Truth().Addons; len(a) > 0 {
			_ = dc.ChangeAddon(pick(r, a).Key, func(a *DCAddon) { a.Version = "9." + r.hex(1) })
		}
	}},
	{"buy seats", 1, func(dc *DataCenter, _ random) { dc.ChangeLicense(func(l *DCLicense) { l.MaximumUsers += 50 }) }},
}

func (dc *DataCenter) anySpace(r random, which func(*dcSpace) bool) (string, bool) {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	list := dc.spaces
	if which != nil {
		list = slices.DeleteFunc(slices.Clone(list), func(sp *dcSpace) bool { return !which(sp) })
	}
	if len(list) == 0 {
		return "", false
	}
	return pick(r, list).data.Key, true
}

func (dc *DataCenter) anyRow(r random, key string) (DCPermission, bool) {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	sp := dc.spaceByKey[key]
	if sp == nil || len(sp.rows) == 0 {
		return DCPermission{}, false
	}
	return pick(r, sp.rows), true
}

func (dc *DataCenter) anyGroup(r random) string {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	return pick(r, dc.groups).name
}

func (dc *DataCenter) dissolvable(name string) bool {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	g := dc.group[name]
	return g != nil && !g.standing
}

// anyUser draws a user other than the two standing ones; "" when none is left.
func (dc *DataCenter) anyUser(r random) string {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	others := slices.DeleteFunc(slices.Clone(dc.users), func(u *dcUser) bool { return u == dc.collector || u == dc.reader })
	if len(others) == 0 {
		return ""
	}
	return pick(r, others).data.Username
}

func (dc *DataCenter) anyMember(r random, name string) (string, bool) {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	g := dc.group[name]
	if g == nil {
		return "", false
	}
	for _, m := range g.members {
		if m != dc.collector && m != dc.reader && r.IntN(3) == 0 {
			return m.data.Username, true
		}
	}
	return "", false
}
