package check

import (
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/config"
)

// TestUnit takes the configuration that the head of the unit makes, and looks whether
// the unit lets the daemon write where that says: its data, and beside its key.
func TestUnit(t *testing.T) {
	text, err := os.ReadFile("../sitedrift.service")
	if err != nil {
		t.Fatal(err)
	}
	keys := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=(.*)$`).FindAllStringSubmatch(string(text), -1) {
		keys[m[1]] += m[2] + "\n"
	}
	is := func(key, want string) {
		t.Helper()
		if !slices.Contains(strings.Split(keys[key], "\n"), want) {
			t.Errorf("%s is %q, want %s", key, keys[key], want)
		}
	}
	is("StateDirectoryMode", "0700")
	is("UMask", "0077")
	is("Restart", "on-failure")
	is("RestartPreventExitStatus", "2") // a mistake in the configuration
	is("ConfigurationDirectoryMode", "0750")
	if !strings.Contains(string(text), "\n#   install -d -m 0750 -g sitedrift /etc/sitedrift\n") {
		t.Error("the head makes /etc/sitedrift with another mode than the unit")
	}

	step := regexp.MustCompile(`(?m)^#   (sed '.*' deployments/sitedrift\.example\.yml) >/etc/sitedrift/sitedrift\.yml$`).FindSubmatch(text)
	if step == nil {
		t.Fatal("no step of the head makes the configuration")
	}
	sed := exec.CommandContext(t.Context(), "sh", "-c", string(step[1]))
	sed.Dir = "../.."
	made, err := sed.Output()
	if err != nil {
		t.Fatalf("%s: %v", step[1], err)
	}
	file := filepath.Join(t.TempDir(), "sitedrift.yml")
	if err := os.WriteFile(file, made, 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, config.Checks{})
	if err != nil {
		t.Fatal(err)
	}
	is("StateDirectory", strings.TrimPrefix(c.DataDir, "/var/lib/"))
	is("ReadWritePaths", "-"+path.Dir(c.Vault.KeyFile))
	if dir := path.Dir(c.Vault.KeyFile); !strings.Contains(string(text), " -o sitedrift -g sitedrift "+dir+" ") {
		t.Errorf("the head does not give %s to the daemon, which makes its key there", dir)
	}
}
