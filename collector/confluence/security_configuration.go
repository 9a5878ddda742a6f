package confluence

import (
	"context"
	"strconv"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathSystemInfo     = "/wiki/rest/api/settings/systemInfo"
	pathAuditRetention = "/wiki/rest/api/audit/retention"
	pathSpaceRoleMode  = "/wiki/api/v2/space-role-mode"
)

// systemInfoWire is "Get system info" (Confluence Cloud REST v1).
type systemInfoWire struct {
	CloudID         string  `json:"cloudId"`
	BaseURL         *string `json:"baseUrl"`
	Edition         *string `json:"edition"`
	SiteTitle       *string `json:"siteTitle"`
	DefaultLocale   *string `json:"defaultLocale"`
	DefaultTimeZone *string `json:"defaultTimeZone"`
}

// retentionWire is "Get retention period" (Confluence Cloud REST v1).
type retentionWire struct {
	Number *int64  `json:"number"`
	Units  *string `json:"units"`
}

// roleModeWire is "Get space role mode" (Confluence Cloud REST v2).
type roleModeWire struct {
	Mode *string `json:"mode"`
}

// readSecurityConfiguration reads the settings of one endpoint.
func (s *visit) readSecurityConfiguration(ctx context.Context, section string, yield yielder) error {
	var rows []datasets.Setting
	var err error
	switch section {
	case sectionSystemInfo:
		rows, err = s.systemInfo(ctx)
	case sectionAuditRetention:
		var w retentionWire
		if err = s.getOne(ctx, pathAuditRetention, nil, &w); err == nil {
			rows, err = normalizeRetention(w)
			err = inCall(pathAuditRetention, err)
		}
	case sectionRoleMode:
		var mode string
		if mode, err = s.askRoleMode(ctx); err == nil {
			rows = []datasets.Setting{{Setting: "space_role_mode", Value: &mode, ValueType: "string"}}
		}
	case datasets.SectionAdminKey:
		rows, err = s.adminKey(ctx)
	default:
		return &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: "no endpoint is known for the section " + cut(section, 80)}
	}
	if err != nil {
		return s.readError(datasets.SecurityConfiguration.Dataset, section, err)
	}
	rows, unknown := told(rows)
	return yieldPage(yield, datasets.SecurityConfiguration, rows, unknown)
}

// told parts settings whose value the answer left out from the others: left out is
// not empty.
func told(settings []datasets.Setting) (rows, unknown []datasets.Setting) {
	for _, row := range settings {
		if row.Value == nil {
			unknown = append(unknown, row)
		} else {
			rows = append(rows, row)
		}
	}
	return rows, unknown
}

// systemInfo reads what the site says of itself.
func (s *visit) systemInfo(ctx context.Context) ([]datasets.Setting, error) {
	w, err := s.siteInfo(ctx)
	if err != nil {
		return nil, err
	}
	return normalizeSystemInfo(w), nil
}

func normalizeSystemInfo(w systemInfoWire) []datasets.Setting {
	text := func(name string, v *string) datasets.Setting {
		return datasets.Setting{Setting: name, Value: optional(v), ValueType: "string"}
	}
	return []datasets.Setting{
		text("edition", w.Edition),
		text("site_title", w.SiteTitle),
		text("base_url", w.BaseURL),
		text("default_locale", w.DefaultLocale),
		text("default_time_zone", w.DefaultTimeZone),
	}
}

// normalizeRetention writes the period as the site counts it, such as "1 YEARS":
// a year is no fixed number of days.
func normalizeRetention(w retentionWire) ([]datasets.Setting, error) {
	if w.Number == nil || optional(w.Units) == nil {
		return nil, malformedf("number or units is missing")
	}
	return []datasets.Setting{{
		Setting: "audit_retention", Value: new(strconv.FormatInt(*w.Number, 10) + " " + *w.Units), ValueType: "period",
	}}, nil
}

// inCall says which call an error is about.
func inCall(path string, err error) error {
	if err == nil {
		return nil
	}
	return &callError{"GET", path, err}
}
