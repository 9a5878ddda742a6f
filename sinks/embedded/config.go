package embedded

import (
	"encoding/xml"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
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
// write every file of the daemon's system user, run commands, and fetch any URL. "GRANT ALL ON sitedrift.*" would
// be too much: a dictionary of the database may have a command or a URL as its source. What the engine does without asking for
// a grant is refused by package front.
var grants = []string{
	"GRANT SELECT, INSERT, ALTER, CREATE DATABASE, CREATE TABLE, CREATE VIEW, DROP TABLE, DROP VIEW, UNDROP TABLE, " +
		"TRUNCATE, OPTIMIZE, BACKUP, CHECK, SHOW ON " + Database + ".*",
	"GRANT SELECT ON system.*",
	"GRANT SELECT ON information_schema.*",
	"GRANT SELECT ON INFORMATION_SCHEMA.*",
	"GRANT SHOW DATABASES, SHOW TABLES, SHOW COLUMNS ON *.*",
	"GRANT CREATE TEMPORARY TABLE, KILL QUERY, SYSTEM MERGES, SYSTEM TTL MERGES, SYSTEM FLUSH, SYSTEM DROP CACHE ON *.*",
}

// fixed are settings that name files, which the engine would read or write without asking for a grant.
var fixed = []string{
	"format_schema", "format_schema_source", "format_template_row", "format_template_resultset", "format_template_row_format",
	"format_template_resultset_format", "output_format_schema",
}

// reserve is how many bytes of the disk must be free for the engine to begin an insert or a merge: when the disk
// fills up meanwhile, it notices nothing and keeps parts with files of no bytes.
const reserve = 64 << 20

// writeConfig writes the engine's configuration and returns the main file. memory is the limit for the whole
// engine in bytes, 0 for 40 % of what the machine or container has.
func (l layout) writeConfig(memory int64) (string, error) {
	main, users := filepath.Join(l.config(), "config.xml"), filepath.Join(l.config(), "users.xml")
	limit := "<max_server_memory_usage_to_ram_ratio>0.4</max_server_memory_usage_to_ram_ratio>"
	if memory > 0 {
		limit = fmt.Sprintf("<max_server_memory_usage>%d</max_server_memory_usage>", memory)
	}
	var g, c strings.Builder
	for _, grant := range grants {
		fmt.Fprintf(&g, "        <query>%s</query>\n", grant)
	}
	for _, name := range fixed {
		fmt.Fprintf(&c, "<%s><const/></%s>", name, name)
	}
	for file, text := range map[string]string{
		main: `<clickhouse>
  <logger><level>none</level></logger>
  ` + limit + `
  <users_config>` + escape(users) + `</users_config>
  <backups><allowed_path>` + escape(l.backups()) + `</allowed_path></backups>
  <storage_configuration><disks><default><keep_free_space_bytes>` + strconv.Itoa(reserve) + `</keep_free_space_bytes></default></disks></storage_configuration>
</clickhouse>
`,
		users: `<clickhouse>
  <profiles><default><constraints>` + c.String() + `</constraints></default></profiles>
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

// BackupDir is where the engine of a data directory may put a backup that is under
// way, and find one to restore.
func BackupDir(dataDir string) string {
	return filepath.Join(newLayout(dataDir).backups(), "under-way")
}
