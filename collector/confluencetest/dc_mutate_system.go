package confluencetest

import (
	"errors"
	"slices"
)

// AddAddon installs an app. A key that is taken is refused.
func (dc *DataCenter) AddAddon(a DCAddon) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	at, there := slices.BinarySearchFunc(dc.addons, a, compareDCAddons)
	if there || a.Key == "" {
		return dc.present("app", a.Key)
	}
	dc.addons = slices.Insert(slices.Clone(dc.addons), at, copyAddon(a))
	dc.record(DCChange{Kind: AddonAdded, AddonKey: a.Key, After: copyAddon(a)})
	dc.witness("Apps", "App installed", DCAuditObject{ID: a.Key, Name: a.Name, Type: "APP"})
	return nil
}

// RemoveAddon uninstalls an app.
func (dc *DataCenter) RemoveAddon(key string) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	at, there := slices.BinarySearchFunc(dc.addons, DCAddon{Key: key}, compareDCAddons)
	if !there {
		return dc.missing("app", key)
	}
	before := dc.addons[at]
	dc.addons = slices.Delete(slices.Clone(dc.addons), at, at+1)
	dc.record(DCChange{Kind: AddonRemoved, AddonKey: key, Before: before})
	dc.witness("Apps", "App uninstalled", DCAuditObject{ID: key, Name: before.Name, Type: "APP"})
	return nil
}

// ChangeAddon edits any field of an app but its Key.
func (dc *DataCenter) ChangeAddon(key string, edit func(*DCAddon)) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	at, there := slices.BinarySearchFunc(dc.addons, DCAddon{Key: key}, compareDCAddons)
	if !there {
		return dc.missing("app", key)
	}
	before, after := dc.addons[at], copyAddon(dc.addons[at])
	edit(&after)
	after.Key = key
	dc.addons = slices.Clone(dc.addons)
	dc.addons[at] = copyAddon(after)
	dc.record(DCChange{Kind: AddonChanged, AddonKey: key, Before: before, After: after})
	dc.witness("Apps", "App changed", DCAuditObject{ID: key, Name: after.Name, Type: "APP"}, DCAuditChange{Key: "Version", From: before.Version, To: after.Version})
	return nil
}

// ChangeLicense edits the licence of the installation.
func (dc *DataCenter) ChangeLicense(edit func(*DCLicense)) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	before := dc.license
	if edit(&dc.license); dc.license != before {
		dc.record(DCChange{Kind: LicenseChanged, Before: before, After: dc.license})
		dc.witness("System", "License changed", DCAuditObject{Name: dc.license.Type, Type: "LICENSE"})
	}
}

// ChangeServer edits what the installation says of itself, such as its version
// after an upgrade, or its access mode.
func (dc *DataCenter) ChangeServer(edit func(*DCServer)) error {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	before, after := dc.server, dc.server
	edit(&after)
	if after.AccessMode != "READ_WRITE" && after.AccessMode != "READ_ONLY" {
		return errors.New("the access mode of a Data Center is READ_WRITE or READ_ONLY, not " + after.AccessMode)
	}
	if dc.server = after; after != before {
		dc.record(DCChange{Kind: SettingsChanged, Before: before, After: after})
		dc.witness("System", "Configuration changed", DCAuditObject{Name: after.Title, Type: "SYSTEM"}, DCAuditChange{Key: "Version", From: before.Version, To: after.Version})
	}
	return nil
}

// Reindex leaves users out of the listing of active users, as while its index is
// built anew, or ends that.
func (dc *DataCenter) Reindex(running bool) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	dc.reindexing = running
}
