//go:build linux && !noengine

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/rogpeppe/go-internal/testscript"
)

// What scripts can ask of a daemon:
//
//	get PATH STATUS         an answer of the operators' port, as standard output
//	metrics                 the samples of /metrics, one a line, as standard output
//	log MESSAGE KEYS...     the daemon's log: every line is JSON with level, time
//	                        and message; those with this message have these keys,
//	                        and are standard output, with level and keys only
//	await TENANT N          N more runs of a tenant
//	still TENANT OTHER N    N more runs of the other, and none of the tenant
//	jsonl DIR               the files of the JSONL sink hold the warehouse's changes

func cmdGet(ts *testscript.TestScript, _ bool, args []string) {
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	_, err = ts.Stdout().Write(scrape(ts, args[0], status))
	ts.Check(err)
}

func scrape(ts *testscript.TestScript, path string, status int) []byte {
	resp, err := http.Get("http://" + ts.Getenv("METRICS") + path)
	ts.Check(err)
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	ts.Check(err)
	if resp.StatusCode != status {
		ts.Fatalf("%s answers %d:\n%s", path, resp.StatusCode, text)
	}
	return text
}

var (
	metricComment = regexp.MustCompile(`^# (HELP|TYPE) ([a-z_][a-z0-9_]*) (\S.*)$`)
	metricSample  = regexp.MustCompile(`^([a-z_][a-z0-9_]*?)(_bucket|_sum|_count)?(\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? ([-+]?(?:[0-9.]+(?:e[-+]?[0-9]+)?|Inf|NaN))$`)
)

// cmdMetrics reads the text format strictly: each line is a comment or a sample,
// and each sample's family has its help and its type before it.
func cmdMetrics(ts *testscript.TestScript, _ bool, _ []string) {
	known := map[string]map[string]string{}
	for line := range strings.Lines(string(scrape(ts, "/metrics", http.StatusOK))) {
		line = strings.TrimSuffix(line, "\n")
		if m := metricComment.FindStringSubmatch(line); m != nil {
			if known[m[2]] == nil {
				known[m[2]] = map[string]string{}
			}
			known[m[2]][m[1]] = m[3]
			continue
		}
		m := metricSample.FindStringSubmatch(line)
		if m == nil {
			ts.Fatalf("neither a comment nor a sample: %s", line)
		}
		family := known[m[1]]
		if family == nil {
			family = known[m[1]+m[2]]
		}
		if family["HELP"] == "" || family["TYPE"] == "" {
			ts.Fatalf("a sample without help and type before it: %s", line)
		}
		fmt.Fprintln(ts.Stdout(), strings.ReplaceAll(line, `"`, ""))
	}
}

func cmdLog(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	notSteering(ts, "the log", w.log.String())
	for line := range strings.Lines(w.log.String()) {
		var entry map[string]any
		if err := json.Unmarshal([]byte(line), &entry); err != nil {
			ts.Fatalf("a line of the log is no JSON: %v\n%s", err, line)
		}
		for _, key := range []string{"level", "ts", "msg"} {
			if _, ok := entry[key]; !ok {
				ts.Fatalf("a line of the log has no %s: %s", key, line)
			}
		}
		for _, secret := range w.secrets {
			if strings.Contains(line, secret) {
				ts.Fatalf("the log holds a secret (Invariant 9)")
			}
		}
		if entry["msg"] != args[0] {
			continue
		}
		shown := []string{fmt.Sprint(entry["level"])}
		for _, key := range args[1:] {
			value, ok := entry[key]
			if !ok {
				ts.Fatalf("a line has no %s: %s", key, line)
			}
			shown = append(shown, fmt.Sprintf("%s=%v", key, value))
		}
		_, _ = io.WriteString(ts.Stdout(), w.normal(ts, strings.Join(shown, " ")+"\n"))
	}
}

