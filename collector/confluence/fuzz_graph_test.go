package confluence

import (
	"slices"
	"strings"
	"testing"
)

// FuzzGraphReply: whatever the gateway answers, each row has its key, and a page
// either ends the listing or has a cursor.
func FuzzGraphReply(f *testing.F) {
	for _, seed := range []string{
		`{"data":{"sitePermissions":{"anonymous":null,"unlicensedUserWithPermissions":{"operations":null},"groups":{"nodes":[{"id":"g","name":null,"operations":[{"operation":"X","targetType":null},{"operation":null},null]}],"pageInfo":{"endCursor":"c","hasNextPage":true}}}}}`,
		`{"data":{"sitePermissions":{"confluencePersons":{"nodes":[null,{"accountId":"a","operations":[]}],"pageInfo":null}}}}`,
		`{"data":{"publicLinkSpacesByCriteria":{"nodes":[{"spaceId":9007199254740993,"spaceKey":null,"status":"ON","stats":{"publicLinks":null}}],"pageInfo":{"endPage":"","hasNextPage":true}}}}`,
		`{"data":{"publicLinksByCriteria":{"nodes":[{"id":1,"status":"ON","lastEnabledByUser":{"accountId":null},"lastEnabledDate":"yesterday"}],"pageInfo":{"endPage":"x","hasNextPage":null}}}}`,
		`{"data":{"confluence_externalCollaboratorsByCriteria":{"nodes":[{"accountId":"a","spacesAssigned":{"nodes":[{"id":1},null]}}],"pageInfo":{"hasNextPage":false}}}}`,
		`{"data":{"ecosystem":{"appInstallationsByContext":{"nodes":[{"id":"i","app":null},{"id":"j","app":{"id":"k"},"appEnvironmentVersion":{"permissions":[{"scopes":null,"egress":[{"addresses":["b","a","b"]}]}]},"createdAt":"0"}],"pageInfo":{"hasNextPage":false}}}}}`,
		`{"data":{"confluence":{"siteConfiguration":{"loginSettings":null,"attachmentSettings":{"maxAttachmentSize":9007199254740993},"maxRssItems":1e99,"isPrivacyModeEnabled":"no"}},"publicLinkSiteStatus":{"status":""},"confluence_shareableLinkSiteConfig":{"siteConfigs":[{"accessType":null,"status":null},{"accessType":"A","status":null}]}}}`,
		`{"errors":[{"message":"Field 'name' in type 'GroupWithPermissions' is undefined","extensions":{"classification":"ValidationError","statusCode":400}}]}`,
		`{"data":null,"errors":[{"path":["a",1],"extensions":null}]}`, `{"data":[]}`, `{"data":{"sitePermissions":[]}}`, `[]`, `{"errors":{}}`,
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		data, errs, err := decodeReply(body)
		if err != nil {
			return
		}
		v := &visit{Source: &Source{tenant: "acme"}, way: &Way{}}
		if failed := v.graphFailure("GraphQL x", errs); (failed == nil) != (len(errs) == 0) {
			t.Errorf("%d errors, and %v", len(errs), failed)
		}
		for range len(errs) + 1 { // it learns each field once
			if !v.learn(askForgeApps, errs) {
				break
			}
		}
		if v.learn(askForgeApps, errs) {
			t.Error("it learns the same again")
		}
		var w graphData
		if len(data) == 0 || decode(data, &w) != nil {
			return
		}
		if p := w.SitePermissions; p != nil {
			for _, c := range []*connection[sitePrincipalWire]{p.Groups, p.Persons} {
				eachNode(t, c, (*sitePrincipalWire).id, func(n *sitePrincipalWire) {
					rows, why := sitePermissionRows("group", n.id(), n.Name, n.Operations)
					for _, r := range rows {
						if r.PrincipalID == "" || r.Operation == "" {
							t.Errorf("a row without its key: %+v", r)
						}
					}
					if why == "" && len(rows) != len(n.Operations) {
						t.Error("an operation is left out in silence")
					}
				})
			}
		}
		eachNode(t, w.PublicLinkSpaces, func(n *publicLinkSpaceWire) string { return string(n.SpaceID) }, func(n *publicLinkSpaceWire) { n.active() })
		eachNode(t, w.PublicLinks, func(n *publicLinkWire) string { return string(n.ID) }, func(n *publicLinkWire) {
			if row, why := normalizePublicLink(n, "K"); row.PageID == "" || why == "" && row.Status == "" {
				t.Errorf("%+v", row)
			}
		})
		eachNode(t, w.ExternalCollaborators, func(n *personWire) string { return n.AccountID }, func(n *personWire) {
			if ids, known := n.spaces(); !known && ids != nil {
				t.Error("a part of the spaces counts as all")
			}
		})
		if w.Ecosystem != nil {
			eachNode(t, w.Ecosystem.Installations, func(n *installationWire) string { return n.ID }, func(n *installationWire) {
				if n.App == nil || n.App.ID == "" {
					return
				}
				if row, why := normalizeInstallation(n); row.AppKey == "" || why == "" && n.Version == nil {
					t.Errorf("%+v", row)
				}
			})
		}
		if w.Confluence != nil {
			rows, unknown, err := normalizeSiteConfiguration(w.Confluence.SiteConfiguration)
			names := map[string]bool{}
			for _, r := range slices.Concat(rows, unknown) {
				names[r.Setting] = true
			}
			if err == nil && (len(names) != 20 || len(rows)+len(unknown) != 20) {
				t.Errorf("%d settings by %d names, want 20", len(rows)+len(unknown), len(names))
			}
		}
		if w.PublicLinkSiteStatus != nil && optional(w.PublicLinkSiteStatus.Status) != nil {
			var bad lacking
			rows, unknown := normalizeLinkSwitch(&w, &bad)
			for _, r := range slices.Concat(rows, unknown) {
				if r.Setting == "" || r.Setting == "shareable_links." {
					t.Errorf("a setting without a name: %+v", r)
				}
			}
		}
	})
}

