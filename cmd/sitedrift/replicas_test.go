//go:build linux && !noengine

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/collector/state/statetest"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// fleet is what several replicas share: PostgreSQL, a warehouse, the site, the key
// and one configuration.
type fleet struct {
	*killWorld
	cluster  *statetest.Cluster
	config   string // its data_dir is each replica's own
	person   string // who consents
	clientID string
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	f := &fleet{killWorld: &killWorld{bin: killable(t), dir: t.TempDir()}, cluster: statetest.StartCluster(t)}
	engine, err := embedded.Start(t.Context(), embedded.Settings{Dir: filepath.Join(f.dir, "warehouse"), Command: []string{f.bin, "engine"}, ListenHTTP: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = engine.Close(t.Context()) })
	f.provider = sim.New(sim.Settings{Seed: 12, AccessTokenTTL: time.Minute})
	if err := f.provider.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(f.provider.Close)
	f.killSite = &killSite{tenant: "acme", site: f.provider.AddSite(sim.SiteSettings{
		Name: "acme", Spaces: 12, PermissionsPerSpace: 5, Exact: true, Groups: 4, Users: 12, Guests: 2, MembersPerGroup: 3,
	})}
	app := f.provider.AddApp(sim.App{RedirectURIs: []string{"http://127.0.0.1:8917/callback"}, Scopes: sim.AllScopes()})
	f.write(t, "client-secret", app.ClientSecret)
	f.write(t, "state", f.cluster.Database(t))
	f.write(t, "warehouse-dsn", fmt.Sprintf("http://default:%s@%s/", engine.Token(), engine.HTTPAddr()))
	f.config = fmt.Sprintf(`
data_dir: data
state: "file:%[1]s/state"
warehouse: {mode: clickhouse, dsn: "file:%[1]s/warehouse-dsn"}
vault: {key_file: %[1]s/vault.key}
oauth: {client_id: %[2]q, client_secret: "file:%[1]s/client-secret"}
endpoints: {auth: %[3]q, api: %[4]q}
tenants: [{id: %[5]q, site: %[6]q, cloud_id: %[7]q}]
schedules: {posture: "@every 5m", inventory: "@every 5m", audit: off}
jitter: 0s
limits: {requests_per_second: 1000, points_per_hour: 0}
server: {metrics: off}
network: {allow: 127.0.0.0/8}
`, f.dir, app.ClientID, f.provider.AuthURL(), f.provider.APIURL(), f.tenant, f.site.URL(), f.site.CloudID())
	f.person = f.provider.AddPerson(sim.Person{Name: "Admin"}).AccountID
	f.clientID = app.ClientID
	f.consent(t, f.replica(t, "first"))
	return f
}

// consent gives the tenant a grant, through a machine.
func (f *fleet) consent(t *testing.T, w *killWorld, options ...string) {
	t.Helper()
	tokens, _, err := f.provider.Connect(sim.ConsentRequest{ClientID: f.clientID, AccountID: f.person, Sites: []string{f.tenant}, Scopes: killScopes()})
	if err != nil {
		t.Fatal(err)
	}
	f.write(t, "refresh-token", tokens.RefreshToken)
	w.command(t, append([]string{"connect", "--tenant", f.tenant, "--refresh-token", filepath.Join(f.dir, "refresh-token")}, options...)...)
}

// replica is another machine with the same configuration.
func (f *fleet) replica(t *testing.T, name string) *killWorld {
	t.Helper()
	w := &killWorld{bin: f.bin, dir: filepath.Join(f.dir, name), provider: f.provider, killSite: f.killSite, gaps: true}
	if err := os.MkdirAll(w.dir, 0o700); err != nil {
		t.Fatal(err)
	}
	w.write(t, "sitedrift.yml", f.config)
	return w
}

// says waits until the log of a daemon holds a text.
func (d *daemon) says(t *testing.T, text string) {
	t.Helper()
	for deadline := time.Now().Add(patience); !strings.Contains(d.log.String(), text); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("the log does not come to say %q:\n%s", text, d.stacks())
		}
	}
}

// mustShow lets the replica run everything once more, and expects the truth.
func (d *daemon) mustShow(t *testing.T, when string) {
	t.Helper()
	d.sync(t, killGroups()...)
	got, err := d.shown(t.Context(), "")
	if diff := cmp.Diff(d.world.truth(), got); err != nil || diff != "" {
		t.Fatalf("%s, the views do not show the truth: %v (-want +got):\n%s\n%s", when, err, diff, d.tail())
	}
}

// TestReplicas runs the real program as several replicas of one installation: one
// is killed between its decision and the showing, one is frozen before its
// decision, and the survivor does their work; the frozen one publishes nothing of
// what it had begun when it wakes up, and works on (Invariants 3 and 11).
func TestReplicas(t *testing.T) {
	t.Parallel()
	f := newFleet(t)
	killed := f.replica(t, "killed").start(t, "decide.after")
	killed.listens(t)
	survivor := f.replica(t, "survivor").start(t, "")
	survivor.listens(t)
	survivor.mustShow(t, "at the beginning")

	if err := f.change(1); err != nil {
		t.Fatal(err)
	}
	killed.arm(t)
	killed.await(t)
	survivor.says(t, "took over from replicas that are dead")
	survivor.mustShow(t, "after a replica was killed")

	w := f.replica(t, "frozen")
	w.freezes = true
	frozen := w.start(t, "decide.before")
	frozen.listens(t)
	if err := f.change(2); err != nil {
		t.Fatal(err)
	}
	frozen.arm(t)
	frozen.trigger(t)
	frozen.says(t, "failpoint decide.before hit")
	survivor.mustShow(t, "after a replica was frozen") // waits for its lease
	if err := f.change(3); err != nil {
		t.Fatal(err)
	}
	survivor.mustShow(t, "while a replica is frozen")
	if err := frozen.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	frozen.says(t, "another process has taken over")
	frozen.asked.Wait()
	versions := survivor.history(t)
	checkHistory(t, versions, f.truth())
	survivor.checkRuns(t, versions)
	checkEvents(t, survivor.events(t), versions, f.truth())
	frozen.says(t, "the heartbeat of this replica is back")
	frozen.mustShow(t, "after a frozen replica woke up")

	// Commands on a machine without a daemon are seen by all.
	operator := f.replica(t, "operator")
	for _, step := range []struct {
		args []string
		want map[string]bool // tenants, and whether they are paused
	}{
		{[]string{"pause", f.tenant}, map[string]bool{f.tenant: true}},
		{[]string{"add", "beta", "--site", "https://beta.example"}, map[string]bool{f.tenant: true, "beta": false}},
		{[]string{"remove", "beta", "--yes"}, map[string]bool{f.tenant: true}},
	} {
		operator.command(t, append([]string{"tenants"}, step.args...)...)
		for _, d := range []*daemon{survivor, frozen} {
			got := map[string]bool{}
			all, err := tenantsOf(t.Context(), d)
			for _, tenant := range all {
				got[tenant.ID] = tenant.Paused
			}
			if diff := cmp.Diff(step.want, got); err != nil || diff != "" {
				t.Errorf("after %q on another machine a replica says, with %v (-want +got):\n%s", step.args, err, diff)
			}
		}
	}
	frozen.stop(t)
	survivor.stop(t)
	if stats := f.provider.ProviderStats(); stats.FamiliesKilled != 0 {
		t.Errorf("grants were lost: %+v", stats)
	}
	if t.Failed() {
		t.Logf("survivor:\n%s\nfrozen:\n%s", survivor.tail(), frozen.tail())
	}
}
