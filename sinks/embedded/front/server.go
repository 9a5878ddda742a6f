//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/sitedrift/sitedrift/sinks/embedded/chdb"
)

// Limits bound what clients may take. The zero value of a field means its default.
type Limits struct {
	Statements     int           // running at once; more wait. Default 64
	Sessions       int           // kept for session_id. Default 128
	StatementBytes int64         // text of one statement. Default 16 MiB
	InsertBytes    int64         // body of one INSERT, as sent. Default 16 GiB
	Idle           time.Duration // without a byte read from or written to a client. Default 15 minutes
}

func (l Limits) withDefaults() Limits {
	if l.Statements <= 0 {
		l.Statements = 64
	}
	if l.Sessions <= 0 {
		l.Sessions = 128
	}
	if l.StatementBytes <= 0 {
		l.StatementBytes = 16 << 20
	}
	if l.InsertBytes <= 0 {
		l.InsertBytes = 16 << 30
	}
	if l.Idle <= 0 {
		l.Idle = 15 * time.Minute
	}
	return l
}

// Settings is what a [Server] needs.
type Settings struct {
	Library  *chdb.Library
	Path     string   // the engine's data directory, already open in this process
	Database string   // current database where a request names none
	Token    string   // the password that requests must carry; the user's name does not matter
	Readers  []Reader // may read on the loopback port, each by a token of its own
	Views    []string // what readers may ask: the views of the contract
	Limits   Limits
}

// Server answers the requests. Make one with [New]; it is safe for concurrent use.
type Server struct {
	Settings
	slots    chan struct{}
	requests atomic.Uint64
	running  sync.WaitGroup // kills under way: they use the engine after their request ended
	sessions sessions
	pool     pool
	hello    struct{ version, timezone string }

	readers   map[[32]byte]*reading
	places    chan struct{} // of the statements of all readers
	memory    int           // of each of them, in bytes
	views     map[string]bool
	functions map[string]bool
	changes   atomic.Uint64 // of the tables that there are
	catalog   atomic.Pointer[catalog]
}

// New prepares a server. The engine must be open; it is asked once for its version and time zone.
func New(s Settings) (*Server, error) {
	s.Limits = s.Limits.withDefaults()
	srv := &Server{Settings: s, slots: make(chan struct{}, s.Limits.Statements), places: make(chan struct{}, readersStatements)}
	srv.sessions.kept = map[string]*kept{}
	srv.views = wordSet(strings.Join(s.Views, " "))
	if err := srv.readHello(); err != nil {
		return nil, err
	}
	if err := srv.readReaders(); err != nil {
		return nil, err
	}
	return srv, nil
}

// Close ends the kept sessions. No request may be running.
func (s *Server) Close() {
	s.running.Wait()
	s.pool.closeAll()
	s.sessions.closeAll()
}

// KillAll asks the engine to stop every running statement. It does not wait for them.
func (s *Server) KillAll() { s.kill("1") }

// kill stops the statements for which the condition over system.processes holds.
func (s *Server) kill(condition string) {
	ses, err := s.Library.Open("--path=" + s.Path)
	if err != nil {
		return // the engine is closing, and its statements with it
	}
	defer ses.Close()
	_ = ses.Exec("KILL QUERY WHERE (" + condition + ") AND query NOT LIKE 'KILL QUERY%' ASYNC")
}

// killOnDisconnect stops the statement whose mark begins with id as soon as ctx ends. The returned function calls that
// off; false says that it was too late.
func (s *Server) killOnDisconnect(ctx context.Context, id string) (calm func() bool) {
	s.running.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer s.running.Done()
		s.kill("startsWith(Settings['log_comment'], " + quote(id) + ")")
	})
	return func() bool {
		stopped := stop()
		if stopped {
			s.running.Done()
		}
		return stopped
	}
}

// lent is an engine session that serves one request.
type lent struct {
	ses     *chdb.Session
	mark    string // a kill finds the session's statement by it
	restore func() // takes a kept session's settings back
	release func(clean bool)
}

