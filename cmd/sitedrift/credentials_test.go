//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// A token is good to the end of the day that it is said to end on, and the warning
// before that names the command that puts another in its place.
func TestLastDayOfAToken(t *testing.T) {
	t.Parallel()
	day := time.Date(2026, 11, 27, 0, 0, 0, 0, time.UTC)
	p := (&connectCmd{Tenant: "acme", Expires: day}).params()
	if want := day.Add(24*time.Hour - time.Second); !p.Expires.Equal(want) {
		t.Errorf("it ends at %v, want %v", p.Expires, want)
	}
	a := &app{}
	a.out.now = func() time.Time { return day.Add(-36 * time.Hour) }
	c := a.showCredential(collector.Credential{Tenant: "acme", Kind: schemas.CredentialDCToken, State: collector.CredentialOK, AccessExpiresAt: p.Expires})
	got := c.warning("acme")
	for _, part := range []string{"UNSCOPED: a personal access token of Data Center", "2 days left: renew it with sitedrift connect --tenant acme --kind dc_pat"} {
		if !strings.Contains(got, part) {
			t.Errorf("the warning does not say %q: %s", part, got)
		}
	}
}

// A secret that is typed is asked for, and not shown (Invariant 9).
func TestTypedSecretIsNotShown(t *testing.T) {
	t.Parallel()
	master, slave := terminalPair(t)
	var said bytes.Buffer
	typed := make(chan error, 1)
	go func() {
		for { // as slow as a person, who types when it is quiet
			mode, err := unix.IoctlGetTermios(int(slave.Fd()), unix.TCGETS)
			if err != nil {
				typed <- err
				return
			}
			if mode.Lflag&unix.ECHO == 0 {
				break
			}
			runtime.Gosched()
		}
		_, err := master.WriteString("top-secret\n")
		typed <- err
	}()
	got, err := readSecret(&env{in: slave, err: &said, ctx: context.Background()}, "-")
	if err != nil || got != "top-secret" {
		t.Fatalf("%q, %v", got, err)
	}
	if err := <-typed; err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(said.String(), "not shown") {
		t.Errorf("nobody is asked: %q", said.String())
	}
	if _, err := slave.WriteString("over"); err != nil {
		t.Fatal(err)
	}
	shown := make([]byte, 4)
	if _, err := io.ReadFull(master, shown); err != nil || string(shown) != "over" {
		t.Errorf("the terminal shows %q, %v", shown, err)
	}
}

// terminalPair is a terminal: what a person sees and types, and what the program has.
func terminalPair(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = master.Close() })
	if err := unix.IoctlSetPointerInt(int(master.Fd()), unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	n, err := unix.IoctlGetInt(int(master.Fd()), unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = slave.Close() })
	return master, slave
}
