//go:build linux && !noengine

package main

import (
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestCommands plays each script twice: with commands that do all by themselves,
// and with a daemon that does it for them. What people see is the same.
func TestCommands(t *testing.T) {
	t.Parallel()
	for name, served := range map[string]bool{"alone": false, "served": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runScripts(t, "testdata/script/commands", served)
		})
	}
}

// TestBadInput plays what goes wrong: what is said, with which exit code, and
// that what is right works afterwards as before.
func TestBadInput(t *testing.T) {
	t.Parallel()
	for name, served := range map[string]bool{"alone": false, "served": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			runScripts(t, "testdata/script/bad", served)
		})
	}
}

// TestStartup plays what happens before and around a daemon.
func TestStartup(t *testing.T) {
	t.Parallel()
	runScripts(t, "testdata/script/startup", false)
}

func runScripts(t *testing.T, dir string, served bool) {
	binary := program(t)
	testscript.Run(t, testscript.Params{
		Dir: dir, Cmds: scriptCommands(), RequireUniqueNames: true, UpdateScripts: *update,
		Setup: func(env *testscript.Env) error { return setUp(env, binary, served) },
	})
}
