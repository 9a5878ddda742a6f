package oauth_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"html"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// The tests in this file run against the package oidc-provider, an OAuth server
// that others wrote. It speaks for RFC 6749 and 7636 where the simulator only
// says what we believe of them.

// foreign is a running server of testdata/provider.
type foreign struct {
	*world
	redirect string

	Cloud      string `json:"cloud"`
	DataCenter string `json:"dataCenter"`
	CloudID    string `json:"cloudId"`
}

const foreignSecret = "ATOA55443322110099887766"

func startForeign(t *testing.T) *foreign {
	t.Helper()
	const dir = "testdata/provider"
	if _, err := os.Stat(filepath.Join(dir, "node_modules", ".package-lock.json")); err != nil {
		t.Fatalf("the OAuth server of the tests is not installed, run make deps: %v", err)
	}
	f := &foreign{world: newWorld(t)}
	f.redirect = f.freeCallback()
	client := func(id string) map[string]string {
		return map[string]string{"client_id": id, "client_secret": foreignSecret}
	}
	settings, err := json.Marshal(map[string]any{"redirect": f.redirect, "app": client("app"), "service": client("service"), "link": client("link")})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("node", "server.mjs", string(settings))
	cmd.Dir = dir
	var complaints lockedBuffer
	cmd.Stderr = &complaints
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	impatient := time.AfterFunc(2*time.Minute, func() { _ = cmd.Process.Kill() })
	t.Cleanup(func() {
		// It ends with its input, also when this process is killed.
		_ = stdin.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the OAuth server ended with %v:\n%s", err, complaints.String())
		}
		impatient.Stop()
	})
	line, err := bufio.NewReader(stdout).ReadBytes('\n')
	if err != nil || json.Unmarshal(line, f) != nil {
		t.Fatalf("the OAuth server says %q (%v):\n%s", line, err, complaints.String())
	}
	return f
}

// lockedBuffer is written by exec and read by the test.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// cloud is the provider as for Cloud, except that this server has no leeway.
func (f *foreign) cloud() oauth.Provider {
	p := oauth.AtlassianCloud(f.Cloud, f.Cloud, "app", vault.NewSecret(foreignSecret), f.redirect)
	p.Leeway = 0
	return p
}

func (f *foreign) dataCenter() oauth.Provider {
	return oauth.DataCenter(f.DataCenter, "link", vault.NewSecret(foreignSecret), f.redirect)
}

func (f *foreign) consentAt(p oauth.Provider) *oauth.Consent {
	return &oauth.Consent{Provider: p, Store: f.store, Vault: f.vault, Transport: f.wire, Now: f.clock.Now, Log: f.log}
}

func (f *foreign) tokens() *oauth.Tokens {
	return f.process(func(o *oauth.Options) {
		o.Provider = f.cloud()
		o.ProviderFor = fixedProvider(oauth.DataCenter(f.DataCenter, "", vault.Secret{}, ""), nil)
	})
}

// agree consents in the browser as a person does, or cancels.
func (f *foreign) agree(consent *oauth.Consent, req oauth.Request, cancel bool) (oauth.Result, string, error) {
	f.t.Helper()
	var page string
	done := make(chan struct{})
	res, err := consent.Serve(f.t.Context(), req, func(start string) {
		go func() {
			defer close(done)
			page = f.walk(browser(f.t), start, cancel)
		}()
	})
	<-done
	return res, page, f.heard(err)
}

var (
	formAction = regexp.MustCompile(`<form[^>]* action="([^"]+)" method="post">`)
	formPrompt = regexp.MustCompile(`name="prompt" value="([^"]+)"`)
	abortLink  = regexp.MustCompile(`href="([^"]+/abort)"`)
)

// walk fills the forms of the server until there are none.
func (f *foreign) walk(c *http.Client, start string, cancel bool) (page string) {
	_, page = open(f.t, c, start)
	for range 5 {
		action, prompt := formAction.FindStringSubmatch(page), formPrompt.FindStringSubmatch(page)
		if action == nil || prompt == nil {
			return page
		}
		if abort := abortLink.FindStringSubmatch(page); cancel && prompt[1] == "consent" && abort != nil {
			_, page = open(f.t, c, html.UnescapeString(abort[1]))
			continue
		}
		form := url.Values{"prompt": {prompt[1]}}
		if prompt[1] == "login" {
			form.Set("login", "auditor")
			form.Set("password", "any")
		}
		req, err := http.NewRequestWithContext(f.t.Context(), http.MethodPost, html.UnescapeString(action[1]), strings.NewReader(form.Encode()))
		if err != nil {
			f.t.Error(err)
			return ""
		}
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		_, page = send(f.t, c, req)
	}
	return page
}

