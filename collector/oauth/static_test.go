package oauth_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// secretText is in the form that the logs and errors are searched for.
const secretText = "ATATT00112233445566778899aabb"

// keep stores a fixed secret.
func (w *world) keep(tokens *oauth.Tokens, s oauth.Static) collector.Credential {
	w.t.Helper()
	s.Tenant = tenant
	row, err := tokens.Keep(w.t.Context(), s)
	if w.heard(err) != nil {
		w.t.Fatal(err)
	}
	return row
}

// authorizer is the authorizer of a row, and what it says now.
func (w *world) authorizer(tokens *oauth.Tokens, row collector.Credential) oauth.Authorizer {
	w.t.Helper()
	auth, err := tokens.Authorizer(row)
	if w.heard(err) != nil {
		w.t.Fatal(err)
	}
	return auth
}

func header(t *testing.T, auth oauth.Authorizer) (string, int64) {
	t.Helper()
	h, generation, err := auth.Authorization(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return h, generation
}

func TestFixedSecretsAreSentAsTheirKindsWant(t *testing.T) {
	for name, test := range map[string]struct {
		static oauth.Static
		header string
	}{
		"API token":                      {oauth.Static{Kind: collector.CredentialKindAPIToken, Account: "bot@acme.example"}, "Basic Ym90QGFjbWUuZXhhbXBsZTpBVEFUVDAwMTEyMjMzNDQ1NTY2Nzc4ODk5YWFiYg=="},
		"scoped token of a person":       {oauth.Static{Kind: collector.CredentialKindScopedToken, Account: "bot@acme.example", Scopes: []string{"b", "a", "b"}}, "Basic Ym90QGFjbWUuZXhhbXBsZTpBVEFUVDAwMTEyMjMzNDQ1NTY2Nzc4ODk5YWFiYg=="},
		"scoped token, nobody named":     {oauth.Static{Kind: collector.CredentialKindScopedToken}, "Bearer " + secretText},
		"scoped token of an account id":  {oauth.Static{Kind: collector.CredentialKindScopedToken, Account: "712020:0000-1111"}, "Bearer " + secretText},
		"key of an organization":         {oauth.Static{Kind: collector.CredentialKindAdminKey}, "Bearer " + secretText},
		"personal access token":          {oauth.Static{Kind: collector.CredentialKindDCToken, Account: "auditor"}, "Bearer " + secretText},
		"personal token with an address": {oauth.Static{Kind: collector.CredentialKindDCToken, Account: "a@b"}, "Bearer " + secretText},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			tokens := w.process()
			test.static.Secret = vault.NewSecret(" " + secretText + "\n")
			row := w.keep(tokens, test.static)
			if row.Generation != 1 || row.State != collector.CredentialOK || row.AccountID != test.static.Account || !row.ConsentedAt.Equal(w.clock.Now()) || !row.AccessExpiresAt.IsZero() {
				t.Errorf("row: %+v", row)
			}
			if test.static.Scopes != nil {
				if diff := cmp.Diff([]string{"a", "b"}, row.Scopes); diff != "" {
					t.Error(diff)
				}
			}
			auth := w.authorizer(tokens, row)
			h, generation := header(t, auth)
			if h != test.header || generation != 1 {
				t.Errorf("header %q of generation %d, want %q", h, generation, test.header)
			}
			if text := fmt.Sprintf("%v %+v %#v %v", auth, auth, auth, test.static) + fmt.Sprintf("%+v %#v", test.static, row); strings.Contains(text, "ATATT") {
				t.Errorf("a printed authorizer shows the secret: %s", text)
			}
			if _, err := w.vault.Open(row.Sealed, vault.AssociatedData("globex", row.Kind, 1)); !errors.Is(err, vault.ErrMoved) {
				t.Errorf("the secret opens in another tenant's row: %v", err)
			}
			if _, _, err := tokens.Token(t.Context(), tenant, row.Kind); !errors.Is(w.heard(err), oauth.ErrClientConfig) {
				t.Errorf("Token of a fixed secret: %v", err)
			}
		})
	}
}

