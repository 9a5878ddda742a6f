//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"slices"
	"strings"
	"sync"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
)

// idleSessions is how many prepared sessions wait for a request like the one that they served.
const idleSessions = 16

// pool keeps engine sessions that statements left as they found them, by the state they were prepared to. Opening
// and preparing one costs the engine more than most statements do.
type pool struct {
	mu   sync.Mutex
	idle []*prepared // the longest idle first
}

// prepared is a session in a known state: current database, settings, and the mark by which a kill finds it.
type prepared struct {
	ses   *chdb.Session
	state string
	mark  string
}

// take gives the session that waits in the state, or nil.
func (p *pool) take(state string) *prepared {
	p.mu.Lock()
	defer p.mu.Unlock()
	for i, s := range slices.Backward(p.idle) {
		if s.state == state {
			p.idle = slices.Delete(p.idle, i, i+1)
			return s
		}
	}
	return nil
}

// put lets a session wait; the one that waited longest goes when there are too many.
func (p *pool) put(s *prepared) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.idle = append(p.idle, s)
	if len(p.idle) > idleSessions {
		p.idle[0].ses.Close()
		p.idle = slices.Delete(p.idle, 0, 1)
	}
}

func (p *pool) closeAll() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, s := range p.idle {
		s.ses.Close()
	}
	p.idle = nil
}

// perRequest is the setting that has another value in each insert. A session that waits gets it anew, or it would
// serve one request and keep another out of the pool.
const perRequest = "insert_deduplication_token"

// state names what the request wants its session to be like. Values are quoted, so no two states have one name.
func (rq *request) state() string {
	var b strings.Builder
	b.WriteString(quote(rq.database) + quote(rq.readOnly) + quote(rq.query.Get("log_comment")))
	for _, s := range rq.settings {
		b.WriteString(s.name)
		if s.name != perRequest {
			b.WriteString(quote(s.value))
		}
	}
	return b.String()
}

// renew gives a session that waited the settings that belong to one request.
func (rq *request) renew(ses *chdb.Session) error {
	for _, s := range rq.settings {
		if s.name == perRequest {
			return ses.Exec("SET " + s.name + " = " + quote(s.value))
		}
	}
	return nil
}

// leavesNoTrace tells whether a statement cannot have changed its session: it sets nothing, uses no other database,
// makes no temporary table.
func leavesNoTrace(sql string) bool {
	switch keyword(sql) {
	case "SELECT", "WITH", "INSERT":
		return true
	default:
		return false
	}
}
