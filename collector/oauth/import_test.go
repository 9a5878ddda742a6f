package oauth_test

import (
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

func TestImportOfARefreshToken(t *testing.T) {
	w := newWorld(t)
	given, grant, err := w.srv.Connect(confluencetest.ConsentRequest{ClientID: w.app.ClientID})
	if err != nil {
		t.Fatal(err)
	}
	tokens := w.process()
	res, err := w.consent().ImportRefreshToken(t.Context(), w.request(), tokens, vault.NewSecret(given.RefreshToken+"\n"), false)
	if w.heard(err) != nil {
		t.Fatal(err)
	}
	if got := w.wire.refreshes(); len(got) != 1 || got[0] != given.RefreshToken {
		t.Errorf("%d refreshes, want one with the given token", len(got))
	}
	if res.CloudID != w.site.CloudID() || res.Credential.AccountID != grant.AccountID || len(res.Missing) != 0 || w.row().AccountID != grant.AccountID {
		t.Errorf("result: %+v", res)
	}
	w.mustToken(tokens)
	w.alive()
	generation := w.row().Generation
	_, err = w.consent().ImportRefreshToken(t.Context(), w.request(), tokens, vault.NewSecret("eyR000000000000000000"), false)
	if w.heard(err) == nil || w.row().Generation != generation {
		t.Errorf("a working grant was replaced: %v", err)
	}
}

// A working grant is replaced by one that is proven and for the right site, and
// by no other.
func TestImportSparesAWorkingGrant(t *testing.T) {
	w := newWorld(t)
	w.connect(tenant)
	tokens := w.process()
	w.mustToken(tokens)
	was := w.row()
	_, refresh := w.stored()
	w.srv.AddSite(confluencetest.SiteSettings{Name: "globex", Spaces: 1, Users: 1, Groups: 1})
	bring := func(site string) vault.Secret {
		person := w.srv.AddPerson(confluencetest.Person{Name: site})
		w.srv.Site(site).AddUser(confluencetest.User{AccountID: person.AccountID})
		given, _, err := w.srv.Connect(confluencetest.ConsentRequest{ClientID: w.app.ClientID, AccountID: person.AccountID, Sites: []string{site}})
		if err != nil {
			t.Fatal(err)
		}
		return vault.NewSecret(given.RefreshToken)
	}
	const used = "the token is used up: the provider takes it again for 10 minutes only"
	for name, test := range map[string]struct {
		token  vault.Secret
		status int // of the token endpoint; 0: its own, -1: silence
		err    error
		says   string
	}{
		"made up":         {vault.NewSecret("eyR000000000000000000"), 0, oauth.ErrTokenRefused, "refresh_token is invalid"},
		"of another site": {bring("globex"), 0, oauth.ErrWrongSite, used},
		"proxy":           {bring("acme"), 502, oauth.ErrTemporary, "endpoints.auth"},
		"silence":         {bring("acme"), -1, oauth.ErrTemporary, "if it was used, " + used},
	} {
		if test.status != 0 {
			w.wire.set(func(*http.Request, func() (*http.Response, error)) (*http.Response, error) {
				if test.status < 0 {
					return nil, timeoutError{}
				}
				return answer(test.status, ""), nil
			})
		}
		_, err := w.consent().ImportRefreshToken(t.Context(), w.request(), tokens, test.token, true)
		w.wire.set(nil)
		if !errors.Is(w.heard(err), test.err) || !strings.Contains(err.Error(), test.says) || !strings.Contains(err.Error(), "nothing was replaced") {
			t.Errorf("%s: %v", name, err)
		}
		if diff := cmp.Diff(was, w.row()); diff != "" {
			t.Errorf("%s: the working grant is another one (Invariant 5): %s", name, diff)
		}
		w.mustToken(tokens)
	}
	if _, err := w.consent().ImportRefreshToken(t.Context(), w.request(), tokens, bring("acme"), true); w.heard(err) != nil {
		t.Fatal(err)
	}
	if _, now := w.stored(); now == refresh || w.row().Generation != was.Generation+1 {
		t.Error("a good token did not replace the grant")
	}
	w.mustToken(tokens)
	w.alive()
}

// Where no grant works there is nothing to spare: a proven token is kept although
// what it reaches cannot be looked at.
func TestImportIsKeptWhereNothingWorks(t *testing.T) {
	w := newWorld(t)
	given, _, err := w.srv.Connect(confluencetest.ConsentRequest{ClientID: w.app.ClientID})
	if err != nil {
		t.Fatal(err)
	}
	consent := w.consent()
	consent.Transport = roundTrip(func(r *http.Request) (*http.Response, error) {
		if strings.HasSuffix(r.URL.Path, "/accessible-resources") {
			w.alive() // Invariant 5: on disk before it is used
			return answer(503, ""), nil
		}
		return w.wire.RoundTrip(r)
	})
	_, err = consent.ImportRefreshToken(t.Context(), w.request(), w.process(), vault.NewSecret(given.RefreshToken), false)
	if w.heard(err) == nil || !strings.Contains(err.Error(), "it works and is stored, but: tenant acme: the sites that the grant reaches cannot be listed: the API answered 503") {
		t.Errorf("err = %v", err)
	}
	w.mustToken(w.process())
}
