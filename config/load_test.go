package config

import (
	"errors"
	"flag"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	cronlib "github.com/robfig/cron/v3"

	"github.com/sitedrift/sitedrift/schemas"
)

var update = flag.Bool("update", false, "write the expected messages anew")

// checks are those that the daemon passes in, in small: real cron syntax, and
// no expression that never fires.
func checks() Checks {
	return Checks{Cron: func(expr string) error {
		s, err := cronlib.ParseStandard(expr)
		if err == nil && s.Next(time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)).IsZero() {
			err = errors.New("it never comes")
		}
		return err
	}}
}

// home gives derived paths a fixed place.
func home(t *testing.T) {
	t.Helper()
	t.Setenv("HOME", "/home/op")
	t.Setenv("XDG_DATA_HOME", "")
	t.Setenv("XDG_CONFIG_HOME", "")
}

// TestBad loads each file of the catalogue of mistakes and compares every
// message with the ones beside it.
func TestBad(t *testing.T) {
	home(t)
	files, err := filepath.Glob("testdata/bad/*.yml")
	if err != nil || len(files) == 0 {
		t.Fatalf("no bad files: %v", err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".yml"), func(t *testing.T) {
			_, err := Load(file, checks())
			var errs *Errors
			if !errors.As(err, &errs) {
				t.Fatalf("Load = %v, want *Errors", err)
			}
			var got strings.Builder
			for _, p := range errs.Problems {
				fmt.Fprintln(&got, p)
				if p.File != file || p.Line == 0 || p.Message == "" || p.Hint == "" {
					t.Errorf("problem lacks a part: %+v", p)
				}
			}
			golden := strings.TrimSuffix(file, ".yml") + ".txt"
			if *update {
				if err := os.WriteFile(golden, []byte(got.String()), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(golden)
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(string(want), got.String()); diff != "" {
				t.Errorf("messages differ (-want +got):\n%s", diff)
			}
		})
	}
}

func TestTenMistakesYieldTenProblems(t *testing.T) {
	home(t)
	_, err := Load("testdata/bad/ten-mistakes.yml", checks())
	var errs *Errors
	if !errors.As(err, &errs) || len(errs.Problems) != 10 {
		t.Fatalf("Load = %v, want 10 problems", err)
	}
	if lines := strings.Count(err.Error(), "\n"); lines != 10 {
		t.Errorf("Error() has %d lines after the first, want 10:\n%v", lines, err)
	}
}

// TestSecretsAreNotEchoed holds Invariant 9 for messages: what looks like a
// secret in any bad file never comes back.
func TestSecretsAreNotEchoed(t *testing.T) {
	home(t)
	for _, file := range []string{"literal-secret", "secret-in-query", "ten-mistakes", "urls"} {
		_, err := Load("testdata/bad/"+file+".yml", checks())
		if err == nil {
			t.Fatalf("%s loads", file)
		}
		for _, secret := range []string{"s3cr3t", "hunter2", "ATOA", "me:pw"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("%s: %q in:\n%v", file, secret, err)
			}
		}
	}
}

func TestGood(t *testing.T) {
	home(t)
	got, err := Load("testdata/good/full.yml", checks())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := filepath.Abs("testdata/good")
	if err != nil {
		t.Fatal(err)
	}
	want := &Config{
		File:    filepath.Join(dir, "full.yml"),
		DataDir: "/srv/sitedrift",
		State:   State{Driver: DriverPostgres, DSN: Ref{file: filepath.Join(dir, "secrets/postgres")}},
		Warehouse: Warehouse{
			Mode: ModeClickHouse, DSN: Ref{env: "CLICKHOUSE_DSN"}, Cluster: "main",
			ListenReadOnly: true, MaxMemory: 2 * GiB,
		},
		Vault: Vault{KeyFile: "/home/op/keys/vault.key"},
		OAuth: OAuth{
			ClientID: "abc", ClientSecret: Ref{env: "SITEDRIFT_OAUTH_SECRET"},
			RedirectURL: "http://[::1]:9000/callback",
		},
		Endpoints: Endpoints{Auth: "https://auth.example.gov", API: "http://localhost:4010/api"},
		Network:   Network{Allow: []netip.Prefix{netip.MustParsePrefix("10.1.2.3/32"), netip.MustParsePrefix("fd12:3456::/48")}},
		Tenants: []Tenant{
			{
				ID: "acme", Name: "Acme: the company", Site: "https://acme.atlassian.net", Deployment: schemas.Cloud,
				CloudID:   "3f2b9c1e-7d44-4a53-9d1c-0a6f5f1c2b7e",
				Schedules: map[string]string{"posture": "17 */6 * * *", "audit": Off},
				Limits:    TenantLimits{RequestsPerSecond: 2.5, RemovalShare: 1, SpoolBytes: 32 * GiB},
			},
			{
				ID: "lab", Name: "lab", Site: "https://confluence.example.com/docs", Deployment: schemas.Cloud, Paused: true,
				Schedules: map[string]string{}, Network: Network{Allow: []netip.Prefix{netip.MustParsePrefix("10.20.30.0/24")}},
			},
		},
		Schedules: map[string]string{"posture": "23 * * * *", "inventory": "@daily", "audit": "53 * * * *"},
		Jitter:    90 * time.Second,
		Limits: Limits{
			Concurrency: 8, TenantConcurrency: 4, RequestsPerSecond: 10,
			RemovalShare: 0.3, RemovalRows: 20, RunTimeout: 30 * time.Minute,
			PartitionRows: 2_000_000, RunBytes: GiB, SpoolBytes: 16 * GiB,
		},
		Retention: Retention{HistoryDays: 400, ChangesDays: 1100, RunsDays: 90, AuditDays: 31},
		Server:    Server{Metrics: Off, ControlSocket: "/run/sitedrift/control.sock"},
		Log:       Log{Level: "debug", Format: "console"},
		Sinks:     Sinks{JSONL: JSONL{Dir: filepath.Join(dir, "out")}},
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(Ref{}), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}

	acme, ok := got.Tenant("acme")
	if !ok {
		t.Fatal("no tenant acme")
	}
	schedules := map[string]string{}
	for _, g := range Groups() {
		if expr, on := got.Schedule(acme, g); on {
			schedules[g] = expr
		}
	}
	if diff := cmp.Diff(map[string]string{"posture": "17 */6 * * *", "inventory": "@daily"}, schedules); diff != "" {
		t.Errorf("schedules of acme (-want +got):\n%s", diff)
	}
	if l := got.LimitsFor(acme); l.RequestsPerSecond != 2.5 || l.RemovalShare != 1 || l.RemovalRows != 20 || l.RunBytes != GiB || l.SpoolBytes != 32*GiB {
		t.Errorf("limits of acme = %+v", l)
	}
	if _, ok := got.Tenant("nobody"); ok {
		t.Error("found a tenant that is not there")
	}
}

