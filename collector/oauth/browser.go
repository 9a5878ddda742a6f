package oauth

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/url"
	"sync"
	"syscall"
	"time"

	"go.uber.org/zap"
	"golang.org/x/oauth2"

	"github.com/sitedrift/sitedrift/collector/vault"
)

// cookieName binds a begun consent to the browser that began it.
const cookieName = "sitedrift_consent"

// Pending is a begun consent: an http.Handler for the redirect URL's address. It
// takes one callback, within ten minutes, from the browser that opened StartURL.
type Pending struct {
	consent *Consent
	req     Request
	scheme  string // of the redirect URL
	host    string
	path    string

	authorize string
	start     string // the key in the start page's URL
	state     string
	cookie    string
	expires   time.Time

	mu       sync.Mutex
	used     bool
	rejected error // the last callback that was not ours
	done     chan struct{}
	result   Result
	err      error
}

// Begin prepares a consent. The redirect URL must be on a loopback host, since
// the answer holds the code; http or, for providers that insist, https.
func (c *Consent) Begin(req Request) (*Pending, error) {
	u, err := url.Parse(c.Provider.RedirectURL)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || !isLoopback(u.Hostname()) || u.Port() == "" || u.RawQuery != "" || u.Path == startPath {
		return nil, fmt.Errorf("the redirect URL %q cannot be served here: it must look like http://127.0.0.1:8765/callback, as registered with the app", clean(c.Provider.RedirectURL))
	}
	p := &Pending{
		consent: c, req: req, scheme: u.Scheme, host: u.Host, path: u.Path,
		start: random(), state: random(), cookie: random(),
		expires: c.now().Add(consentTime), done: make(chan struct{}),
	}
	if p.path == "" {
		p.path = "/"
	}
	var options []oauth2.AuthCodeOption
	if c.Provider.Audience != "" {
		options = append(options, oauth2.SetAuthURLParam("audience", c.Provider.Audience), oauth2.SetAuthURLParam("prompt", "consent"))
	}
	p.req.Verifier = vault.Secret{}
	if c.Provider.PKCE {
		// Whoever sees the code on its way cannot use it: the verifier stays here.
		verifier := oauth2.GenerateVerifier()
		p.req.Verifier = vault.NewSecret(verifier)
		options = append(options, oauth2.S256ChallengeOption(verifier))
	}
	p.authorize = c.Provider.app(c.Provider.asks(req.Scopes)).AuthCodeURL(p.state, options...)
	return p, nil
}

const startPath = "/start"

// StartURL is what the person opens. It sets the cookie and leads on to the
// provider; whoever has this URL can consent for the tenant.
func (p *Pending) StartURL() string {
	return p.scheme + "://" + p.host + startPath + "?key=" + p.start
}

// Serve listens at the redirect URL's address until the consent is finished,
// refused or ten minutes old, or ctx ends. It calls ready with the URL to open
// once it listens. Behind https is a certificate that is made for this consent.
func (c *Consent) Serve(ctx context.Context, req Request, ready func(startURL string)) (Result, error) {
	p, err := c.Begin(req)
	if err != nil {
		return Result{}, err
	}
	listeners, err := listen(ctx, p.host)
	if err != nil {
		return Result{}, fmt.Errorf("listen for the callback at %s (is another connect running?): %w", p.host, err)
	}
	if p.scheme == "https" {
		certificate, err := loopbackCertificate(hostname(p.host), c.now())
		if err != nil {
			return Result{}, errors.Join(err, closeAll(listeners))
		}
		for i, l := range listeners {
			listeners[i] = tls.NewListener(l, &tls.Config{MinVersion: tls.VersionTLS12, Certificates: []tls.Certificate{certificate}})
		}
	}
	server := &http.Server{Handler: p, ReadHeaderTimeout: 10 * time.Second, ReadTimeout: 10 * time.Second, MaxHeaderBytes: 64 << 10, ErrorLog: zap.NewStdLog(c.log())}
	var wg sync.WaitGroup
	for _, l := range listeners {
		wg.Go(func() { _ = server.Serve(l) })
	}
	defer func() {
		// The browser gets its page before the server goes.
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 3*time.Second)
		defer cancel()
		if server.Shutdown(ctx) != nil {
			_ = server.Close()
		}
		wg.Wait()
	}()
	ready(p.StartURL())
	ctx, cancel := context.WithTimeout(ctx, consentTime)
	defer cancel()
	return p.Wait(ctx)
}

