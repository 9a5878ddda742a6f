// Command bench measures sitedrift against its stated limits: what the daemon
// adds to the decoding of the pages that it reads, how far a first snapshot is
// from the pace at which the engine takes rows in, how much memory a run needs,
// and how many calls it makes beyond those that the API demands.
//
// The daemon is the real program in a process of its own, so that its CPU time
// and peak memory are its own; the simulated site lives in this process. Both
// sides of a comparison see the same bytes, types and decoder, in the same
// round; each figure is the median of the rounds.
//
// It reads /proc, and so needs Linux. Exit codes: 0 within all limits, 1 a
// limit is missed or something failed, 2 usage.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"

	"github.com/alecthomas/kong"
)

// options are the flags; the defaults are the sizes that the limits speak of.
type options struct {
	JSON    bool   `name:"json" help:"Print one JSON object a line: name, value, unit, limit, ratio."`
	Rounds  int    `default:"3" help:"How often the large site is read; figures are medians."`
	Spaces  int    `default:"5000" help:"Spaces of the large site."`
	Rows    int    `default:"200" help:"Permission rows in each of them."`
	Fleet   int    `default:"1000" help:"Spaces of the site whose calls are counted."`
	Tenants int    `placeholder:"N" help:"Instead: let one daemon watch N sites, and say what each takes."`
	Small   int    `default:"40" help:"Spaces of each of these sites; the rest of them is in proportion."`
	Binary  string `placeholder:"FILE" help:"The sitedrift to measure. Default: built from this tree."`
	Profile string `placeholder:"DIR" help:"Write CPU profiles of the daemon into this folder. Its figures then hold the profiler's share, too."`
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(execute(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// execute is main without the process.
func execute(ctx context.Context, args []string, out, errw io.Writer) int {
	if len(args) == 2 && args[0] == decodeCommand {
		return report(errw, decodeFile(args[1], out))
	}
	var o options
	code := -1
	parser, err := kong.New(&o, kong.Name("bench"), kong.Description("Measure sitedrift against its stated limits."),
		kong.Writers(out, errw), kong.Exit(func(n int) { code = n }))
	if err != nil {
		return report(errw, err)
	}
	_, err = parser.Parse(args)
	switch {
	case code >= 0: // help was printed
		return code
	case err != nil:
		_ = report(errw, err)
		return 2
	case o.Rounds < 1 || o.Spaces < 1 || o.Rows < 1 || o.Rows > pageSize || o.Fleet < 1 || o.Tenants < 0 || o.Small < 10:
		_ = report(errw, fmt.Errorf("rounds, spaces, rows and fleet must be at least 1, and rows at most %d, a page", pageSize))
		return 2
	}
	figures, err := measure(ctx, o, errw)
	if err != nil {
		return report(errw, err)
	}
	if err := show(out, figures, o.JSON); err != nil {
		return report(errw, err)
	}
	return report(errw, missed(figures))
}

func report(w io.Writer, err error) int {
	if err == nil {
		return 0
	}
	if errors.Is(err, context.Canceled) {
		err = errors.New("interrupted")
	}
	fmt.Fprintln(w, "bench:", err)
	return 1
}
