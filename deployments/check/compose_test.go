package check

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
	"github.com/sitedrift/sitedrift/config"
)

// TestCompose loads the file as Compose does, schema and all, and checks what it
// promises: secrets as files, health checks, stores that nobody outside reaches.
func TestCompose(t *testing.T) {
	const file = "../compose.yml"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	p, err := loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: "..", ConfigFiles: []types.ConfigFile{{Filename: file, Content: text}}, Environment: types.Mapping{},
	}, func(o *loader.Options) { o.SetProjectName("sitedrift", true) })
	if err != nil {
		t.Fatal(err)
	}
	if len(p.Services) != 3 {
		t.Errorf("%d services, want the daemon and its two stores", len(p.Services))
	}
	pinned := regexp.MustCompile(`:(dev|\d+\.\d+)`)
	for name, s := range p.Services {
		if s.HealthCheck == nil || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Retries == nil {
			t.Errorf("%s has no health check", name)
		}
		if !pinned.MatchString(s.Image) {
			t.Errorf("%s runs %s, which may be another tomorrow", name, s.Image)
		}
		for key, value := range s.Environment {
			if value != nil && regexp.MustCompile(`(?i)password|secret|token`).MatchString(key) && !strings.HasPrefix(*value, "/run/secrets/") {
				t.Errorf("%s has %s in its environment, which `docker inspect` shows", name, key)
			}
		}
		for _, port := range s.Ports {
			if name != "sitedrift" || port.HostIP != "127.0.0.1" {
				t.Errorf("%s publishes port %s on %q", name, port.Published, port.HostIP)
			}
		}
		for _, secret := range s.Secrets {
			if p.Secrets[secret.Source].File == "" {
				t.Errorf("%s: the secret %s is no file", name, secret.Source)
			}
		}
		for _, v := range s.Volumes {
			if _, ok := p.Volumes[v.Source]; !ok {
				t.Errorf("%s keeps %s in no named volume", name, v.Target)
			}
		}
	}
	if !p.Networks["stores"].Internal {
		t.Error("the stores reach the world")
	}
	for _, store := range []string{"postgres", "clickhouse"} {
		if _, ok := p.Services[store].Networks["outside"]; ok {
			t.Errorf("%s is on the outer network", store)
		}
		if p.Services["sitedrift"].DependsOn[store].Condition != types.ServiceConditionHealthy {
			t.Errorf("sitedrift does not wait for %s", store)
		}
	}
	daemon := p.Services["sitedrift"]
	if !daemon.ReadOnly || daemon.User != "65532:65532" || len(daemon.CapDrop) != 1 || daemon.CapDrop[0] != "ALL" {
		t.Error("sitedrift may write into its image, or runs with rights")
	}

	written := filepath.Join(t.TempDir(), "sitedrift.yml")
	if err := os.WriteFile(written, []byte(p.Configs["sitedrift"].Content), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(written, config.Checks{})
	if err != nil {
		t.Fatal(err)
	}
	if c.State.Driver != config.DriverPostgres || c.Warehouse.Mode != config.ModeClickHouse {
		t.Errorf("the daemon does not use the stores: %+v %+v", c.State, c.Warehouse)
	}
	for _, secret := range daemon.Secrets {
		if !strings.Contains(p.Configs["sitedrift"].Content, "/run/secrets/"+secret.Source) {
			t.Errorf("the secret %s is used nowhere", secret.Source)
		}
	}
}
