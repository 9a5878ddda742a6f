package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/collector/vault"
)

// site is one entry of accessible-resources.
type site struct {
	ID     string   `json:"id"`
	Name   string   `json:"name"`
	URL    string   `json:"url"`
	Scopes []string `json:"scopes"`
}

var cloudIDForm = regexp.MustCompile(`^[0-9A-Za-z-]{1,64}$`)

// sites lists what the grant reaches. A site with several products is listed
// once for each.
func (c *Consent) sites(ctx context.Context, req Request, access vault.Secret) ([]site, error) {
	var listed []site
	status, _, err := c.get(ctx, "/oauth/token/accessible-resources", access, &listed)
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("the API answered %d", status)
	}
	if err != nil {
		return nil, fmt.Errorf("tenant %s: the sites that the grant reaches cannot be listed: %w; consent again; if it stays, check endpoints.api", req.Tenant, err)
	}
	return merge(listed), nil
}

// merge makes one of the entries of a site, and leaves out ids that cannot be one.
func merge(listed []site) (merged []site) {
	for _, s := range listed {
		if !cloudIDForm.MatchString(s.ID) {
			continue // it would become part of a URL
		}
		if i := slices.IndexFunc(merged, func(m site) bool { return m.ID == s.ID }); i >= 0 {
			merged[i].Scopes = append(merged[i].Scopes, s.Scopes...)
			continue
		}
		merged = append(merged, s)
	}
	return merged
}

// pick finds the tenant's site among those that the grant reaches.
func pick(sites []site, req Request) (site, error) {
	refuse := func(format string, args ...any) error {
		names := make([]string, 0, len(sites))
		for _, s := range sites {
			names = append(names, fmt.Sprintf("%s (%s)", clean(s.URL), s.ID))
		}
		reaches := "it reaches no site"
		if len(names) > 0 {
			reaches = "it reaches " + strings.Join(names, ", ")
		}
		return fmt.Errorf("tenant %s: %w: %s; %s", req.Tenant, ErrWrongSite, fmt.Sprintf(format, args...), reaches)
	}
	found := sites
	if req.SiteURL != "" {
		found = slices.DeleteFunc(slices.Clone(sites), func(s site) bool { return address(s.URL) != address(req.SiteURL) })
	} else if req.CloudID != "" {
		found = slices.DeleteFunc(slices.Clone(sites), func(s site) bool { return s.ID != req.CloudID })
	}
	switch {
	case len(found) == 0 && req.SiteURL == "" && req.CloudID == "":
		return site{}, refuse("the person who consents must have access to Confluence")
	case len(found) == 0:
		return site{}, refuse("the configured site %s is not among them; consent with an account of that site, or correct the site URL", clean(req.SiteURL+" "+req.CloudID))
	case len(found) > 1:
		return site{}, refuse("more than one fits; configure the tenant's site URL or cloud id")
	case req.CloudID != "" && found[0].ID != req.CloudID:
		return site{}, refuse("%s has the cloud id %s and the tenant is known by %s, so its history would be mixed with another site's; make a new tenant for it",
			clean(found[0].URL), found[0].ID, clean(req.CloudID))
	}
	return found[0], nil
}

// beyond warns of the sites that a grant reaches and the tenant has nothing to do
// with; empty if there are none.
func beyond(sites []site, own site) string {
	var others []string
	for _, s := range sites {
		if s.ID != own.ID {
			others = append(others, clean(s.URL))
		}
	}
	if len(others) == 0 {
		return ""
	}
	shown := strings.Join(others[:min(3, len(others))], ", ")
	if more := len(others) - 3; more > 0 {
		shown += fmt.Sprintf(" and %d more", more)
	}
	return "the grant reaches other sites, too: " + shown + "; consent again for this site alone, so that the grant opens no more than it must"
}

// accountScopes open the call that tells who consented (Confluence Cloud REST v1, "Get current user").
var accountScopes = []string{"read:confluence-user", "read:content-details:confluence"}

// account returns the id of the account that consented, empty with the reason
// when it cannot be read. That is no reason to lose a grant whose code is used up.
func (c *Consent) account(ctx context.Context, cloudID string, granted []string, access vault.Secret) (id, unknown string) {
	if !slices.ContainsFunc(accountScopes, func(s string) bool { return slices.Contains(granted, s) }) {
		return "", "no granted scope shows it; " + strings.Join(accountScopes, " or ") + " would"
	}
	var user struct {
		AccountID string `json:"accountId"`
	}
	status, _, err := c.get(ctx, "/ex/confluence/"+cloudID+"/wiki/rest/api/user/current", access, &user)
	switch {
	case err != nil:
		return "", err.Error()
	case status != http.StatusOK:
		return "", fmt.Sprintf("the API answered %d", status)
	case user.AccountID == "":
		return "", "the API named none"
	}
	return clean(user.AccountID), ""
}

var errNotJSON = errors.New("the answer is not the JSON that was expected")

// get asks the API once. Only an answer of 200 is decoded into out.
func (c *Consent) get(ctx context.Context, path string, access vault.Secret, out any) (status int, h http.Header, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, strings.TrimRight(c.Provider.APIURL, "/")+path, nil)
	if err != nil {
		return 0, nil, errors.New("the API's URL cannot be used")
	}
	req.Header.Set("Authorization", "Bearer "+access.Reveal())
	req.Header.Set("Accept", "application/json")
	resp, err := newClient(c.Transport).Do(req)
	if err != nil {
		return 0, nil, transportCause(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		return resp.StatusCode, resp.Header, nil
	}
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	if err != nil {
		return 0, nil, fmt.Errorf("the answer broke off: %w", transportCause(err))
	}
	if json.Unmarshal(data, out) != nil {
		return 0, nil, errNotJSON
	}
	return resp.StatusCode, resp.Header, nil
}

// address reduces a site's URL to what tells sites apart: scheme, host and path,
// the host in lower case, without the /wiki that people copy along.
func address(raw string) string {
	u, err := url.Parse(strings.TrimSpace(raw))
	if err != nil || u.Host == "" {
		return ""
	}
	path := strings.TrimSuffix(strings.TrimRight(u.Path, "/"), "/wiki")
	return strings.ToLower(u.Scheme+"://"+u.Host) + path
}
