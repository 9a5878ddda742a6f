package main

import (
	"fmt"

	"github.com/sitedrift/sitedrift/collector/vault"
)

type vaultCmd struct {
	Create vaultCreateCmd `cmd:"" help:"Make a key file for stored credentials."`
}

type vaultCreateCmd struct {
	File string `arg:"" type:"path" help:"Where to write it, mode 0600. What is there is never overwritten."`
}

// Help is shown by --help.
func (vaultCreateCmd) Help() string {
	return "Replicas must share one, and are given it. A daemon that is alone makes its own when it first needs it."
}

func (c *vaultCreateCmd) Run(e *env) error {
	if _, err := vault.Create(c.File); err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, map[string]string{"file": c.File})
	}
	_, err := fmt.Fprintf(e.out, "made the key file %s: back it up, apart from the databases\n", c.File)
	return err
}
