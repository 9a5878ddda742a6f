package confluencetest

import "github.com/vektah/gqlparser/v2/ast"

// resolveConfiguration answers with what the site has, null for the rest. An
// object whose members are all null is null itself.
func resolveConfiguration(x *execution, _ *ast.Field, args map[string]any) (any, *gqlError) {
	if failed := x.sameSite(args); failed != nil {
		return nil, failed
	}
	c := &x.c.site.posture.config
	group := func(typ string, fields map[string]any) any {
		for _, v := range fields {
			if v != nil {
				return &node{typ: typ, fields: fields}
			}
		}
		return nil
	}
	return &node{typ: "ConfluenceSiteConfiguration", fields: map[string]any{
		"attachmentSettings": group("AttachmentSettings", map[string]any{
			"attachmentSecurityLevel": deref(c.AttachmentSecurityLevel), "maxAttachmentSize": deref(c.MaxAttachmentSize), "maxAttachmentsPerUpload": deref(c.MaxAttachmentsPerUpload),
		}),
		"connectionTimeout":                           deref(c.ConnectionTimeout),
		"contentAccessRequestSettings":                group("AccessRequestSettings", map[string]any{"enabled": deref(c.ContentAccessRequests)}),
		"isAddWildcardsToUserAndGroupSearchesEnabled": deref(c.SearchWildcards),
		"isAnonymousAccessToRemoteApiEnabled":         deref(c.AnonymousRemoteAPI),
		"isContactAdministratorsFormEnabled":          deref(c.ContactAdministrators),
		"isExternalConnectionEnabled":                 deref(c.ExternalConnections),
		"isHideTitleInUrlEnabled":                     deref(c.HideTitleInURL),
		"isNofollowExternalLinksEnabled":              deref(c.NofollowExternalLinks),
		"isPrivacyModeEnabled":                        deref(c.PrivacyMode),
		"isSnippetSharingForSiteEnabled":              deref(c.SnippetSharing),
		"isSystemAdminEnabled":                        deref(c.SystemAdmin),
		"isXsrfAddCommentsEnabled":                    deref(c.XSRFAddComments),
		"loginSettings": group("LoginSettings", map[string]any{
			"enableElevatedSecurityCheck": deref(c.ElevatedSecurityCheck), "loginAttemptsThreshold": deref(c.LoginAttemptsThreshold),
		}),
		"maxRssItems":                deref(c.MaxRSSItems),
		"siteHomePage":               deref(c.SiteHomePage),
		"socketTimeout":              deref(c.SocketTimeout),
		"spaceAccessRequestSettings": group("AccessRequestSettings", map[string]any{"enabled": deref(c.SpaceAccessRequests)}),
		"teamAdminControlsSettings":  group("TeamAdminControlsSettings", map[string]any{"enabled": deref(c.TeamAdminControls)}),
	}}, nil
}