// ask asks the server's API through the daemon's client.
func (f *foreign) ask(tokens *oauth.Tokens, row collector.Credential, base, ref string) error {
	f.t.Helper()
	client, err := httpx.New(httpx.Options{Base: base, Auth: f.authorizer(tokens, row), Tenant: tenant, Transport: tokens.Transport(row, f.wire), Log: f.log, MaxTries: 1})
	if err != nil {
		f.t.Fatal(err)
	}
	_, err = client.Do(f.t.Context(), httpx.Request{Op: "list spaces", Ref: ref})
	return f.heard(err)
}

// unspoken checks that no token of the row was said in a page, an error or the log.
func (f *foreign) unspoken(page string) {
	f.t.Helper()
	access, refresh := f.stored()
	f.mu.Lock()
	said := strings.Join(append(f.said, page, f.logged()), "\n")
	f.mu.Unlock()
	for _, secret := range []string{access, refresh, foreignSecret} {
		if secret != "" && strings.Contains(said, secret) {
			f.t.Errorf("a secret was said: %.8s...", secret)
		}
	}
}

func TestForeignServerGrantsAndRotates(t *testing.T) {
	f := startForeign(t)
	req := oauth.Request{Tenant: tenant, SiteURL: "https://acme.example", Scopes: []string{"read:space:confluence", "read:confluence-user"}}
	res, page, err := f.agree(f.consentAt(f.cloud()), req, false)
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(page, "Tenant acme is connected") || len(res.Warnings) != 0 || res.CloudID != f.CloudID || res.Credential.AccountID != "auditor" {
		t.Errorf("result %+v, page %s", res, page)
	}
	spaces := "/ex/confluence/" + f.CloudID + "/wiki/api/v2/spaces"
	tokens := f.tokens()
	if err := f.ask(tokens, f.row(), f.Cloud, spaces); err != nil {
		t.Fatal(err)
	}
	before := f.row()
	oldAccess, oldRefresh := f.stored()
	f.clock.Advance(59 * time.Minute)
	if err := f.ask(tokens, f.row(), f.Cloud, spaces); err != nil {
		t.Fatal(err)
	}
	access, refresh := f.stored()
	if access == oldAccess || refresh == oldRefresh || f.row().Generation != before.Generation+1 {
		t.Fatal("the tokens were not rotated")
	}
	f.unspoken(page)

	// A restored backup brings the used token back: the server finds out, ends the
	// grant, and says so in its own words.
	restored := f.row()
	restored.Generation++
	if restored.Sealed, err = f.vault.Seal([]byte(`{"access":"","refresh":"`+oldRefresh+`"}`), vault.AssociatedData(tenant, kind, restored.Generation)); err != nil {
		t.Fatal(err)
	}
	if _, err := f.store.PutConsent(t.Context(), restored); err != nil {
		t.Fatal(err)
	}
	tokens = f.tokens()
	if _, _, err := tokens.Token(t.Context(), tenant, kind); !errors.Is(f.heard(err), oauth.ErrNeedsReconsent) {
		t.Fatalf("a used refresh token: %v", err)
	}
	if row := f.row(); row.State != collector.CredentialNeedsReconsent || !strings.Contains(row.StateReason, "the provider answered 400 invalid_grant") {
		t.Errorf("row: %s (%s)", row.State, row.StateReason)
	}
	if _, _, err := f.agree(f.consentAt(f.cloud()), req, false); err != nil {
		t.Fatal(err)
	}
	if err := f.ask(tokens, f.row(), f.Cloud, spaces); err != nil {
		t.Errorf("after another consent: %v", err)
	}
}

func TestForeignServerAndAPersonWhoCancels(t *testing.T) {
	f := startForeign(t)
	_, page, err := f.agree(f.consentAt(f.dataCenter()), oauth.Request{Tenant: tenant, Scopes: []string{"ADMIN"}}, true)
	if !errors.Is(err, oauth.ErrConsentDenied) || !strings.Contains(page, "Not connected") {
		t.Errorf("err = %v, page %s", err, page)
	}
}

func TestForeignServerChecksTheVerifier(t *testing.T) {
	f := startForeign(t)
	consent := f.consentAt(f.dataCenter())
	var code string
	// The browser ends on a page of the test's, which sees the code as a thief would.
	p, err := consent.Begin(oauth.Request{Tenant: tenant, Scopes: []string{"READ"}})
	if err != nil {
		t.Fatal(err)
	}
	c := browser(t)
	start := p.StartURL()
	inner := c.Transport
	c.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		switch {
		case r.URL.Query().Has("code"):
			code = r.URL.Query().Get("code")
			return answer(200, "stolen"), nil
		case r.URL.String() == start:
			return serveHere(p, r), nil
		}
		return inner.RoundTrip(r)
	})
	f.walk(c, start, false)
	if code == "" {
		t.Fatal("no code came")
	}
	if _, err := consent.CompleteWithCode(t.Context(), oauth.Request{Tenant: tenant, Scopes: []string{"READ"}}, code); !errors.Is(f.heard(err), oauth.ErrConsentDenied) {
		t.Errorf("a code without its verifier: %v", err)
	}
}

