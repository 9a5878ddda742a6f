package oauth_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/state"
	"github.com/sitedrift/sitedrift/collector/vault"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	tenant = "acme"
	kind   = collector.CredentialKind3LO
)

// clock is moved by the test and by whoever sleeps.
type clock struct {
	mu    sync.Mutex
	now   time.Time
	slept []time.Duration
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	c.slept = append(c.slept, d)
	return ctx.Err()
}

// wire counts and disturbs calls of the token endpoint.
type wire struct {
	next http.RoundTripper

	mu      sync.Mutex
	sent    []string // refresh tokens, in order
	busy    int
	maxBusy int
	// disturb, when set, replaces the forwarding of one token call.
	disturb func(r *http.Request, forward func() (*http.Response, error)) (*http.Response, error)
}

func (w *wire) RoundTrip(r *http.Request) (*http.Response, error) {
	if !strings.HasSuffix(r.URL.Path, "/oauth/token") && !strings.HasSuffix(r.URL.Path, "/oauth2/latest/token") {
		return w.next.RoundTrip(r)
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return nil, err
	}
	r.Body = io.NopCloser(strings.NewReader(string(body)))
	form, _ := url.ParseQuery(string(body))
	w.mu.Lock()
	if t := form.Get("refresh_token"); t != "" {
		w.sent = append(w.sent, t)
	}
	w.busy++
	w.maxBusy = max(w.maxBusy, w.busy)
	disturb := w.disturb
	w.mu.Unlock()
	defer func() {
		w.mu.Lock()
		w.busy--
		w.mu.Unlock()
	}()
	if disturb != nil {
		return disturb(r, func() (*http.Response, error) { return w.next.RoundTrip(r) })
	}
	return w.next.RoundTrip(r)
}

func (w *wire) refreshes() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.sent...)
}

func (w *wire) set(disturb func(*http.Request, func() (*http.Response, error)) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.disturb = disturb
}

// timeoutError is what a transport gives when nobody answers in time.
type timeoutError struct{}

func (timeoutError) Error() string { return "nobody answered in time" }
func (timeoutError) Timeout() bool { return true }

// flaky is the real store with a database that fails on demand.
type flaky struct {
	oauth.Store
	mu     sync.Mutex
	before int // saves that fail and write nothing
	after  int // saves that write and give an error
	gate   chan struct{}
}

var errDatabase = errors.New("database is gone")

// fail lets the next saves fail without an effect, and those after them with one.
func (f *flaky) fail(before, after int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.before, f.after = before, after
}

func (f *flaky) SaveRotation(ctx context.Context, c collector.Credential, was int64, owner string, fenced bool) (bool, error) {
	f.mu.Lock()
	before, after, gate := f.before > 0, f.after > 0, f.gate
	if before {
		f.before--
	} else if after {
		f.after--
	}
	f.mu.Unlock()
	if gate != nil {
		<-gate
	}
	if before {
		return false, errDatabase
	}
	ok, err := f.Store.SaveRotation(ctx, c, was, owner, fenced)
	if after {
		return false, errDatabase
	}
	return ok, err
}

// world is one simulated provider with one store.
type world struct {
	t     testing.TB
	kind  string
	dc    *confluencetest.DataCenter // in worlds of newDCWorld
	link  confluencetest.DCClient    // the app there
	clock *clock
	srv   *confluencetest.Server
	site  *confluencetest.Site
	app   confluencetest.App
	store *flaky
	vault *vault.Vault
	wire  *wire
	log   *zap.Logger
	lines *observer.ObservedLogs

	mu   sync.Mutex
	said []string // errors, to be searched for secrets
}

const callback = "http://127.0.0.1:8765/callback"

func newWorld(t testing.TB, change ...func(*confluencetest.Settings)) *world {
	t.Helper()
	w := &world{t: t, kind: kind, clock: &clock{now: time.Date(2026, 3, 2, 10, 17, 0, 0, time.UTC)}}
	settings := confluencetest.Settings{Seed: 1, Now: w.clock.Now}
	for _, f := range change {
		f(&settings)
	}
	w.srv = confluencetest.New(settings)
	w.site = w.srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 1, Users: 2, Groups: 1})
	if err := w.srv.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.srv.Close)
	w.app = w.srv.AddApp(confluencetest.App{RedirectURIs: []string{callback}, Scopes: confluencetest.AllScopes()})
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	w.wire = &wire{next: transport}

	store, err := state.OpenSQLite(t.Context(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := store.Close(); err != nil {
			t.Error(err)
		}
	})
	w.store = &flaky{Store: store}
	if w.vault, err = vault.Ephemeral(); err != nil {
		t.Fatal(err)
	}
	core, logs := observer.New(zap.DebugLevel)
	w.log, w.lines = zap.New(core), logs
	t.Cleanup(w.searchForSecrets)
	return w
}

// secretForm matches every token and client secret that the simulator makes.
var secretForm = regexp.MustCompile(`(eyJ|eyR|ATOA|ATATT|dcA|dcR|NDc2)[0-9a-f]{12}`)

