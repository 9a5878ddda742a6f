package jsonl

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzFiles: whatever a crash or somebody left in the directory, the head of a
// staged file is read or refused, and the file of runs ends with a whole line.
func FuzzFiles(f *testing.F) {
	for _, text := range []string{`{"type":"run","parts":["spaces"],"data":{}}` + "\n{}", `{"type":"run"`, "", "\n", "null\n", `{"type":"row","parts":1}`, "{}\n{\"type\":", "\x00\x00"} {
		f.Add([]byte(text))
	}
	path := filepath.Join(f.TempDir(), runsFile)
	f.Fuzz(func(t *testing.T, text []byte) {
		if err := os.WriteFile(path, text, 0o600); err != nil {
			t.Fatal(err)
		}
		if parts, err := readParts(path); err != nil && parts != nil {
			t.Fatalf("%q with %v", parts, err)
		}
		if err := cutTornLine(path); err != nil {
			t.Fatal(err)
		}
		left, err := os.ReadFile(path)
		if err != nil || !bytes.HasPrefix(text, left) || len(left) > 0 && left[len(left)-1] != '\n' || bytes.Contains(text[len(left):], []byte("\n")) {
			t.Fatalf("%q is cut to %q, %v", text, left, err)
		}
	})
}
