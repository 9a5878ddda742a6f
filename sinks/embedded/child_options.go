package embedded

import (
	"bufio"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"time"

	"github.com/sitedrift/sitedrift/sinks/embedded/front"
)

// Files that the daemon hands to the child beside the standard ones.
const (
	fdSocket = 3 // the listening Unix socket
	fdLock   = 4 // the data directory's lock: held, never read
	fdHTTP   = 5 // the listening loopback socket, when there is one
)

// Exit codes of the child.
const (
	exitFailed  = 1
	exitUsage   = 2
	exitLibrary = 3 // the library does not load
	exitEngine  = 4 // the engine does not open its directory
)

// How long a stopping child lets statements finish, and how long it then waits for those it killed.
const (
	childGrace = 3 * time.Second
	childLimit = 8 * time.Second
)

// childOptions is the child's command line, written by the daemon and read by the child. It is no interface for
// people: the hidden command does not start without the daemon's sockets. Tokens are not part of it, nor of the
// environment, which stays readable in /proc for the life of a process: see access.
type childOptions struct {
	library string
	dir     string
	memory  int64
	http    bool
	guests  bool
}

func (o childOptions) args() []string {
	args := []string{"--library=" + o.library, "--dir=" + o.dir, fmt.Sprintf("--memory=%d", o.memory)}
	if o.http {
		args = append(args, "--http")
	}
	if o.guests {
		args = append(args, "--guests")
	}
	return args
}

func parseChildOptions(args []string, stderr io.Writer) (o childOptions, err error) {
	fs := flag.NewFlagSet("engine", flag.ContinueOnError)
	fs.SetOutput(stderr)
	fs.StringVar(&o.library, "library", "", "libchdb file")
	fs.StringVar(&o.dir, "dir", "", "the engine's directory")
	fs.Int64Var(&o.memory, "memory", 0, "limit for the whole engine in bytes; 0: a share of the machine's")
	fs.BoolVar(&o.http, "http", false, "serve the loopback socket as well")
	fs.BoolVar(&o.guests, "guests", false, "let requests without a token read on the loopback socket")
	if err := fs.Parse(args); err != nil {
		return o, err
	}
	if o.library == "" || o.dir == "" || fs.NArg() != 0 {
		return o, errors.New("this command is run by the daemon; it wants --library and --dir, and sockets that only the daemon hands over")
	}
	return o, nil
}

// access says who may ask what. The child gets it as the first line of its standard input, in JSON.
type access struct {
	Token   string         `json:"token"` // of the daemon: all rights that there are
	Readers []front.Reader `json:"readers"`
	Views   []string       `json:"views"`
}

// readAccess takes the first line of the standard input.
func readAccess(stdin io.Reader) (a access, err error) {
	line, err := bufio.NewReaderSize(stdin, 16).ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &a)
	}
	if err != nil {
		return a, fmt.Errorf("no access rights on the standard input: %w", err)
	}
	if a.Token == "" {
		return a, errors.New("no token on the standard input")
	}
	return a, nil
}
