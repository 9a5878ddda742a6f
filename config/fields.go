package config

import (
	"time"

	"github.com/sitedrift/sitedrift/schemas"
)

// fields declares every key of the file once, bound to c. Defaults are what c
// holds at the time of the call.
func fields(c *Config) []field {
	return []field{
		path("data_dir", &c.DataDir,
			"Where sitedrift keeps its databases, the embedded engine's files and the control socket.").
			derived("$XDG_DATA_HOME/sitedrift, else ~/.local/share/sitedrift").example("/var/lib/sitedrift"),
		state("state", &c.State,
			"Tenants, schedules, heads and credentials: sqlite (files in data_dir, one process),",
			"or PostgreSQL: env:NAME, file:/path, or postgres://user@host/db without a password."),
		section("warehouse", "Where rows, changes and runs are stored.", warehouse(&c.Warehouse)...),
		section("vault", "Encryption of stored credentials.",
			path("key_file", &c.Vault.KeyFile,
				"The key that opens them, mode 0600. Keep it apart from data_dir and out of its backups.").
				derived("$XDG_CONFIG_HOME/sitedrift/vault.key, else ~/.config/sitedrift/vault.key").
				example("/etc/sitedrift/vault.key"),
		),
		section("oauth", "The OAuth 2.0 (3LO) app that `sitedrift connect` asks consent for.",
			text("client_id", &c.OAuth.ClientID, "Its client id.").example("uO8rIQ0Xf4"),
			ref("client_secret", &c.OAuth.ClientSecret, secretRef,
				"Its secret, as env:NAME or file:/path.").example("env:SITEDRIFT_OAUTH_SECRET"),
			webURL("redirect_url", &c.OAuth.RedirectURL,
				"Callback address, registered with the app; served by `sitedrift connect`."),
		),
		section("endpoints", "Atlassian's shared services; other ones for government clouds, proxies and tests.",
			webURL("auth", &c.Endpoints.Auth, "Consent and tokens."),
			webURL("api", &c.Endpoints.API, "The API gateway, which site addresses with a cloud id go through."),
		),
		section("network", "What may be connected to beside the public internet, on behalf of sites and endpoints.",
			networks("allow", &c.Network.Allow,
				"Networks, with commas between: of a proxy or of test servers. Private, loopback and link-local addresses are",
				"refused otherwise, whatever a site's name leads to; the addresses where clouds hand out credentials always are.").
				example("10.1.2.3/32"),
		),
		list("tenants", "The sites to watch. Tenants added with `sitedrift tenants` need no entry here.",
			func(i int) []field { return tenant(c, i) }),
		section("schedules", "When each group of datasets is read, for tenants that say nothing else: five cron fields in UTC,",
			schedules(c.Schedules)...).more("a descriptor (@hourly, @daily, @every 30m), or off."),
		duration("jitter", &c.Jitter, 0, time.Hour,
			"Starts are spread over this time after their tick, so that tenants do not all start at once."),
		section("limits", "What runs may use, and what they may publish unasked.", limits(&c.Limits)...),
		section("retention", "For how many days history is kept; 0 keeps it for ever. What is older is deleted once a day, but what is current stays,",
			retention(&c.Retention)...).more("and so does what was current when the window begins."),
		section("server", "What the daemon listens on.",
			listen("metrics", &c.Server.Metrics, false, "host:port of /metrics, /healthz and /readyz, or off."),
			path("control_socket", &c.Server.ControlSocket, "Unix socket that the command line talks to.").
				derived("control.sock in data_dir").example("/run/sitedrift/control.sock"),
		),
		section("log", "The daemon's log, on standard error.",
			oneOf("level", &c.Log.Level, []string{"debug", "info", "warn", "error"}, "The least severe level that is written."),
			oneOf("format", &c.Log.Format, []string{"json", "console"}, "Its encoding."),
		),
		section("sinks", "Places written besides the warehouse.",
			section("jsonl", "Changes as lines of JSON.",
				path("dir", &c.Sinks.JSONL.Dir, "Folder of the files. The sink is off without it.").
					example("/var/lib/sitedrift/jsonl"),
			),
		),
	}
}

func warehouse(w *Warehouse) []field {
	return []field{
		oneOf("mode", &w.Mode, []string{ModeEmbedded, ModeClickHouse},
			"The engine that sitedrift runs itself, or a ClickHouse server (25.12 or newer)."),
		ref("dsn", &w.DSN, clickHouseRef,
			"Mode clickhouse: env:NAME or file:/path of http://user:password@host:8123/ or https://user:password@host:8443/.").
			example("env:CLICKHOUSE_DSN"),
		checked("cluster", "cluster name", &w.Cluster, clusterName,
			"Mode clickhouse: the cluster, of one shard, whose every replica gets the tables. None by default.").example("main"),
		listen("listen", &w.Listen, true,
			"Mode embedded: loopback host:port where the warehouse can be asked in SQL. Nowhere by default.").
			example("127.0.0.1:8123"),
		boolean("listen_read_only", &w.ListenReadOnly, "Refuse statements that write on that port."),
		list("readers", "Mode embedded: who may ask the views on that port, each by a token and about one tenant. With readers, nobody may without a token.",
			func(i int) []field { return reader(w, i) }),
		size("max_memory", &w.MaxMemory, 256*MiB,
			"Mode embedded: memory limit of the engine. A query beyond it fails; the engine lives on."),
		path("library", &w.Library, "Mode embedded: path of libchdb.so.").
			derived("the copy that `sitedrift engine install` fetched").example("/opt/sitedrift/libchdb.so"),
	}
}

