package confluence

import (
	"cmp"
	"context"
	"maps"
	"net/http"
	"net/url"
	"sort"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// workspaceWire is a site or product of an organization.
type workspaceWire struct {
	ID         ident `json:"id"`
	Attributes struct {
		TypeKey  *string `json:"typeKey"`
		Status   *string `json:"status"`
		Usage    *int64  `json:"usage"`
		Capacity *int64  `json:"capacity"`
	} `json:"attributes"`
	Relationships struct {
		Entitlement []struct {
			Attributes struct {
				PlanKey *string `json:"planKey"`
			} `json:"attributes"`
		} `json:"entitlement"`
	} `json:"relationships"`
}

// readOrganizationSeats reads the products of the site from the organization, and
// how many users each has. Usage is often null there, so users are counted.
func (s *visit) readOrganizationSeats(ctx context.Context, _ string, yield yielder) error {
	table := datasets.Subscriptions
	org, err := s.organization(ctx)
	if err != nil {
		return s.readError(table.Dataset, "", err)
	}
	path := "/v2/orgs/" + org + "/workspaces"
	rows := map[string]datasets.Subscription{}
	resources := map[string]string{}
	err = adminPages(http.MethodPost, path, func(w *workspaceWire) ident { return w.ID }, func(cursor string, into *adminPage[workspaceWire]) error {
		body := map[string]any{"limit": s.limit(pageAdmin)}
		if cursor != "" {
			body = map[string]any{"cursor": cursor}
		}
		return s.post(ctx, path, body, func(a answer) error { return decode(a.body, into) })
	}, s.peek, func(list []workspaceWire) error {
		for _, w := range list {
			product := firstText(w.Attributes.TypeKey)
			if product == "" || !strings.HasSuffix(string(w.ID), "site/"+s.site) {
				continue // another site's
			}
			row := datasets.Subscription{Product: product, Used: w.Attributes.Usage, Total: w.Attributes.Capacity}
			if status := optional(w.Attributes.Status); status != nil {
				row.Active = new(*status == "online")
			}
			if len(w.Relationships.Entitlement) > 0 {
				row.Plan = optional(w.Relationships.Entitlement[0].Attributes.PlanKey)
			}
			rows[product], resources[product] = row, string(w.ID)
		}
		return nil
	})
	if err != nil {
		return s.readError(table.Dataset, "", err)
	}
	if len(rows) == 0 && !s.peek { // the listing is whole, and a site always has a product
		return s.otherOrganization("POST " + path + ": the organization of the key has no product on this site")
	}
	var list []datasets.Subscription
	for product, row := range rows {
		if row.Used == nil && !s.peek {
			n, err := s.countUsers(ctx, org, resources[product])
			if err != nil {
				return s.readError(table.Dataset, "", err)
			}
			row.Used = &n
		}
		if row.Total != nil && row.Used != nil {
			row.Free = new(*row.Total - *row.Used)
		}
		list = append(list, row)
	}
	sort.Slice(list, func(i, j int) bool { return list[i].Product < list[j].Product })
	return yieldPage(yield, table, list, nil)
}

// otherOrganization says that the key is of an organization which the site does
// not belong to: what it does not show is not gone.
func (s *visit) otherOrganization(evidence string) error {
	return &collector.ReadError{
		State: schemas.CoverageForbidden, Evidence: evidence,
		Unlock: "store a key of the organization that the site belongs to (" + s.connect(schemas.CredentialAdminKey) + ")",
	}
}

func pathCount(org string) string { return "/v2/orgs/" + org + "/directories/-/users/count" }

// countUsers counts the users of a product.
func (s *visit) countUsers(ctx context.Context, org, resource string) (int64, error) {
	var w struct {
		Count *int64 `json:"count"`
	}
	path := pathCount(org)
	if err := s.getOne(ctx, path, url.Values{"resourceIds": {resource}, "roleIds": {"atlassian/user"}}, &w); err != nil {
		return 0, err
	}
	if w.Count == nil {
		return 0, &callError{http.MethodGet, path, malformedf("no count")}
	}
	return *w.Count, nil
}

// accountWire is a user of an organization.
type accountWire struct {
	AccountID     ident   `json:"accountId"`
	AccountType   *string `json:"accountType"`
	AccountStatus *string `json:"accountStatus"`
	Name          *string `json:"name"`
	Email         *string `json:"email"`
	ProductAccess []struct {
		Key        *string `json:"key"`
		ID         ident   `json:"id"`
		LastActive *string `json:"lastActiveTimestamp"`
	} `json:"productAccess"`
}

func pathAccounts(org string) string { return "/v2/orgs/" + org + "/directories/-/users/search" }

// siteAccounts walks the accounts that hold a role on the site, a hundred a call;
// filter has further conditions.
func (s *visit) siteAccounts(ctx context.Context, org string, filter map[string]any, emit func([]accountWire) error) error {
	return adminPages(http.MethodPost, pathAccounts(org), func(w *accountWire) ident { return w.AccountID }, func(cursor string, into *adminPage[accountWire]) error {
		body := map[string]any{"limit": s.limit(pageAdmin), "resourceIds": []string{siteARI(s.site)}}
		maps.Copy(body, filter)
		if cursor != "" {
			body["cursor"] = cursor
		}
		return s.post(ctx, pathAccounts(org), body, func(a answer) error { return decode(a.body, into) })
	}, s.peek, func(list []accountWire) error {
		s.spend(weightIdentity, len(list))
		return emit(list)
	})
}

// readUserActivity reads when accounts used products last, where asking for each
// would take one call per account.
func (s *visit) readUserActivity(ctx context.Context, _ string, yield yielder) error {
	table := datasets.UserActivities
	org, err := s.organization(ctx)
	if err != nil {
		return s.readError(table.Dataset, "", err)
	}
	var bad lacking
	users := 0
	err = s.siteAccounts(ctx, org, map[string]any{"expand": []string{"productAccess"}}, func(list []accountWire) error {
		users += len(list)
		var rows, unknown []datasets.UserActivity
		for _, w := range list {
			if w.ProductAccess == nil {
				bad.add("account", string(w.AccountID), "it does not say which products it uses")
			}
			for _, p := range w.ProductAccess {
				if p.ID != "" && !strings.HasSuffix(string(p.ID), "site/"+s.site) {
					continue // another site's
				}
				if p.ID == "" || optional(p.Key) == nil {
					bad.add("account", string(w.AccountID), "a product that it uses has no name or no site")
					continue
				}
				row := datasets.UserActivity{AccountID: string(w.AccountID), Product: *p.Key, Name: optional(w.Name), Source: "organization"}
				if p.LastActive != nil && *p.LastActive != "" {
					at, ok := parseActivity(*p.LastActive)
					if !ok {
						bad.add("account", row.AccountID, "lastActiveTimestamp is no time: "+cut(*p.LastActive, 40))
						unknown = append(unknown, row)
						continue
					}
					row.LastActiveAt = at
				}
				rows = append(rows, row)
			}
		}
		return yieldPage(yield, table, rows, unknown)
	})
	if err != nil {
		return s.readError(table.Dataset, "", err)
	}
	if users == 0 && !s.peek {
		return s.otherOrganization("POST " + pathAccounts(org) + ": the organization of the key has no user on this site")
	}
	return bad.err("POST " + pathAccounts(org))
}

// readOrganizationUsers reads the accounts that hold a role on the site.
func (s *visit) readOrganizationUsers(ctx context.Context, _ string, yield yielder) error {
	table := datasets.Users
	org, err := s.organization(ctx)
	if err != nil {
		return s.readError(table.Dataset, "", err)
	}
	users := 0
	err = s.siteAccounts(ctx, org, nil, func(list []accountWire) error {
		users += len(list)
		rows := make([]datasets.User, len(list))
		for i, w := range list {
			rows[i] = datasets.User{
				AccountID: string(w.AccountID), AccountType: firstText(w.AccountType), AccountStatus: cmp.Or(firstText(w.AccountStatus), "unknown"),
				DisplayName: optional(w.Name), Email: optional(w.Email),
			}
		}
		return yieldPage(yield, table, rows, nil)
	})
	if err != nil {
		return s.readError(table.Dataset, "", err)
	}
	if users == 0 && !s.peek {
		return s.otherOrganization("POST " + pathAccounts(org) + ": the organization of the key has no user on this site")
	}
	return nil
}

// readOrganizationGuests reads the accounts that are guests of the site.
func (s *visit) readOrganizationGuests(ctx context.Context, _ string, yield yielder) error {
	table := datasets.ExternalCollaborators
	org, err := s.organization(ctx)
	if err != nil {
		return s.readError(table.Dataset, "", err)
	}
	guests := 0
	err = s.siteAccounts(ctx, org, map[string]any{"roleIds": []string{"atlassian/guest"}}, func(list []accountWire) error {
		guests += len(list)
		rows := make([]datasets.ExternalCollaborator, len(list))
		for i, w := range list {
			rows[i] = datasets.ExternalCollaborator{AccountID: string(w.AccountID), AccountStatus: firstText(w.AccountStatus), DisplayName: optional(w.Name), Email: optional(w.Email)}
		}
		return yieldPage(yield, table, rows, nil)
	})
	users := int64(guests)
	if err == nil && guests == 0 && !s.peek { // is it a site of this organization at all?
		users, err = s.countUsers(ctx, org, siteARI(s.site))
	}
	switch {
	case err != nil:
		return s.readError(table.Dataset, "", err)
	case users == 0 && !s.peek:
		return s.otherOrganization("POST " + pathAccounts(org) + ": the organization of the key has no user on this site")
	}
	return nil
}

// parseActivity also takes a day without a time.
func parseActivity(text string) (time.Time, bool) {
	if at, err := time.Parse(time.DateOnly, text); err == nil {
		return at, true
	}
	return parseTime(text)
}

// readLicenceSeats reads the licence endpoints that the site does not document.
func (s *visit) readLicenceSeats(ctx context.Context, _ string, yield yielder) error {
	table := datasets.Subscriptions
	row := datasets.Subscription{Product: "confluence"}
	for _, c := range []struct {
		name string
		to   **int64
	}{{"userCount", &row.Used}, {"remainingSeats", &row.Free}, {"maxUsers", &row.Total}} {
		var w struct {
			Count *int64 `json:"count"`
			Seats *int64 `json:"seats"`
		}
		path := pathLicense + c.name
		if err := s.getOne(ctx, path, nil, &w); err != nil {
			if statusOf(err) == http.StatusNotFound {
				return &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: "GET " + path + ": 404: the site does not offer it", Unlock: s.addCredential([]string{schemas.CredentialAdminKey})}
			}
			return s.readError(table.Dataset, "", err)
		}
		if w.Count == nil {
			w.Count = w.Seats
		}
		if w.Count == nil {
			return s.readError(table.Dataset, "", &callError{http.MethodGet, path, malformedf("no count")})
		}
		*c.to = w.Count
	}
	row.Unlimited = new(*row.Total < 0)
	if *row.Unlimited {
		row.Total, row.Free = nil, nil
	}
	return yieldPage(yield, table, []datasets.Subscription{row}, nil)
}

const pathLicense = "/wiki/rest/license/1.0/license/"
