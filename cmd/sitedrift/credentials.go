package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/oauth"
	"github.com/sitedrift/sitedrift/schemas"
)

// credInfo is a credential as it is shown: never a secret.
type credInfo struct {
	Kind        string     `json:"kind"`
	State       string     `json:"state"`
	Reason      string     `json:"reason,omitempty"`
	Unlock      string     `json:"unlock,omitempty"` // what makes it usable again
	Account     string     `json:"account,omitempty"`
	Scopes      []string   `json:"scopes"`
	ConsentedAt time.Time  `json:"consented_at"`
	ExpiresAt   *time.Time `json:"expires_at"` // null: not known, or renewed by itself
	DaysLeft    *int       `json:"days_left"`  // until a person must consent again or make a new token; null: not known
	Soon        bool       `json:"expires_soon"`
	Unscoped    bool       `json:"unscoped"` // may do all that its account may
}

// credentialRefused is shown of one that its site refuses; stored states know only
// grants.
const credentialRefused = "refused"

// isConsent reports whether a kind of credential is a person's consent, whose tokens
// rotate, and not a token or key that was handed over.
func isConsent(kind string) bool {
	return kind == schemas.Credential3LO || kind == schemas.CredentialDCOAuth
}

func (a *app) showCredential(c collector.Credential) credInfo {
	info := credInfo{
		Kind: c.Kind, State: string(c.State), Reason: c.StateReason, Account: c.AccountID, Scopes: some(c.Scopes), ConsentedAt: c.ConsentedAt,
		Unscoped: !schemas.Scoped(c.Kind),
	}
	if c.State == collector.CredentialOK && c.Refusal.Stands() {
		refused := refusedSince(c)
		info.State, info.Reason, info.Unlock = credentialRefused, refused.Evidence, refused.Unlock
	}
	left, soon := oauth.Countdown(c, a.out.now())
	if !isConsent(c.Kind) && !c.AccessExpiresAt.IsZero() {
		end := c.AccessExpiresAt
		info.ExpiresAt = &end
	}
	if alive := c.State == collector.CredentialOK; alive && c.Kind == schemas.Credential3LO || info.ExpiresAt != nil {
		info.DaysLeft, info.Soon = &left, soon
	}
	return info
}

// unscoped warns of kinds that no scope bounds.
var unscoped = map[string]string{
	schemas.CredentialAPIToken: "a classic token may do all that its account may, and Atlassian advises vendors that host apps against asking for one",
	schemas.CredentialDCToken:  "a personal access token of Data Center may do all that its account may, also write and administer; an application link (dc_oauth) has a scope",
}

// warning is what an operator should know of a tenant's credential, empty if nothing.
func (c credInfo) warning(tenant string) string {
	var list []string
	if c.Unscoped {
		list = append(list, "UNSCOPED: "+unscoped[c.Kind]+"; use an account made for this, with no more rights than the datasets need")
	}
	if c.Soon {
		list = append(list, fmt.Sprintf("%s left: renew it with %s", count(*c.DaysLeft, "day"), connectCommand(tenant, c.Kind)))
	}
	return strings.Join(list, "; ")
}

// print writes the lines of "tenants show TENANT".
func (c credInfo) print(out io.Writer, tenant string) {
	fmt.Fprintf(out, "credential  %s %s\n", c.Kind, c.State)
	line := func(format string, args ...any) { fmt.Fprintf(out, "            "+format+"\n", args...) }
	if c.Reason != "" {
		line("%s", cell(c.Reason, 160))
	}
	if c.Unlock != "" {
		line("to unlock: %s", c.Unlock)
	}
	switch {
	case c.State != string(collector.CredentialOK): // the reason says it all
	case c.Kind == schemas.Credential3LO:
		line("consent of %s, %d days until it must be renewed", c.ConsentedAt.UTC().Format("2006-01-02"), *c.DaysLeft)
	case c.DaysLeft != nil:
		line("stored on %s, %d days until it ends", c.ConsentedAt.UTC().Format("2006-01-02"), *c.DaysLeft)
	case c.Kind == schemas.CredentialDCOAuth:
		line("consent of %s, renewed by itself", c.ConsentedAt.UTC().Format("2006-01-02"))
	default:
		line("stored on %s, its end is not known", c.ConsentedAt.UTC().Format("2006-01-02"))
	}
	if c.Account != "" && c.Kind != schemas.Credential3LO {
		line("account: %s", cell(c.Account, 80))
	}
	if len(c.Scopes) > 0 {
		line("scopes: %s", strings.Join(c.Scopes, " "))
	}
	if w := c.warning(tenant); w != "" {
		line("%s", w)
	}
}
