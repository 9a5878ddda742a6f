//go:build linux && !noengine

package main

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"testing"
	"time"
)

// TestNoCoreDump asks the system how large a core dump of the program may be that
// was started with leave to write one.
func TestNoCoreDump(t *testing.T) {
	var out bytes.Buffer
	c := exec.CommandContext(t.Context(), "sh", "-c", `ulimit -S -c 1024 && ulimit -c >&2 && exec "$0" query -`, program(t))
	c.Dir, c.Stderr = t.TempDir(), &out
	stdin, err := c.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	limit := regexp.MustCompile(`Max core file size +0 `)
	var limits []byte
	at := func(name string) string { return fmt.Sprintf("/proc/%d/%s", c.Process.Pid, name) }
	for deadline := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		exe, err := os.Readlink(at("exe"))
		if err == nil {
			limits, err = os.ReadFile(at("limits"))
		}
		if err != nil || time.Now().After(deadline) {
			t.Errorf("%v\n%s", err, limits)
			break
		}
		if filepath.Base(exe) == "sitedrift" && limit.Match(limits) { // the shell before it has a limit of its own
			break
		}
	}
	_ = stdin.Close() // it has been given no statement
	_ = c.Wait()
	if !bytes.HasPrefix(out.Bytes(), []byte("1024\n")) {
		t.Errorf("nothing is proved: it began with %s", out.Bytes())
	}
}
