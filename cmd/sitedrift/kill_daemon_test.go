//go:build linux && !noengine

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sync/errgroup"

	"github.com/sitedrift/sitedrift/schemas"
)

// patience bounds every wait for a daemon: it stops a hang, and measures nothing.
const patience = 2 * time.Minute

// daemon is one run of `sitedrift serve`.
type daemon struct {
	world *killWorld
	cmd   *exec.Cmd
	log   *lockedBuffer
	ended chan struct{}  // closed when the process is gone
	armed string         // creating this file arms the fail point
	asked sync.WaitGroup // what trigger asked for
}

// lockedBuffer is a buffer that is written and read at the same time.
type lockedBuffer struct {
	mu  sync.Mutex
	buf bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.buf.String()
}

// start starts the daemon with a fail point that is not armed yet; empty for none.
func (w *killWorld) start(t testing.TB, point string) *daemon {
	t.Helper()
	d := &daemon{world: w, log: &lockedBuffer{}, ended: make(chan struct{}), armed: filepath.Join(w.dir, "armed")}
	if err := os.RemoveAll(d.armed); err != nil {
		t.Fatal(err)
	}
	d.cmd = exec.Command(w.bin, "--config", filepath.Join(w.dir, "sitedrift.yml"), "serve")
	d.cmd.Env = append(os.Environ(), "SITEDRIFT_FAILPOINT="+point, "SITEDRIFT_FAILPOINT_ARMED="+d.armed)
	if w.freezes {
		d.cmd.Env = append(d.cmd.Env, "SITEDRIFT_FAILPOINT_SIGNAL=STOP")
	}
	d.cmd.Stderr = d.log
	d.cmd.WaitDelay = time.Second // the engine, which outlives a killed daemon for a moment, does not have the pipe
	if err := d.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	go func() {
		_ = d.cmd.Wait() // how it ended is read from its state
		close(d.ended)
	}()
	t.Cleanup(func() {
		_ = d.cmd.Process.Kill()
		<-d.ended
	})
	return d
}

func (d *daemon) arm(t testing.TB) {
	t.Helper()
	if err := os.WriteFile(d.armed, nil, 0o600); err != nil {
		t.Fatal(err)
	}
}

// kill ends the process without a chance to do anything.
func (d *daemon) kill() { _ = d.cmd.Process.Kill() }

// await asks for runs of everything until the process has ended, which must be
// by SIGKILL. Not every run comes to refresh a token.
func (d *daemon) await(t testing.TB) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		select {
		case <-d.ended:
		case <-time.After(time.Second):
			if time.Now().After(deadline) {
				t.Fatalf("the daemon was to be killed and lives on:\n%s", d.tail())
			}
			d.trigger(t)
			continue
		}
		break
	}
	d.asked.Wait()
	if status, ok := d.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
		t.Fatalf("the daemon ended with %v, not by SIGKILL:\n%s", d.cmd.ProcessState, d.tail())
	}
}

// stop ends the process in order.
func (d *daemon) stop(t testing.TB) {
	t.Helper()
	if err := d.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	select {
	case <-d.ended:
	case <-time.After(patience):
		t.Fatalf("the daemon does not stop:\n%s", d.tail())
	}
	if !d.cmd.ProcessState.Success() {
		t.Errorf("the daemon stopped with %v:\n%s", d.cmd.ProcessState, d.tail())
	}
}

var (
	pointHit  = regexp.MustCompile(`(?m)^failpoint (\S+) hit$`)
	enginePID = regexp.MustCompile(`"embedded engine is up(?: again)?","pid":(\d+)`)
)

// hit is the fail point that killed the process, as it told itself.
func (d *daemon) hit() string {
	if m := pointHit.FindStringSubmatch(d.log.String()); m != nil {
		return m[1]
	}
	return ""
}

// killEngine kills the engine of a daemon that is dead, as the end of a
// container would; otherwise it stops by itself.
func (d *daemon) killEngine() {
	m := enginePID.FindStringSubmatch(d.log.String())
	if m == nil {
		return
	}
	pid, err := strconv.Atoi(m[1])
	if err != nil {
		return
	}
	// The number may be somebody else's by now.
	if line, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil && bytes.HasPrefix(line, []byte(d.world.bin)) {
		_ = syscall.Kill(pid, syscall.SIGKILL)
	}
}