// acquire gives a session in the state that the request asks for: the client's own, one that waits in that state, or
// a new one. Only a session that is released as clean serves others.
func (s *Server) acquire(ctx context.Context, rq *request) (lent, error) {
	free, err := s.place(ctx, rq.reader != nil)
	if err != nil {
		return lent{}, err
	}
	if rq.reader != nil {
		return s.acquireReader(rq, free)
	}
	comment := rq.query.Get("log_comment")
	if rq.session != "" {
		ses, release, err := s.sessions.take(s, rq)
		if err != nil {
			free()
			return lent{}, err
		}
		mark := s.mark()
		restore, err := rq.prepare(ses, mark+comment, s.Database)
		if err != nil {
			release()
			free()
			return lent{}, err
		}
		return lent{ses, mark, restore, func(bool) { release(); free() }}, nil
	}
	state := rq.state()
	p, err := s.pool.take(state), error(nil)
	if p != nil {
		err = rq.renew(p.ses)
	} else {
		p = &prepared{state: state, mark: s.mark()}
		if p.ses, err = s.Library.Open("--path="+s.Path, "--log_comment="+p.mark+comment); err != nil {
			free()
			return lent{}, exception(1002, "UNKNOWN_EXCEPTION", err.Error())
		}
		_, err = rq.prepare(p.ses, "", s.Database)
	}
	if err != nil {
		p.ses.Close()
		free()
		return lent{}, err
	}
	return lent{p.ses, p.mark, func() {}, func(clean bool) {
		if clean {
			s.pool.put(p)
		} else {
			p.ses.Close()
		}
		free()
	}}, nil
}

// place waits until another statement may run, of a reader until another one of theirs may, too.
func (s *Server) place(ctx context.Context, reader bool) (free func(), err error) {
	if !reader {
		return take(ctx, s.slots)
	}
	leave, err := take(ctx, s.places)
	if err != nil {
		return nil, err
	}
	slot, err := take(ctx, s.slots)
	if err != nil {
		leave()
		return nil, err
	}
	return func() { slot(); leave() }, nil
}

// take waits for room in c.
func take(ctx context.Context, c chan struct{}) (free func(), err error) {
	select {
	case c <- struct{}{}:
		return func() { <-c }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// mark is a new word for a session, of which none begins with another.
func (s *Server) mark() string { return fmt.Sprintf("%d- ", s.requests.Add(1)) }

// ServeHTTP serves a request that must carry the token.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if isPing(r) {
		ping(w)
		return
	}
	if !s.authorized(r) {
		fail(w, errUnauthorized)
		return
	}
	s.serve(w, r, caller{})
}

// serve runs one request: its statement, its settings, its data.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, as caller) {
	start := time.Now()
	rq, err := s.parse(w, r, as)
	if err != nil {
		fail(w, err)
		return
	}
	defer rq.close()
	err = checkSingle(rq.text())
	if err == nil {
		err = checkReach(rq.text())
	}
	if err == nil && rq.reading {
		err = checkReading(rq.text())
	}
	if err != nil {
		fail(w, err)
		return
	}
	out := newOutput(w, rq, s.Limits.Idle)
	if rq.sql == helloStatement && rq.format == "Native" {
		s.sayHello(out, rq)
		return
	}
	ctx := r.Context()
	on, err := s.acquire(ctx, rq)
	if err != nil {
		fail(w, err)
		return
	}
	if rq.queryID != "" {
		w.Header().Set("X-ClickHouse-Query-Id", rq.queryID)
	}
	ses, calm := on.ses, s.killOnDisconnect(ctx, on.mark)
	done := false
	defer func() {
		undisturbed := calm() // a kill under way must not meet the next request's statement
		on.restore()
		on.release(done && undisturbed && leavesNoTrace(rq.text()))
	}()
	defer s.changing(rq.text())()
	if rq.reader != nil {
		if err := s.admit(ses, rq); err != nil {
			fail(w, err)
			return
		}
	}
	if rq.insert != nil {
		st, err := ses.Insert(ctx, rq.insert.statement, rq.insert.format, rq.params, rq.body)
		if err != nil {
			fail(w, err)
			return
		}
		done = true
		out.summary(st, start)
		out.close()
		return
	}
	run := ses.Query
	head, ok := streams(rq.sql, rq.format)
	if ok && !rq.waitForEnd {
		run = ses.Stream
	}
	st, err := run(rq.sql, rq.format, rq.params, func(b []byte) error {
		if err := ctx.Err(); err != nil {
			return err
		}
		if out.started {
			b = behindHead(b, head)
		}
		return out.write(b)
	})
	if ctx.Err() != nil {
		return // nobody reads
	}
	if err != nil {
		out.fail(err)
		return
	}
	done = true
	out.summary(st, start)
	out.close()
}
