package confluencetest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

// Settings configures a [Server]. The zero value is a faithful Atlassian.
type Settings struct {
	// Now is the server's clock, for token lifetimes, rate limits, the Date
	// header and the log. Default time.Now.
	Now func() time.Time
	// Seed makes everything that is generated reproducible, tokens included.
	Seed uint64

	// Leeway is how long the previous refresh token still works after a rotation.
	// Default 10 minutes; negative means not at all.
	Leeway time.Duration
	// AccessTokenTTL is the life of an access token. Default 1 hour.
	AccessTokenTTL time.Duration
	// IdleTTL and AbsoluteTTL end a grant that was not refreshed for so long, or
	// that is so old. Default 90 and 365 days.
	IdleTTL, AbsoluteTTL time.Duration
	// KeepOlderGrants lets a second consent of the same user to the same app leave
	// the first grant alive. By default it kills it.
	KeepOlderGrants bool

	// Limits says how requests are metered. By default headers tell the truth but
	// nothing is refused.
	Limits Limits
}

func (s Settings) withDefaults() Settings {
	if s.Now == nil {
		s.Now = time.Now
	}
	s.Leeway = max(cmp.Or(s.Leeway, 10*time.Minute), 0)
	s.AccessTokenTTL = cmp.Or(s.AccessTokenTTL, time.Hour)
	s.IdleTTL = cmp.Or(s.IdleTTL, 90*24*time.Hour)
	s.AbsoluteTTL = cmp.Or(s.AbsoluteTTL, 365*24*time.Hour)
	s.Limits = s.Limits.withDefaults()
	return s
}

// Server imitates Atlassian Cloud on loopback. It is an [http.Handler]; Start
// makes it listen.
type Server struct {
	settings Settings
	now      func() time.Time
	oauth    *provider
	log      requestLog
	meter    *meter
	secret   [32]byte // signs cursors
	stop     chan struct{}
	trap     trap

	mu            sync.RWMutex
	url           string
	sites         []*Site
	centers       []*DataCenter
	byName        map[string]*Site
	byCloud       map[string]*Site
	persons       []Person
	basic         map[string]basicToken // by "email:token"
	calls         callCounters
	organizations []*Organization
	adminKeys     map[string]adminKey // by key
	http          []*http.Server
	started       bool
	closed        bool
	page          func(http.ResponseWriter, *http.Request) // what answers "/"
	waiters       sync.WaitGroup
}

// New returns a server that knows one person (see [Server.Collector]) and no app.
func New(settings Settings) *Server {
	settings = settings.withDefaults()
	srv := &Server{
		settings: settings, now: settings.Now,
		stop: make(chan struct{}), byName: map[string]*Site{}, byCloud: map[string]*Site{}, basic: map[string]basicToken{},
		adminKeys: map[string]adminKey{},
	}
	r := newRandom(settings.Seed, "server")
	copy(srv.secret[:], r.hex(16))
	srv.persons = []Person{{AccountID: "557058:" + r.uuid(), Name: "Casey Collector", Email: "casey@collector.example"}}
	srv.oauth = newProvider(srv)
	srv.meter = newMeter(settings.Limits, srv.now)
	return srv
}

// Start listens on a free port of 127.0.0.1 and serves until Close.
func (srv *Server) Start() error { return srv.StartOn("127.0.0.1:0") }

// StartOn listens on the given address, which should be on loopback: the
// simulator hands out everything to everybody who presents its secrets.
func (srv *Server) StartOn(address string) error {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	if srv.started {
		return errors.New("the simulator was started before; make a new one")
	}
	var listen net.ListenConfig
	main, err := listen.Listen(context.Background(), "tcp", address)
	if err != nil {
		return fmt.Errorf("listen for the simulator on %s: %w", address, err)
	}
	other, err := listen.Listen(context.Background(), "tcp", "127.0.0.1:0")
	if err != nil {
		return errors.Join(fmt.Errorf("listen for the simulator's trap: %w", err), main.Close())
	}
	srv.started = true
	srv.url = "http://" + main.Addr().String()
	srv.trap.url = "http://" + other.Addr().String()
	for listener, handler := range map[net.Listener]http.Handler{main: srv, other: &srv.trap} {
		s := &http.Server{Handler: handler, ReadHeaderTimeout: 30 * time.Second}
		srv.http = append(srv.http, s)
		srv.waiters.Go(func() { _ = s.Serve(listener) }) // ends with ErrServerClosed
	}
	return nil
}

