package confluencetest

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/vektah/gqlparser/v2/ast"
)

const (
	connectApp = "connect"
	forgeApp   = "forge"
)

func (x *execution) contextARI() string { return contextARI + x.c.site.cloudID }

// appsIn lists the apps of a kind (any when empty) if a list of contexts holds
// the site; contexts of other products or sites have none here.
func (x *execution) appsIn(contexts []string, kind string) []InstalledApp {
	if !slices.Contains(contexts, x.contextARI()) {
		return nil
	}
	return slices.DeleteFunc(slices.Clone(x.c.site.posture.apps), func(a InstalledApp) bool { return kind != "" && a.Kind != kind })
}

func notImitated(what string) *gqlError {
	return &gqlError{message: "The simulator does not imitate " + what, classification: "BAD_REQUEST", status: http.StatusNotImplemented}
}

// resolveApps lists Forge and Connect apps together.
func resolveApps(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	list := x.appsIn(texts(args["contextIds"]), "")
	if options, ok := args["options"].(map[string]any); ok {
		if options["groupByBaseApp"] == true {
			return nil, notImitated("groupByBaseApp")
		}
		list = slices.DeleteFunc(list, func(a InstalledApp) bool {
			return options["shouldExcludeFirstPartyApps"] == true && a.VendorType == "ATLASSIAN" || options["shouldIncludePrivateApps"] == false && a.DistributionStatus == "PRIVATE"
		})
	}
	filters, _ := args["filters"].([]any)
	for _, f := range filters {
		filter, _ := f.(map[string]any)
		values := texts(filter["values"])
		list = slices.DeleteFunc(list, func(a InstalledApp) bool {
			if filter["type"] == "ONLY_APP_IDS" {
				return !slices.Contains(values, a.ID)
			}
			return !slices.ContainsFunc(values, func(v string) bool { return matches(a.Name, v) })
		})
	}
	if orders, ok := args["orderBy"].([]any); ok && len(orders) > 0 {
		order, _ := orders[0].(map[string]any)
		if order["sortKey"] == "RELATED_APPS" {
			return nil, notImitated("the order RELATED_APPS")
		}
		slices.SortStableFunc(list, func(a, b InstalledApp) int {
			c := cmp.Compare(a.Name, b.Name)
			if order["direction"] == "DESC" {
				return -c
			}
			return c
		})
	}
	return x.page(args, connection{
		typ: "EcosystemAppsInstalledInContextsConnection", edge: "EcosystemAppsInstalledInContextsEdge", count: "totalCount", total: len(list), maximum: 50,
		id: func(i int) string { return list[i].ID }, item: func(i int) any { return x.appNode(&list[i]) },
	})
}

// resolveInstallations lists Forge installations only, as the older field does.
func resolveInstallations(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	filter, _ := args["filter"].(map[string]any)
	inner, _ := filter["appInstallations"].(map[string]any)
	list := x.appsIn(texts(inner["contexts"]), forgeApp)
	if apps, ok := filter["apps"].(map[string]any); ok {
		ids := texts(apps["ids"])
		list = slices.DeleteFunc(list, func(a InstalledApp) bool { return !slices.Contains(ids, a.ID) })
	}
	return x.installations(args, list)
}

func (x *execution) installations(args map[string]any, list []InstalledApp) (any, *gqlError) {
	return x.page(args, connection{
		typ: "AppInstallationByIndexConnection", edge: "AppInstallationByIndexEdge", count: "totalCount", total: len(list), maximum: 50,
		id: func(i int) string { return list[i].Installation }, item: func(i int) any { return x.installationNode(&list[i]) },
	})
}

