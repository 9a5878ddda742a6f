package confluence

import (
	"context"
	"encoding/json"
	"math"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathAdminKey = "/wiki/api/v2/admin-key"

var askSiteConfiguration = question{"confluence.siteConfiguration", `query($cloud: ID) { confluence { siteConfiguration(cloudId: $cloud) {
  ?attachmentSettings { attachmentSecurityLevel maxAttachmentSize maxAttachmentsPerUpload }
  ?isAnonymousAccessToRemoteApiEnabled ?isExternalConnectionEnabled ?connectionTimeout ?socketTimeout
  ?loginSettings { enableElevatedSecurityCheck loginAttemptsThreshold }
  ?isPrivacyModeEnabled ?isSystemAdminEnabled ?isXsrfAddCommentsEnabled ?isNofollowExternalLinksEnabled ?isHideTitleInUrlEnabled
  ?isContactAdministratorsFormEnabled ?contentAccessRequestSettings { enabled } ?spaceAccessRequestSettings { enabled }
  ?isSnippetSharingForSiteEnabled ?isAddWildcardsToUserAndGroupSearchesEnabled ?maxRssItems } } }`}

var askPublicLinkSwitch = question{"publicLinkSiteStatus", `query { publicLinkSiteStatus { status } ?confluence_shareableLinkSiteConfig { siteConfigs { accessType status } } }`}

// readGraphSettings reads a section of security_configuration from the gateway. A
// setting that the site leaves null is not known: what was known of it stays.
func (s *visit) readGraphSettings(ctx context.Context, section string, yield yielder) error {
	table := datasets.SecurityConfiguration
	q, variables := askPublicLinkSwitch, map[string]any(nil)
	if section == datasets.SectionSiteConfiguration {
		q, variables = askSiteConfiguration, map[string]any{"cloud": s.site}
	}
	var data graphData
	reply, err := s.query(ctx, table.Dataset, q, variables, &data)
	if err != nil {
		return err
	}
	var rows, unknown []datasets.Setting
	if section == datasets.SectionSiteConfiguration {
		if data.Confluence == nil || data.Confluence.SiteConfiguration == nil {
			return firstOf(reply.failed, s.readError(table.Dataset, section, inGraph(q, malformedf("no siteConfiguration"))))
		}
		flatten("", data.Confluence.SiteConfiguration, func(name string, value any) {
			row, known := settingOf(name, value)
			if known {
				rows = append(rows, row)
			} else {
				unknown = append(unknown, row)
			}
		})
		for _, field := range reply.missing { // their settings keep what they were
			unknown = append(unknown, datasets.Setting{Setting: snake(field)})
		}
	} else {
		if data.PublicLinkSiteStatus == nil || optional(data.PublicLinkSiteStatus.Status) == nil {
			return firstOf(reply.failed, s.readError(table.Dataset, section, inGraph(q, malformedf("no status"))))
		}
		status := data.PublicLinkSiteStatus.Status
		row := datasets.Setting{Setting: "public_link_site_status", Value: status, ValueType: "string"}
		if *status == "BLOCKED_BY_ORG" {
			row.Origin = datasets.OriginOrganization
		}
		rows = append(rows, row)
		if data.ShareableLinks != nil {
			for _, c := range data.ShareableLinks.SiteConfigs {
				if optional(c.AccessType) != nil {
					rows = append(rows, datasets.Setting{Setting: "shareable_links." + *c.AccessType, Value: optional(c.Status), ValueType: "string"})
				}
			}
		}
	}
	if err := yieldPage(yield, table, rows, unknown); err != nil {
		return err
	}
	return firstOf(partly(reply.failed, true), reply.without(q))
}

func firstOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// inGraph says which question an error is about.
func inGraph(q question, err error) error { return &callError{"GraphQL", q.field, err} }

// flatten gives the leaves of an object, in any order, with dotted names.
func flatten(prefix string, object map[string]any, leaf func(name string, value any)) {
	for name, value := range object {
		if nested, ok := value.(map[string]any); ok {
			flatten(prefix+snake(name)+".", nested, leaf)
		} else if value == nil {
			leaf(prefix+snake(name), nil)
		} else {
			leaf(prefix+snake(name), value)
		}
	}
}

// settingOf makes a typed row of a JSON value; false when it is null.
func settingOf(name string, value any) (datasets.Setting, bool) {
	row := datasets.Setting{Setting: strings.TrimPrefix(name, "attachment_settings."), ValueType: "string"}
	switch v := value.(type) {
	case nil:
		return row, false
	case bool:
		row.ValueType, row.Flag, row.Value = "bool", &v, new(strconv.FormatBool(v))
	case float64:
		if v != math.Trunc(v) || math.Abs(v) >= 1<<53 {
			row.Value = new(strconv.FormatFloat(v, 'g', -1, 64))
			break
		}
		n := int64(v)
		row.ValueType, row.Number, row.Value = "int", &n, new(strconv.FormatInt(n, 10))
	case string:
		row.Value = &v
	default:
		text, err := json.Marshal(v)
		if err != nil { // what was decoded can be encoded
			return row, false
		}
		row.ValueType, row.Value = "list", new(string(text))
	}
	return row, true
}

// snake writes a name such as isPrivacyModeEnabled as is_privacy_mode_enabled.
func snake(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// adminKeyWire is "Get admin key" (Confluence Cloud REST v2).
type adminKeyWire struct {
	AccountID  *string `json:"accountId"`
	Expiration *string `json:"expirationTime"`
}

// adminKey asks whether the account has enabled an admin key, by which it passes
// all restrictions. 404 says that it has not, or that the plan has no such keys.
func (s *visit) adminKey(ctx context.Context) ([]datasets.Setting, error) {
	var w adminKeyWire
	err := s.getOne(ctx, pathAdminKey, nil, &w)
	switch {
	case statusOf(err) == http.StatusNotFound:
		row, _ := settingOf("admin_key_enabled", false)
		return []datasets.Setting{row}, nil
	case err != nil:
		return nil, err
	case w.Expiration == nil:
		return nil, inCall(pathAdminKey, malformedf("no expirationTime"))
	}
	enabled, _ := settingOf("admin_key_enabled", true)
	return []datasets.Setting{
		enabled, {Setting: "admin_key_account", Value: optional(w.AccountID), ValueType: "string"},
		{Setting: "admin_key_until", Value: optional(w.Expiration), ValueType: "string"},
	}, nil
}