// Close ends stalled answers, cuts all connections and frees the ports.
func (srv *Server) Close() {
	srv.mu.Lock()
	if !srv.closed {
		srv.closed = true
		close(srv.stop)
	}
	servers := srv.http
	srv.mu.Unlock()
	for _, s := range servers {
		_ = s.Close()
	}
	srv.waiters.Wait()
}

// URL is the address of the listener. [Server.AuthURL] and [Server.APIURL] are
// what a client is configured with.
func (srv *Server) URL() string {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return srv.url
}

// AuthURL stands for https://auth.atlassian.com: /authorize and /oauth/token lie below.
func (srv *Server) AuthURL() string { return srv.URL() + "/auth" }

// APIURL stands for https://api.atlassian.com: /ex/confluence/{cloudId} lies below.
func (srv *Server) APIURL() string { return srv.URL() + "/api" }

// Now returns the time of the server's clock.
func (srv *Server) Now() time.Time { return srv.now() }

// AddSite generates a site. It panics on a duplicate name or cloud id, which only
// a mistake in the calling test can cause.
func (srv *Server) AddSite(settings SiteSettings) *Site {
	settings = settings.withDefaults()
	srv.mu.Lock()
	defer srv.mu.Unlock()
	settings.Name = cmp.Or(settings.Name, fmt.Sprintf("site%d", len(srv.sites)+1))
	settings.CloudID = cmp.Or(settings.CloudID, newRandom(srv.settings.Seed+settings.Seed, "cloud id of "+settings.Name).uuid())
	if srv.byName[settings.Name] != nil || srv.byCloud[settings.CloudID] != nil {
		panic(fmt.Sprintf("confluencetest: site %q or cloud id %q exists already", settings.Name, settings.CloudID))
	}
	s := &Site{srv: srv, name: settings.Name, cloudID: settings.CloudID, index: uint16(len(srv.sites)), settings: settings}
	s.organization = organizationID(newRandom(srv.settings.Seed+settings.Seed, "organization of "+settings.Name))
	s.generate(srv.persons[0], srv.now())
	srv.sites = append(slices.Clone(srv.sites), s)
	srv.byName[s.name], srv.byCloud[s.cloudID] = s, s
	return s
}

// Sites returns all sites in the order in which they were added.
func (srv *Server) Sites() []*Site {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return srv.sites
}

// Site returns the site of that name, or nil.
func (srv *Server) Site(name string) *Site {
	srv.mu.RLock()
	defer srv.mu.RUnlock()
	return srv.byName[name]
}

// HandleIndex sets what answers requests below "/" that belong to none of the
// imitated hosts. Without it they are answered 404.
func (srv *Server) HandleIndex(h func(http.ResponseWriter, *http.Request)) {
	srv.mu.Lock()
	defer srv.mu.Unlock()
	srv.page = h
}

// ServeHTTP tells the imitated hosts apart by the first segment of the path.
func (srv *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Date", srv.now().UTC().Format(http.TimeFormat))
	path := r.URL.Path
	switch {
	case strings.HasPrefix(path, "/auth/"):
		srv.oauth.serve(w, r, path[len("/auth"):])
	case strings.HasPrefix(path, "/api/"):
		srv.serveGateway(w, r, path[len("/api"):])
	case strings.HasPrefix(path, "/site/"):
		srv.serveSite(w, r, path[len("/site/"):])
	case strings.HasPrefix(path, "/dc/"):
		srv.serveDataCenter(w, r)
	default:
		srv.mu.RLock()
		page := srv.page
		srv.mu.RUnlock()
		if page == nil {
			http.NotFound(w, r)
			return
		}
		page(w, r)
	}
}
