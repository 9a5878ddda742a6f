package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"text/template"
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// program is the package that is measured.
const program = "github.com/sitedrift/sitedrift/cmd/sitedrift"

// build makes the program that is measured, as make does; with the profiler in
// it if it is to be profiled.
func build(ctx context.Context, into string, profiled bool) (string, error) {
	binary := filepath.Join(into, "sitedrift")
	args := []string{"build", "-trimpath", "-o", binary}
	if profiled {
		dir, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", program).Output()
		if err != nil {
			return "", fmt.Errorf("find the sources of sitedrift: %w", err)
		}
		flag, err := overlay(strings.TrimSpace(string(dir)), into)
		if err != nil {
			return "", err
		}
		args = append(args, flag)
	}
	cmd := exec.CommandContext(ctx, "go", append(args, program)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build sitedrift: %w\n%s", err, out)
	}
	return binary, nil
}

// subject is the program that is measured.
type subject struct {
	binary   string
	profiles string // folder; empty: no profiles
}

func (s subject) env() []string {
	if s.profiles == "" {
		return nil // this process's own
	}
	return append(os.Environ(), "SITEDRIFT_BENCH_PROFILE="+s.profiles)
}

// installation is a data directory with a configuration, and the daemon on it.
type installation struct {
	binary, dir string
	profiled    bool
	env         []string
	daemon      *exec.Cmd
	ended       chan error
}

var configuration = template.Must(template.New("").Parse(`data_dir: {{.Dir}}/data
vault: {key_file: {{.Dir}}/vault.key}
oauth: {client_id: {{.ClientID}}, client_secret: "file:{{.Dir}}/secret"}
endpoints: {auth: "{{.Auth}}", api: "{{.API}}"}
network: {allow: 127.0.0.0/8}
schedules: {posture: off, inventory: off, audit: off}
# Nothing here waits for the site's sake: what is measured is the work.
limits: {requests_per_second: 100000, points_per_hour: 0}
server: {metrics: off}
tenants:
{{- range .Tenants}}
- {id: {{.}}, site: "{{$.Site}}/{{.}}"}
{{- end}}
`))

// install writes the configuration for tenants that are called like their
// sites, starts the daemon, and connects them.
func install(ctx context.Context, p subject, dir string, w *world, tenants ...string) (*installation, error) {
	in := &installation{binary: p.binary, profiled: p.profiles != "", dir: dir, env: p.env()}
	var text bytes.Buffer
	if err := configuration.Execute(&text, map[string]any{
		"Dir": dir, "ClientID": w.app.ClientID, "Auth": w.server.AuthURL(), "API": w.server.APIURL(), "Site": w.server.URL() + "/site", "Tenants": tenants,
	}); err != nil {
		return nil, err
	}
	for name, content := range map[string][]byte{"sitedrift.yml": text.Bytes(), "secret": []byte(w.app.ClientSecret)} {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			return nil, err
		}
	}
	if err := in.start(ctx); err != nil {
		return nil, err
	}
	for _, t := range tenants {
		if err := in.connect(ctx, w, t); err != nil {
			return nil, errors.Join(err, in.stop())
		}
	}
	return in, nil
}

func (in *installation) connect(ctx context.Context, w *world, tenant string) error {
	token, err := w.refreshToken(tenant)
	if err != nil {
		return err
	}
	file := filepath.Join(in.dir, "refresh-"+tenant)
	if err := os.WriteFile(file, []byte(token), 0o600); err != nil {
		return err
	}
	_, err = in.command(ctx, "connect", "--tenant", tenant, "--refresh-token", file)
	return err
}

