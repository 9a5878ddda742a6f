package confluencetest_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func TestDataCenterConsent(t *testing.T) {
	c := newDCClient(t, confluencetest.DataCenterSettings{}, confluencetest.DCClient{})
	status, _, text := c.authorize(nil)
	if status != http.StatusOK || !strings.Contains(text, "ADMIN") || !strings.Contains(text, c.dc.Collector().DisplayName) {
		t.Fatalf("consent page: %d %s", status, text)
	}
	c.dc.AutoConsent(&confluencetest.DCConsent{})
	_, answer, _ := c.authorize(nil)
	if answer.Get("state") != "st&te" || answer.Get("code") == "" {
		t.Fatalf("redirected with %v", answer)
	}
	for _, byQuery := range []bool{false, true} {
		_, answer, _ := c.authorize(map[string]string{"scope": "READ WRITE"})
		fields := c.exchangeFields(answer.Get("code"))
		a := c.post("", formType, encode(fields))
		if byQuery {
			_, answer, _ = c.authorize(map[string]string{"scope": "READ WRITE"})
			a = c.post(encode(c.exchangeFields(answer.Get("code"))), "", "")
		}
		if a.Status != 200 || a.Access == "" || a.Refresh == "" || a.ExpiresIn != 7200 || a.CreatedAt != c.now.Now().Unix() || a.Type != "bearer" || a.Scope != "" {
			t.Fatalf("exchange (in the query: %v): %+v", byQuery, a)
		}
		if st, ok := c.dc.TokenState(a.Refresh); !ok || !st.Usable || st.Grant.Scope != "WRITE" || st.Grant.Username != c.dc.Collector().Username || st.Grant.RedirectURI != callback {
			t.Errorf("state %+v, %v", st, ok)
		}
		if again := c.form(fields); again.Status != 400 || again.Error != "invalid_grant" {
			t.Errorf("a code used twice: %+v", again)
		}
	}
	c.dc.AutoConsent(&confluencetest.DCConsent{Username: c.dc.Reader().Username, Scope: "READ"})
	_, answer, _ = c.authorize(nil)
	a := c.form(c.exchangeFields(answer.Get("code")))
	if st, _ := c.dc.TokenState(a.Refresh); st.Grant.Scope != "READ" || st.Grant.UserKey != c.dc.Reader().UserKey {
		t.Errorf("granted less by another user: %+v", st)
	}
	c.dc.AutoConsent(&confluencetest.DCConsent{Deny: true})
	if _, answer, _ = c.authorize(nil); answer.Get("error") != "access_denied" || answer.Get("state") != "st&te" || answer.Has("code") {
		t.Errorf("denied: %v", answer)
	}
}

func TestDataCenterAuthorizeIsStrict(t *testing.T) {
	for _, lax := range []bool{false, true} {
		c := newDCClient(t, confluencetest.DataCenterSettings{AllowNoPKCE: lax}, confluencetest.DCClient{Scope: "ADMIN"})
		c.dc.AutoConsent(&confluencetest.DCConsent{})
		public := c.dc.AddClient(confluencetest.DCClient{Public: true, RedirectURIs: []string{callback}})
		withoutPKCE := "invalid_request"
		if lax {
			withoutPKCE = ""
		}
		for _, tt := range []struct {
			name   string
			change map[string]string
			error  string
		}{
			{"as documented", nil, ""},
			{"plain", map[string]string{"code_challenge_method": "plain", "code_challenge": verifier}, "invalid_request"},
			{"no method", map[string]string{"code_challenge_method": "-"}, "invalid_request"},
			{"no challenge", map[string]string{"code_challenge": "-"}, "invalid_request"},
			{"padded challenge", map[string]string{"code_challenge": challengeOf(verifier) + "="}, "invalid_request"},
			{"short challenge", map[string]string{"code_challenge": "abcd"}, "invalid_request"},
			{"no PKCE", map[string]string{"code_challenge": "-", "code_challenge_method": "-"}, withoutPKCE},
			{"no PKCE of a public client", map[string]string{"client_id": public.ClientID, "code_challenge": "-", "code_challenge_method": "-"}, "invalid_request"},
			{"no state", map[string]string{"state": "-"}, "invalid_request"},
			{"a token at once", map[string]string{"response_type": "token"}, "unsupported_response_type"},
			{"unknown scope", map[string]string{"scope": "read"}, "invalid_scope"},
			{"Cloud's scope", map[string]string{"scope": "ADMIN read:space:confluence"}, "invalid_scope"},
			{"too much", map[string]string{"scope": "SYSTEM_ADMIN"}, "invalid_scope"},
			{"no scope", map[string]string{"scope": "-"}, "invalid_scope"},
			{"another parameter", map[string]string{"audience": "api.atlassian.com"}, "invalid_request"},
		} {
			status, answer, text := c.authorize(tt.change)
			if status != http.StatusFound || answer.Get("error") != tt.error || answer.Has("code") != (tt.error == "") {
				t.Errorf("%s (PKCE optional: %v): %d %v %s", tt.name, lax, status, answer, text)
			}
		}
		for name, change := range map[string]map[string]string{
			"unknown client": {"client_id": "x"}, "foreign redirect": {"redirect_uri": "http://127.0.0.1:9/elsewhere"}, "longer redirect": {"redirect_uri": callback + "/more"},
		} {
			if status, answer, _ := c.authorize(change); status != http.StatusBadRequest || answer != nil {
				t.Errorf("%s: %d %v", name, status, answer)
			}
		}
		if lax {
			_, answer, _ := c.authorize(map[string]string{"code_challenge": "-", "code_challenge_method": "-"})
			fields := c.exchangeFields(answer.Get("code"))
			delete(fields, "code_verifier")
			if a := c.form(fields); a.Status != 200 {
				t.Errorf("exchange without PKCE: %+v", a)
			}
		}
	}
}
