package confluence

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"sync"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
)

// A 401 proves nothing about a credential: endpoints refuse whole kinds of
// credentials in the same words. So the first one of a run has a question follow
// that every credential of the kind may ask, about itself (Invariant 6).

// Verdict is what a site says of a credential itself.
type Verdict int

// The verdicts.
const (
	Undecided Verdict = iota // the site did not answer, or not about the credential
	Taken
	Denied
)

const pathCloudUser = "/wiki/rest/api/user/current"

// Ask has the site say whether it takes the credential. The text is what was asked
// and answered, for people.
func (w *Way) Ask(ctx context.Context) (Verdict, string) {
	path := pathCloudUser
	switch w.Kind {
	case schemas.CredentialAdminKey:
		path = pathOrganizations
	case schemas.CredentialDCToken, schemas.CredentialDCOAuth:
		path = pathCurrentUser
	}
	known := w.Kind == schemas.CredentialAdminKey
	err := w.Client.Get(ctx, "ask about the credential", path, url.Values{}, func(body []byte, h http.Header) error {
		if err := checkJSON(body, h); err != nil || known {
			return err
		}
		var user struct { // of nobody it has neither
			AccountID string `json:"accountId"`
			UserKey   string `json:"userKey"`
		}
		if err := decode(body, &user); err != nil {
			return err
		}
		known = user.AccountID != "" || user.UserKey != ""
		return nil
	})
	where := http.MethodGet + " " + path
	e, failed := errors.AsType[*httpx.Error](err)
	switch {
	case err == nil && known:
		return Taken, where + ": answers"
	case !failed:
		return Undecided, where + ": answers, but not about the credential"
	case e.Class == httpx.ClassScopeMissing: // the gateway knows the token, and what it lacks
		return Taken, evidence(where, e)
	case e.Class == httpx.ClassUnauthorized:
		return Denied, evidence(where, e)
	}
	return Undecided, evidence(where, e)
}

// denials are the credentials that the site was asked about in a run, by kind; nil:
// it did not deny them.
type denials struct {
	mu    sync.Mutex
	asked map[string]*collector.ReadError
}

// doubt hears of each failed call. After a 401 it has the site asked about the
// credential, once a run; one that is denied is used no more in the run, since
// refusals may count as failed logins.
func (v *visit) doubt(ctx context.Context, err error) {
	w, d := v.way, &v.denials
	if w.OnRefused == nil || httpx.ClassOf(err) != httpx.ClassUnauthorized {
		return
	}
	d.mu.Lock() // others wait for the verdict
	defer d.mu.Unlock()
	if _, asked := d.asked[w.Kind]; asked {
		return
	}
	verdict, evidence := w.Ask(ctx)
	if ctx.Err() != nil {
		return
	}
	if d.asked == nil {
		d.asked = map[string]*collector.ReadError{}
	}
	d.asked[w.Kind] = nil
	if verdict == Denied {
		d.asked[w.Kind] = v.denial(w.Kind, evidence)
		w.OnRefused(ctx, evidence)
	}
}

// denied is why the run uses a credential no more; nil: it does.
func (s *Source) denied(kind string) *collector.ReadError {
	s.denials.mu.Lock()
	defer s.denials.mu.Unlock()
	return s.denials.asked[kind]
}

// denial is what coverage says of what such a credential serves.
func (s *Source) denial(kind, evidence string) *collector.ReadError {
	return &collector.ReadError{
		State: schemas.CoverageForbidden, Evidence: "the site refuses the credential itself: " + evidence,
		Unlock: "make a new one and store it (" + s.connect(kind) + ")",
	}
}
