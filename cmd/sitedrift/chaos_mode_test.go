//go:build linux && !noengine

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/collector/state/statetest"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// chaosMode is a kind of installation, and what fails in it.
type chaosMode struct {
	name, title string
	build       func(*chaos)
	faults      []string // each as often as it stands here
}

func chaosModes() []chaosMode {
	around := []string{
		faultEngineKill, faultEngineFreeze, faultDisk, faultToken, faultSite, faultSite, faultDropped, faultNetwork, faultNetwork,
		faultMass, faultDowntime, faultFreeze, faultFreeze, faultFreezePoint, faultFreezePoint, faultKill, faultKill, faultKill, faultKill,
		faultPoint, faultPoint, faultPoint, faultPoint, faultPoint, faultPoint,
	}
	with := func(more ...string) []string { return slices.Concat(around, more) }
	return []chaosMode{
		{"sqlite", "one daemon on SQLite", (*chaos).single, around},
		{"postgres", "one daemon on PostgreSQL", (*chaos).onPostgres, with(faultPostgres, faultPostgres, faultState)},
		{"replicas", "three replicas on PostgreSQL and one warehouse", (*chaos).replicas, with(faultKill, faultFreeze, faultPostgres, faultPostgres, faultState, faultState, faultWarehouse, faultWarehouse, faultRollOut, faultRollOut)},
		{"leeway", "one daemon on SQLite, and a provider that takes a token once", (*chaos).strict, []string{
			faultDropped, faultDropped, faultDropped, faultDropped, faultEngineKill, faultEngineFreeze, faultDisk, faultToken, faultSite, faultFreeze, faultMass,
		}},
	}
}

// single makes an installation of one machine with SQLite.
func (c *chaos) single() {
	c.newSite(0)
	c.addNode(c.dir, "")
	c.connect(c.killSite, c.other)
}

// strict makes one whose provider kills a grant when a token is used twice. So a
// grant is lost with the answer to its refresh, and no other is.
func (c *chaos) strict() {
	c.onlyOnce = true
	c.newSite(-1)
	c.addNode(c.dir, "")
	c.connect(c.killSite, c.other)
}

// onPostgres makes an installation of one machine with PostgreSQL.
func (c *chaos) onPostgres() {
	c.newSite(0)
	c.cluster = statetest.StartCluster(c)
	c.addReplica(c.dir, c.cluster.Database(c), "")
	c.connect(c.killSite, c.other)
}

// replicas makes an installation of three machines with PostgreSQL and one
// warehouse.
func (c *chaos) replicas() {
	c.newSite(0)
	c.next = nextRelease(c)
	c.cluster = statetest.StartCluster(c)
	dsn := c.cluster.Database(c)
	store := filepath.Join(c.dir, "warehouse")
	shared := newDisk(c, store, diskBytes)
	engine, err := embedded.Start(c.Context(), embedded.Settings{Dir: store, Command: []string{c.bin, "engine"}, ListenHTTP: "127.0.0.1:0"})
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = engine.Close(context.WithoutCancel(c.Context())) })
	c.engine = engine
	for i := range 3 {
		dir := filepath.Join(c.dir, fmt.Sprintf("replica%d", i+1))
		if err := os.MkdirAll(dir, 0o700); err != nil {
			c.Fatal(err)
		}
		toWarehouse := newWire(c, "tcp", "127.0.0.1:0", engine.HTTPAddr())
		n := c.addReplica(dir, dsn, fmt.Sprintf("warehouse: {mode: clickhouse, dsn: \"file:%s/warehouse-dsn\"}\n", dir))
		n.write(c, "warehouse-dsn", fmt.Sprintf("http://default:%s@%s/", engine.Token(), toWarehouse.address()))
		n.toWarehouse, n.disk, n.fills, n.mend = toWarehouse, shared, true, engine.Renew
	}
	c.connect(c.killSite, c.other)
}

// addReplica makes a machine that keeps its state in PostgreSQL, by way of a cable.
func (c *chaos) addReplica(dir, dsn, more string) *node {
	u, err := url.Parse(dsn)
	if err != nil {
		c.Fatal(err)
	}
	near, err := os.MkdirTemp("/tmp", "sdw") // a short path: names of Unix sockets end at 107 bytes
	if err != nil {
		c.Fatal(err)
	}
	c.Cleanup(func() { _ = os.RemoveAll(near) })
	const name = "/.s.PGSQL.5432"
	query := u.Query()
	toState := newWire(c, "unix", near+name, query.Get("host")+name)
	query.Set("host", near)
	u.RawQuery = query.Encode()
	n := c.addNode(dir, fmt.Sprintf("state: \"file:%s/state\"\n%s", dir, more))
	n.write(c, "state", u.String())
	n.toState, n.fleet = toState, true
	return n
}

// restartPostgres stops the server, in order or not, and starts it again.
func (c *chaos) restartPostgres(f fault) {
	c.restarting.Lock()
	defer c.restarting.Unlock()
	if f.pick%2 == 0 {
		c.cluster.Stop(c)
	} else {
		c.cluster.Crash(c)
	}
	time.Sleep(f.hold / 2)
	c.cluster.Start(c)
}

// loseGrants waits until each grant whose answer was cut is known as dead, and
// no other; then a person consents again.
func (c *chaos) loseGrants() {
	for deadline := time.Now().Add(c.patience); ; time.Sleep(50 * time.Millisecond) {
		dead := map[string]bool{}
		n := 0
		for _, g := range c.provider.Grants() {
			if !g.Alive {
				n++
			}
			dead[g.Sites[0]] = !g.Alive // the last consent counts
		}
		told, err := tenantsOf(c.Context(), c.nodes[0].daemon())
		cut := int(c.provider.ProviderStats().AnswersDropped)
		agreed := err == nil && cut == c.scripted && n == cut
		for _, t := range told {
			agreed = agreed && (t.Credentials[0].State == "ok") != dead[t.ID]
		}
		if agreed {
			c.reconnect(dead)
			return
		}
		if n > cut || time.Now().After(deadline) {
			c.found(flawToken, max(1, n-cut), fmt.Sprintf("%d answers were cut and %d grants are dead; the daemon says %+v, %v", cut, n, told, err))
			return
		}
	}
}

func (c *chaos) reconnect(dead map[string]bool) {
	for _, s := range []*killSite{c.killSite, c.other} {
		if dead[s.tenant] {
			c.lost++
			c.connect(s)
		}
	}
}

// tenantsOf asks a daemon for its tenants.
func tenantsOf(ctx context.Context, d *daemon) (all []tenantInfo, err error) {
	raw, err := d.ask(ctx, "tenants", tenantsParams{}, nil)
	if err == nil {
		err = json.Unmarshal(raw, &all)
	}
	return all, err
}
