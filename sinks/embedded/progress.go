package embedded

import (
	"fmt"
	"io"
	"os"
	"time"

	"github.com/mattn/go-isatty"
	"github.com/schollz/progressbar/v3"
)

// reporter tells people what an installation does: bars on a terminal, lines elsewhere.
type reporter struct {
	w        io.Writer
	terminal bool
}

func newReporter(w io.Writer) *reporter {
	if w == nil {
		w = io.Discard
	}
	f, ok := w.(*os.File)
	return &reporter{w: w, terminal: ok && isatty.IsTerminal(f.Fd())}
}

func (r *reporter) line(format string, args ...any) { fmt.Fprintf(r.w, format+"\n", args...) }

// bar counts what is read from src against size. The returned function ends it.
func (r *reporter) bar(what string, size int64, src io.Reader) (io.Reader, func()) {
	if !r.terminal {
		r.line("%s (%d MB)", what, size/1_000_000)
		return src, func() {}
	}
	b := progressbar.NewOptions64(size, progressbar.OptionSetWriter(r.w), progressbar.OptionSetDescription(what),
		progressbar.OptionShowBytes(true), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish())
	counted := progressbar.NewReader(src, b)
	return &counted, func() { _ = b.Finish() }
}
