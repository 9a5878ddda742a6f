package confluencetest

import "slices"

func copyPointer[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return new(*p)
}

// clone copies the values behind the pointers, too.
func (c SecurityConfiguration) clone() SecurityConfiguration {
	c.AttachmentSecurityLevel, c.SiteHomePage = copyPointer(c.AttachmentSecurityLevel), copyPointer(c.SiteHomePage)
	c.MaxAttachmentSize = copyPointer(c.MaxAttachmentSize)
	for _, p := range c.numbers() {
		*p = copyPointer(*p)
	}
	for _, p := range c.switches() {
		*p = copyPointer(*p)
	}
	return c
}

func (c *SecurityConfiguration) numbers() []**int {
	return []**int{&c.MaxAttachmentsPerUpload, &c.ConnectionTimeout, &c.SocketTimeout, &c.LoginAttemptsThreshold, &c.MaxRSSItems}
}

func (c *SecurityConfiguration) switches() []**bool {
	return []**bool{
		&c.AnonymousRemoteAPI, &c.ExternalConnections, &c.ElevatedSecurityCheck, &c.PrivacyMode, &c.SystemAdmin, &c.XSRFAddComments, &c.NofollowExternalLinks,
		&c.HideTitleInURL, &c.ContactAdministrators, &c.ContentAccessRequests, &c.SpaceAccessRequests, &c.SnippetSharing, &c.SearchWildcards, &c.TeamAdminControls,
	}
}

func copyApp(a InstalledApp) InstalledApp {
	a.Scopes = slices.Clone(a.Scopes)
	a.Egress = slices.Clone(a.Egress)
	for i := range a.Egress {
		a.Egress[i].Addresses = slices.Clone(a.Egress[i].Addresses)
	}
	if a.License != nil {
		l := *a.License
		l.Evaluation = copyPointer(l.Evaluation)
		a.License = &l
	}
	a.PersonalData = copyPointer(a.PersonalData)
	return a
}