// tail is the end of the log.
func (d *daemon) tail() string {
	lines := strings.Split(strings.TrimSpace(d.log.String()), "\n")
	return strings.Join(lines[max(0, len(lines)-40):], "\n")
}

// ask runs an operation through the control socket.
func (d *daemon) ask(ctx context.Context, operation string, params any, onEvent func(json.RawMessage) error) (json.RawMessage, error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	raw, err := json.Marshal(params)
	if err != nil {
		return nil, err
	}
	return remote(ctx, filepath.Join(d.world.dir, "data", "control.sock"), operation, raw, onEvent)
}

// trigger asks for runs of everything, by a person, beside the schedules. The
// answers do not count: the process is about to be killed.
func (d *daemon) trigger(t testing.TB) {
	t.Helper()
	for _, group := range killGroups() {
		d.asked.Go(func() {
			_, err := d.ask(t.Context(), "sync", syncParams{Tenant: d.world.tenant, Datasets: datasetsOf(group)}, func(json.RawMessage) error {
				d.world.cutOff.Store(group, true)
				return nil
			})
			if err == nil {
				d.world.cutOff.Delete(group)
			}
		})
	}
}

func datasetsOf(group string) (names []string) {
	for _, t := range tables() {
		if t.Group == group {
			names = append(names, t.Name)
		}
	}
	return names
}

// rows asks the daemon SQL and returns the rows as texts. After a full disk the engine
// may have to be started again first: the daemon does that to its own, and the
// operator of a server to that.
func (d *daemon) rows(ctx context.Context, sql string) (rows [][]string, err error) {
	for deadline := time.Now().Add(patience); ; {
		rows, err = d.rowsNow(ctx, sql)
		if err == nil || !d.world.fills || !strings.Contains(err.Error(), "CORRUPTED_DATA") || time.Now().After(deadline) {
			return rows, err
		}
		if d.world.mend != nil {
			d.world.mend(err)
		}
		time.Sleep(time.Second)
	}
}

func (d *daemon) rowsNow(ctx context.Context, sql string) (rows [][]string, err error) {
	_, err = d.ask(ctx, "query", queryParams{SQL: sql}, func(raw json.RawMessage) error {
		var ev queryEvent
		if err := json.Unmarshal(raw, &ev); err != nil {
			return err
		}
		for _, row := range ev.Rows {
			texts := make([]string, len(row))
			for i, v := range row {
				texts[i] = v.Text()
			}
			rows = append(rows, texts)
		}
		return nil
	})
	return rows, err
}

// mustRows is rows of a statement that has to work.
func (d *daemon) mustRows(t testing.TB, sql string) [][]string {
	t.Helper()
	rows, err := d.rows(t.Context(), sql)
	if err != nil {
		t.Fatalf("%v\n%s\n%s", err, sql, d.tail())
	}
	return rows
}

// all runs statements, some at once, and returns their rows in the order of the
// statements.
func (d *daemon) all(ctx context.Context, statements []string) ([][]string, error) {
	parts := make([][][]string, len(statements))
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(2)
	for i, sql := range statements {
		group.Go(func() (err error) {
			if parts[i], err = d.rows(ctx, sql); err != nil && !errors.Is(err, errNoDaemon) {
				err = fmt.Errorf("%w\n%s", err, sql)
			}
			return err
		})
	}
	err := group.Wait()
	return slices.Concat(parts...), err
}

// mustAll is all of statements that have to work.
func (d *daemon) mustAll(t testing.TB, statements []string) [][]string {
	t.Helper()
	rows, err := d.all(t.Context(), statements)
	if err != nil {
		t.Fatalf("%v\n%s", err, d.tail())
	}
	return rows
}

// killTexts are the columns of a dataset's view as one text.
func killTexts(d *schemas.Dataset) string {
	parts := []string{"tenant_id"}
	for _, c := range killColumns(d) {
		text := fmt.Sprintf(`ifNull(toString(%s), '\\N')`, c)
		if i := d.Column(c); i >= 0 && d.Columns[i].Kind == schemas.KindStrings {
			text = fmt.Sprintf("arrayStringConcat(%s, ' ')", c)
		}
		parts = append(parts, text)
	}
	return "arrayStringConcat([" + strings.Join(parts, ", ") + "], char(31))"
}

