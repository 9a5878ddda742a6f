package confluence

import (
	"context"
	"net/http"
	"slices"

	"github.com/sitedrift/sitedrift/collector/httpx"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathPlugins = "/wiki/rest/plugins/1.0/"
	// acceptPlugins is what the plugin manager answers its list to.
	acceptPlugins = "application/vnd.atl.plugins.installed+json"
	pageApps      = 50
)

// pluginWire is a plugin in the list of the plugin manager (not documented on
// Cloud; the fields that public programs read).
type pluginWire struct {
	Key           string  `json:"key"`
	Name          *string `json:"name"`
	Version       *string `json:"version"`
	Enabled       *bool   `json:"enabled"`
	UserInstalled *bool   `json:"userInstalled"`
	Remotable     *bool   `json:"remotable"`
	UsesLicensing *bool   `json:"usesLicensing"`
	Vendor        *struct {
		Name *string `json:"name"`
	} `json:"vendor"`
}

func decodePlugins(body []byte) ([]pluginWire, error) {
	var w struct {
		Plugins []pluginWire `json:"plugins"`
	}
	if err := decode(body, &w); err != nil {
		return nil, err
	}
	if w.Plugins == nil {
		return nil, malformedf("no plugins")
	}
	for i := range w.Plugins {
		if w.Plugins[i].Key == "" {
			return nil, malformedf("plugins[%d] has no key", i)
		}
	}
	return w.Plugins, nil
}

func normalizePlugin(w *pluginWire) datasets.InstalledApp {
	row := datasets.InstalledApp{AppKey: w.Key, Name: optional(w.Name), Version: optional(w.Version), Enabled: w.Enabled, UserInstalled: w.UserInstalled}
	if w.Vendor != nil {
		row.Vendor = optional(w.Vendor.Name)
	}
	return row
}

// plugins asks the plugin manager for its list, which is not paged.
func (s *visit) plugins(ctx context.Context, path string) (list []pluginWire, err error) {
	err = s.call(ctx, httpx.Request{Op: "read", Method: http.MethodGet, Ref: path, Header: http.Header{"Accept": {acceptPlugins}}}, func(a answer) error {
		list, err = decodePlugins(a.body)
		return err
	})
	s.spend(weightCore, len(list))
	if err == nil && len(list) == 0 { // Confluence's own parts are always on it
		err = inCall(path, malformedf("no plugins, not even Confluence's own"))
	}
	return list, err
}

// readConnectApps reads the Connect apps: the remotable ones of about two hundred
// plugins, most of them Confluence's own parts.
func (s *visit) readConnectApps(ctx context.Context, section string, yield yielder) error {
	list, err := s.plugins(ctx, pathPlugins)
	if err != nil {
		return s.readError(datasets.InstalledApps.Dataset, section, err)
	}
	var bad lacking
	var rows, unknown []datasets.InstalledApp
	for i := range list {
		switch w := &list[i]; {
		case w.Remotable == nil:
			bad.add("plugin", w.Key, "it does not say whether it is an app")
			unknown = append(unknown, normalizePlugin(w))
		case *w.Remotable:
			rows = append(rows, normalizePlugin(w))
		}
	}
	if err := yieldPage(yield, datasets.InstalledApps, rows, unknown); err != nil {
		return err
	}
	return bad.err("GET " + pathPlugins)
}

var askForgeApps = question{"ecosystem.appInstallationsByContext", `query($context: ID!, $first: Int, $after: String) { ecosystem {
  appInstallationsByContext(filter: { appInstallations: { contexts: [$context] } }, first: $first, after: $after) {
    nodes { id app { id name ?vendorName ?distributionStatus }
      ?appEnvironmentVersion { version permissions { scopes { key } ?egress { type addresses } } }
      ?createdAt ?createdBy { accountId } ?license { active type } }
    pageInfo { endCursor hasNextPage } } } }`}

