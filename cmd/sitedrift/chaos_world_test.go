//go:build linux && !noengine

package main

import (
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
)

// node is one machine: a daemon with its directory, its disk and its cables.
type node struct {
	*killWorld
	outer       *wire  // to the provider and the sites
	toState     *wire  // to PostgreSQL; nil: the state is on the disk
	toWarehouse *wire  // nil: the daemon has an engine of its own
	disk        *disk  // nil: it cannot be filled
	point       string // the fail point of this round, if it has one

	starting sync.Mutex

	mu sync.Mutex
	d  *daemon // the present one; nil before the first
}

// daemon is the present one.
func (n *node) daemon() *daemon {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.d
}

// alive reports whether the present daemon runs.
func (n *node) alive() bool {
	d := n.daemon()
	if d == nil {
		return false
	}
	select {
	case <-d.ended:
		return false
	default:
		return true
	}
}

// begin starts a daemon unless one runs: two faults may have ended one.
func (n *node) begin(t testing.TB, point string) {
	n.starting.Lock()
	defer n.starting.Unlock()
	if n.alive() {
		return
	}
	d := n.start(t, point)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.d = d
}

// replace ends the daemon in order, unless another fault did, and starts a program in
// its place. It reports whether it could.
func (n *node) replace(t testing.TB, bin string) bool {
	n.starting.Lock()
	n.bin = bin
	n.starting.Unlock()
	d := n.daemon()
	_ = d.cmd.Process.Signal(syscall.SIGTERM) // it may be gone
	select {
	case <-d.ended:
	case <-time.After(patience):
		t.Errorf("a daemon does not stop:\n%s", d.stacks())
		return false
	}
	n.begin(t, n.point)
	return true
}

// disk is a file system of its own, small enough to be filled.
type disk struct {
	dir   string
	bytes int64
}

