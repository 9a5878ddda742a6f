package confluence

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathAdminKey = "/wiki/api/v2/admin-key"

// siteSettings are the fields of siteConfiguration that are asked for, with their
// members where they are objects: which settings a field stands for must be known
// also when it is null.
func siteSettings() []graphField {
	return []graphField{
		{"attachmentSettings", []string{"attachmentSecurityLevel", "maxAttachmentSize", "maxAttachmentsPerUpload"}},
		{"isAnonymousAccessToRemoteApiEnabled", nil},
		{"isExternalConnectionEnabled", nil},
		{"connectionTimeout", nil},
		{"socketTimeout", nil},
		{"loginSettings", []string{"enableElevatedSecurityCheck", "loginAttemptsThreshold"}},
		{"isPrivacyModeEnabled", nil},
		{"isSystemAdminEnabled", nil},
		{"isXsrfAddCommentsEnabled", nil},
		{"isNofollowExternalLinksEnabled", nil},
		{"isHideTitleInUrlEnabled", nil},
		{"isContactAdministratorsFormEnabled", nil},
		{"contentAccessRequestSettings", []string{"enabled"}},
		{"spaceAccessRequestSettings", []string{"enabled"}},
		{"isSnippetSharingForSiteEnabled", nil},
		{"isAddWildcardsToUserAndGroupSearchesEnabled", nil},
		{"maxRssItems", nil},
	}
}

// graphField is a field of the gateway, with members if it is an object.
type graphField struct {
	name    string
	members []string
}

var askSiteConfiguration = question{"confluence.siteConfiguration", siteConfigurationText()}

// siteConfigurationText asks for all settings, each of which can be done without.
func siteConfigurationText() string {
	var b strings.Builder
	b.WriteString("query($cloud: ID) { confluence { siteConfiguration(cloudId: $cloud) {")
	for _, f := range siteSettings() {
		b.WriteString(" ?" + f.name)
		if f.members != nil {
			b.WriteString(" { " + strings.Join(f.members, " ") + " }")
		}
	}
	b.WriteString(" } } }")
	return b.String()
}

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
	var bad lacking
	if section == datasets.SectionSiteConfiguration {
		if data.Confluence == nil || data.Confluence.SiteConfiguration == nil {
			return firstOf(reply.failed, s.readError(table.Dataset, section, inGraph(q, malformedf("no siteConfiguration"))))
		}
		if rows, unknown, err = normalizeSiteConfiguration(data.Confluence.SiteConfiguration); err != nil {
			return s.readError(table.Dataset, section, inGraph(q, err))
		}
	} else {
		if data.PublicLinkSiteStatus == nil || optional(data.PublicLinkSiteStatus.Status) == nil {
			return firstOf(reply.failed, s.readError(table.Dataset, section, inGraph(q, malformedf("no status"))))
		}
		rows, unknown = normalizeLinkSwitch(&data, &bad)
	}
	if err := yieldPage(yield, table, rows, unknown); err != nil {
		return err
	}
	return firstOf(partly(reply.failed, true), reply.without(q), bad.err("GraphQL "+q.field))
}

// normalizeSiteConfiguration makes a row of each setting; those that are null or
// not there are unknown.
func normalizeSiteConfiguration(w map[string]json.RawMessage) (rows, unknown []datasets.Setting, err error) {
	add := func(name string, raw json.RawMessage) {
		if row, known := settingOf(strings.TrimPrefix(name, "attachment_settings."), raw); known {
			rows = append(rows, row)
		} else {
			unknown = append(unknown, row)
		}
	}
	for _, f := range siteSettings() {
		if f.members == nil {
			add(snake(f.name), w[f.name])
			continue
		}
		var members map[string]json.RawMessage
		if raw := w[f.name]; len(raw) > 0 {
			if err := decode(raw, &members); err != nil {
				return nil, nil, malformedf("%s: %v", f.name, err)
			}
		}
		for _, m := range f.members {
			add(snake(f.name)+"."+snake(m), members[m])
		}
	}
	return rows, unknown, nil
}

// normalizeLinkSwitch makes rows of the switch for public links and of the defaults
// for other links. When the list of these is null, it is not known what was on it.
func normalizeLinkSwitch(data *graphData, bad *lacking) (rows, unknown []datasets.Setting) {
	status := data.PublicLinkSiteStatus.Status
	row := datasets.Setting{Setting: "public_link_site_status", Value: status, ValueType: "string"}
	if *status == "BLOCKED_BY_ORG" {
		row.Origin = datasets.OriginOrganization
	}
	rows = append(rows, row)
	if data.ShareableLinks == nil || data.ShareableLinks.SiteConfigs == nil {
		bad.add("setting", "shareable_links", "the list is null")
		return rows, nil
	}
	for _, c := range data.ShareableLinks.SiteConfigs {
		row := datasets.Setting{ValueType: "string", Value: optional(c.Status)}
		switch {
		case optional(c.AccessType) == nil:
			bad.add("setting", "shareable_links", "a list item has no accessType")
			continue
		case row.Value == nil:
			row.Setting = "shareable_links." + *c.AccessType
			unknown = append(unknown, row)
		default:
			row.Setting = "shareable_links." + *c.AccessType
			rows = append(rows, row)
		}
	}
	return rows, unknown
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

// settingOf makes a typed row of a JSON value; false when it is null or not there.
// Numbers keep all their digits.
func settingOf(name string, raw json.RawMessage) (row datasets.Setting, known bool) {
	row = datasets.Setting{Setting: name, ValueType: "string"}
	switch text := string(raw); {
	case text == "" || text == "null":
		return row, false
	case text == "true" || text == "false":
		return flagSetting(name, text == "true"), true
	case text[0] == '"':
		var v string
		if err := json.Unmarshal(raw, &v); err != nil { // it was decoded before
			return row, false
		}
		row.Value = &v
	case text[0] == '[' || text[0] == '{':
		row.ValueType, row.Value = "list", new(canonical(raw))
	default:
		row.Value = &text
		if n, err := strconv.ParseInt(text, 10, 64); err == nil {
			row.ValueType, row.Number = "int", &n
		}
	}
	return row, true
}

// flagSetting is a setting that is a truth value.
func flagSetting(name string, on bool) datasets.Setting {
	return datasets.Setting{Setting: name, ValueType: "bool", Flag: &on, Value: new(strconv.FormatBool(on))}
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
// all restrictions. 404 says that it has not, that the plan has no such keys, or that
// the account may not use them: only of an administrator it is an answer. The audit
// log's retention is the witness, which nobody else may read (Confluence Cloud REST
// v1, "Get retention period").
func (s *visit) adminKey(ctx context.Context) ([]datasets.Setting, error) {
	var w adminKeyWire
	err := s.getOne(ctx, pathAdminKey, nil, &w)
	switch {
	case statusOf(err) == http.StatusNotFound:
		if witness := s.getOne(ctx, pathAuditRetention, nil, &retentionWire{}); witness != nil {
			return nil, witness
		}
		return []datasets.Setting{flagSetting("admin_key_enabled", false)}, nil
	case err != nil:
		return nil, err
	case w.Expiration == nil:
		return nil, inCall(pathAdminKey, malformedf("no expirationTime"))
	}
	return []datasets.Setting{
		flagSetting("admin_key_enabled", true),
		{Setting: "admin_key_account", Value: optional(w.AccountID), ValueType: "string"},
		{Setting: "admin_key_until", Value: optional(w.Expiration), ValueType: "string"},
	}, nil
}
