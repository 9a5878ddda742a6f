package confluence

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// The organization's admin API (Atlassian, "Organizations REST API"). Its pages
// name the next one by a bare cursor, in links.next or meta.next.

const (
	pathOrganizations = "/v1/orgs"
	pageAdmin         = 100
)

// adminPage is a page of the admin API.
type adminPage[T any] struct {
	Data  []T `json:"data"`
	Links struct {
		Next *string `json:"next"`
	} `json:"links"`
	Meta struct {
		Next *string `json:"next"`
	} `json:"meta"`
}

// adminPages walks a listing of the admin API. ask asks for the page behind a
// cursor, empty for the first; emit gets the items that it has not had yet.
func adminPages[T any](method, path string, id func(*T) ident, ask func(cursor string, into *adminPage[T]) error, peek bool, emit func([]T) error) error {
	var c course
	restarted := false
	for range maxPages {
		var page adminPage[T]
		if err := ask(c.cursor, &page); err != nil {
			if c.cursor != "" && !restarted && statusOf(err) == http.StatusBadRequest { // as in cursorPages
				restarted = true
				c.restart()
				continue
			}
			return err
		}
		if err := checkData(page.Data, id); err != nil {
			return &callError{method, path, err}
		}
		next := firstText(page.Links.Next, page.Meta.Next)
		if c.doubts(len(page.Data), next) {
			continue
		}
		items := len(page.Data)
		fresh, progress := keep(&c.ids, page.Data, id)
		if len(fresh) > 0 {
			if err := emit(fresh); err != nil {
				return err
			}
		}
		if next == "" || peek {
			return nil
		}
		if !c.turn(items, progress, next) {
			break
		}
	}
	return inCircles(method + " " + path)
}

// checkData refuses a page without a list, and items without an id.
func checkData[T any](items []T, id func(*T) ident) error {
	if items == nil {
		return malformedf("no data")
	}
	for i := range items {
		if id(&items[i]) == "" {
			return malformedf("data[%d] has no id", i)
		}
	}
	return nil
}

func firstText(list ...*string) string {
	for _, s := range list {
		if s != nil && *s != "" {
			return *s
		}
	}
	return ""
}

// adminGet walks a listing that is asked for with GET.
func adminGet[T any](ctx context.Context, s *visit, path string, id func(*T) ident, emit func([]T) error) error {
	return adminPages(http.MethodGet, path, id, func(cursor string, into *adminPage[T]) error {
		return s.get(ctx, path, nil, func(q url.Values) {
			if cursor != "" {
				q.Set("cursor", cursor)
			}
		}, func(a answer) error { return decode(a.body, into) })
	}, s.peek, emit)
}

// organizationWire is the organization of a key.
type organizationWire struct {
	ID ident `json:"id"`
}

// organization finds the organization of the key. A key belongs to one.
func (s *visit) organization(ctx context.Context) (string, error) {
	var ids []string
	err := adminGet(ctx, s, pathOrganizations, func(w *organizationWire) ident { return w.ID }, func(list []organizationWire) error {
		for _, o := range list {
			ids = append(ids, string(o.ID))
		}
		return nil
	})
	switch {
	case err != nil:
		return "", err
	case len(ids) != 1:
		return "", inCall(pathOrganizations, malformedf("%d organizations, expected the one of the key", len(ids)))
	}
	return url.PathEscape(ids[0]), nil
}

// ownOrganization is the organization of the key, which must have users on the
// site: what another one tells is not about the tenant.
func (s *visit) ownOrganization(ctx context.Context) (string, error) {
	org, err := s.organization(ctx)
	if err != nil || s.peek {
		return org, err
	}
	users, err := s.countUsers(ctx, org, siteARI(s.site))
	if err == nil && users == 0 {
		err = s.otherOrganization("GET " + pathCount(org) + ": the organization of the key has no user on this site")
	}
	return org, err
}

// policyWire is an organization's policy.
type policyWire struct {
	ID         ident `json:"id"`
	Attributes struct {
		Type   *string         `json:"type"`
		Name   *string         `json:"name"`
		Status *string         `json:"status"`
		Rule   json.RawMessage `json:"rule"`
	} `json:"attributes"`
}

// domainWire is a domain that an organization claims.
type domainWire struct {
	ID         ident `json:"id"`
	Attributes struct {
		Name  *string `json:"name"`
		Claim struct {
			Status *string `json:"status"`
		} `json:"claim"`
	} `json:"attributes"`
}

// readOrganizationSettings reads policies and domains as settings that the site
// inherits.
func (s *visit) readOrganizationSettings(ctx context.Context, section string, yield yielder) error {
	table := datasets.SecurityConfiguration
	org, err := s.ownOrganization(ctx)
	if err != nil {
		return s.readError(table.Dataset, section, err)
	}
	var bad lacking
	var rows, unknown []datasets.Setting
	add := func(row datasets.Setting) {
		row.Origin = datasets.OriginOrganization
		if row.Value == nil {
			unknown = append(unknown, row)
		} else {
			rows = append(rows, row)
		}
	}
	err = adminGet(ctx, s, pathOrganizations+"/"+org+"/policies", func(w *policyWire) ident { return w.ID }, func(list []policyWire) error {
		for i := range list {
			if firstText(list[i].Attributes.Type) == "" { // a part of the settings' names
				bad.add("policy", string(list[i].ID), "no type")
				continue
			}
			for _, row := range normalizePolicy(&list[i]) {
				add(row)
			}
		}
		return nil
	})
	if err == nil {
		err = adminGet(ctx, s, pathOrganizations+"/"+org+"/domains", func(w *domainWire) ident { return w.ID }, func(list []domainWire) error {
			for _, d := range list {
				if optional(d.Attributes.Name) == nil {
					bad.add("domain", string(d.ID), "no name")
					continue
				}
				add(datasets.Setting{Setting: "domain." + *d.Attributes.Name, Value: optional(d.Attributes.Claim.Status), ValueType: "string"})
			}
			return nil
		})
	}
	if err != nil {
		return s.readError(table.Dataset, section, err)
	}
	if err := yieldPage(yield, table, rows, unknown); err != nil {
		return err
	}
	return bad.err("GET " + pathOrganizations + "/" + org)
}

// normalizePolicy makes two settings of a policy. A value that is not told is nil.
func normalizePolicy(p *policyWire) []datasets.Setting {
	name := "policy." + firstText(p.Attributes.Type) + "." + string(p.ID)
	return []datasets.Setting{
		{Setting: name + ".status", Value: optional(p.Attributes.Status), ValueType: "string"},
		{Setting: name + ".rule", Value: optional(new(canonical(p.Attributes.Rule))), ValueType: "list"},
	}
}

// canonical writes JSON with its keys in order and all digits of its numbers, so
// that only its meaning counts; empty for null.
func canonical(raw json.RawMessage) string {
	var v any
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.UseNumber()
	if dec.Decode(&v) != nil || v == nil {
		return ""
	}
	var b strings.Builder
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil { // what was decoded can be encoded
		return ""
	}
	return strings.TrimSuffix(b.String(), "\n")
}