// newDisk mounts a file system in memory on a directory until the end of the
// test. Only root may do that: nil for others.
func newDisk(t testing.TB, dir string, bytes int64) *disk {
	t.Helper()
	if err := os.MkdirAll(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	err := syscall.Mount("tmpfs", dir, "tmpfs", 0, fmt.Sprintf("size=%d,mode=0700", bytes))
	if errors.Is(err, syscall.EPERM) || errors.Is(err, syscall.EACCES) {
		return nil
	}
	if err != nil {
		t.Fatalf("mount a small disk: %v", err)
	}
	t.Cleanup(func() {
		for deadline := time.Now().Add(patience); ; time.Sleep(50 * time.Millisecond) { // an engine that lost its daemon may still be ending
			err := syscall.Unmount(dir, 0)
			if err == nil {
				return
			}
			if time.Now().After(deadline) {
				t.Errorf("unmount %s: %v", dir, err)
				_ = syscall.Unmount(dir, syscall.MNT_DETACH)
				return
			}
		}
	})
	return &disk{dir, bytes}
}

// ballast is the file that fills the disk.
func (d *disk) ballast() string { return filepath.Join(d.dir, "ballast") }

// fill takes all of the space that is left.
func (d *disk) fill() error {
	f, err := os.Create(d.ballast())
	if err != nil {
		return err
	}
	defer f.Close()
	at := int64(0)
	for size := d.bytes; size >= 4096; {
		if err := syscall.Fallocate(int(f.Fd()), 0, at, size); errors.Is(err, syscall.ENOSPC) {
			size /= 2
			continue
		} else if err != nil {
			return err
		}
		at += size
	}
	return nil
}

// empty gives the space back.
func (d *disk) empty() error { return os.Remove(d.ballast()) }

// diskBytes is the size of the disks: an engine and its history need a part of it.
const diskBytes = 384 << 20

// chaosTick is how often each group is due.
const chaosTick = 5 * time.Second

// newSite makes the provider and the watched site.
func (c *chaos) newSite(leeway time.Duration) {
	c.provider = sim.New(sim.Settings{Seed: c.seed, AccessTokenTTL: accessLife, Leeway: leeway})
	if err := c.provider.Start(); err != nil {
		c.Fatal(err)
	}
	c.Cleanup(c.provider.Close)
	c.killSite = &killSite{tenant: "acme", site: c.provider.AddSite(sim.SiteSettings{
		Name: "acme", Spaces: 12, PermissionsPerSpace: 10, Exact: true, Groups: 6, Users: 24, Guests: 3, MembersPerGroup: 6,
	})}
	c.other = &killSite{tenant: "beta", site: c.provider.AddSite(sim.SiteSettings{
		Name: "beta", Spaces: 3, PermissionsPerSpace: 3, Exact: true, Groups: 2, Users: 4, Guests: 1, MembersPerGroup: 2,
	})}
	c.app = c.provider.AddApp(sim.App{RedirectURIs: []string{"http://127.0.0.1:8917/callback"}, Scopes: sim.AllScopes()})
}

// addNode makes a machine. more is configuration beyond what all have.
func (c *chaos) addNode(dir, more string) *node {
	n := &node{killWorld: &killWorld{bin: c.bin, dir: dir, provider: c.provider, killSite: c.killSite, gaps: true, faults: true, others: 1}}
	data := filepath.Join(dir, "data")
	n.disk = newDisk(c, data, diskBytes)
	n.fills = n.disk != nil
	n.outer = newWire(c, "tcp", "127.0.0.1:0", strings.TrimPrefix(c.provider.URL(), "http://"))
	outer := func(address string) string { // the same address by way of the cable
		u, err := url.Parse(address)
		if err != nil {
			c.Fatal(err)
		}
		u.Host = n.outer.address()
		return u.String()
	}
	n.write(c, "client-secret", c.app.ClientSecret)
	n.write(c, "sitedrift.yml", fmt.Sprintf(`
data_dir: data
vault: {key_file: %q}
oauth: {client_id: %q, client_secret: "file:%s"}
endpoints: {auth: %q, api: %q}
network: {allow: 127.0.0.0/8}
tenants: [{id: %q, site: %q, cloud_id: %q}, {id: %q, site: %q, cloud_id: %q}]
schedules: {posture: "@every %[12]s", inventory: "@every %[12]s", audit: off}
jitter: 0s
limits: {requests_per_second: 1000, points_per_hour: 0}
server: {metrics: off}
log: {level: info, format: json}
`, filepath.Join(c.dir, "vault.key"), c.app.ClientID, filepath.Join(dir, "client-secret"), outer(c.provider.AuthURL()), outer(c.provider.APIURL()),
		c.tenant, c.site.URL(), c.site.CloudID(), c.other.tenant, c.other.site.URL(), c.other.site.CloudID(), chaosTick)+more)
	c.nodes = append(c.nodes, n)
	return n
}

// connect gives tenants grants, each of its own person.
func (c *chaos) connect(tenants ...*killSite) {
	n := c.nodes[0]
	for _, s := range tenants {
		person, known := c.persons[s.tenant] // another one would begin an epoch
		if !known {
			person = c.provider.AddPerson(sim.Person{Name: "Admin of " + s.tenant})
			c.persons[s.tenant] = person
		}
		tokens, _, err := c.provider.Connect(sim.ConsentRequest{ClientID: c.app.ClientID, AccountID: person.AccountID, Sites: []string{s.tenant}, Scopes: killScopes()})
		if err != nil {
			c.Fatal(err)
		}
		n.write(c, "refresh-token", tokens.RefreshToken)
		n.command(c, "connect", "--tenant", s.tenant, "--refresh-token", filepath.Join(n.dir, "refresh-token"))
	}
}

// everything is what both sites hold.
func (c *chaos) everything() killRows {
	all := c.truth()
	for dataset, rows := range c.other.truth() {
		all[dataset] = append(all[dataset], rows...)
	}
	return all.sorted()
}