// query asks the daemon, or the warehouse if none is running.
func (w *scriptWorld) query(ts *testscript.TestScript, sql string) (rows []map[string]any) {
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	out, err := w.command(ctx, ts, []string{"query", "--json", sql}).Output()
	ts.Check(err)
	for d := json.NewDecoder(bytes.NewReader(out)); ; {
		var row map[string]any
		if err := d.Decode(&row); errors.Is(err, io.EOF) {
			return rows
		} else if err != nil {
			ts.Fatalf("%v\n%s", err, out)
		}
		rows = append(rows, row)
	}
}

func (w *scriptWorld) runs(ts *testscript.TestScript, tenant string) int {
	n, ok := w.query(ts, "SELECT count() AS n FROM runs WHERE tenant_id = '"+tenant+"'")[0]["n"].(float64)
	if !ok {
		ts.Fatalf("no number of runs")
	}
	return int(n)
}

func cmdAwait(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	worldOf(ts).await(ts, args[0], n)
}

func (w *scriptWorld) await(ts *testscript.TestScript, tenant string, more int) {
	began, deadline := w.runs(ts, tenant), time.Now().Add(patience)
	for w.runs(ts, tenant) < began+more {
		if time.Now().After(deadline) {
			ts.Fatalf("%s does not run:\n%s", tenant, w.log.String())
		}
		time.Sleep(100 * time.Millisecond)
	}
}

func cmdStill(ts *testscript.TestScript, _ bool, args []string) {
	n, err := strconv.Atoi(args[2])
	ts.Check(err)
	w := worldOf(ts)
	w.await(ts, args[1], 2) // a run under way may end
	before := w.runs(ts, args[0])
	w.await(ts, args[1], n)
	if after := w.runs(ts, args[0]); after != before {
		ts.Fatalf("%s has %d runs, and had %d", args[0], after, before)
	}
}

// cmdJSONL compares the files of the sink beside the warehouse with it.
func cmdJSONL(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	columns := []string{"event_id", "tenant_id", "dataset", "partition_id", "entity_key", "entity_name", "change", "before", "after", "severity", "run_id"}
	pick := func(row map[string]any) string {
		var line strings.Builder
		for _, c := range columns {
			value := row[c]
			if text, ok := value.(string); ok && (c == "before" || c == "after") { // objects in the files, their texts in the warehouse
				value = nil
				if text != "" {
					ts.Check(json.Unmarshal([]byte(text), &value))
				}
			}
			fmt.Fprintf(&line, "%s=%v\n", c, value)
		}
		return line.String()
	}
	var got, want []string
	rows := 0
	ts.Check(eachLine(ts.MkAbs(args[0]), func(kind string, data map[string]any) {
		switch kind {
		case "change":
			got = append(got, pick(data))
		case "row":
			rows++
		}
	}))
	for _, row := range w.query(ts, "SELECT "+strings.Join(columns, ", ")+" FROM changes") {
		want = append(want, pick(row))
	}
	slices.Sort(got)
	slices.Sort(want)
	if diff := cmp.Diff(want, got); diff != "" || len(want) == 0 {
		ts.Fatalf("%d changes; warehouse and files differ (-want +got):\n%s", len(want), diff)
	}
	if written := w.query(ts, "SELECT sum(rows_written) AS n FROM runs")[0]["n"]; written != float64(rows) {
		ts.Fatalf("the files hold %d versions, the runs wrote %v", rows, written)
	}
}

// eachLine reads the files of the JSONL sink, all of which must have been shown.
func eachLine(dir string, use func(kind string, data map[string]any)) error {
	return filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		if !strings.HasSuffix(path, ".jsonl") {
			return fmt.Errorf("%s was never shown", path)
		}
		file, err := os.Open(path)
		if err != nil {
			return err
		}
		defer file.Close()
		lines := bufio.NewScanner(file)
		lines.Buffer(nil, 1<<20)
		for lines.Scan() {
			var l struct {
				Type string         `json:"type"`
				Data map[string]any `json:"data"`
			}
			if err := json.Unmarshal(lines.Bytes(), &l); err != nil {
				return fmt.Errorf("%s: %w", path, err)
			}
			use(l.Type, l.Data)
		}
		return lines.Err()
	})
}
