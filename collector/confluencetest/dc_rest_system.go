package confluencetest

import (
	"net/http"
	"net/url"
	"strconv"
	"time"
)

// installedAddons is the media type of the listing of installed apps.
const installedAddons = "application/vnd.atl.plugins.installed+json"

func (c *dcCall) listAddons() {
	c.kind = installedAddons
	c.w.Header().Set("Upm-Token", strconv.FormatInt(c.now.UnixNano(), 10))
	c.send(func(dc *DataCenter) []byte {
		b := appendString([]byte(`{"links":{"self":`), dc.prefix+"/rest/plugins/1.0/")
		b = append(b, `},"hostStatusResources":[],"upmUpdateVersion":null,"plugins":[`...)
		for i := range dc.addons {
			if c.fault != nil && c.fault.Kind == FaultEmptyPage {
				break
			}
			if i > 0 {
				b = append(b, ',')
			}
			b = c.appendAddon(b, &dc.addons[i])
		}
		return append(b, "]}"...)
	})
}

// theAddon finds the app of the path, or answers 404.
func (c *dcCall) theAddon() *DCAddon {
	for i := range c.dc.addons {
		if c.dc.addons[i].Key == c.object {
			return &c.dc.addons[i]
		}
	}
	c.fail(http.StatusNotFound, "No plugin found with key: "+c.object)
	return nil
}

func (c *dcCall) getAddon() {
	c.send(func(*DataCenter) []byte {
		if a := c.theAddon(); a != nil {
			return c.appendAddon(nil, a)
		}
		return nil
	})
}

func (c *dcCall) appendAddon(b []byte, a *DCAddon) []byte {
	self := c.dc.prefix + "/rest/plugins/1.0/" + url.PathEscape(a.Key) + "-key"
	b = strconv.AppendBool(append(b, `{"enabled":`...), a.Enabled)
	b = appendString(append(b, `,"links":{"self":`...), self)
	b = appendString(append(b, `,"modify":`...), self)
	b = append(appendString(append(b, `,"plugin-summary":`...), self+"/summary"), '}')
	b = appendASCII(append(b, `,"name":`...), a.Name)
	b = appendString(append(b, `,"version":`...), a.Version)
	b = strconv.AppendBool(append(b, `,"userInstalled":`...), a.UserInstalled)
	b = append(b, `,"optional":true,"static":false,"unloadable":false`...)
	b = appendASCII(append(b, `,"description":`...), a.Description)
	b = appendString(append(b, `,"key":`...), a.Key)
	b = strconv.AppendBool(append(b, `,"usesLicensing":`...), a.UsesLicensing)
	b = append(b, `,"remotable":false`...)
	if a.Vendor != "" {
		b = appendASCII(append(b, `,"vendor":{"name":`...), a.Vendor)
		b = append(b, `,"marketplaceLink":null,"link":"https://vendor.example/"}`...)
	}
	return append(b, '}')
}

func (c *dcCall) getAddonLicense() {
	c.send(func(*DataCenter) []byte {
		a := c.theAddon()
		if a == nil {
			return nil
		}
		if !a.UsesLicensing {
			c.fail(http.StatusNotFound, "The plugin does not use licensing: "+a.Key)
			return nil
		}
		b := appendString([]byte(`{"pluginKey":`), a.Key)
		l := a.License
		if l == nil {
			return append(b, `,"valid":false,"error":"UNLICENSED"}`...)
		}
		b = strconv.AppendBool(append(b, `,"valid":`...), l.Valid)
		b = strconv.AppendBool(append(b, `,"evaluation":`...), l.Evaluation)
		b = strconv.AppendBool(append(b, `,"nearlyExpired":`...), !l.Expires.IsZero() && l.Expires.Sub(c.now) < 30*24*time.Hour)
		b = strconv.AppendBool(append(b, `,"active":`...), l.Valid)
		b = appendString(append(b, `,"licenseType":`...), l.Type)
		b = append(b, `,"maximumNumberOfUsers":`...)
		if l.MaximumUsers == 0 {
			b = append(b, "null"...)
		} else {
			b = strconv.AppendInt(b, int64(l.MaximumUsers), 10)
		}
		b = appendMillis(append(b, `,"expiryDate":`...), l.Expires)
		b = appendMillis(append(b, `,"maintenanceExpiryDate":`...), l.MaintenanceEnds)
		b = appendASCII(append(b, `,"organizationName":`...), c.dc.license.Organization)
		b = appendString(append(b, `,"supportEntitlementNumber":`...), c.dc.license.SupportNumber)
		return append(appendString(append(b, `,"rawLicense":`...), l.Raw), '}')
	})
}

