package embedded

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// Database is the only database that clients of the engine can use; it always exists.
const Database = "sitedrift"

// layout is where things lie below the engine's directory.
type layout struct{ root string }

func (l layout) store() string   { return filepath.Join(l.root, "store") }   // the engine's own files
func (l layout) backups() string { return filepath.Join(l.root, "backups") } // where BACKUP ... TO File may write
func (l layout) config() string  { return filepath.Join(l.root, "config") }
func (l layout) empty() string   { return filepath.Join(l.root, "empty") } // working directory: the engine reads ./config.xml
func (l layout) lock() string    { return filepath.Join(l.root, "lock") }

func (l layout) make() error {
	for _, dir := range []string{l.root, l.store(), l.backups(), l.config(), l.empty()} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("embedded engine: %w", err)
		}
	}
	return nil
}

// grants are all that a statement may do. The engine knows one user, and without these any client could read and
// write every file of the daemon's system user, and fetch any URL: file(), url(), other databases and the sources
// and engines that reach out of the process are not in the list and so refused.
var grants = []string{
	"GRANT ALL ON " + Database + ".*",
	"GRANT SELECT ON system.*",
	"GRANT SELECT ON information_schema.*",
	"GRANT SELECT ON INFORMATION_SCHEMA.*",
	"GRANT SHOW ON *.*",
	"GRANT CREATE TEMPORARY TABLE ON *.*",
	"GRANT KILL QUERY ON *.*",
	"GRANT SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM FLUSH, SYSTEM DROP CACHE ON *.*",
}

// writeConfig writes the engine's configuration and returns the main file. memory is the limit for the whole
// engine in bytes, 0 for 40 % of what the machine or container has.
func (l layout) writeConfig(memory int64) (string, error) {
	main, users := filepath.Join(l.config(), "config.xml"), filepath.Join(l.config(), "users.xml")
	limit := "<max_server_memory_usage_to_ram_ratio>0.4</max_server_memory_usage_to_ram_ratio>"
	if memory > 0 {
		limit = fmt.Sprintf("<max_server_memory_usage>%d</max_server_memory_usage>", memory)
	}
	var g strings.Builder
	for _, grant := range grants {
		fmt.Fprintf(&g, "        <query>%s</query>\n", grant)
	}
	for file, text := range map[string]string{
		main: `<clickhouse>
  <logger><level>none</level></logger>
  ` + limit + `
  <users_config>` + escape(users) + `</users_config>
  <backups><allowed_path>` + escape(l.backups()) + `</allowed_path></backups>
</clickhouse>
`,
		users: `<clickhouse>
  <profiles><default/></profiles>
  <quotas><default/></quotas>
  <users>
    <default>
      <password/>
      <networks><ip>::/0</ip></networks>
      <profile>default</profile>
      <quota>default</quota>
      <grants>
` + g.String() + `      </grants>
    </default>
  </users>
</clickhouse>
`,
	} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			return "", fmt.Errorf("embedded engine: %w", err)
		}
	}
	return main, nil
}

func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

// newLayout is the engine's part of the daemon's data directory.
func newLayout(dataDir string) layout { return layout{filepath.Join(dataDir, "clickhouse")} }
