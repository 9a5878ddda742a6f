package confluencetest_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// TestLogTellsWhatHappened applies one change of each sort and compares the log:
// it is what tests predict change events from.
func TestLogTellsWhatHappened(t *testing.T) {
	now := newClock()
	srv := confluencetest.New(confluencetest.Settings{Now: now.Now})
	site := srv.AddSite(confluencetest.SiteSettings{Name: "acme"})
	truth := site.Truth()
	space, group, user := truth.Spaces[0], truth.Groups[0], truth.Users[1]
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	renamed := space
	renamed.Name = "other"
	must(site.RenameSpace(space.ID, "other"))
	must(site.RenameSpace(space.ID, "other")) // changes nothing, so it is not logged
	made, err := site.AddPermission(space.ID, confluencetest.Permission{PrincipalType: "user", PrincipalID: user.AccountID, Operation: "read", Target: "space"})
	must(err)
	changed := made
	changed.Operation = "administer"
	must(site.ChangePermission(space.ID, made.ID, changed))
	must(site.RemovePermission(space.ID, made.ID))
	must(site.HideSpace(space.ID))
	must(site.ShowSpace(space.ID))
	must(site.RemoveSpace(space.ID))
	team := site.AddGroup(confluencetest.Group{Name: "team"})
	must(site.AddMember(team.ID, user.AccountID))
	must(site.AddMember(team.ID, user.AccountID))
	must(site.RemoveGroup(team.ID))
	inactive := user
	inactive.AccountStatus = "inactive"
	must(site.DeactivateUser(user.AccountID))
	rows := truth.Permissions[space.ID]
	at := now.Now()
	want := []confluencetest.Change{
		{At: at, Kind: confluencetest.SpaceChanged, SpaceID: space.ID, Before: space, After: renamed},
		{At: at, Kind: confluencetest.PermissionAdded, SpaceID: space.ID, PermissionID: made.ID, After: made},
		{At: at, Kind: confluencetest.PermissionChanged, SpaceID: space.ID, PermissionID: made.ID, Before: made, After: changed},
		{At: at, Kind: confluencetest.PermissionRemoved, SpaceID: space.ID, PermissionID: made.ID, Before: changed},
		{At: at, Kind: confluencetest.SpaceHidden, SpaceID: space.ID, Before: renamed, Permissions: rows},
		{At: at, Kind: confluencetest.SpaceShown, SpaceID: space.ID, After: renamed, Permissions: rows},
		{At: at, Kind: confluencetest.SpaceRemoved, SpaceID: space.ID, Before: renamed, Permissions: rows},
		{At: at, Kind: confluencetest.GroupAdded, GroupID: team.ID, After: team},
		{At: at, Kind: confluencetest.MemberAdded, GroupID: team.ID, AccountID: user.AccountID},
		{At: at, Kind: confluencetest.GroupRemoved, GroupID: team.ID, Before: team, Members: []string{user.AccountID}},
		{At: at, Kind: confluencetest.UserChanged, AccountID: user.AccountID, Before: user, After: inactive},
	}
	if diff := cmp.Diff(want, site.Log()); diff != "" {
		t.Errorf("log (-want +got):\n%s", diff)
	}
	after := site.Truth()
	if _, there := after.Permissions[space.ID]; there || len(after.Spaces) != len(truth.Spaces)-1 {
		t.Error("the removed space is still there")
	}
	// Everything but hiding and showing has a witness in the audit log.
	if n := len(after.Audit) - len(truth.Audit); n != len(want)-2 {
		t.Errorf("%d audit records, want %d", n, len(want)-2)
	}
	if site.RemoveUser(srv.Collector().AccountID) == nil {
		t.Error("the collecting user was removed")
	}
	if got := truth.Groups[0]; got != group {
		t.Error("a snapshot changed afterwards")
	}
}

func TestStepsAreAppliedWhenDue(t *testing.T) {
	now := newClock()
	srv := confluencetest.New(confluencetest.Settings{Now: now.Now})
	first, second := srv.AddSite(confluencetest.SiteSettings{Name: "acme"}), srv.AddSite(confluencetest.SiteSettings{Name: "bravo"})
	var order []string
	step := func(after time.Duration, name string) confluencetest.Step {
		return confluencetest.Step{At: now.Now().Add(after), Name: name, Do: func(s *confluencetest.Site) {
			order = append(order, name)
			s.AddGroup(confluencetest.Group{Name: name})
		}}
	}
	first.Schedule(step(3*time.Hour, "third"), step(time.Hour, "first"))
	second.Schedule(step(2*time.Hour, "second"), step(5*time.Hour, "later"))
	begin := now.Now()
	now.Add(4 * time.Hour)
	srv.AdvanceTo(now.Now())
	if diff := cmp.Diff([]string{"first", "second", "third"}, order); diff != "" {
		t.Error(diff)
	}
	if at := first.Log()[0].At; !at.Equal(begin.Add(time.Hour)) {
		t.Errorf("logged at %v, want the step's own time", at)
	}
	if first.Pending() != 0 || second.Pending() != 1 {
		t.Errorf("pending: %d and %d, want 0 and 1", first.Pending(), second.Pending())
	}
	first.AddGroup(confluencetest.Group{})
	if at := first.Log()[2].At; !at.Equal(now.Now()) {
		t.Errorf("a change by hand is logged at %v, want the clock's time", at)
	}
}
