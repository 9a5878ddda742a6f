package confluencetest

import (
	"fmt"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"strings"
)

// The plugin manager is an old part of Confluence that no OpenAPI file describes.
// It shows the parts of the product itself and Connect apps; Forge apps are not
// in it. Only classic API tokens open it.

const (
	acceptInstalled = "application/vnd.atl.plugins.installed+json"
	acceptPlugin    = "application/vnd.atl.plugins.plugin+json"
	// internalPluginCount is the number of rows that are parts of the product.
	internalPluginCount = 200
)

// plugin is a row of the plugin manager.
type plugin struct {
	key, name, version, vendor, description string
	enabled, user, remotable, licensed      bool
}

// plugins are all rows: apps stand among the parts of the product, by key. The
// caller holds mu.
func (s *Site) plugins() []plugin {
	areas := []string{"editor", "search", "macros", "notifications", "templates", "whiteboards", "analytics", "export", "space-ia", "links"}
	list := make([]plugin, 0, internalPluginCount+len(s.posture.apps))
	for i := range internalPluginCount {
		area := areas[i%len(areas)]
		p := plugin{
			key: fmt.Sprintf("com.atlassian.confluence.plugins.%s-%03d", area, i), name: fmt.Sprintf("Confluence %s %d", area, i), version: fmt.Sprintf("1000.0.%d", i),
			vendor: "Atlassian", description: "Part of the product", enabled: i%17 != 3,
		}
		if i%29 == 5 {
			p.vendor, p.description = "", ""
		}
		list = append(list, p)
	}
	for _, a := range s.posture.apps {
		if a.Kind == connectApp {
			list = append(list, plugin{
				key: a.ID, name: a.Name, version: a.Version, vendor: a.Vendor, description: "What " + a.Name + " does", enabled: a.Enabled, user: true, remotable: true, licensed: a.License != nil,
			})
		}
	}
	slices.SortFunc(list, func(a, b plugin) int { return strings.Compare(a.key, b.key) })
	return list
}

// accepts tells whether the request names one of the media types.
func (c *call) accepts(types ...string) bool {
	for part := range strings.SplitSeq(strings.Join(c.r.Header.Values("Accept"), ","), ",") {
		if kind, _, err := mime.ParseMediaType(part); err == nil && slices.Contains(types, kind) {
			return true
		}
	}
	return false
}

// asAdministrator runs an endpoint that only Confluence administrators may use.
func (c *call) asAdministrator(body func(*Site)) {
	c.answer(func(s *Site) {
		if s.posture.adminDenied {
			c.fail(http.StatusForbidden, "", "You are not permitted to use this resource")
			return
		}
		body(s)
	})
}

func (c *call) listPlugins() {
	if !c.accepts(acceptInstalled) {
		c.fail(http.StatusNotAcceptable, "", "Not Acceptable")
		return
	}
	c.asAdministrator(func(s *Site) {
		list := s.plugins()
		if c.fault != nil && c.fault.Kind == FaultEmptyPage {
			list = nil
		}
		b := []byte(`{"plugins":[`)
		for i := range list {
			if i > 0 {
				b = append(b, ',')
			}
			b = appendPlugin(b, &list[i])
		}
		c.kind = acceptInstalled
		c.buf = append(b, `],"links":{"self":"/wiki/rest/plugins/1.0/","plugin-settings":"/wiki/rest/plugins/1.0/settings"},"hostStatus":{"safeMode":false}}`...)
	})
}