func reader(w *Warehouse, i int) []field {
	for len(w.Readers) <= i {
		w.Readers = append(w.Readers, Reader{})
	}
	r := &w.Readers[i]
	return []field{
		text("name", &r.Name, "Who it is, for messages.").example("acme-dashboard").needed(),
		checked("tenant", "tenant id or *", &r.Tenant, readerTenant, "The tenant whose rows the reader sees; \"*\" for all, for your own analysts.").
			example("acme").needed(),
		ref("token", &r.Token, secretRef, "The password of its requests, 24 characters or more, as env:NAME or file:/path.").
			example("file:/etc/sitedrift/acme-dashboard.token").needed(),
	}
}

func tenant(c *Config, i int) []field {
	for len(c.Tenants) <= i {
		c.Tenants = append(c.Tenants, Tenant{})
	}
	t := &c.Tenants[i]
	t.Deployment = schemas.Cloud
	t.Schedules = map[string]string{}
	return []field{
		checked("id", "tenant id", &t.ID, tenantID,
			"Name of the tenant in the warehouse and on the command line. It cannot be changed later.").example("acme").needed(),
		text("name", &t.Name, "Name for people. The id when left out.").example("Acme Corporation"),
		webURL("site", &t.Site, "Base address of the Confluence site.").example("https://acme.atlassian.net").needed(),
		oneOf("deployment", &t.Deployment, []string{schemas.Cloud, schemas.DataCenter}, "What runs there."),
		checked("cloud_id", "UUID", &t.CloudID, cloudID,
			"Cloud id of the site. Learned at consent when left out.").example("3f2b9c1e-7d44-4a53-9d1c-0a6f5f1c2b7e"),
		boolean("paused", &t.Paused, "No schedule of a paused tenant starts."),
		section("schedules", "Schedules of this tenant, in place of the general ones.",
			override(t.Schedules)...),
		section("limits", "Limits of this tenant, in place of the general ones.",
			number("requests_per_second", &t.Limits.RequestsPerSecond, 0.01, 100_000, "").example("5"),
			number("removal_share", &t.Limits.RemovalShare, 0.001, 1, "").example("0.5"),
			integer("removal_rows", &t.Limits.RemovalRows, 1, 1_000_000_000, "").example("100"),
			integer("partition_rows", &t.Limits.PartitionRows, 1, 1_000_000_000, "").example("5000000"),
			size("run_bytes", &t.Limits.RunBytes, MiB, "").example("128GiB"),
			size("spool_bytes", &t.Limits.SpoolBytes, MiB, "").example("32GiB"),
		),
		section("network", "What this tenant's requests may reach, too: the private network of its Data Center.",
			networks("allow", &t.Network.Allow, "Beside network.allow above.").example("10.20.30.0/24"),
		),
	}
}

func schedules(m map[string]string) []field {
	docs := map[string]string{
		schemas.GroupPosture:   "Permissions, roles, settings, links: what can be wrong today.",
		schemas.GroupInventory: "Spaces, groups, users, apps: what exists.",
		schemas.GroupAudit:     "Audit records.",
	}
	var out []field
	for _, g := range Groups() {
		out = append(out, cron(g, m, docs[g]))
	}
	return out
}

func override(m map[string]string) []field {
	examples := map[string]string{schemas.GroupPosture: cronValue("17 */6 * * *"), schemas.GroupInventory: cronValue("@daily"), schemas.GroupAudit: Off}
	var out []field
	for _, g := range Groups() {
		out = append(out, cron(g, m, "").example(examples[g]))
	}
	return out
}

func retention(r *Retention) []field {
	const longest = 36_500
	return []field{
		integer("history_days", &r.HistoryDays, 0, longest, "Versions of rows, and coverage, that were replaced since.").example("400"),
		integer("changes_days", &r.ChangesDays, 0, longest, "Changes, by whole months.").example("1100"),
		integer("runs_days", &r.RunsDays, 0, longest, "Runs, by whole months.").example("400"),
		integer("audit_days", &r.AuditDays, 0, longest, "Audit records, by whole months of their reading.").example("400"),
	}
}

func limits(l *Limits) []field {
	return []field{
		integer("concurrency", &l.Concurrency, 1, 1024, "Runs at once in this process. While tenants wait, one schedule of a tenant runs at a time, and a further one never takes the last free place."),
		integer("tenant_concurrency", &l.TenantConcurrency, 1, 64, "Requests at once to one site."),
		number("requests_per_second", &l.RequestsPerSecond, 0.01, 100_000, "Requests per second to one site."),
		integer("points_per_hour", &l.PointsPerHour, 0, 1_000_000_000,
			"Share of the app's hourly points at Atlassian, which all its tenants draw from. 0 keeps no budget."),
		number("removal_share", &l.RemovalShare, 0.001, 1,
			"A run that would remove more than this share of a dataset is held for a second look ..."),
		integer("removal_rows", &l.RemovalRows, 1, 1_000_000_000, "... if that is at least this many rows."),
		duration("run_timeout", &l.RunTimeout, time.Minute, 24*time.Hour, "A run is ended after this time."),
		integer("partition_rows", &l.PartitionRows, 1, 1_000_000_000,
			"A space, a group or a whole dataset with more rows than this is not read to its end: no real site is that large."),
		size("run_bytes", &l.RunBytes, MiB, "The same for the answers that a run reads."),
		size("spool_bytes", &l.SpoolBytes, MiB, "Changes that a run may keep in data_dir until they are published. With more it fails."),
	}
}
