package confluencetest

import (
	"fmt"
	"slices"
	"time"
)

// Kinds of changes that only a Data Center knows; the others are those of a [Site].
const (
	SpaceRestricted         ChangeKind = "space_restricted"
	SpaceUnrestricted       ChangeKind = "space_unrestricted"
	GlobalPermissionAdded   ChangeKind = "global_permission_added"
	GlobalPermissionRemoved ChangeKind = "global_permission_removed"
	GroupNested             ChangeKind = "group_nested"
	GroupUnnested           ChangeKind = "group_unnested"
	AddonAdded              ChangeKind = "addon_added"
	AddonRemoved            ChangeKind = "addon_removed"
	AddonChanged            ChangeKind = "addon_changed"
	LicenseChanged          ChangeKind = "license_changed"
)

// DCChange is one applied mutation of a Data Center. What does not concern its
// kind is empty.
type DCChange struct {
	At       time.Time
	Kind     ChangeKind
	SpaceKey string
	Group    string
	UserKey  string
	AddonKey string
	// Before and After hold a DCSpace, DCPermission, DCUser, DCAddon, DCLicense,
	// DCServer or the name of a nested group; nil where there was or is nothing.
	Before, After any
	Permissions   []DCPermission // came or went together with a space
	Members       []string       // user keys that went together with a group
}

// Log returns every mutation applied so far, oldest first.
func (dc *DataCenter) Log() []DCChange {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	return slices.Clone(dc.log)
}

// now is the time of the step being applied, else the server's. The caller holds mu.
func (dc *DataCenter) now() time.Time {
	if !dc.at.IsZero() {
		return dc.at
	}
	return dc.srv.now()
}

// record puts a change into the log. The caller holds mu.
func (dc *DataCenter) record(c DCChange) {
	c.At = dc.now()
	dc.log = append(dc.log, c)
}

// witness writes an audit event by the collecting user. The caller holds mu.
func (dc *DataCenter) witness(category, action string, object DCAuditObject, changed ...DCAuditChange) {
	admin := dc.collector.data
	dc.putAudit(DCAuditRecord{
		At: dc.now(), AuthorKey: admin.UserKey, AuthorName: admin.DisplayName, Category: category, Action: action,
		Source: "192.0.2.1", Method: "Browser", Objects: []DCAuditObject{object}, Changed: changed,
	})
}

// putAudit gives an event its id and its place by time. The caller holds mu.
func (dc *DataCenter) putAudit(a DCAuditRecord) {
	dc.lastAudit++
	a.ID, a.At = dc.lastAudit, a.At.UTC().Truncate(time.Millisecond)
	at, _ := slices.BinarySearchFunc(dc.audit, a, compareDCAudit)
	dc.audit = slices.Insert(dc.audit, at, a)
}

func (dc *DataCenter) missing(what, id string) error {
	return &NotFoundError{Site: dc.settings.Name, What: what, ID: id}
}

func (dc *DataCenter) present(what, id string) error {
	return fmt.Errorf("site %q has the %s %q already", dc.settings.Name, what, id)
}

// DCStep is a change of a Data Center that is due at a certain time.
type DCStep struct {
	At   time.Time
	Name string
	Do   func(*DataCenter)
}

// Schedule adds steps to the site's future. They are applied by [Server.AdvanceTo].
func (dc *DataCenter) Schedule(steps ...DCStep) {
	dc.mu.Lock()
	defer dc.mu.Unlock()
	dc.steps = append(slices.Clone(dc.steps), steps...)
	slices.SortStableFunc(dc.steps, func(a, b DCStep) int { return a.At.Compare(b.At) })
}

// Pending returns how many scheduled steps are still to come.
func (dc *DataCenter) Pending() int {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	return len(dc.steps)
}

func (dc *DataCenter) due() (time.Time, bool) {
	dc.mu.RLock()
	defer dc.mu.RUnlock()
	if len(dc.steps) == 0 {
		return time.Time{}, false
	}
	return dc.steps[0].At, true
}

func (dc *DataCenter) applyFirst() {
	dc.mu.Lock()
	step := dc.steps[0]
	dc.steps = dc.steps[1:]
	dc.at = step.At
	dc.mu.Unlock()
	defer func() {
		dc.mu.Lock()
		dc.at = time.Time{}
		dc.mu.Unlock()
	}()
	step.Do(dc)
}