func TestDefaultsWithoutFile(t *testing.T) {
	home(t)
	for name, src := range map[string]string{"empty": "", "only comments": "# nothing\n", "null": "~\n"} {
		got, err := parse("", []byte(src), checks())
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		want := Default()
		want.DataDir = "/home/op/.local/share/sitedrift"
		want.Vault.KeyFile = "/home/op/.config/sitedrift/vault.key"
		want.Server.ControlSocket = want.DataDir + "/control.sock"
		if diff := cmp.Diff(want, got, cmp.AllowUnexported(Ref{}), cmpopts.EquateComparable(netip.Prefix{})); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func TestXDGFolders(t *testing.T) {
	home(t)
	t.Setenv("XDG_DATA_HOME", "/data")
	t.Setenv("XDG_CONFIG_HOME", "relative") // counts as unset
	got, err := Load("", checks())
	if err != nil {
		t.Fatal(err)
	}
	if got.DataDir != "/data/sitedrift" || got.Vault.KeyFile != "/home/op/.config/sitedrift/vault.key" {
		t.Errorf("data_dir %s, key_file %s", got.DataDir, got.Vault.KeyFile)
	}
}

func TestNoHome(t *testing.T) {
	home(t)
	t.Setenv("HOME", "")
	_, err := Load("", checks())
	var errs *Errors
	if !errors.As(err, &errs) || len(errs.Problems) != 2 {
		t.Fatalf("Load = %v, want the two paths that have no default", err)
	}
}

func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.yml")
	if err := os.WriteFile(big, make([]byte, maxFile+1), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := Load(filepath.Join(dir, "none.yml"), checks()); !errors.Is(err, fs.ErrNotExist) || !strings.Contains(err.Error(), "create it") {
		t.Errorf("missing file: %v", err)
	}
	if _, err := Load(dir, checks()); err == nil || !strings.Contains(err.Error(), "is a folder") {
		t.Errorf("folder: %v", err)
	}
	if _, err := Load(big, checks()); err == nil || !strings.Contains(err.Error(), "larger than") {
		t.Errorf("big file: %v", err)
	}
}

func TestFind(t *testing.T) {
	home(t)
	dir := t.TempDir()
	t.Chdir(dir)
	t.Setenv("SITEDRIFT_CONFIG", "")
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "xdg"))
	write := func(path string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want := func(flag, path string) {
		t.Helper()
		if got := Find(flag); got != path {
			t.Errorf("Find(%q) = %q, want %q", flag, got, path)
		}
	}
	if got := Find(""); got != "" && got != "/etc/sitedrift/sitedrift.yml" {
		t.Errorf("Find in an empty place = %q", got)
	}
	user := filepath.Join(dir, "xdg/sitedrift/sitedrift.yml")
	write(user)
	want("", user)
	write(filepath.Join(dir, "sitedrift.yml"))
	want("", "sitedrift.yml")
	t.Setenv("SITEDRIFT_CONFIG", "/named/by/variable.yml")
	want("", "/named/by/variable.yml")
	want("flag.yml", "flag.yml")
}