func TestWhatCannotBeASecretIsNotStored(t *testing.T) {
	w := newWorld(t)
	tokens := w.process()
	good := oauth.Static{Tenant: tenant, Kind: collector.CredentialKindAPIToken, Account: "bot@acme.example", Secret: vault.NewSecret(secretText)}
	service := oauth.Static{Tenant: tenant, Kind: collector.CredentialKindServiceAccount, ClientID: "id", Secret: vault.NewSecret(secretText)}
	for name, test := range map[string]struct {
		from   oauth.Static
		change func(*oauth.Static)
		says   string
	}{
		"empty":           {good, func(s *oauth.Static) { s.Secret = vault.NewSecret(" \n") }, "empty"},
		"none":            {good, func(s *oauth.Static) { s.Secret = vault.Secret{} }, "empty"},
		"two lines":       {good, func(s *oauth.Static) { s.Secret = vault.NewSecret(secretText + "\r\nX-Evil: 1") }, "copy it once more"},
		"a sentence":      {good, func(s *oauth.Static) { s.Secret = vault.NewSecret("token is " + secretText) }, "copy it once more"},
		"dashes":          {good, func(s *oauth.Static) { s.Secret = vault.NewSecret(secretText + "–") }, "copy it once more"},
		"a file":          {good, func(s *oauth.Static) { s.Secret = vault.NewSecret(strings.Repeat("A", 17<<10)) }, "longer"},
		"no address":      {good, func(s *oauth.Static) { s.Account = "bot" }, "e-mail address"},
		"colon":           {good, func(s *oauth.Static) { s.Account = "a:b@acme.example" }, "colon"},
		"account":         {good, func(s *oauth.Static) { s.Account = "bot@acme.example\n" }, "account or the client id"},
		"no tenant":       {good, func(s *oauth.Static) { s.Tenant = "" }, "no tenant"},
		"client id":       {good, func(s *oauth.Static) { s.ClientID = "id" }, "only a service account"},
		"expired":         {good, func(s *oauth.Static) { s.ExpiresAt = w.clock.Now() }, "expired at 2026-03-02 10:17:00 UTC"},
		"grant":           {good, func(s *oauth.Static) { s.Kind = collector.CredentialKind3LO }, "by consent"},
		"unknown kind":    {good, func(s *oauth.Static) { s.Kind = "password" }, "does not exist"},
		"no client id":    {service, func(s *oauth.Static) { s.ClientID = "" }, "client id is missing"},
		"strange client":  {service, func(s *oauth.Static) { s.ClientID = "i d" }, "account or the client id"},
		"service, no key": {service, func(s *oauth.Static) { s.Secret = vault.Secret{} }, "empty"},
	} {
		s := test.from
		test.change(&s)
		if _, err := tokens.Keep(t.Context(), s); !errors.Is(w.heard(err), oauth.ErrInvalidSecret) || !strings.Contains(err.Error(), test.says) {
			t.Errorf("%s: err = %v, want ErrInvalidSecret that says %q", name, err, test.says)
		}
	}
	if rows, err := w.store.Credentials(t.Context()); err != nil || len(rows) != 0 {
		t.Errorf("stored: %v %v", rows, err)
	}
	if _, err := tokens.Authorizer(collector.Credential{Tenant: tenant, Kind: "password"}); !errors.Is(w.heard(err), oauth.ErrClientConfig) {
		t.Errorf("authorizer of an unknown kind: %v", err)
	}
}

// An operator replaces a token while two processes run: the one that stored it
// uses it at once, the other within half a minute, or as soon as the old one is
// refused.
func TestReplacedSecretIsTakenUp(t *testing.T) {
	w := newWorld(t)
	a, b, c := w.process(), w.process(), w.process()
	static := oauth.Static{Kind: collector.CredentialKindAdminKey, Secret: vault.NewSecret("first")}
	row := w.keep(a, static)
	authA, authB, authC := w.authorizer(a, row), w.authorizer(b, row), w.authorizer(c, row)
	for _, auth := range []oauth.Authorizer{authA, authB, authC} {
		if h, _ := header(t, auth); h != "Bearer first" {
			t.Fatal(h)
		}
	}
	static.Secret = vault.NewSecret("second")
	second := w.keep(a, static)
	if second.Generation != 2 {
		t.Fatalf("generation %d", second.Generation)
	}
	if h, g := header(t, authA); h != "Bearer second" || g != 2 {
		t.Errorf("in the process itself: %q of %d", h, g)
	}
	if h, _ := header(t, authB); h != "Bearer first" {
		t.Errorf("read again for each request: %q", h)
	}
	if h, _ := header(t, w.authorizer(b, second)); h != "Bearer second" {
		t.Errorf("an authorizer of the new row gives the old secret: %q", h)
	}
	if err := authC.Refused(t.Context(), 1); w.heard(err) != nil {
		t.Errorf("refused, and a new one is stored: %v", err)
	}
	if h, g := header(t, authC); h != "Bearer second" || g != 2 {
		t.Errorf("after a refusal: %q of %d", h, g)
	}
	d := w.process()
	authD := w.authorizer(d, row)
	if h, _ := header(t, authD); h != "Bearer second" {
		t.Fatal(h)
	}
	static.Secret = vault.NewSecret("third")
	w.keep(a, static)
	w.clock.Advance(29 * time.Second)
	if h, _ := header(t, authD); h != "Bearer second" {
		t.Errorf("after 29 s: %q", h)
	}
	w.clock.Advance(time.Second)
	if h, g := header(t, authD); h != "Bearer third" || g != 3 {
		t.Errorf("after 30 s: %q of %d", h, g)
	}
}

