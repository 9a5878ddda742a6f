package confluence

import (
	"context"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathPluginsDC = "/rest/plugins/1.0/" // the slash belongs to it

// pluginLicenceWire is the licence of a plugin. The answer holds the licence's text
// too, which is a secret and is not even decoded (Invariant 9).
type pluginLicenceWire struct {
	Valid  *bool   `json:"valid"`
	Active *bool   `json:"active"`
	Type   *string `json:"licenseType"`
}

// readDataCenterApps reads the plugins that somebody installed. Those that came
// with Confluence, some hundreds, change with it and say nothing by themselves; one
// that does not tell where it came from counts as installed.
func (s *visit) readDataCenterApps(ctx context.Context, section string, yield yielder) error {
	table := datasets.InstalledApps
	list, err := s.plugins(ctx, pathPluginsDC)
	if err != nil {
		return s.readError(table.Dataset, section, err)
	}
	var bad lacking
	var rows, unknown []datasets.InstalledApp
	for i := range list {
		w := &list[i]
		if w.UserInstalled != nil && !*w.UserInstalled {
			continue
		}
		row := normalizePlugin(w)
		if !s.peek && (w.UsesLicensing == nil || *w.UsesLicensing) {
			if err := s.pluginLicence(ctx, &row); err != nil {
				if ctx.Err() != nil {
					return err
				}
				bad.add("app", row.AppKey, evidenceOf(err))
				unknown = append(unknown, row)
				continue
			}
		}
		rows = append(rows, row)
	}
	if err := yieldPage(yield, table, rows, unknown); err != nil {
		return err
	}
	return bad.err("GET " + pathPluginsDC)
}

// pluginLicence completes a row with the app's licence. That there is none leaves
// it unknown.
func (s *visit) pluginLicence(ctx context.Context, row *datasets.InstalledApp) error {
	part, err := segment("app", row.AppKey)
	if err != nil {
		return err
	}
	var w pluginLicenceWire
	err = s.getOne(ctx, pathPluginsDC+part+"-key/license", nil, &w)
	if statusOf(err) == 404 {
		return nil
	}
	if err != nil {
		return s.readError(datasets.InstalledApps.Dataset, datasets.SectionPlugins, err)
	}
	if row.LicenseType = optional(w.Type); row.LicenseType == nil {
		return nil
	}
	if row.LicenseActive = w.Valid; w.Valid == nil {
		row.LicenseActive = w.Active
	}
	return nil
}
