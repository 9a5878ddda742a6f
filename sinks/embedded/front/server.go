//go:build !noengine && (linux || darwin) && (amd64 || arm64)

package front

import (
	"context"
	"fmt"
	"net/http"
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
	Path     string // the engine's data directory, already open in this process
	Database string // current database where a request names none
	Token    string // the password that requests must carry; the user's name does not matter
	Limits   Limits
}

// Server answers the requests. Make one with [New]; it is safe for concurrent use.
type Server struct {
	Settings
	slots    chan struct{}
	requests atomic.Uint64
	running  sync.WaitGroup // kills under way: they use the engine after their request ended
	sessions sessions
	hello    struct{ version, timezone string }
}

// New prepares a server. The engine must be open; it is asked once for its version and time zone.
func New(s Settings) (*Server, error) {
	s.Limits = s.Limits.withDefaults()
	srv := &Server{Settings: s, slots: make(chan struct{}, s.Limits.Statements)}
	srv.sessions.kept = map[string]*kept{}
	if err := srv.readHello(); err != nil {
		return nil, err
	}
	return srv, nil
}

// Close ends the kept sessions. No request may be running.
func (s *Server) Close() {
	s.running.Wait()
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

// killOnDisconnect stops the statement whose mark begins with id as soon as ctx ends; the returned function calls that off.
func (s *Server) killOnDisconnect(ctx context.Context, id string) (done func()) {
	s.running.Add(1)
	stop := context.AfterFunc(ctx, func() {
		defer s.running.Done()
		s.kill("startsWith(Settings['log_comment'], " + quote(id) + ")")
	})
	return func() {
		if stop() {
			s.running.Done()
		}
	}
}

// acquire gives the engine session for one request, and the function that hands it back.
func (s *Server) acquire(ctx context.Context, rq *request) (*chdb.Session, func(), error) {
	select {
	case s.slots <- struct{}{}:
	case <-ctx.Done():
		return nil, nil, ctx.Err()
	}
	free := func() { <-s.slots }
	if rq.session != "" {
		ses, release, err := s.sessions.take(s, rq)
		if err != nil {
			free()
			return nil, nil, err
		}
		return ses, func() { release(); free() }, nil
	}
	ses, err := s.Library.Open("--path="+s.Path, "--log_comment="+rq.mark)
	if err != nil {
		free()
		return nil, nil, exception(1002, "UNKNOWN_EXCEPTION", err.Error())
	}
	return ses, func() { ses.Close(); free() }, nil
}

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
	s.serve(w, r, false)
}

// serve runs one request: its statement, its settings, its data. guest forces readonly=1.
func (s *Server) serve(w http.ResponseWriter, r *http.Request, guest bool) {
	start := time.Now()
	rq, err := s.parse(w, r, guest)
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
	id := fmt.Sprintf("%d-%s", s.requests.Add(1), rq.queryID)
	rq.mark = id + " " + rq.query.Get("log_comment")
	ses, release, err := s.acquire(ctx, rq)
	if err != nil {
		fail(w, err)
		return
	}
	defer release()
	restore, err := rq.prepare(ses, s.Database)
	if err != nil {
		fail(w, err)
		return
	}
	defer restore()
	if rq.queryID != "" {
		w.Header().Set("X-ClickHouse-Query-Id", rq.queryID)
	}
	defer s.killOnDisconnect(ctx, id+" ")()
	if rq.insert != nil {
		st, err := ses.Insert(ctx, rq.insert.statement, rq.insert.format, rq.params, rq.body)
		if err != nil {
			fail(w, err)
			return
		}
		out.summary(st, start)
		out.close()
		return
	}
	run := ses.Query
	if streams(rq.sql, rq.format) && !rq.waitForEnd {
		run = ses.Stream
	}
	st, err := run(rq.sql, rq.format, rq.params, func(b []byte) error {
		if err := ctx.Err(); err != nil {
			return err
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
	out.summary(st, start)
	out.close()
}
