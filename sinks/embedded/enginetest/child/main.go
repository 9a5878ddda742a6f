// Command child is the engine process of tests: what `sitedrift engine` is to the daemon.
package main

import (
	"context"
	"os"

	"github.com/sitedrift/sitedrift/sinks/embedded"
)

func main() { os.Exit(embedded.RunChild(context.Background(), os.Args[1:], os.Stderr)) }
