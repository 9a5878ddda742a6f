package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/sinks/embedded"
)

var update = flag.Bool("update", false, "write the expected texts of the scripts anew")

// programVariable names the real program to the tests.
const programVariable = "SITEDRIFT_TEST_PROGRAM"

// TestMain builds the program once, as it is released and without the race
// detector.
func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	flag.Parse()
	dir, err := os.MkdirTemp("", "sitedrift-program-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	if err := prepare(dir); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

func prepare(dir string) error {
	program := filepath.Join(dir, "sitedrift")
	build := exec.Command("go", "build", "-o", program, ".")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("build the program: %w\n%s", err, out)
	}
	_, err := embedded.Find("", "")
	if missing := (*embedded.LibraryError)(nil); errors.As(err, &missing) {
		_, err = embedded.Install(context.Background(), embedded.InstallSettings{Progress: os.Stderr})
	}
	if err != nil {
		return err
	}
	return os.Setenv(programVariable, program)
}

// program is the path of the built program.
func program(t testing.TB) string {
	t.Helper()
	path := os.Getenv(programVariable)
	if !strings.HasSuffix(path, "sitedrift") {
		t.Fatalf("%s is %q", programVariable, path)
	}
	return path
}
