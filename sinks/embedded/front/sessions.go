//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"fmt"
	"sync"
	"time"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
)

// sessions keeps engine sessions by the clients' session_id until nobody used them for their timeout.
type sessions struct {
	mu   sync.Mutex
	kept map[string]*kept
}

type kept struct {
	ses    *chdb.Session
	busy   bool
	expire *time.Timer
}

// take gives the session to one request. A session that serves another one is refused, as on a server.
func (ss *sessions) take(s *Server, rq *request) (*chdb.Session, func(), error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	k := ss.kept[rq.session]
	switch {
	case k == nil && rq.mustExist:
		return nil, nil, exception(372, "SESSION_NOT_FOUND", "session "+quote(rq.session)+" is not known: it timed out or was never opened")
	case k == nil && len(ss.kept) >= s.Limits.Sessions:
		return nil, nil, exception(202, "TOO_MANY_SIMULTANEOUS_QUERIES", fmt.Sprintf("%d sessions are open, which is the limit", len(ss.kept)))
	case k == nil:
		ses, err := s.Library.Open("--path=" + s.Path)
		if err == nil {
			err = ses.Exec("USE " + identifier(rq.database))
		}
		if err != nil {
			if ses != nil {
				ses.Close()
			}
			return nil, nil, err
		}
		k = &kept{ses: ses}
		ss.kept[rq.session] = k
	case k.busy:
		return nil, nil, exception(373, "SESSION_IS_LOCKED", "session "+quote(rq.session)+" is running another statement")
	default:
		k.expire.Stop()
	}
	k.busy = true
	return k.ses, func() { ss.release(rq, k) }, nil
}

func (ss *sessions) release(rq *request, k *kept) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	k.busy = false
	if rq.endSession {
		ss.drop(rq.session, k)
		return
	}
	id := rq.session
	k.expire = time.AfterFunc(rq.ttl, func() {
		ss.mu.Lock()
		defer ss.mu.Unlock()
		if ss.kept[id] == k && !k.busy {
			ss.drop(id, k)
		}
	})
}

// drop closes a session that is not busy. ss.mu is held.
func (ss *sessions) drop(id string, k *kept) {
	delete(ss.kept, id)
	k.ses.Close()
}

func (ss *sessions) closeAll() {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	for id, k := range ss.kept {
		if !k.busy {
			k.expire.Stop()
			ss.drop(id, k)
		}
	}
}
