//go:build linux && !noengine

package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// scriptWorld is what a script plays in: simulated sites, a configuration, and
// perhaps a daemon.
type scriptWorld struct {
	dir      string
	env      []string
	provider *sim.Server
	app      sim.App
	secrets  []string // that no output may hold
	served   bool     // `daemon` starts one
	daemon   *exec.Cmd
	ended    chan struct{}
	log      *lockedBuffer
}

// scriptSites are the sites of every script's world.
var scriptSites = []string{"acme", "globex", "initech"}

type worldKey struct{}

func worldOf(ts *testscript.TestScript) *scriptWorld { return ts.Value(worldKey{}).(*scriptWorld) }

// setUp makes the world of one script.
func setUp(env *testscript.Env, program string, served bool) error {
	w := &scriptWorld{dir: env.WorkDir, served: served, provider: sim.New(sim.Settings{Seed: 4})}
	env.Values[worldKey{}] = w
	if err := w.provider.Start(); err != nil {
		return err
	}
	env.Defer(w.provider.Close)
	env.Defer(func() {
		if w.daemon != nil {
			_ = w.daemon.Process.Kill()
			<-w.ended
		}
	})
	for i, name := range scriptSites {
		w.provider.AddSite(sim.SiteSettings{Name: name, Seed: uint64(i), Spaces: 6, PermissionsPerSpace: 5, Exact: true, Groups: 3, Users: 8, Guests: 1, MembersPerGroup: 3, HiddenSpaces: -1})
	}
	ports, err := freePorts(3)
	if err != nil {
		return err
	}
	callback := "http://127.0.0.1:" + ports[0] + "/callback"
	w.app = w.provider.AddApp(sim.App{RedirectURIs: []string{callback}, Scopes: sim.AllScopes()})
	w.secrets = append(w.secrets, w.app.ClientSecret)
	cache, err := os.UserCacheDir()
	if err != nil {
		return err
	}
	library, err := embedded.Find("", "")
	if err != nil {
		return err
	}
	env.Setenv("LIBRARY", library)
	env.Setenv("HOME", filepath.Join(env.WorkDir, "home"))
	env.Setenv("XDG_CACHE_HOME", cache)
	env.Setenv("SITEDRIFT_CONFIG", filepath.Join(env.WorkDir, "sitedrift.yml"))
	env.Setenv("OAUTH_SECRET", w.app.ClientSecret)
	env.Setenv("PROGRAM", program)
	env.Setenv("SIM", w.provider.URL())
	env.Setenv("METRICS", "127.0.0.1:"+ports[1])
	env.Setenv("SQL", "127.0.0.1:"+ports[2])
	env.Setenv("CLIENT_ID", w.app.ClientID)
	env.Setenv("CALLBACK", callback)
	w.env = env.Vars
	var tenants strings.Builder
	for _, name := range scriptSites {
		fmt.Fprintf(&tenants, "  - id: %s\n    site: %s\n", name, w.provider.Site(name).URL())
	}
	text := fmt.Sprintf(`data_dir: data
vault: {key_file: vault.key}
oauth: {client_id: %q, client_secret: "env:OAUTH_SECRET", redirect_url: %q}
endpoints: {auth: %q, api: %q}
network: {allow: 127.0.0.0/8}
schedules: {posture: off, inventory: off, audit: off}
jitter: 0s
limits: {requests_per_second: 1000, points_per_hour: 0}
server: {metrics: "127.0.0.1:%s"}
tenants:
%s`, w.app.ClientID, callback, w.provider.AuthURL(), w.provider.APIURL(), ports[1], tenants.String())
	return os.WriteFile(filepath.Join(env.WorkDir, "sitedrift.yml"), []byte(text), 0o600)
}

// freePorts are ports of the loopback interface where nobody listens.
func freePorts(n int) (ports []string, err error) {
	var held []net.Listener // until all are found, so that they differ
	defer func() {
		for _, l := range held {
			err = errors.Join(err, l.Close())
		}
	}()
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		held = append(held, l)
		_, port, err := net.SplitHostPort(l.Addr().String())
		if err != nil {
			return nil, err
		}
		ports = append(ports, port)
	}
	return ports, nil
}

// vars are the environment of the script as it is now.
func (w *scriptWorld) vars(ts *testscript.TestScript) []string {
	all := append([]string{}, w.env...)
	for _, name := range []string{"SITEDRIFT_CONFIG", "XDG_CACHE_HOME", "OAUTH_SECRET", "HOME", "PATH"} {
		all = append(all, name+"="+ts.Getenv(name))
	}
	return all
}