// listen takes the address of a callback. A browser may find either loopback
// address behind localhost: both are taken, so that nobody else on this machine
// gets the code at the other one. A family that the machine has not is no error.
func listen(ctx context.Context, host string) (all []net.Listener, err error) {
	hosts := []string{host}
	if name, port, _ := net.SplitHostPort(host); name == "localhost" {
		hosts = []string{net.JoinHostPort("127.0.0.1", port), net.JoinHostPort("::1", port)}
	}
	var absent error
	for _, host := range hosts {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", host)
		switch {
		case err == nil:
			all = append(all, l)
		case len(hosts) > 1 && (errors.Is(err, syscall.EADDRNOTAVAIL) || errors.Is(err, syscall.EAFNOSUPPORT)):
			absent = err
		default:
			return nil, errors.Join(err, closeAll(all))
		}
	}
	if len(all) == 0 {
		return nil, absent
	}
	return all, nil
}

func closeAll(all []net.Listener) (err error) {
	for _, l := range all {
		err = errors.Join(err, l.Close())
	}
	return err
}

// Wait returns the consent's end, or ErrConsentExpired with the reason why the
// last callback was turned away, if there was one. A code that came before ctx
// ran out of time is waited for.
func (p *Pending) Wait(ctx context.Context) (Result, error) {
	select {
	case <-p.done:
		return p.result, p.err
	case <-ctx.Done():
	}
	p.mu.Lock()
	used, rejected := p.used, p.rejected
	p.mu.Unlock()
	switch {
	case used && errors.Is(ctx.Err(), context.DeadlineExceeded):
		<-p.done
		return p.result, p.err
	case rejected != nil:
		return Result{}, fmt.Errorf("tenant %s: %w; the last answer of a browser was turned away: %w", p.req.Tenant, expired{ctx.Err()}, rejected)
	}
	return Result{}, fmt.Errorf("tenant %s: %w", p.req.Tenant, expired{ctx.Err()})
}

// expired is ErrConsentExpired with the end of the context that caused it, which
// says nothing to people.
type expired struct{ cause error }

func (expired) Error() string { return ErrConsentExpired.Error() }

// Unwrap gives ErrConsentExpired and the context's error.
func (e expired) Unwrap() []error { return []error{ErrConsentExpired, e.cause} }

// ServeHTTP serves the start page and the callback.
func (p *Pending) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	switch {
	case r.Host != p.host: // a foreign name that was pointed here
		p.page(w, http.StatusMisdirectedRequest, "Not here", "This address serves one consent under its own name only.")
	case r.Method != http.MethodGet:
		p.page(w, http.StatusMethodNotAllowed, "Not here", "Open the address that sitedrift printed.")
	case r.URL.Path == startPath:
		p.serveStart(w, r)
	case r.URL.Path == p.path:
		p.serveCallback(w, r)
	default:
		p.page(w, http.StatusNotFound, "Not here", "Open the address that sitedrift printed.")
	}
}

func (p *Pending) serveStart(w http.ResponseWriter, r *http.Request) {
	if !same(r.URL.Query().Get("key"), p.start) {
		p.page(w, http.StatusForbidden, "Wrong address", "Open the address that sitedrift printed, with everything behind the question mark.")
		return
	}
	if p.over() {
		p.page(w, http.StatusGone, "Too late", "This consent is over. Run sitedrift connect again.")
		return
	}
	//nolint:gosec // not secure where the callback is plain http on a loopback address
	http.SetCookie(w, &http.Cookie{
		Name: cookieName, Value: p.cookie, Path: p.path, MaxAge: int(consentTime / time.Second), HttpOnly: true, Secure: p.scheme == "https", SameSite: http.SameSiteLaxMode,
	})
	http.Redirect(w, r, p.authorize, http.StatusFound)
}