// installationWire is an installation of a Forge app.
type installationWire struct {
	ID  string `json:"id"`
	App *struct {
		ID     string  `json:"id"`
		Name   *string `json:"name"`
		Vendor *string `json:"vendorName"`
		Dist   *string `json:"distributionStatus"`
	} `json:"app"`
	Version *struct {
		Version     *string `json:"version"`
		Permissions []struct {
			Scopes []struct {
				Key *string `json:"key"`
			} `json:"scopes"`
			Egress []struct {
				Type      *string  `json:"type"`
				Addresses []string `json:"addresses"`
			} `json:"egress"`
		} `json:"permissions"`
	} `json:"appEnvironmentVersion"`
	CreatedAt *string `json:"createdAt"`
	CreatedBy *struct {
		AccountID *string `json:"accountId"`
	} `json:"createdBy"`
	License *struct {
		Active *bool   `json:"active"`
		Type   *string `json:"type"`
	} `json:"license"`
}

// normalizeInstallation turns an installation into a row; it must tell its app.
func normalizeInstallation(w *installationWire) (row datasets.InstalledApp, why string) {
	row = datasets.InstalledApp{AppKey: w.App.ID, Name: optional(w.App.Name), Vendor: optional(w.App.Vendor), Dist: optional(w.App.Dist)}
	if v := w.Version; v != nil {
		row.Version = optional(v.Version)
		if v.Permissions == nil {
			why = "no permissions: its scopes are not known"
		}
		for _, p := range v.Permissions {
			if p.Scopes == nil {
				why = "no list of scopes"
			}
			for _, scope := range p.Scopes {
				if optional(scope.Key) != nil {
					row.Scopes = append(row.Scopes, *scope.Key)
				}
			}
			for _, e := range p.Egress {
				row.Egress = append(row.Egress, e.Addresses...)
			}
		}
		slices.Sort(row.Scopes)
		slices.Sort(row.Egress)
		row.Scopes, row.Egress = slices.Compact(row.Scopes), slices.Compact(row.Egress)
	} else {
		why = "no version: its scopes are not known"
	}
	if w.CreatedBy != nil {
		row.InstalledBy = optional(w.CreatedBy.AccountID)
	}
	if w.License != nil {
		row.LicenseActive, row.LicenseType = w.License.Active, optional(w.License.Type)
	}
	if w.CreatedAt != nil && *w.CreatedAt != "" {
		at, ok := parseTime(*w.CreatedAt)
		if !ok {
			return row, "createdAt is no time: " + cut(*w.CreatedAt, 40)
		}
		row.InstalledAt = at
	}
	return row, why
}

// readForgeApps reads the Forge apps with their scopes and egress.
func (s *visit) readForgeApps(ctx context.Context, _ string, yield yielder) error {
	var bad lacking
	err := connectionPages(ctx, s, datasets.InstalledApps.Dataset, walk[installationWire]{
		q: askForgeApps, variables: map[string]any{"context": siteARI(s.site)}, first: pageApps, id: func(w *installationWire) string { return w.ID },
		page: func(data *graphData) *connection[installationWire] {
			if data.Ecosystem == nil {
				return nil
			}
			return data.Ecosystem.Installations
		},
		emit: func(items []*installationWire, whole bool) error {
			var rows, unknown []datasets.InstalledApp
			for _, w := range items {
				if w.App == nil || w.App.ID == "" { // a row of which nothing is known
					bad.add("installation", w.ID, "no app")
					continue
				}
				row, why := normalizeInstallation(w)
				if why != "" {
					bad.add("app", row.AppKey, why)
				}
				if why != "" || !whole {
					unknown = append(unknown, row)
				} else {
					rows = append(rows, row)
				}
			}
			return yieldPage(yield, datasets.InstalledApps, rows, unknown)
		},
	})
	if err != nil {
		return err
	}
	return bad.err("GraphQL ecosystem.appInstallationsByContext")
}