// command is the program with arguments, in the world's directory.
func (w *scriptWorld) command(ctx context.Context, ts *testscript.TestScript, args []string) *exec.Cmd {
	c := exec.CommandContext(ctx, ts.Getenv("PROGRAM"), args...)
	c.Dir, c.Env = ts.MkAbs("."), w.vars(ts)
	return c
}

// serve starts a daemon and waits until it answers.
func (w *scriptWorld) serve(ts *testscript.TestScript) {
	if w.daemon != nil {
		ts.Fatalf("a daemon is running already")
	}
	w.log = &lockedBuffer{}
	w.daemon = w.command(context.Background(), ts, []string{"serve"})
	w.daemon.Stderr = w.log
	w.daemon.WaitDelay = time.Second
	ts.Check(w.daemon.Start())
	ended := make(chan struct{})
	w.ended = ended
	daemon := w.daemon
	go func() {
		_ = daemon.Wait() // how it ended is read from its state
		close(ended)
	}()
	for deadline := time.Now().Add(patience); !strings.Contains(w.log.String(), `"serving"`); {
		select {
		case <-ended:
			ts.Fatalf("the daemon ended: %v\n%s", daemon.ProcessState, w.log.String())
		case <-time.After(20 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			ts.Fatalf("the daemon does not come up:\n%s", w.log.String())
		}
	}
}

// stop ends the daemon as its operator would; it has to end well.
func (w *scriptWorld) stop(ts *testscript.TestScript) {
	if w.daemon == nil {
		ts.Fatalf("no daemon is running")
	}
	ts.Check(w.daemon.Process.Signal(syscall.SIGTERM))
	select {
	case <-w.ended:
	case <-time.After(patience):
		ts.Fatalf("the daemon does not stop:\n%s", w.log.String())
	}
	if code := w.daemon.ProcessState.ExitCode(); code != exitOK {
		ts.Fatalf("the daemon ended with %v:\n%s", w.daemon.ProcessState, w.log.String())
	}
	w.daemon = nil
}

// jargon is what no message to a person may hold.
var jargon = regexp.MustCompile(`(?i)dial (unix|tcp)|goroutine|\bpanic\b|%!|context (deadline exceeded|canceled)|\bnil\b|no such file or directory|<nil>|unmarshal|EOF|: : |; ;|exit status|errno|strconv|\*[a-z]+\.[A-Z]`)

// normal takes out of a text what differs from run to run.
func (w *scriptWorld) normal(ts *testscript.TestScript, text string) string {
	if library, err := os.Stat(ts.Getenv("LIBRARY")); err == nil { // of this platform
		size := library.Size()
		text = strings.NewReplacer(strconv.FormatInt(size, 10), "$SIZE", fmt.Sprintf("(%d MB)", size/1e6), "($SIZE)").Replace(text)
	}
	text = strings.NewReplacer(
		w.dir, "$WORK", w.provider.URL(), "$SIM", w.app.ClientID, "$CLIENT_ID", ts.Getenv("METRICS"), "$METRICS",
		ts.Getenv("SQL"), "$SQL", ts.Getenv("CALLBACK"), "$CALLBACK", ts.Getenv("XDG_CACHE_HOME"), "$CACHE",
	).Replace(text)
	for _, r := range normalizing {
		text = r.pattern.ReplaceAllString(text, r.by)
	}
	return text
}

// normalizing is what differs from run to run, and what stands for it.
var normalizing = []struct {
	pattern *regexp.Regexp
	by      string
}{
	{regexp.MustCompile(`\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b`), "UUID"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d[T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?`), "TIME"},
	{regexp.MustCompile(`\b20\d\d-\d\d-\d\d\b`), "DATE"},
	{regexp.MustCompile(`\bin (\d+m)?\d+(\.\d+)?(ms|µs|s)\b`), "in DURATION"},
	{regexp.MustCompile(`process \d+`), "process PID"},
	{regexp.MustCompile(`needs key \d+, key file (\S+) holds \[\d+\]`), "needs key ID, key file $1 holds [ID]"},
	{regexp.MustCompile(`[^\s"]+ \(uid \d+\) on [\w.-]+`), "USER"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "127.0.0.1:PORT"},
	{regexp.MustCompile(`(?m)^sitedrift (\(devel\)|v\d\S*)$`), "sitedrift VERSION"},
	{regexp.MustCompile(`"version": "[^"]*"`), `"version": "VERSION"`},
	{regexp.MustCompile(`("(?:bytes|Bytes)": )\d+`), "${1}BYTES"},
	{regexp.MustCompile(`\b[0-9a-f]{40,}\b`), "HASH"},
}