func (p *Pending) over() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.used || !p.consent.now().Before(p.expires)
}

func (p *Pending) serveCallback(w http.ResponseWriter, r *http.Request) {
	q := r.URL.Query()
	if err := p.accept(r, q.Get("state")); err != nil {
		// Anybody can send a browser here, so this does not end the consent.
		p.consent.log().Warn("a callback was turned away", zap.String("tenant", p.req.Tenant), zap.Error(err))
		p.page(w, http.StatusBadRequest, "Not accepted", "This answer is not accepted: "+err.Error()+". Open the address that sitedrift printed last and consent again.")
		return
	}
	result, err := p.finish(r.Context(), q)
	p.result, p.err = result, err
	if err != nil {
		p.page(w, http.StatusBadRequest, "Not connected", err.Error())
	} else {
		p.page(w, http.StatusOK, "Connected", fmt.Sprintf("Tenant %s is connected with %s. You can close this window.", p.req.Tenant, clean(result.SiteURL)), result.Warnings...)
	}
	close(p.done)
}

// accept takes the one callback with our state from the browser with our cookie.
func (p *Pending) accept(r *http.Request, state string) error {
	cookie, err := r.Cookie(cookieName)
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case !same(state, p.state):
		p.rejected = errors.New("its state belongs to another consent")
	case err != nil || !same(cookie.Value, p.cookie):
		p.rejected = errors.New("it comes from a browser that did not begin this consent")
	case p.used:
		p.rejected = errors.New("its state was used already")
	case !p.consent.now().Before(p.expires):
		p.rejected = errors.New("it comes more than ten minutes after the beginning")
	default:
		p.used = true
		return nil
	}
	return p.rejected
}

func (p *Pending) finish(ctx context.Context, q url.Values) (Result, error) {
	if code := q.Get("error"); code != "" {
		detail := clean(code)
		if d := q.Get("error_description"); d != "" {
			detail += " (" + clean(d) + ")"
		}
		if code == "access_denied" {
			return Result{}, fmt.Errorf("tenant %s: %w: the person pressed Cancel or may not grant: %s; nothing was stored: run %s again", p.req.Tenant, ErrConsentDenied, detail, p.consent.again(p.req.Tenant))
		}
		return Result{}, &Error{
			Class: ErrClientConfig, Op: "ask for consent", Tenant: p.req.Tenant, Kind: p.consent.Provider.kind(), Code: detail,
			Hint: "check the app's scopes and redirect URL",
		}
	}
	code := q.Get("code")
	if code == "" {
		return Result{}, fmt.Errorf("tenant %s: %w: the provider sent neither a code nor an error", p.req.Tenant, ErrConsentDenied)
	}
	// The code is used up by now: the person closing the window must not lose the grant.
	complete := p.consent.Complete
	if complete == nil {
		complete = p.consent.CompleteWithCode
	}
	return complete(context.WithoutCancel(ctx), p.req, code)
}

var pageTemplate = template.Must(template.New("page").Parse(`<!doctype html><html lang="en"><meta charset="utf-8"><title>sitedrift: {{.Title}}</title>
<style>body{font:16px/1.5 sans-serif;max-width:40em;margin:4em auto;padding:0 1em}</style>
<h1>{{.Title}}</h1><p>{{.Text}}</p>{{range .Notes}}<p>Note: {{.}}</p>{{end}}</html>
`))

func (p *Pending) page(w http.ResponseWriter, status int, title, text string, notes ...string) {
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_ = pageTemplate.Execute(w, struct {
		Title, Text string
		Notes       []string
	}{title, text, notes})
}

func random() string {
	var b [32]byte
	_, _ = rand.Read(b[:]) // never fails, crypto/rand
	return base64.RawURLEncoding.EncodeToString(b[:])
}

func same(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }

// hostname is the host of a host with a port.
func hostname(host string) string {
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		return host
	}
	return name
}

func isLoopback(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}