func appendMillis(b []byte, t time.Time) []byte {
	if t.IsZero() {
		return append(b, "null"...)
	}
	return strconv.AppendInt(b, t.UnixMilli(), 10)
}

func (c *dcCall) getLicense() {
	c.send(func(dc *DataCenter) []byte {
		l := &dc.license
		b := appendString([]byte(`{"licenseType":`), l.Type)
		b = strconv.AppendBool(append(b, `,"active":`...), l.Expires.IsZero() || l.Expires.After(c.now))
		b = strconv.AppendBool(append(b, `,"evaluation":`...), l.Evaluation)
		b = strconv.AppendInt(append(b, `,"maximumNumberOfUsers":`...), int64(l.MaximumUsers), 10)
		b = appendMillis(append(b, `,"expiryDate":`...), l.Expires)
		b = appendMillis(append(b, `,"maintenanceExpiryDate":`...), l.MaintenanceEnds)
		b = appendMillis(append(b, `,"purchaseDate":`...), l.Purchased)
		b = appendASCII(append(b, `,"organisationName":`...), l.Organization)
		b = appendString(append(b, `,"supportEntitlementNumber":`...), l.SupportNumber)
		return append(b, `,"clusteringEnabled":true}`...)
	})
}

// licensed counts the users that use the licence up. The caller holds mu.
func (dc *DataCenter) licensed() int {
	n := 0
	for _, u := range dc.users {
		if u.data.Active && u.data.Licensed {
			n++
		}
	}
	return n
}

func number(name string, n int) []byte {
	return append(strconv.AppendInt([]byte(`{"`+name+`":`), int64(n), 10), '}')
}

func (c *dcCall) getUserCount() {
	c.send(func(dc *DataCenter) []byte { return number("count", dc.licensed()) })
}

func (c *dcCall) getMaxUsers() {
	c.send(func(dc *DataCenter) []byte { return number("count", dc.license.MaximumUsers) })
}

func (c *dcCall) getRemainingSeats() {
	c.send(func(dc *DataCenter) []byte {
		if dc.license.MaximumUsers < 0 {
			return number("seats", -1)
		}
		return number("seats", max(dc.license.MaximumUsers-dc.licensed(), 0))
	})
}

func (c *dcCall) getServer() {
	c.send(func(dc *DataCenter) []byte {
		s := &dc.server
		b := appendString([]byte(`{"version":`), s.Version)
		b = strconv.AppendInt(append(b, `,"buildNumber":`...), int64(s.BuildNumber), 10)
		b = appendString(append(b, `,"buildDate":`...), s.BuildDate.UTC().Format(auditTime))
		b = appendString(append(b, `,"baseUrl":`...), dc.URL())
		b = appendASCII(append(b, `,"title":`...), s.Title)
		b = appendString(append(b, `,"serverTime":`...), c.now.UTC().Format(auditTime))
		return append(b, '}')
	})
}

func (c *dcCall) getMetrics() {
	c.send(func(dc *DataCenter) []byte {
		n := len(dc.spaces)
		b := strconv.AppendInt([]byte(`{"spaces":`), int64(n), 10)
		for i, name := range []string{"pages", "blogposts", "attachments", "comments"} {
			b = append(append(append(b, `,"`...), name...), `":`...)
			b = strconv.AppendInt(b, int64(n*(37-7*i)), 10)
		}
		b = strconv.AppendInt(append(b, `,"users":`...), int64(len(dc.users)), 10)
		b = strconv.AppendInt(append(b, `,"groups":`...), int64(len(dc.groups)), 10)
		return append(b, '}')
	})
}

func (c *dcCall) getAccessMode() {
	c.send(func(dc *DataCenter) []byte { return appendString(nil, dc.server.AccessMode) })
}