// eachNode checks a page and visits the nodes that a reading would hand on.
func eachNode[T any](t *testing.T, c *connection[T], id func(*T) string, visit func(*T)) {
	if c == nil {
		return
	}
	next, err := c.next()
	if more := c.PageInfo != nil && c.PageInfo.HasNextPage != nil && *c.PageInfo.HasNextPage; err == nil && (next != "") != more {
		t.Errorf("another page: %v, its cursor %q", more, next)
	}
	for _, n := range c.Nodes {
		if n != nil && id(n) != "" {
			visit(n)
		}
	}
}

// FuzzRender: a question without some of its optional fields is well-formed, and
// asks for all others.
func FuzzRender(f *testing.F) {
	f.Add("name", "egress")
	f.Add("appEnvironmentVersion", "scopes")
	f.Add("stats", "active")
	f.Add("loginSettings", "enabled")
	f.Add("", "?")
	f.Fuzz(func(t *testing.T, a, b string) {
		for _, q := range []question{askSiteGroups, askSitePersons, askPublicLinkSpaces, askPublicLinks, askSiteConfiguration, askPublicLinkSwitch, askExternalCollaborators, askForgeApps} {
			missing := slices.Concat(droppable(q.text, a), droppable(q.text, b))
			text := render(q.text, missing)
			if strings.Contains(text, "?") || strings.Count(text, "{") != strings.Count(text, "}") || strings.Count(text, "(") != strings.Count(text, ")") {
				t.Errorf("without %q: %s", missing, text)
			}
			for _, field := range missing {
				if slices.Contains(strings.FieldsFunc(text, func(r rune) bool { return r >= 0x80 || !isName(byte(r)) }), field) {
					t.Errorf("%s is still asked for: %s", field, text)
				}
			}
			if whole := render(q.text, nil); len(missing) == 0 && text != whole {
				t.Error("it changes although nothing is missing")
			}
		}
	})
}