func appendPlugin(b []byte, p *plugin) []byte {
	self := "/wiki/rest/plugins/1.0/" + p.key + "-key"
	b = strconv.AppendBool(append(b, `{"enabled":`...), p.enabled)
	b = appendString(append(b, `,"links":{"self":`...), self)
	b = appendString(append(b, `,"modify":`...), self)
	b = appendString(append(b, `,"plugin-icon":`...), self+"/media/plugin-icon")
	b = appendASCII(append(b, `},"name":`...), p.name)
	b = appendString(append(b, `,"version":`...), p.version)
	b = strconv.AppendBool(append(b, `,"userInstalled":`...), p.user)
	b = strconv.AppendBool(append(b, `,"remotable":`...), p.remotable)
	b = strconv.AppendBool(append(b, `,"optional":`...), p.user)
	b = append(b, `,"static":false,"unloadable":false,"description":`...)
	b = appendOptional(b, p.description)
	b = appendString(append(b, `,"key":`...), p.key)
	b = strconv.AppendBool(append(b, `,"usesLicensing":`...), p.licensed)
	if p.vendor == "" {
		return append(b, `,"vendor":null}`...)
	}
	b = appendASCII(append(b, `,"vendor":{"name":`...), p.vendor)
	return append(b, `,"link":"https://vendor.example","marketplaceLink":null}}`...)
}

// findPlugin sends 404 when there is no such plugin.
func (c *call) findPlugin(s *Site) *plugin {
	list := s.plugins()
	i := slices.IndexFunc(list, func(p plugin) bool { return p.key == c.object })
	if i < 0 {
		c.fail(http.StatusNotFound, "", "No plugin found with key: "+c.object)
		return nil
	}
	return &list[i]
}

func (c *call) getPlugin() {
	if !c.accepts(acceptPlugin, "application/json") {
		c.fail(http.StatusNotAcceptable, "", "Not Acceptable")
		return
	}
	c.asAdministrator(func(s *Site) {
		if p := c.findPlugin(s); p != nil {
			c.kind = acceptPlugin
			c.buf = appendPlugin(nil, p)
		}
	})
}

func (c *call) getPluginLicense() {
	c.asAdministrator(func(s *Site) {
		p := c.findPlugin(s)
		if p == nil {
			return
		}
		i := slices.IndexFunc(s.posture.apps, func(a InstalledApp) bool { return a.Kind == connectApp && a.ID == p.key })
		if i < 0 || s.posture.apps[i].License == nil {
			c.fail(http.StatusNotFound, "", "No license found for plugin: "+p.key)
			return
		}
		l := s.posture.apps[i].License
		b := appendString([]byte(`{"pluginKey":`), p.key)
		b = strconv.AppendBool(append(b, `,"valid":`...), l.Active)
		b = strconv.AppendBool(append(b, `,"active":`...), l.Active)
		b = strconv.AppendBool(append(b, `,"evaluation":`...), l.Evaluation != nil && *l.Evaluation)
		b = appendOptional(append(b, `,"licenseType":`...), l.Type)
		b = append(b, `,"maximumNumberOfUsers":`...)
		if n := s.posture.maxSeats; n < 0 {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendInt(b, int64(n), 10)
		}
		b = appendMillis(append(b, `,"expiryDate":`...), l.End)
		b = appendString(append(b, `,"supportEntitlementNumber":`...), "SEN-"+strconv.Itoa(4000000+i))
		c.buf = append(b, '}')
	})
}

// countSeats answers the private licence endpoints; the last part of the path says
// which number is wanted.
func (c *call) countSeats() {
	c.asAdministrator(func(s *Site) {
		if s.posture.noLicence {
			c.fail(http.StatusNotFound, "", "null for uri: "+c.path)
			return
		}
		seats := s.seats()
		n := seats.Used
		switch c.path[strings.LastIndexByte(c.path, '/')+1:] {
		case "remainingSeats":
			n = seats.Remaining()
		case "maxUsers":
			n = seats.Maximum
		}
		c.buf = append(strconv.AppendInt([]byte(`{"count":`), int64(n), 10), '}')
	})
}

// getAdminKey knows the caller's own key only, and hides every reason not to
// answer behind the same 404.
func (c *call) getAdminKey() {
	c.answer(func(s *Site) {
		key := s.enabledAdminKey()
		if key == nil || key.AccountID != c.who.account || s.posture.adminDenied {
			c.fail(http.StatusNotFound, "NOT_FOUND", "No admin key is enabled, or the calling user may not use admin keys")
			return
		}
		b := appendString([]byte(`{"accountId":`), key.AccountID)
		c.buf = append(appendString(append(b, `,"expirationTime":`...), key.Until.UTC().Format("2006-01-02T15:04:05.000Z")), '}')
	})
}