// start starts the daemon and waits until it takes commands.
func (in *installation) start(ctx context.Context) error {
	log, err := os.OpenFile(in.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer log.Close()
	in.daemon = exec.CommandContext(ctx, in.binary, "--config", filepath.Join(in.dir, "sitedrift.yml"), "serve")
	in.daemon.Stderr = log
	in.daemon.Env = in.env
	in.daemon.Cancel = func() error { return in.daemon.Process.Signal(syscall.SIGTERM) }
	in.daemon.WaitDelay = time.Minute
	if err := in.daemon.Start(); err != nil {
		return fmt.Errorf("start the daemon: %w", err)
	}
	in.ended = make(chan error, 1)
	go func() { in.ended <- in.daemon.Wait() }()
	poll := time.NewTicker(10 * time.Millisecond)
	defer poll.Stop()
	for {
		var d net.Dialer
		conn, err := d.DialContext(ctx, "unix", filepath.Join(in.dir, "data", "control.sock"))
		if err == nil {
			return conn.Close()
		}
		if !errors.Is(err, fs.ErrNotExist) && !errors.Is(err, syscall.ECONNREFUSED) {
			return errors.Join(fmt.Errorf("the daemon's control socket: %w", err), in.stop())
		}
		select {
		case err := <-in.ended:
			in.daemon = nil
			return fmt.Errorf("the daemon ended at once: %w\n%s", err, in.logged())
		case <-poll.C:
		}
	}
}

func (in *installation) logFile() string { return filepath.Join(in.dir, "daemon.log") }

// logged is the end of the daemon's log.
func (in *installation) logged() string {
	text, err := os.ReadFile(in.logFile())
	if err != nil {
		return err.Error()
	}
	return string(text[max(0, len(text)-4096):])
}

// stop ends the daemon and waits until it is gone. It may be called again.
func (in *installation) stop() error {
	if in.daemon == nil {
		return nil
	}
	_ = in.daemon.Process.Signal(syscall.SIGTERM) // it may have ended already, which Wait tells
	err := <-in.ended
	in.daemon = nil
	if err != nil {
		return fmt.Errorf("the daemon: %w\n%s", err, in.logged())
	}
	return nil
}

// restart gives the daemon a fresh process, whose memory starts anew.
func (in *installation) restart(ctx context.Context) error {
	if err := in.stop(); err != nil {
		return err
	}
	return in.start(ctx)
}

// command runs a command of the command line, which asks the daemon.
func (in *installation) command(ctx context.Context, args ...string) ([]byte, error) {
	cmd := exec.CommandContext(ctx, in.binary, append([]string{"--config", filepath.Join(in.dir, "sitedrift.yml"), "--json"}, args...)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		return out, fmt.Errorf("sitedrift %s: %w\n%s%s\n%s", args[0], err, stderr.String(), out, in.logged())
	}
	return out, nil
}

func (in *installation) toggleProfile() {
	if in.profiled {
		_ = in.daemon.Process.Signal(syscall.SIGUSR1)
	}
}

// cost is what a sync took.
type cost struct {
	wall       time.Duration
	cpu        time.Duration // of the daemon
	engine     time.Duration // CPU of the engine, its child
	peak       float64       // MiB that the daemon had resident at most, since its start
	site       time.Duration // CPU of this process, which serves the site
	runs       []shownRun
	afterwards time.Duration // from the end of the last run's reading to the end of the command
}

// shownRun is a run as sync prints it, as far as it is needed here.
type shownRun struct {
	Tenant    string          `json:"tenant_id"`
	Group     string          `json:"dataset_group"`
	Seq       uint64          `json:"seq"`
	Outcome   schemas.Outcome `json:"outcome"`
	StartedAt time.Time       `json:"started_at"`
	EndedAt   time.Time       `json:"ended_at"`
	RowsRead  int64           `json:"rows_read"`
}

// rows is the number of rows that the runs read.
func (c cost) rows() (n int64) {
	for _, r := range c.runs {
		n += r.RowsRead
	}
	return n
}

// sync runs a tenant's datasets in the daemon and takes its cost. Every dataset
// must be read completely, with the outcome that is expected of each run.
func (in *installation) sync(ctx context.Context, outcome schemas.Outcome, tenant string, names ...string) (c cost, err error) {
	args := []string{"sync", "--tenant", tenant}
	for _, n := range names {
		args = append(args, "--dataset", n)
	}
	pid := in.daemon.Process.Pid
	before, err := cpuOf(pid)
	if err != nil {
		return c, err
	}
	engine, err := engineCPU(pid)
	if err != nil {
		return c, err
	}
	site, err := ownCPU()
	if err != nil {
		return c, err
	}
	in.toggleProfile()
	start := time.Now()
	answer, err := in.command(ctx, args...)
	if err != nil {
		return c, err
	}
	end := time.Now()
	in.toggleProfile()
	after, err := cpuOf(pid)
	if err != nil {
		return c, err
	}
	if c.engine, err = engineCPU(pid); err != nil {
		return c, err
	}
	if c.site, err = ownCPU(); err != nil {
		return c, err
	}
	c.site -= site
	c.wall, c.cpu, c.engine = end.Sub(start), after-before, c.engine-engine
	if c.peak, err = peakMiB(pid); err != nil {
		return c, err
	}
	var list []struct {
		Run shownRun `json:"run"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return c, fmt.Errorf("the answer of sync is not understood: %w", err)
	}
	for _, l := range list {
		if l.Run.Outcome != outcome {
			return c, fmt.Errorf("the run of %s/%s ended with %s, expected was %s", tenant, l.Run.Group, l.Run.Outcome, outcome)
		}
		c.runs = append(c.runs, l.Run)
		c.afterwards = end.Sub(l.Run.EndedAt)
	}
	return c, nil
}