func TestForeignServerAsDataCenter(t *testing.T) {
	f := startForeign(t)
	f.kind = dcKind
	res, page, err := f.agree(f.consentAt(f.dataCenter()), oauth.Request{Tenant: tenant, SiteURL: f.DataCenter, Scopes: []string{"ADMIN", "READ"}}, false)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"ADMIN", "READ", "WRITE"}, res.Credential.Scopes); diff != "" || res.Credential.AccountID != "key-of-auditor" || len(res.Warnings) != 0 {
		t.Errorf("result %+v %s", res, diff)
	}
	const spaces = "/rest/api/space"
	tokens := f.tokens()
	if err := f.ask(tokens, f.row(), f.DataCenter, spaces); err != nil {
		t.Fatal(err)
	}
	old := f.authorizer(tokens, f.row())
	dead, _ := header(t, old)
	_, used := f.stored()
	f.clock.Advance(59 * time.Minute)
	var group sync.WaitGroup
	for range 6 {
		group.Go(func() {
			if err := f.ask(tokens, f.row(), f.DataCenter, spaces); err != nil {
				t.Errorf("a call around the refresh: %v", err)
			}
		})
	}
	group.Wait()
	if _, refresh := f.stored(); refresh == used || len(f.wire.refreshes()) != 1 {
		t.Fatalf("%d refreshes", len(f.wire.refreshes()))
	}
	if diff := cmp.Diff([]string{"ADMIN", "READ", "WRITE"}, f.row().Scopes); diff != "" {
		t.Error("after a refresh whose answer names the scope:", diff)
	}
	direct, err := httpx.New(httpx.Options{Base: f.DataCenter, Auth: httpx.Bearer(strings.TrimPrefix(dead, "Bearer ")), Transport: f.wire, MaxTries: 1})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := direct.Do(t.Context(), httpx.Request{Op: "list spaces", Ref: spaces}); httpx.ClassOf(err) != httpx.ClassUnauthorized {
		t.Errorf("the former access token: %v", err)
	}
	f.unspoken(page)

	wrong := f.process(func(o *oauth.Options) {
		o.ProviderFor = fixedProvider(oauth.DataCenter(f.DataCenter, "link", vault.NewSecret("wrong"), ""), nil)
	})
	f.clock.Advance(59 * time.Minute)
	if err := wrong.Refused(t.Context(), tenant, dcKind, f.row().Generation); !errors.Is(f.heard(err), oauth.ErrClientConfig) || f.row().State != collector.CredentialOK {
		t.Errorf("a wrong client secret: %v", err)
	}

	// The answer is lost: the second try with the same token meets the server's
	// detection of reuse.
	calls := 0
	f.wire.set(func(_ *http.Request, forward func() (*http.Response, error)) (*http.Response, error) {
		resp, err := forward()
		if calls++; calls == 1 && err == nil {
			_ = resp.Body.Close()
			return nil, errors.New("connection reset")
		}
		return resp, err
	})
	f.clock.Advance(time.Hour)
	if _, _, err := tokens.Token(t.Context(), tenant, dcKind); !errors.Is(f.heard(err), oauth.ErrNeedsReconsent) || calls != 2 {
		t.Fatalf("%d calls: %v", calls, err)
	}
	if row := f.row(); row.State != collector.CredentialNeedsReconsent || !strings.Contains(row.StateReason, "takes a token once") {
		t.Errorf("row: %s (%s)", row.State, row.StateReason)
	}
}

func TestForeignServerAndServiceAccounts(t *testing.T) {
	f := startForeign(t)
	tokens := f.tokens()
	spaces := "/ex/confluence/" + f.CloudID + "/wiki/api/v2/spaces"
	row := f.keep(tokens, oauth.Static{Kind: serviceKind, ClientID: "service", Secret: vault.NewSecret(foreignSecret)})
	for range 3 {
		if err := f.ask(tokens, row, f.Cloud, spaces); err != nil {
			t.Fatal(err)
		}
		f.clock.Advance(59 * time.Minute)
	}
	for name, s := range map[string]oauth.Static{
		"wrong secret":      {ClientID: "service", Secret: vault.NewSecret("ATOA000000000000000000")},
		"unknown client":    {ClientID: "nobody", Secret: vault.NewSecret(foreignSecret)},
		"not for this kind": {ClientID: "app", Secret: vault.NewSecret(foreignSecret)},
	} {
		s.Kind = serviceKind
		f.keep(tokens, s)
		if _, _, err := tokens.Token(context.Background(), tenant, serviceKind); !errors.Is(f.heard(err), oauth.ErrClientConfig) || errors.Is(err, oauth.ErrNeedsReconsent) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// serveHere answers a request by a handler without a listener.
func serveHere(h http.Handler, r *http.Request) *http.Response {
	rec := httptest.NewRecorder()
	r = r.Clone(r.Context())
	r.Host = r.URL.Host
	h.ServeHTTP(rec, r)
	return rec.Result()
}
