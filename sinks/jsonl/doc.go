// Package jsonl is a sink that writes files of JSON lines, for pipelines that
// load them elsewhere and for looking with one's own eyes.
//
// Every attempt of a run makes one file, <dir>/<tenant>/<group>/<seq>-<run>.jsonl;
// runs that stand alone are appended to <dir>/runs.jsonl. An attempt's file is
// written as .jsonl.staged and gets its name when its head is shown, so a reader
// that takes only names ending in .jsonl sees whole runs and decided ones
// (Invariants 2 and 3). A file never changes once it has that name.
//
// Each line is an object with "type" (run, row, change or coverage), for rows
// "dataset", and the values under "data", named as in the data dictionary. The
// first line is the run.
package jsonl
