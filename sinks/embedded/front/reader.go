package front

import (
	"crypto/sha256"
	"slices"
	"strings"
)

// Reader may read through the views of the contract, by a token of its own. Its statements see one tenant's rows,
// whatever they say (Invariant 7).
type Reader struct {
	Name   string            `json:"name"`   // for the log
	Tenant string            `json:"tenant"` // [AllTenants]: every tenant
	Token  [sha256.Size]byte `json:"token"`  // see [HashToken]
}

// AllTenants is the tenant of a reader who sees all: no tenant can have that id.
const AllTenants = "*"

// HashToken is how a reader's token is kept. A plain hash will do, as tokens are long and random.
func HashToken(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

// What one reader may take, and all of them. The engine is shared with the daemon's own work, whose statements must
// find room (Invariant 7).
const (
	readerStatements  = 4 // running at once; more are refused
	readersStatements = 8 // of all readers; more wait
	readerSeconds     = 60
	readerMostMemory  = 1 << 30
	readerResultRows  = 10_000_000
	readerResultBytes = 1 << 30
	readerSpillBytes  = 1 << 30
	readerThreads     = 2
	readerStatement   = 256 << 10 // bytes of its text
)

// readerMemory is what a statement of a reader may take, so that all that run at once leave half of the engine's memory
// to the daemon.
func readerMemory(engine int) int { return min(engine/2/readersStatements, readerMostMemory) }

// readerSettings are the settings that a reader may choose, or how their names begin: how values are written, and
// nothing that decides what is read, or names a file.
var readerSettings = []string{
	"output_format_json_", "output_format_csv_", "output_format_tsv_", "output_format_pretty_", "output_format_parquet_", "output_format_arrow_",
	"output_format_native_", "date_time_output_format", "session_timezone",
	"max_execution_time", // drivers send it; the lower one counts
}

func readerMaySet(name string) bool {
	return slices.ContainsFunc(readerSettings, func(s string) bool {
		return name == s || strings.HasSuffix(s, "_") && strings.HasPrefix(name, s)
	})
}

// readerFormats are how the names of formats begin that need no file beside the statement. None tells how many rows
// were read: those of other tenants are among them.
var readerFormats = []string{
	"arrow", "csv", "json", "jsonlines", "lineasstring", "markdown", "native", "ndjson", "null", "parquet", "pretty", "rawblob", "rowbinary", "tabseparated", "tskv", "tsv", "values",
	"vertical", "xml",
}

func readerMayUse(format string) bool {
	format = strings.ToLower(format)
	return !strings.HasSuffix(format, "withprogress") && slices.ContainsFunc(readerFormats, func(f string) bool { return strings.HasPrefix(format, f) })
}

// cutFormat takes the FORMAT clause off the end of a statement, so that the text that is checked is the text that
// runs. Without one it returns the format that it was given.
func cutFormat(sql, format string) (statement, name string) {
	var last [2]token // the last two, semicolons left out
	for t := range tokens(sql) {
		if t.kind != kindMark || sql[t.start] != ';' {
			last[0], last[1] = last[1], t
		}
	}
	if last[0].kind == kindWord && last[1].kind == kindWord && strings.EqualFold(sql[last[0].start:last[0].end], "FORMAT") {
		return sql[:last[0].start], sql[last[1].start:last[1].end]
	}
	return sql, format
}
