package oauth_test

import (
	"context"
	"testing"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/collector/vault"
)

const dcKind = collector.CredentialKindDCOAuth

// newDCWorld is a world whose tenant is a Data Center site.
func newDCWorld(t testing.TB, change ...func(*confluencetest.DataCenterSettings)) *world {
	t.Helper()
	w := newWorld(t)
	settings := confluencetest.DataCenterSettings{Name: "intra", Spaces: 2, Users: 3}
	for _, f := range change {
		f(&settings)
	}
	w.kind, w.dc = dcKind, w.srv.AddDataCenter(settings)
	w.register(callback)
	return w
}

// register gives the site an app with a redirect URL.
func (w *world) register(redirect string) {
	w.link = w.dc.AddClient(confluencetest.DCClient{ClientSecret: "ATOA00aa11bb22cc33dd44ee55ff", RedirectURIs: []string{redirect}, Scope: "ADMIN"})
}

func (w *world) dcConsent() *oauth.Consent {
	return &oauth.Consent{
		Provider: oauth.DataCenter(w.dc.URL()+"/", w.link.ClientID, vault.NewSecret(w.link.ClientSecret), w.link.RedirectURIs[0]),
		Store:    w.store, Vault: w.vault, Transport: w.wire, Now: w.clock.Now, Log: w.log,
	}
}

func (w *world) dcRequest() oauth.Request {
	return oauth.Request{Tenant: tenant, SiteURL: w.dc.URL(), Scopes: []string{"READ", "ADMIN"}}
}

// connectDC stores a fresh grant of the site for the tenant.
func (w *world) connectDC() oauth.Result {
	w.t.Helper()
	const verifier = "0123456789-0123456789-0123456789-0123456789"
	code, err := w.dc.Consent(confluencetest.DCConsent{ClientID: w.link.ClientID, CodeChallenge: "XqV1tflYS9pE1bnDmj-YXExN3vTo8j8ECd_IY8HtNUY"})
	if err != nil {
		w.t.Fatal(err)
	}
	req := w.dcRequest()
	req.Verifier = vault.NewSecret(verifier)
	res, err := w.dcConsent().CompleteWithCode(w.t.Context(), req, code)
	if w.heard(err) != nil {
		w.t.Fatal(err)
	}
	return res
}

// dcProcess is process for a world of newDCWorld. What it knows of the site is
// the address; the app's secret is with the grant.
func (w *world) dcProcess(change ...func(*oauth.Options)) *oauth.Tokens {
	return w.process(append([]func(*oauth.Options){func(o *oauth.Options) {
		o.ProviderFor = func(context.Context, collector.Credential) (oauth.Provider, error) {
			return oauth.DataCenter(w.dc.URL(), "", vault.Secret{}, "http://127.0.0.1:1/configured-anew"), nil
		}
	}}, change...)...)
}

func fixedProvider(p oauth.Provider, err error) func(context.Context, collector.Credential) (oauth.Provider, error) {
	return func(context.Context, collector.Credential) (oauth.Provider, error) { return p, err }
}
