// Command sitedrift keeps one connector per Confluence site, takes snapshots of
// its security posture on schedules, and keeps rows and changes in ClickHouse.
//
// This package is the only place where the parts are joined. Each command is a
// file of its own; what a command does to the system is an operation, which
// runs inside the daemon when one is running and in this process otherwise.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/sitedrift/sitedrift/sinks/embedded"
)

// Exit codes, part of the contract.
const (
	exitOK         = 0
	exitRuntime    = 1
	exitUsage      = 2
	exitIncomplete = 3
)

func main() {
	noCoreDump()
	if len(os.Args) > 2 && os.Args[1] == "engine" && strings.HasPrefix(os.Args[2], "--library=") {
		// The daemon's own child: signals and arguments are its affair.
		os.Exit(embedded.RunChild(context.Background(), os.Args[2:], os.Stderr))
	}
	os.Exit(execute(os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

type cli struct {
	Config string `short:"c" placeholder:"FILE" help:"Configuration file. Default: $SITEDRIFT_CONFIG, ./sitedrift.yml, ~/.config/sitedrift/sitedrift.yml, /etc/sitedrift/sitedrift.yml."`
	JSON   bool   `name:"json" help:"Print JSON to standard output."`

	Demo    demoCmd    `cmd:"" help:"See the whole job in a minute: simulated sites, four weeks of history, a report made by SQL."`
	Serve   serveCmd   `cmd:"" help:"Run the daemon: schedules, connectors, runs, metrics."`
	Sync    syncCmd    `cmd:"" help:"Run a tenant's datasets now and show what was read, written, and could not be seen."`
	Check   checkCmd   `cmd:"" help:"Ask what a tenant's credentials reach, why not, and what would unlock it. Writes nothing."`
	Connect connectCmd `cmd:"" help:"Get consent for a tenant's site in the browser and store the grant."`
	Tenants tenantsCmd `cmd:"" help:"List, show, pause and resume tenants."`
	Approve approveCmd `cmd:"" help:"Let the next run publish removals that were held because there were so many."`
	Query   queryCmd   `cmd:"" help:"Run SQL on the warehouse."`
	Schema  schemaCmd  `cmd:"" help:"Show the datasets, their tables and their documentation."`
	Migrate migrateCmd `cmd:"" help:"Bring the warehouse's tables and views up to date, or say what stands in the way."`
	Backup  backupCmd  `cmd:"" help:"Copy state and warehouse of this machine while the daemon works."`
	Vault   vaultCmd   `cmd:"" help:"Make a key file for stored credentials."`
	Engine  engineCmd  `cmd:"" help:"Install the embedded ClickHouse engine."`
	Version versionCmd `cmd:"" help:"Show the version."`
}

// env is what a command may use of the world.
type env struct {
	cli    *cli
	in     io.Reader
	out    io.Writer // data
	err    io.Writer // everything else
	ctx    context.Context
	parsed *kong.Kong
}

// execute is main without the process: it returns the exit code.
func execute(args []string, in io.Reader, out, errw io.Writer) int {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	safeOut, safeErr := &escaping{w: out}, &escaping{w: errw} // Invariant 10
	defer safeOut.finish()
	defer safeErr.finish()
	out, errw = safeOut, safeErr
	var c cli
	code := -1
	parser, err := kong.New(&c,
		kong.Name("sitedrift"),
		kong.Description("Snapshots of the security posture of Confluence sites, compared, and kept in ClickHouse.\n\nStart with: sitedrift demo"),
		kong.Writers(out, errw),
		kong.Exit(func(n int) { code = n }),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true, FlagsLast: true}),
		kong.UsageOnError(),
	)
	if err != nil {
		fmt.Fprintln(errw, "sitedrift:", err)
		return exitRuntime
	}
	parsed, err := parser.Parse(args)
	if code >= 0 { // help was printed
		return code
	}
	if err != nil {
		try := "sitedrift"
		if wrong := (*kong.ParseError)(nil); errors.As(err, &wrong) && wrong.Context.Selected() != nil {
			try = wrong.Context.Selected().FullPath()
		}
		fmt.Fprintf(errw, "sitedrift: %s\nTry: %s --help\n", printable(err.Error()), try)
		return exitUsage
	}
	err = parsed.Run(&env{cli: &c, in: in, out: out, err: errw, ctx: ctx, parsed: parser})
	return report(errw, err)
}

// exitError is an error with an exit code of its own.
type exitError struct {
	code int
	err  error
}

func (e *exitError) Error() string { return e.err.Error() }
func (e *exitError) Unwrap() error { return e.err }

func usage(format string, args ...any) error {
	return &exitError{exitUsage, fmt.Errorf(format, args...)}
}

// errIncomplete ends a command that did its work but could not see everything;
// what is missing has been printed.
var errIncomplete = &exitError{exitIncomplete, errors.New("finished, but not everything could be seen")}

// report prints an error for people and gives its exit code.
func report(w io.Writer, err error) int {
	if err == nil {
		return exitOK
	}
	code := exitRuntime
	if e := (*exitError)(nil); errors.As(err, &e) {
		code = e.code
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted; what was published stays, nothing was stored half")
	}
	fmt.Fprintln(w, "sitedrift:", printable(err.Error()))
	return code
}
