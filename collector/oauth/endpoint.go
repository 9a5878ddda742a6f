package oauth

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector/vault"
)

// maxAnswer bounds what is read of a token endpoint's answer.
const maxAnswer = 1 << 20

// defaultLifetime is assumed of an access token whose answer does not say.
const defaultLifetime = 10 * time.Minute

// verdict is what an answer of the token endpoint says about the refresh token
// that was sent.
type verdict int

const (
	rotated    verdict = iota // a new pair came
	unanswered                // nobody knows; the provider may still be at it
	unknown                   // an answer came that does not tell
	refused                   // the app was refused, the token was not looked at
	dead                      // the provider says that this token is dead
)

// pair is what the token endpoint gave.
type pair struct {
	access, refresh vault.Secret
	lifetime        time.Duration
	scopes          []string // sorted; nil when the answer does not say
	sentAt          time.Time
}

// wireToken is a token endpoint's answer, good or bad (RFC 6749, sections 5.1 and 5.2).
type wireToken struct {
	AccessToken      string      `json:"access_token"`
	RefreshToken     string      `json:"refresh_token"`
	ExpiresIn        json.Number `json:"expires_in"`
	Scope            string      `json:"scope"`
	Error            string      `json:"error"`
	ErrorDescription string      `json:"error_description"`
}

// newClient returns a client that follows no redirect: the body of a refused
// call holds the client secret and a token (Invariant 9).
func newClient(transport http.RoundTripper) *http.Client {
	return &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// refresh sends one refresh token once. Only the fields that a refresh needs are
// sent: more of them made Atlassian refuse good tokens (Atlassian, "OAuth 2.0
// changelog", 15 July 2022).
func (p Provider) refresh(ctx context.Context, client *http.Client, token vault.Secret) (pair, verdict, *Error) {
	fields := map[string]string{
		"grant_type":    "refresh_token",
		"client_id":     p.ClientID,
		"refresh_token": token.Reveal(),
	}
	if !p.ClientSecret.IsZero() { // an app without one is a public client
		fields["client_secret"] = p.ClientSecret.Reveal()
	}
	if p.RedirectOnRefresh {
		fields["redirect_uri"] = p.RedirectURL
	}
	return p.ask(ctx, client, fields)
}

// ask calls the token endpoint once.
func (p Provider) ask(ctx context.Context, client *http.Client, fields map[string]string) (pair, verdict, *Error) {
	body, contentType := encodeFields(fields, p.JSONBody)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, p.TokenURL, bytes.NewReader(body))
	if err != nil {
		return pair{}, refused, &Error{Class: ErrClientConfig, Hint: "check " + p.endpointKey(), Cause: errors.New("the token endpoint's URL cannot be used")}
	}
	req.GetBody = nil // the transport must not repeat the call on its own
	req.Header.Set("Content-Type", contentType)
	req.Header.Set("Accept", "application/json")
	resp, err := client.Do(req)
	if err != nil {
		v := unknown
		if isTimeout(err) {
			v = unanswered
		}
		return pair{}, v, &Error{Class: ErrTemporary, Cause: transportCause(err)}
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		v := unknown
		if isTimeout(err) {
			v = unanswered
		}
		return pair{}, v, &Error{Class: ErrTemporary, Status: resp.StatusCode, Cause: fmt.Errorf("the answer broke off: %w", transportCause(err))}
	}
	return p.judge(resp, data)
}

// judge reads an answer (Invariant 6: what does not prove a dead grant is
// temporary or a matter of configuration).
func (p Provider) judge(resp *http.Response, data []byte) (pair, verdict, *Error) {
	var w wireToken
	parsed := json.Unmarshal(data, &w) == nil
	fail := &Error{
		Class: ErrTemporary, Status: resp.StatusCode,
		Code: clean(w.Error), Description: clean(w.ErrorDescription), RetryAfter: retryAfter(resp.Header.Get("Retry-After")),
	}
	status := resp.StatusCode
	switch {
	case status == http.StatusOK && parsed && w.AccessToken != "" && w.Error == "":
		return w.pair(), rotated, nil
	case status == http.StatusOK:
		fail.Cause = errors.New("the answer is not a token in JSON")
		return pair{}, unknown, fail
	case status == http.StatusTooManyRequests, status == http.StatusRequestTimeout, status >= 500:
		return pair{}, unknown, fail
	case status >= 300 && status < 400:
		fail.Class, fail.Hint = ErrClientConfig, "redirects of the token endpoint are not followed: check "+p.endpointKey()
		return pair{}, refused, fail
	case status < 400: // neither a token nor a refusal
		fail.Cause = errors.New("the answer does not come from a token endpoint")
		return pair{}, unknown, fail
	case !parsed || w.Error == "":
		// A proxy or a firewall spoke, not the authorization server.
		if status == http.StatusNotFound || status == http.StatusMethodNotAllowed {
			fail.Class, fail.Hint = ErrClientConfig, "this is no token endpoint: check "+p.endpointKey()
			return pair{}, refused, fail
		}
		fail.Cause = errors.New("the answer does not come from a token endpoint")
		return pair{}, unknown, fail
	case w.Error == "invalid_grant",
		w.Error == "unauthorized_client" && strings.EqualFold(strings.Trim(w.ErrorDescription, " ."), "refresh_token is invalid"):
		fail.Class = ErrNeedsReconsent
		return pair{}, dead, fail
	case w.Error == "temporarily_unavailable" || w.Error == "server_error" || w.Error == "slow_down":
		return pair{}, unknown, fail
	}
	fail.Class, fail.Hint = ErrClientConfig, "check "+p.clientKeys()
	return pair{}, refused, fail
}

func (w wireToken) pair() pair {
	out := pair{access: vault.NewSecret(w.AccessToken), refresh: vault.NewSecret(w.RefreshToken), lifetime: defaultLifetime, scopes: splitScopes(w.Scope)}
	if s, err := w.ExpiresIn.Float64(); err == nil && s > 0 && s < float64(365*24*3600) {
		out.lifetime = time.Duration(s) * time.Second
	}
	return out
}

func encodeFields(fields map[string]string, asJSON bool) (body []byte, contentType string) {
	if asJSON {
		body, _ = json.Marshal(fields) // a map of strings always encodes
		return body, "application/json"
	}
	form := make(url.Values, len(fields))
	for k, v := range fields {
		form.Set(k, v)
	}
	return []byte(form.Encode()), "application/x-www-form-urlencoded"
}

// splitScopes returns the sorted, distinct scopes of a space-separated list, nil if there are none.
func splitScopes(list string) []string {
	scopes := strings.Fields(list)
	if len(scopes) == 0 {
		return nil
	}
	slices.Sort(scopes)
	return slices.Compact(scopes)
}

// retryAfter reads a Retry-After header in seconds, at most an hour; other forms count as absent.
func retryAfter(value string) time.Duration {
	s, err := strconv.Atoi(value)
	if err != nil {
		return 0
	}
	return time.Duration(min(max(s, 0), 3600)) * time.Second
}
