package config

import (
	"fmt"
	"path/filepath"
	"strings"
)

// maxSocketPath is the longest path of a Unix socket that every supported
// system takes (sun_path less its final zero byte; macOS has the least, 104).
const maxSocketPath = 103

// check holds the rules that look at more than one key.
func (l *loader) check(c *Config) {
	switch w := c.Warehouse; w.Mode {
	case ModeClickHouse:
		if w.DSN.IsZero() && !l.failed("warehouse.dsn") {
			l.problem("warehouse.dsn", "is missing, and mode clickhouse needs the address of the server",
				"add dsn: env:CLICKHOUSE_DSN and set that variable")
		}
		for _, k := range []struct{ key, value string }{{"listen", w.Listen}, {"library", w.Library}} {
			if k.value != "" {
				l.problem("warehouse."+k.key, "belongs to mode embedded, and the mode is clickhouse", "remove it, or change the mode")
			}
		}
		if len(w.Readers) > 0 {
			l.problem("warehouse.readers", "belongs to mode embedded, and the mode is clickhouse",
				"remove it, and give readers users on the server: `sitedrift schema readers --tenant T` prints the statements")
		}
	case ModeEmbedded:
		for _, k := range []struct {
			key string
			set bool
		}{{"dsn", !w.DSN.IsZero()}, {"cluster", w.Cluster != ""}} {
			if k.set {
				l.problem("warehouse."+k.key, "belongs to mode clickhouse, and the mode is embedded",
					"set warehouse.mode to clickhouse, or remove it")
			}
		}
		if len(w.Readers) > 0 && w.Listen == "" && !l.failed("warehouse.listen") {
			l.problem("warehouse.readers", "has readers, and no port is there to serve them", "add listen: 127.0.0.1:8123")
		}
	}

	if c.OAuth.ClientID == "" && !c.OAuth.ClientSecret.IsZero() {
		l.problem("oauth.client_id", "is missing, and client_secret is there", "add the client id of the same app")
	}
	if c.OAuth.ClientID != "" && c.OAuth.ClientSecret.IsZero() && !l.failed("oauth.client_secret") {
		l.problem("oauth.client_secret", "is missing, and client_id is there",
			"add client_secret: env:NAME; Atlassian's token endpoint asks for it")
	}

	if within(c.DataDir, c.Vault.KeyFile) {
		l.problem("vault.key_file", "lies inside data_dir, so a backup of one holds the key to the other",
			"put the key elsewhere")
	}
	for _, r := range []struct {
		key  string
		days int
	}{
		{"history_days", c.Retention.HistoryDays},
		{"changes_days", c.Retention.ChangesDays},
		{"runs_days", c.Retention.RunsDays},
		{"audit_days", c.Retention.AuditDays},
	} {
		if r.days > 0 && r.days < MinRetentionDays {
			l.problem("retention."+r.key, fmt.Sprintf("is %d, and runs look back further than that", r.days), fmt.Sprintf("set %d or more, or 0 to keep all", MinRetentionDays))
		}
	}
	if n := len(c.Server.ControlSocket); n > maxSocketPath {
		l.problem("server.control_socket", fmt.Sprintf("is %d bytes long, and sockets take at most %d", n, maxSocketPath),
			"set a shorter one, such as /run/sitedrift/control.sock")
	}
	l.tenants(c)
}

// tenants checks that no two tenants are the same one.
func (l *loader) tenants(c *Config) {
	type mark struct{ kind, value string }
	first := map[mark]int{}
	for i, t := range c.Tenants {
		for _, m := range []mark{{"id", t.ID}, {"site", strings.ToLower(t.Site)}, {"cloud_id", t.CloudID}} {
			if m.value == "" {
				continue
			}
			j, dup := first[m]
			if !dup {
				first[m] = i
				continue
			}
			l.problem(fmt.Sprintf("tenants[%d].%s", i, m.kind),
				fmt.Sprintf("is the same as that of tenants[%d] on line %d", j, l.line(fmt.Sprintf("tenants[%d].%s", j, m.kind))),
				"remove one of them")
		}
	}
}

func (l *loader) line(key string) int {
	if n := l.places[key]; n != nil {
		return n.Line
	}
	return 0
}

// within reports whether path is dir or lies below it.
func within(dir, path string) bool {
	if dir == "" || path == "" {
		return false
	}
	rel, err := filepath.Rel(dir, path)
	return err == nil && rel != ".." && !strings.HasPrefix(rel, ".."+string(filepath.Separator))
}
