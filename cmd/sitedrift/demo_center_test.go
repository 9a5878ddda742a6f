//go:build linux && !noengine

package main

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strconv"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// center is what an administrator's credential shows of a Data Center.
func (t *demoTruth) center(dc *sim.DataCenter) {
	truth := dc.Truth()
	for _, d := range tables() {
		if d.On(schemas.DataCenter) && !d.Append {
			t.open(d.Name)
		}
	}
	for _, s := range truth.Spaces {
		t.put("spaces", map[string]string{
			"space_id": s.ID, "space_key": s.Key, "name": s.Name, "type": s.Type, "status": s.Status, "homepage_id": orNull(s.HomepageID),
			"alias": killNull, "author_id": killNull, "created_at": killNull,
		})
		for _, p := range truth.Permissions[s.Key] {
			kind, id := holder(p.Subject)
			if kind == id { // everybody of a class
				kind, id = "access-class", kind+"-users"
			}
			t.put("space_permissions", map[string]string{
				"space_id": s.ID, "permission_id": grantID(s.ID, kind, id, p.Operation, p.Target),
				"principal_type": kind, "principal_id": id, "operation": p.Operation, "target_type": p.Target,
			})
		}
	}
	for _, p := range slices.Concat(truth.Global, truth.Unlicensed) {
		kind, id := holder(p.Subject)
		t.put("site_permissions", map[string]string{"principal_type": kind, "principal_id": id, "operation": p.Operation, "target_type": p.Target})
	}
	for name, value := range map[string]string{"base_url": dc.URL(), "version": truth.Server.Version, "build_number": strconv.Itoa(truth.Server.BuildNumber)} {
		t.setting("server_information", name, value, "string", "site")
	}
	t.setting("access_mode", "access_mode", truth.Server.AccessMode, "string", "site")
	for _, u := range truth.Users {
		t.put("users", map[string]string{
			"account_id": u.UserKey, "account_type": "user", "account_status": map[bool]string{true: "active", false: "inactive"}[u.Active],
			"display_name": orNull(u.DisplayName), "public_name": u.Username, "email": orNull(u.Email), "time_zone": killNull, "personal_space_id": killNull, "is_external": killNull,
		})
	}
	for _, g := range truth.Groups {
		t.put("groups", map[string]string{"group_id": g, "name": g, "type": "group"})
		for _, key := range truth.Members[g] {
			t.put("group_members", map[string]string{"group_id": g, "account_id": key, "account_type": "user"})
		}
		for _, nested := range truth.Nested[g] {
			t.put("group_members", map[string]string{"group_id": g, "account_id": nested, "account_type": "group"})
		}
	}
	for _, a := range truth.Addons {
		if !a.UserInstalled {
			continue
		}
		row := map[string]string{
			"kind": "plugins", "app_key": a.Key, "name": orNull(a.Name), "version": orNull(a.Version), "vendor": orNull(a.Vendor), "enabled": strconv.FormatBool(a.Enabled), "user_installed": "true",
			"scopes": "", "egress": "", "license_active": killNull, "license_type": killNull, "installed_by": killNull, "installed_at": killNull, "distribution": killNull,
		}
		if a.License != nil {
			row["license_active"], row["license_type"] = strconv.FormatBool(a.License.Valid), a.License.Type
		}
		t.put("installed_apps", row)
	}
	used, maximum := len(truth.Active), truth.License.MaximumUsers
	seats := map[string]string{
		"product": "confluence", "seats_used": strconv.Itoa(used), "seats_free": killNull, "seats_total": killNull, "unlimited": strconv.FormatBool(maximum < 0), "plan": killNull,
		"license_type": truth.License.Type, "active": "true", "expires_at": stamp(truth.License.Expires), "maintained_until": stamp(truth.License.MaintenanceEnds),
	}
	if maximum >= 0 {
		seats["seats_total"], seats["seats_free"] = strconv.Itoa(maximum), strconv.Itoa(max(maximum-used, 0))
	}
	t.put("subscriptions", seats)
}

// holder is whom a Data Center gave a permission to, as site_permissions names it.
func holder(s sim.DCSubject) (kind, id string) {
	switch s.Type {
	case sim.SubjectUser, sim.SubjectDeleted:
		return "user", s.UserKey
	case sim.SubjectGroup:
		return "group", s.Name
	case sim.SubjectUnlicensed:
		return "unlicensed", "unlicensed"
	case sim.SubjectAnonymous, "":
		return "anonymous", "anonymous"
	default:
		return s.Type, cmp.Or(s.UserKey, s.Name, s.DisplayName)
	}
}

// grantID is the id that grants of Data Center get, as it is documented.
func grantID(parts ...string) string {
	h := sha256.New()
	h.Write([]byte("sitedrift data center permission\x00"))
	for _, p := range parts {
		h.Write(append(binary.AppendUvarint(nil, uint64(len(p))), p...))
	}
	return hex.EncodeToString(h.Sum(nil)[:16])
}
