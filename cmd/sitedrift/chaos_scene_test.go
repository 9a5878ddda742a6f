//go:build linux && !noengine

package main

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// removeMuch takes most spaces out of sight for a moment, as a misconfigured
// credential does. It is not noted as true: the run is held, and nobody is told
// that they went (Invariant 8).
func (c *chaos) removeMuch(n *node) {
	d := n.daemon()
	d.pause(c, true)
	for ok := false; !ok; { // no run is under way
		_, ok = c.sees(n, c.tenant, schemas.GroupPosture)
	}
	spaces := c.site.Truth().Spaces
	spaces = spaces[:len(spaces)*3/4]
	for _, s := range spaces {
		if err := c.site.HideSpace(s.ID); err != nil {
			c.Fatal(err)
		}
	}
	if run, told := c.runNow(n, c.tenant, schemas.GroupPosture); run == nil || run.Outcome != string(schemas.OutcomeHeld) {
		c.found(flawFalse, 1, fmt.Sprintf("%d spaces went at once, and the run was not held: %s", len(spaces), told))
	}
	for _, s := range spaces {
		if err := c.site.ShowSpace(s.ID); err != nil {
			c.Fatal(err)
		}
	}
	d.pause(c, false)
	c.did(faultMass)
}

// sleepOver keeps all daemons down for a few ticks. The first run of each group
// that is due stands for them all (Invariant 11).
func (c *chaos) sleepOver() {
	for _, n := range c.nodes {
		n.daemon().kill()
		<-n.daemon().ended
	}
	time.Sleep(2*chaosTick + chaosTick/2)
	since := time.Now().UTC()
	c.ready(nil)
	d := c.nodes[0].daemon()
	for _, group := range killGroups() {
		sql := fmt.Sprintf(`SELECT trigger FROM runs WHERE tenant_id = '%s' AND dataset_group = '%s' AND trigger != 'manual' AND outcome != 'abandoned'
AND started_at >= toDateTime64('%s', 3, 'UTC') ORDER BY seq LIMIT 1`, c.tenant, group, since.Format("2006-01-02 15:04:05.000"))
		var first [][]string
		for deadline := time.Now().Add(c.patience); len(first) == 0 && time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			first = d.mustRows(c, sql)
		}
		if len(first) == 0 || first[0][0] != "catch_up" {
			c.found(flawRun, 1, fmt.Sprintf("the first run of %s that was due after a downtime: %q, want catch_up", group, first))
		}
	}
	c.did(faultDowntime)
}

// lookAlike changes the names of an account to others that make the same bytes when
// they are put one after the other with what stands between columns (Invariant 10).
func (c *chaos) lookAlike() {
	between := string([]byte{byte(killTable("users").Column("public_name")), 1})
	names := [2]string{"Ann" + between + "Lee", "Coe"}
	users := c.site.Truth().Users
	i := slices.IndexFunc(users, func(u sim.User) bool {
		return u.PublicName == names[1] || strings.HasSuffix(u.PublicName, between+names[1])
	})
	switch {
	case i < 0: // nobody yet
		i = 0
	case users[i].PublicName == names[1]:
		names = [2]string{"Ann", "Lee" + between + "Coe"}
	}
	if err := c.site.ChangeUser(users[i].AccountID, func(u *sim.User) { u.DisplayName, u.PublicName = names[0], names[1] }); err != nil {
		c.Fatal(err)
	}
	c.noted()
}

// simSecret is what tokens and secrets of the simulator look like.
var simSecret = regexp.MustCompile(`ey[JR][0-9a-f]{60}|ATOA[0-9a-f]{40}`)

// checkSecrets looks for tokens and secrets in the daemons' logs and in what they
// store (Invariant 9).
func (c *chaos) checkSecrets() {
	for _, n := range c.nodes {
		if simSecret.MatchString(n.daemon().log.String()) {
			c.Errorf("the log of %s holds a secret", n.dir)
		}
		err := filepath.WalkDir(filepath.Join(n.dir, "data"), func(path string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return nil //nolint:nilerr // files come and go while the daemon works
			}
			if info, err := d.Info(); err != nil || info.Size() > 8<<20 {
				return nil //nolint:nilerr // the same; and no file of ours is so large
			}
			text, err := os.ReadFile(path)
			if err == nil && simSecret.Match(text) {
				c.Errorf("%s holds a secret", path)
			}
			return nil
		})
		if err != nil {
			c.Error(err)
		}
	}
}
