package front

import (
	"fmt"
	"strings"
)

// The engine was made to run as a tool at a prompt, where its user's files are fair game. Its grants hold back most
// of what reaches out of the data directory; checkReach refuses the rest, which the engine lets pass without a
// grant. Each entry was found by trying (see the tests of package embedded).

// reachingCalls are functions that read files, run programs, evaluate text as SQL or contact hosts.
var reachingCalls = map[string]string{
	"file":             "reads files",
	"executable":       "runs programs",
	"eval":             "runs text that cannot be checked",
	"arrowstream":      "reads memory",
	"catboostEvaluate": "loads files",
	"disk":             "defines storage outside the data directory",
}

// outerEngines are the table engines that name a path, a program or a host, or run text as SQL; only some ask for
// a grant. A test compares the list with the engine's own.
var outerEngines = wordSet(`ArrowStream AzureBlobStorage AzureQueue COSN DeltaLake DeltaLakeAzure DeltaLakeLocal DeltaLakeS3
	Dictionary Distributed EmbeddedRocksDB Executable ExecutablePool File FileLog GCS HDFS Hudi Iceberg IcebergAzure
	IcebergHDFS IcebergLocal IcebergS3 JDBC Kafka KeeperMap MaterializedPostgreSQL MongoDB MySQL NATS ODBC OSS Paimon
	PaimonAzure PaimonHDFS PaimonLocal PaimonS3 PostgreSQL QueryRunner RabbitMQ Redis Remote RemoteSecure S3 S3Queue SQLite
	URL YTsaurus`)

// innerEngines are the others: they keep their rows in the data directory, in memory or nowhere.
var innerEngines = wordSet(`AggregatingMergeTree Alias Buffer CoalescingMergeTree CollapsingMergeTree FuzzJSON FuzzQuery
	GenerateRandom GraphiteMergeTree Join Log Loop MaterializedView Memory Merge MergeTree Null ReplacingMergeTree
	ReplicatedAggregatingMergeTree ReplicatedCoalescingMergeTree ReplicatedCollapsingMergeTree ReplicatedGraphiteMergeTree
	ReplicatedMergeTree ReplicatedReplacingMergeTree ReplicatedSummingMergeTree ReplicatedVersionedCollapsingMergeTree Set
	StripeLog SummingMergeTree TimeSeries TinyLog VersionedCollapsingMergeTree View WindowView`)

// checkReach refuses a statement that would reach beyond the engine's data directory. It reads words, not
// grammar, and rather refuses too much: a table may not be called like one of the calls, for instance.
func checkReach(sql string) error {
	first := keyword(sql)
	backup := first == "BACKUP" || first == "RESTORE"
	engineNext, applies := false, false
	var name, before string // the token before the present one, if it is a name; and the one before that
	var escaped bool        // name came in quotes, with escapes
	for t := range tokens(sql) {
		text := sql[t.start:t.end]
		upper := strings.ToUpper(text)
		word := ""
		switch {
		case t.kind == kindOdd:
			return errReach("characters outside ASCII that are not quoted", "they may be quotes to the engine")
		case t.kind == kindWord:
			word = text
		case t.kind == kindQuoted:
			word = strings.Trim(text, "`\"")
		case text == "(" && name != "":
			if escaped {
				return errReach("a call by an escaped name", "it cannot be checked")
			}
			if why, ok := reachingCalls[name]; ok {
				return errReach(name+"()", why)
			}
			if backup && (before == "TO" || before == "FROM") && !strings.EqualFold(name, "File") {
				return errReach(name+"()", "backups go to File() below the engine's directory only")
			}
		}
		if why, ok := reachingCalls[word]; applies && (ok || strings.Contains(word, `\`)) {
			return errReach("APPLY "+word, why) // a call without parentheses behind the name
		}
		if engineNext && text != "=" {
			engineNext = false
			if outerEngines[word] || strings.Contains(word, `\`) {
				return errReach("table engine "+word, "its rows are not kept in the data directory")
			}
		}
		if t.kind == kindWord {
			switch upper {
			case "INFILE", "OUTFILE":
				return errReach(upper, "it names a file")
			case "APPLY":
				applies = true
			case "ENGINE":
				engineNext = true
			}
		}
		before, name = strings.ToUpper(name), word
		escaped = t.kind == kindQuoted && strings.Contains(word, `\`)
	}
	return nil
}

// checkSingle refuses a second statement behind a semicolon, as a server does: the answers of both would run into
// each other, and the checks of this package look at the first word of the text.
func checkSingle(sql string) error {
	ended := false
	for t := range tokens(sql) {
		end := t.kind == kindMark && sql[t.start] == ';'
		if ended && !end {
			return exception(62, "SYNTAX_ERROR", "Multi-statements are not allowed")
		}
		ended = ended || end
	}
	return nil
}

// checkReading refuses a statement that is no reading one. The engine's setting readonly does most of this, but
// lets KILL and SYSTEM pass.
func checkReading(sql string) error {
	switch verb := keyword(sql); verb {
	case "SELECT", "WITH", "FROM", "(", "SHOW", "DESCRIBE", "DESC", "EXISTS", "EXPLAIN":
	default:
		return exception(164, "READONLY", "only reading statements are served here (without the token, or by GET), not "+verb)
	}
	previous := ""
	for t := range tokens(sql) {
		word := strings.ToUpper(sql[t.start:t.end])
		if word == "WITH" && previous == "PARALLEL" {
			return exception(164, "READONLY", "PARALLEL WITH is not served here (without the token, or by GET)")
		}
		previous = word
	}
	return nil
}

func errReach(what, why string) error {
	return exception(497, "ACCESS_DENIED", fmt.Sprintf("the embedded engine refuses %s: %s", what, why))
}
