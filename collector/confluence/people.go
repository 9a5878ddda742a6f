package confluence

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathUsersBulk = "/wiki/api/v2/users-bulk"
	limitBulk     = 250 // ids in a call (Confluence Cloud REST v2, "Create bulk user lookup using ids")
)

// people is what a run knows of the accounts of a site: who is in some group, and
// what looking them up has told. Source.mu guards the first part; the lookup has
// a lock of its own, because it is held while the site is asked.
type people struct {
	guests  map[string]flag  // by account id: the best that member records said
	groups  map[string]error // by group: how the reading of its members ended
	listed  bool             // all accounts were listed at once (Data Center) ...
	listErr error            // ... and how that ended
	lookup  lookup
}

func (p *people) reset() {
	p.guests, p.groups = map[string]flag{}, map[string]error{}
}

// add notes a member. Of several records the one that knows most counts.
func (p *people) add(account string, guest flag) {
	p.guests[account] = max(p.guests[account], guest)
}

// know notes an account of which nothing says whether it is a guest.
func (s *Source) know(account string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.people.add(account, 0)
}

func (p *people) ended(group string, err error) { p.groups[group] = err }

// lookup are the details of all accounts, asked for 250 at a time. users and
// external_collaborators share them; only what the second needs is kept.
type lookup struct {
	mu      sync.Mutex
	ids     []string // sorted: the same site makes the same calls
	next    int      // ids[:next] were asked for
	started bool

	owed          bool // users has not had the rows yet, they are kept for it
	rows, unknown []datasets.User

	guests, doubtful []datasets.ExternalCollaborator
	left             lacking // accounts that the site left out, or told too little of
}

// begin starts the lookup of the accounts that are known by now.
func (l *lookup) begin(ids []string, owed bool) {
	l.ids, l.next, l.started, l.owed = ids, 0, true, owed
	l.rows, l.unknown, l.guests, l.doubtful, l.left = nil, nil, nil, nil, lacking{}
}

// membership says whether the accounts that the run knows are all there are. A
// blocking error stands for "nothing to look up, and that is no finding"; a
// partial one for accounts that may be missing.
func (s *Source) membership() (blocking, partial error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	var cause error
	unread := 0
	groups := s.lists[tableGroups]
	for _, group := range groups.ids {
		if err, ok := s.people.groups[group]; !ok {
			unread++
		} else if err != nil {
			unread++
			cause = err
		}
	}
	var why string
	switch {
	case !groups.read:
		why = "the groups were not read in this run"
	case groups.err != nil:
		why, cause = "the groups were not read completely: "+evidenceOf(groups.err), groups.err
	case unread > 0 && cause != nil:
		why = fmt.Sprintf("the members of %d of %d groups were not read completely, such as %s", unread, len(groups.ids), evidenceOf(cause))
	case unread > 0:
		why = fmt.Sprintf("the members of %d of %d groups were not read in this run", unread, len(groups.ids))
	default:
		return nil, nil
	}
	if len(s.people.guests) > 0 {
		return nil, &collector.ReadError{State: schemas.CoveragePartial, Evidence: why, Unlock: unlockOf(cause)}
	}
	state := schemas.CoverageFailed
	if cause != nil {
		state = stateOf(cause)
	}
	return &collector.ReadError{State: state, Evidence: why, Unlock: unlockOf(cause), Err: cause}, nil
}

// listing says whether the accounts that were listed at once are all there are, as
// membership does.
func (s *Source) listing() (blocking, partial error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch err := s.people.listErr; {
	case !s.people.listed:
		return &collector.ReadError{State: schemas.CoverageFailed, Evidence: "the users were not read in this run"}, nil
	case err == nil:
		return nil, nil
	case len(s.people.guests) > 0:
		return nil, &collector.ReadError{State: schemas.CoveragePartial, Evidence: "the users were not read completely: " + evidenceOf(err), Unlock: unlockOf(err)}
	default:
		return &collector.ReadError{State: stateOf(err), Evidence: "the users were not read: " + evidenceOf(err), Unlock: unlockOf(err), Err: err}, nil
	}
}

// accounts are the ids of all known accounts, sorted.
func (s *visit) accounts() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := slices.Sorted(maps.Keys(s.people.guests))
	if s.peek && len(known) == 0 && s.way.Principal != "" {
		return []string{s.way.Principal} // it is somebody to ask about
	}
	return known
}

func (s *Source) guest(account string) flag {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.people.guests[account]
}

// lookUp asks for the next accounts and sorts the answer: users' rows, rows of
// which too little is known, and what external_collaborators will need.
func (s *visit) lookUp(ctx context.Context, l *lookup) (rows, unknown []datasets.User, err error) {
	ids := l.ids[l.next:min(l.next+limitBulk, len(l.ids))]
	var found map[string]*userWire
	err = s.post(ctx, pathUsersBulk, bulkQuestion{ids}, func(a answer) error {
		items, err := decodeUsers(a.body)
		if err == nil {
			found, err = match(items, ids)
		}
		return err
	})
	if err != nil {
		return nil, nil, err
	}
	s.spend(weightIdentity, len(found))
	for _, id := range ids {
		w := found[id]
		if w == nil {
			l.left.add("account", id, "the site left it out")
			unknown = append(unknown, datasets.User{AccountID: id})
			l.doubtful = append(l.doubtful, datasets.ExternalCollaborator{AccountID: id})
			continue
		}
		guest := w.external()
		if guest != flagTrue && guest != flagFalse {
			guest = s.guest(id)
		}
		row, why := normalizeUser(w, guest)
		if why != "" {
			l.left.add("account", id, why)
			unknown = append(unknown, row)
		} else {
			rows = append(rows, row)
		}
		switch {
		case guest == flagFalse:
		case guest == flagTrue && why == "":
			l.guests = append(l.guests, externalCollaborator(row))
		default:
			l.doubtful = append(l.doubtful, externalCollaborator(row))
		}
	}
	l.next += len(ids)
	return rows, unknown, nil
}

// match finds the answers to the ids that were asked for. An answer about anybody
// else is not an answer to the question.
func match(items []userWire, ids []string) (map[string]*userWire, error) {
	found := make(map[string]*userWire, len(items))
	for i := range items {
		id := string(items[i].AccountID)
		if _, asked := slices.BinarySearch(ids, id); !asked {
			return nil, malformedf("results[%d] is about account %q, which was not asked for", i, cut(id, 80))
		}
		if found[id] == nil {
			found[id] = &items[i]
		}
	}
	return found, nil
}

func evidenceOf(err error) string {
	if r, ok := errors.AsType[*collector.ReadError](err); ok {
		return r.Evidence
	}
	return cut(err.Error(), 300)
}

func unlockOf(err error) string {
	if r, ok := errors.AsType[*collector.ReadError](err); ok {
		return r.Unlock
	}
	return ""
}