func TestRefusedSecretSaysWhatToDo(t *testing.T) {
	for _, kind := range []string{collector.CredentialKindScopedToken, collector.CredentialKindAPIToken, collector.CredentialKindAdminKey, collector.CredentialKindDCToken} {
		w := newWorld(t)
		tokens := w.process()
		row := w.keep(tokens, oauth.Static{Kind: kind, Account: "bot@acme.example", Secret: vault.NewSecret(secretText)})
		auth := w.authorizer(tokens, row)
		_, generation := header(t, auth)
		err := w.heard(auth.Refused(t.Context(), generation))
		if !errors.Is(err, oauth.ErrNeedsNewToken) || errors.Is(err, oauth.ErrNeedsReconsent) || !strings.Contains(err.Error(), "sitedrift connect --tenant acme --credential "+kind) || !strings.Contains(err.Error(), "revoked") {
			t.Errorf("%s: %v", kind, err)
		}
		// One endpoint's refusal is no proof: the others go on.
		w.kind = kind
		if w.row().State != collector.CredentialOK {
			t.Errorf("%s: state %s", kind, w.row().State)
		}
		header(t, auth)
	}
}

func TestExpiredSecretIsNotSent(t *testing.T) {
	w := newWorld(t)
	tokens, other := w.process(), w.process()
	end := w.clock.Now().Add(40 * 24 * time.Hour)
	for _, kind := range []string{collector.CredentialKindDCToken, collector.CredentialKindServiceAccount} {
		static := oauth.Static{Kind: kind, Secret: vault.NewSecret(secretText), ExpiresAt: end}
		if kind == collector.CredentialKindServiceAccount {
			static.ClientID = "id"
		}
		w.keep(tokens, static)
	}
	w.kind = collector.CredentialKindDCToken
	auth, late := w.authorizer(tokens, w.row()), w.authorizer(other, w.row())
	header(t, auth)
	if warnings, err := tokens.KeepAlive(t.Context()); err != nil || len(warnings) != 0 {
		t.Errorf("40 days before the end: %v, %v", warnings, err)
	}
	w.clock.Advance(15 * 24 * time.Hour)
	warnings, err := tokens.KeepAlive(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []oauth.Warning{{Tenant: tenant, Kind: "dc_pat", DaysLeft: 25, EndsAt: end}, {Tenant: tenant, Kind: "service_account", DaysLeft: 25, EndsAt: end}}
	if diff := cmp.Diff(want, warnings); diff != "" {
		t.Error("warnings", diff)
	}
	w.clock.Advance(25*24*time.Hour - 10*time.Second)
	header(t, auth)
	w.clock.Advance(10 * time.Second) // read ten seconds ago, and yet
	for name, a := range map[string]oauth.Authorizer{"held": auth, "not read yet": late, "service account": w.authorizer(tokens, collector.Credential{Tenant: tenant, Kind: "service_account"})} {
		_, _, err := a.Authorization(t.Context())
		if !errors.Is(w.heard(err), oauth.ErrNeedsNewToken) || !strings.Contains(err.Error(), "it expired at 2026-04-11 10:17:00 UTC") || !strings.Contains(err.Error(), "sitedrift connect") {
			t.Errorf("%s: %v", name, err)
		}
		if err := a.Refused(t.Context(), 1); !errors.Is(w.heard(err), oauth.ErrNeedsNewToken) {
			t.Errorf("%s, refused: %v", name, err)
		}
	}
	if n := w.srv.TokenCalls(); n != 0 {
		t.Errorf("%d calls with an expired client secret", n)
	}
	w.keep(tokens, oauth.Static{Kind: w.kind, Secret: vault.NewSecret("renewed")})
	if h, _ := header(t, auth); h != "Bearer renewed" {
		t.Errorf("after the replacement: %q", h)
	}
}

// deadStore is a store that can be taken down.
type deadStore struct {
	oauth.Store
	down bool
}

func (d *deadStore) Credential(ctx context.Context, tenant, kind string) (collector.Credential, error) {
	if d.down {
		return collector.Credential{}, errDatabase
	}
	return d.Store.Credential(ctx, tenant, kind)
}

func TestSecretsOutliveTheStoresFailures(t *testing.T) {
	w := newWorld(t)
	store := &deadStore{Store: w.store}
	tokens := w.process(func(o *oauth.Options) { o.Store = store })
	row := w.keep(tokens, oauth.Static{Kind: collector.CredentialKindDCToken, Secret: vault.NewSecret("known")})
	auth := w.authorizer(tokens, row)
	header(t, auth)
	store.down = true
	w.clock.Advance(time.Hour)
	if h, _ := header(t, auth); h != "Bearer known" {
		t.Errorf("while the store is down: %q", h)
	}
	if err := auth.Refused(t.Context(), 1); !errors.Is(w.heard(err), oauth.ErrTemporary) {
		t.Errorf("refused while the store is down: %v", err)
	}
	newer := row
	newer.Generation = 2
	if _, _, err := w.authorizer(tokens, newer).Authorization(t.Context()); !errors.Is(w.heard(err), oauth.ErrTemporary) {
		t.Errorf("a row that was not read: %v", err)
	}
	store.down = false
	if _, _, err := w.authorizer(tokens, collector.Credential{Tenant: "globex", Kind: row.Kind}).Authorization(t.Context()); !errors.Is(w.heard(err), collector.ErrNoCredential) || !strings.Contains(err.Error(), "--credential dc_pat") {
		t.Errorf("nothing stored: %v", err)
	}
	other, err := vault.Ephemeral()
	if err != nil {
		t.Fatal(err)
	}
	foreign := w.process(func(o *oauth.Options) { o.Vault = other })
	if _, _, err := w.authorizer(foreign, row).Authorization(t.Context()); !errors.Is(w.heard(err), oauth.ErrClientConfig) || !errors.Is(err, vault.ErrUnknownKey) {
		t.Errorf("with another key file: %v", err)
	}
}

// Each kind reads what it is for, through the client that the daemon uses, and
// nothing else of the simulated vendor.
func TestFixedSecretsReadTheirAPIs(t *testing.T) {
	w := newDCWorld(t)
	classic := w.srv.AddToken(confluencetest.APIToken{})
	scoped := w.srv.AddToken(confluencetest.APIToken{Scopes: confluencetest.AllScopes()})
	pat := w.dc.AddPAT(confluencetest.DCPAT{})
	organization := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer "+secretText {
			rw.WriteHeader(http.StatusUnauthorized)
		}
		_, _ = rw.Write([]byte(`{}`))
	}))
	defer organization.Close()
	gateway := w.srv.APIURL() + "/ex/confluence/" + w.site.CloudID()
	tokens := w.process()
	for _, test := range []struct {
		static oauth.Static
		base   string
		ref    string
		revoke func()
		wrong  string // another API, which refuses it
	}{
		{oauth.Static{Kind: collector.CredentialKindAPIToken, Account: classic.Email, Secret: vault.NewSecret(classic.Token)}, w.site.URL(), "/wiki/api/v2/spaces", func() { w.srv.RemoveToken(classic) }, gateway},
		{oauth.Static{Kind: collector.CredentialKindScopedToken, Account: scoped.Email, Secret: vault.NewSecret(scoped.Token)}, gateway, "/wiki/api/v2/spaces", func() { w.srv.RemoveToken(scoped) }, w.site.URL()},
		{oauth.Static{Kind: collector.CredentialKindDCToken, Secret: vault.NewSecret(pat.Token)}, w.dc.URL(), "/rest/api/space", func() { w.dc.RevokePAT(pat.Token) }, ""},
		{oauth.Static{Kind: collector.CredentialKindAdminKey, Secret: vault.NewSecret(secretText)}, organization.URL, "/v1/orgs", organization.Close, ""},
	} {
		row := w.keep(tokens, test.static)
		ask := func(base string) error {
			client, err := httpx.New(httpx.Options{Base: base, Auth: w.authorizer(tokens, row), Tenant: tenant, Transport: tokens.Transport(row, w.wire), Log: w.log, MaxTries: 1})
			if err != nil {
				t.Fatal(err)
			}
			_, err = client.Do(t.Context(), httpx.Request{Op: "list", Ref: test.ref})
			return w.heard(err)
		}
		if err := ask(test.base); err != nil {
			t.Errorf("%s: %v", row.Kind, err)
		}
		if test.wrong != "" {
			if err := ask(test.wrong); !errors.Is(err, oauth.ErrNeedsNewToken) {
				t.Errorf("%s at another API: %v", row.Kind, err)
			}
		}
		test.revoke()
		if err := ask(test.base); row.Kind != collector.CredentialKindAdminKey && (!errors.Is(err, oauth.ErrNeedsNewToken) || httpx.ClassOf(err) != httpx.ClassUnauthorized) {
			t.Errorf("%s, revoked: %v", row.Kind, err)
		}
	}
}