// shown is what the views of all datasets show; suffix makes
// other views of their names, such as "_at(at = '...')".
func (d *daemon) shown(ctx context.Context, suffix string) (killRows, error) {
	rows, err := d.all(ctx, each(killTables(), func(t *schemas.Dataset) string {
		return fmt.Sprintf("SELECT '%s' AS dataset, %s AS texts FROM %s%s", t.Name, killTexts(t), t.Name, suffix)
	}))
	if err != nil {
		return nil, err
	}
	all := killRows{}
	for _, t := range killTables() {
		all[t.Name] = nil
	}
	for _, r := range rows {
		all[r[0]] = append(all[r[0]], r[1])
	}
	return all.sorted(), nil
}

// shows lets every group be run once more, as soon as the daemon listens, and
// then expects the views to show what is wanted.
func (d *daemon) shows(t testing.TB, want killRows) {
	t.Helper()
	d.listens(t)
	d.sync(t, slices.DeleteFunc(killGroups(), d.tookUp)...)
	got, err := d.shown(t.Context(), "")
	if diff := cmp.Diff(want, got); err != nil || diff != "" {
		t.Fatalf("the views do not show the truth: %v (-want +got):\n%s\n%s", err, diff, d.stacks())
	}
}

// tookUp waits for the end of a run that the daemon before was killed in: it is
// run again without anybody asking. It may have ended just before the kill.
func (d *daemon) tookUp(group string) bool {
	if _, cut := d.world.cutOff.LoadAndDelete(group); !cut {
		return false
	}
	ended := regexp.MustCompile(`"msg":"run ended",[^\n]*"group":"` + group + `"`)
	for deadline := time.Now().Add(time.Second); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		if ended.MatchString(d.log.String()) {
			return true
		}
	}
	return false
}

// listens waits until the daemon answers.
func (d *daemon) listens(t testing.TB) {
	t.Helper()
	err := errNoDaemon
	for deadline := time.Now().Add(patience); errors.Is(err, errNoDaemon) && time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) {
		select {
		case <-d.ended:
			t.Fatalf("the daemon ended by itself: %v\n%s", d.cmd.ProcessState, d.tail())
		default:
			_, err = d.ask(t.Context(), "tenants", tenantsParams{}, nil)
		}
	}
	if err != nil {
		t.Fatalf("the daemon does not listen: %v\n%s", err, d.stacks())
	}
}

// sync lets groups be run once more: a run for a person comes after the one
// under way, if there is one.
func (d *daemon) sync(t testing.TB, groups ...string) {
	t.Helper()
	var asked sync.WaitGroup
	for _, group := range groups {
		asked.Go(func() {
			if _, err := d.ask(t.Context(), "sync", syncParams{Tenant: d.world.tenant, Datasets: datasetsOf(group)}, func(json.RawMessage) error { return nil }); err != nil {
				t.Errorf("%v\n%s", err, d.tail())
			}
		})
	}
	asked.Wait()
}

// stacks ends a daemon that does not do what it should, and returns the end of
// its log with the stacks of all that it was doing.
func (d *daemon) stacks() string {
	_ = d.cmd.Process.Signal(syscall.SIGQUIT)
	<-d.ended
	log := d.log.String()
	return log[max(0, len(log)-200_000):]
}

// quiesce lets no more runs be started by schedules and waits for those under way.
func (d *daemon) quiesce(t testing.TB) {
	t.Helper()
	d.pause(t, true)
	d.sync(t, killGroups()...)
}

// resume takes quiesce back, as soon as the daemon listens.
func (d *daemon) resume(t testing.TB) {
	t.Helper()
	d.listens(t)
	d.pause(t, false)
}

func (d *daemon) pause(t testing.TB, paused bool) {
	t.Helper()
	if _, err := d.ask(t.Context(), "pause", pauseParams{d.world.tenant, paused}, nil); err != nil {
		t.Fatalf("%v\n%s", err, d.tail())
	}
}

// untilRefreshed waits until each grant was refreshed once more.
func (d *daemon) untilRefreshed(t testing.TB) {
	t.Helper()
	before := d.world.provider.Grants()
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
		done := true
		for i, g := range d.world.provider.Grants() {
			done = done && g.Rotations > before[i].Rotations
		}
		if done {
			return
		}
	}
	t.Errorf("grants are refreshed no more: %+v\n%s", d.world.provider.Grants(), d.stacks())
}
