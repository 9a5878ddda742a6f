package main

import (
	"fmt"
	"runtime/debug"
)

type versionCmd struct{}

func (versionCmd) Run(e *env) error {
	if e.cli.JSON {
		return printJSON(e.out, map[string]string{"version": version()})
	}
	fmt.Fprintln(e.out, "sitedrift", version())
	return nil
}

// version is that of the module, as the Go toolchain recorded it.
func version() string {
	if info, ok := debug.ReadBuildInfo(); ok && info.Main.Version != "" {
		return info.Main.Version
	}
	return "(devel)"
}