func (x *execution) appNode(a *InstalledApp) any {
	fields := map[string]any{
		"id": a.ID, "name": a.Name, "description": "What " + a.Name + " does", "vendorName": optional(a.Vendor), "distributionStatus": a.DistributionStatus,
	}
	if a.MarketplaceKey != "" {
		fields["marketplaceApp"] = &node{typ: "MarketplaceApp", fields: map[string]any{"appId": "mp-" + a.MarketplaceKey, "appKey": a.MarketplaceKey}}
	}
	if a.Kind == connectApp {
		fields["baseUrl"] = optional(a.BaseURL)
		fields["installations"] = []any{&node{typ: "EcosystemConnectInstallation", fields: map[string]any{
			"appId": a.ID, "installationContext": x.contextARI(), "license": licenseNode(a.License),
			"appVersion": &node{typ: "EcosystemConnectAppVersion", fields: map[string]any{
				"version": a.Version, "isSystemApp": false, "permissions": listed(a.Scopes, func(s string) any { return s }),
			}},
		}}}
		return &node{typ: "EcosystemConnectApp", fields: fields}
	}
	fields["vendorType"], fields["storesPersonalData"] = optional(a.VendorType), deref(a.PersonalData)
	app := *a
	fields["installationsByContexts"] = resolver(func(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
		list := []InstalledApp{app}
		if contexts := texts(args["contexts"]); contexts != nil && !slices.Contains(contexts, x.contextARI()) {
			list = nil
		}
		return x.installations(args, list)
	})
	return &node{typ: "App", fields: fields}
}

func (x *execution) installationNode(a *InstalledApp) any {
	uuid := a.ID[strings.LastIndexByte(a.ID, '/')+1:]
	environment := &node{typ: "AppEnvironment", fields: map[string]any{
		"id": "ari:cloud:ecosystem::environment/" + uuid + "/" + strings.ToLower(a.Environment), "key": strings.ToLower(a.Environment), "type": a.Environment, "scopes": nil,
	}}
	version := &node{typ: "AppEnvironmentVersion", fields: map[string]any{
		"id": "ari:cloud:ecosystem::app-version/" + uuid + "/" + a.Version, "version": a.Version, "isLatest": a.Latest, "requiresLicense": a.License != nil,
		"permissions": []any{&node{typ: "AppPermission", fields: map[string]any{
			"scopes": listed(a.Scopes, func(s string) any {
				return &node{typ: "AppHostServiceScope", fields: map[string]any{"key": s, "name": "Scope " + s, "description": "Lets the app use " + s}}
			}),
			"egress": listed(a.Egress, func(e Egress) any {
				return &node{typ: "AppNetworkEgressPermission", fields: map[string]any{
					"type": optional(e.Type), "addresses": listed(e.Addresses, func(s string) any { return s }),
				}}
			}),
		}}},
		"trustSignal": resolver(func(_ *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
			return &node{typ: "TrustSignal", fields: map[string]any{"key": args["key"], "result": a.VendorType == "ATLASSIAN"}}, nil
		}),
	}}
	return &node{typ: "AppInstallation", fields: map[string]any{
		"id": a.Installation, "app": x.appNode(a), "appEnvironment": environment, "appEnvironmentVersion": version, "createdAt": date(a.InstalledAt), "createdBy": x.account(a.InstalledBy),
		"installationContext": x.contextARI(), "secondaryInstallationContexts": []any{}, "license": licenseNode(a.License), "isRecoverable": false,
	}}
}

// account is a User, also for accounts that have left the site; null without an id.
func (x *execution) account(id string) any {
	if id == "" {
		return nil
	}
	name := "Former user"
	if u := x.c.site.userByID[id]; u != nil {
		name = u.data.DisplayName
	}
	return &node{typ: "AtlassianAccountUser", fields: map[string]any{"accountId": id, "name": name}}
}

func licenseNode(l *AppLicense) any {
	if l == nil {
		return nil
	}
	return &node{typ: "License", fields: map[string]any{
		"active": l.Active, "type": optional(l.Type), "isEvaluation": deref(l.Evaluation), "trialEndDate": date(l.TrialEnd), "subscriptionEndDate": date(l.End),
	}}
}
