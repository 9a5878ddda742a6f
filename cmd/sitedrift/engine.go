package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/sitedrift/sitedrift/sinks/embedded"
)

type engineCmd struct {
	Install engineInstallCmd `cmd:"" help:"Fetch the pinned engine library, check its hash, and put it into the cache."`
}

type engineInstallCmd struct {
	From string `placeholder:"FILE" help:"Take the library or its package from a file, for machines without a network."`
}

func (c *engineInstallCmd) Run(e *env) error {
	if c.From != "" {
		if _, err := os.Stat(c.From); errors.Is(err, fs.ErrNotExist) {
			return usage("there is no file %s to install the engine from", c.From)
		}
	}
	told := e.err
	if watched := terminal(e.err); watched != nil {
		told = watched
	}
	path, err := embedded.Install(e.ctx, embedded.InstallSettings{From: c.From, Progress: told})
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, map[string]string{"library": path})
	}
	fmt.Fprintln(e.out, path)
	return nil
}