// logged is the log so far.
func (w *world) logged() string {
	enc := zapcore.NewJSONEncoder(zap.NewProductionEncoderConfig())
	var all strings.Builder
	for _, entry := range w.lines.All() {
		line, err := enc.EncodeEntry(entry.Entry, entry.Context)
		if err != nil {
			w.t.Error(err)
			continue
		}
		all.Write(line.Bytes())
	}
	return all.String()
}

func (w *world) searchForSecrets() {
	for line := range strings.Lines(w.logged()) {
		if found := secretForm.FindString(line); found != "" {
			w.t.Errorf("the log shows a secret (%s...): %s", found, line)
		}
	}
	for _, text := range w.said {
		if found := secretForm.FindString(text); found != "" {
			w.t.Errorf("an error shows a secret (%s...): %s", found, text)
		}
	}
}

// heard notes an error for the search for secrets, and returns it.
func (w *world) heard(err error) error {
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.said = append(w.said, err.Error(), fmt.Sprintf("%+v %#v", err, err))
	}
	return err
}

func (w *world) provider() oauth.Provider {
	return oauth.AtlassianCloud(w.srv.AuthURL(), w.srv.APIURL(), w.app.ClientID, vault.NewSecret(w.app.ClientSecret), callback)
}

// process returns Tokens as another process over the same store would have them.
func (w *world) process(change ...func(*oauth.Options)) *oauth.Tokens {
	o := oauth.Options{
		Provider: w.provider(), Store: w.store, Vault: w.vault, Transport: w.wire, Log: w.log,
		Now: w.clock.Now, Sleep: w.clock.Sleep, Jitter: func() float64 { return 0.5 },
	}
	for _, f := range change {
		f(&o)
	}
	tokens := oauth.NewTokens(o)
	w.t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		if err := tokens.Close(ctx); err != nil {
			w.t.Error(err)
		}
	})
	return tokens
}

func (w *world) consent() *oauth.Consent {
	return &oauth.Consent{Provider: w.provider(), Store: w.store, Vault: w.vault, Transport: w.wire, Now: w.clock.Now, Log: w.log}
}

func (w *world) request() oauth.Request {
	return oauth.Request{Tenant: tenant, SiteURL: w.site.URL(), CloudID: w.site.CloudID(), Scopes: confluencetest.AllScopes()}
}

// connect stores a fresh grant for the tenant.
func (w *world) connect(name string) oauth.Result {
	w.t.Helper()
	code, err := w.srv.Consent(confluencetest.ConsentRequest{ClientID: w.app.ClientID})
	if err != nil {
		w.t.Fatal(err)
	}
	req := w.request()
	req.Tenant = name
	res, err := w.consent().CompleteWithCode(w.t.Context(), req, code)
	if w.heard(err) != nil {
		w.t.Fatal(err)
	}
	return res
}

func (w *world) row() collector.Credential {
	w.t.Helper()
	c, err := w.store.Credential(context.Background(), tenant, w.kind)
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// stored opens the pair in the row.
func (w *world) stored() (access, refresh string) {
	w.t.Helper()
	c := w.row()
	plain, err := w.vault.Open(c.Sealed, vault.AssociatedData(c.Tenant, c.Kind, c.Generation))
	if err != nil {
		w.t.Fatal(err)
	}
	var g struct{ Access, Refresh string }
	if err := json.Unmarshal(plain, &g); err != nil {
		w.t.Fatal(err)
	}
	return g.Access, g.Refresh
}

// works asks the API with an access token.
func (w *world) works(access vault.Secret) int {
	w.t.Helper()
	address := w.srv.APIURL() + "/ex/confluence/" + w.site.CloudID() + "/wiki/api/v2/spaces"
	if w.dc != nil {
		address = w.dc.URL() + "/rest/api/space"
	}
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+access.Reveal())
	resp, err := w.wire.RoundTrip(req)
	if err != nil {
		w.t.Fatal(err)
	}
	defer resp.Body.Close()
	return resp.StatusCode
}

// mustToken gets a token that the API takes and that is the stored one.
func (w *world) mustToken(tokens *oauth.Tokens) (vault.Secret, int64) {
	w.t.Helper()
	access, generation, err := tokens.Token(w.t.Context(), tenant, w.kind)
	if w.heard(err) != nil {
		w.t.Fatal(err)
	}
	if code := w.works(access); code != http.StatusOK {
		w.t.Fatalf("the API answers %d to the access token", code)
	}
	return access, generation
}

// alive checks that the stored refresh token is still worth something.
func (w *world) alive() {
	w.t.Helper()
	if _, refresh := w.stored(); !w.usable(refresh) {
		w.t.Fatal("the stored refresh token is worth nothing")
	}
	if c := w.row(); c.State != collector.CredentialOK {
		w.t.Fatalf("state = %s (%s)", c.State, c.StateReason)
	}
}

// usable tells whether the provider would take a refresh token.
func (w *world) usable(refresh string) bool {
	if w.dc != nil {
		st, ok := w.dc.TokenState(refresh)
		return ok && st.Usable
	}
	st, ok := w.srv.Family(refresh)
	return ok && st.Usable
}

// answer is a made-up answer of the token endpoint.
func answer(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}
