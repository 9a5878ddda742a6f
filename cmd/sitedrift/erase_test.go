//go:build linux && !noengine

package main

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
)

// naming counts the rows of all tables that hold a text anywhere, by no
// knowledge of what the columns mean.
func (w *wayWorld) naming(text string) int {
	w.t.Helper()
	var parts []string
	for _, table := range append([]string{"heads", "expected", "changes_log", "coverage_log", "runs_log"}, versionTables()...) {
		parts = append(parts, fmt.Sprintf("SELECT count() AS n FROM %s WHERE position(toString(tuple(*)), '%s') > 0", table, text))
	}
	rows, err := w.rows(w.t.Context(), "SELECT sum(n) FROM ("+strings.Join(parts, " UNION ALL ")+")")
	if err != nil {
		w.t.Fatal(err)
	}
	return number(w.t, rows[0][0].Text())
}

func versionTables() (names []string) {
	for _, d := range tables() {
		names = append(names, d.Name+"_versions")
	}
	return names
}

// TestPersonIsErased: no row of any table names the person afterwards, also when
// the process died in the middle. Nothing else changes, the next run finds what
// the ledger knows, and reads a person who is still there again without a flood.
func TestPersonIsErased(t *testing.T) {
	t.Parallel()
	w := newWayWorld(t)
	truth := w.site.Truth()
	space := truth.Spaces[0].ID
	author := ""
	for _, s := range truth.Spaces {
		if s.AuthorID != "" {
			author, space = s.AuthorID, s.ID
		}
	}
	person := w.site.AddUser(sim.User{DisplayName: "Erika Mustermann", Email: "erika@example.com"})
	if author == "" || person.AccountID == "" {
		t.Fatal("the site has no author, or no person")
	}
	for _, g := range truth.Groups[:3] {
		if err := w.site.AddMember(g.ID, person.AccountID); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := w.site.AddPermission(space, sim.Permission{PrincipalType: "user", PrincipalID: person.AccountID, Operation: "read", Target: "space"}); err != nil {
		t.Fatal(err)
	}
	w.sync(time.Hour)
	if err := w.site.RenameUser(person.AccountID, "Erika Musterfrau"); err != nil {
		t.Fatal(err)
	}
	w.sync(time.Hour)
	before, spaces := w.naming(person.AccountID), w.count("spaces")
	counted, err := opErasePerson(t.Context(), w.app, eraseParams{ID: "acme", Account: person.AccountID}, nil)
	if err != nil || counted.Erased || counted.Rows < 6 || int(counted.Rows) != before {
		t.Fatalf("%d rows name the person; the dry run says %+v, %v", before, counted, err)
	}

	w.dies("erase.deleted", func() {
		_, _ = opErasePerson(t.Context(), w.app, eraseParams{ID: "acme", Account: person.AccountID, Yes: true}, nil)
	})
	w.stop()
	w.start()
	if err := w.app.boot(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{person.AccountID, "erika@example.com"} {
		if n := w.naming(text); n != 0 {
			t.Errorf("%d rows name %s", n, text)
		}
	}
	w.want("SELECT count() FROM users_history WHERE position(toString(tuple(*)), 'Erika Muster') > 0", "0")
	w.want("SELECT count() FROM changes WHERE position(toString(tuple(*)), 'Erika Muster') > 0", "0")
	if done, err := w.app.store.Erasures(t.Context()); err != nil || len(done) != 1 || done[0].DoneAt.IsZero() || done[0].Account != "" {
		t.Errorf("the record: %+v, %v", done, err)
	}
	if trail, err := w.app.store.Actions(t.Context(), "acme", 1); err != nil || len(trail) != 1 || trail[0].Actor != collector.ActorDaemon || trail[0].Name != "tenants erase" || trail[0].Unfinished || trail[0].Failure != "" {
		t.Errorf("the trail ends with %+v, %v", trail, err)
	}
	// An account that others mention: the row stays.
	res, err := opErasePerson(t.Context(), w.app, eraseParams{ID: "acme", Account: author, Yes: true}, nil)
	if err != nil || !res.Erased || w.naming(author) != 0 {
		t.Errorf("%+v, %v; %d rows name the author", res, err, w.naming(author))
	}
	if n := w.count("spaces"); n != spaces {
		t.Errorf("%d spaces, before %d", n, spaces)
	}

	tell := "SELECT dataset, change FROM changes WHERE tenant_id = 'acme' AND change NOT IN ('baseline', 'coverage', 'changed') AND dataset != 'user_activity'"
	w.sync(time.Hour)
	w.want("SELECT countIf(outcome = 'baseline_mismatch'), countIf(outcome = 'erased') > 3 FROM runs WHERE tenant_id = 'acme'", "0 1")
	w.want("SELECT count() FROM users WHERE tenant_id = 'acme' AND account_id = '"+person.AccountID+"'", "1")
	w.want(tell)
	w.want("SELECT uniqExact(epoch) FROM changes WHERE tenant_id = 'acme' AND dataset = 'users'", "2")

	// Gone from the site, then erased: no present row is touched, and no epoch begins.
	if err := w.site.RemoveUser(person.AccountID); err != nil {
		t.Fatal(err)
	}
	w.sync(time.Hour)
	if _, err := opErasePerson(t.Context(), w.app, eraseParams{ID: "acme", Account: person.AccountID, Yes: true}, nil); err != nil || w.naming(person.AccountID) != 0 {
		t.Errorf("%v; %d rows are left", err, w.naming(person.AccountID))
	}
	w.sync(time.Hour)
	w.want("SELECT argMax(outcome, started_at) FROM runs WHERE tenant_id = 'acme' AND dataset_group = 'inventory'", "no_change")
	w.want(tell)
}
