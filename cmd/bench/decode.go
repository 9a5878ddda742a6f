package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"syscall"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluence"
)

// decodeCommand makes this program the other side of the comparison: a process
// that does nothing but decode recorded pages.
const decodeCommand = "decode"

// decoding is what it found.
type decoding struct {
	CPU   time.Duration `json:"cpu"`
	Rows  int           `json:"rows"`
	Pages int           `json:"pages"`
	Bytes int           `json:"bytes"`
}

// appendPage adds a page to a recording: its length, then its bytes.
func appendPage(w io.Writer, page []byte) error {
	if _, err := w.Write(binary.BigEndian.AppendUint32(nil, uint32(len(page)))); err != nil {
		return err
	}
	_, err := w.Write(page)
	return err
}

// decodeFile decodes each page of a recording once and writes the CPU time that
// it took, garbage collection included. The recording is mapped, not read, so
// that it neither counts as heap nor costs anything while the time is taken.
func decodeFile(path string, out io.Writer) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	data, err := syscall.Mmap(int(f.Fd()), 0, int(info.Size()), syscall.PROT_READ, syscall.MAP_PRIVATE)
	if err != nil {
		return fmt.Errorf("map %s: %w", path, err)
	}
	defer func() { _ = syscall.Munmap(data) }()
	bytes.Count(data, []byte{0}) // brings every page of it into memory

	before, err := ownCPU()
	if err != nil {
		return err
	}
	var d decoding
	for rest := data; len(rest) > 0; {
		n := binary.BigEndian.Uint32(rest)
		page := rest[4 : 4+n]
		rest = rest[4+n:]
		w, err := confluence.DecodeSpacePermissions(page)
		if err != nil {
			return fmt.Errorf("page %d of %s: %w", d.Pages+1, path, err)
		}
		d.Rows += len(w.Results)
		d.Pages++
		d.Bytes += len(page)
	}
	after, err := ownCPU()
	if err != nil {
		return err
	}
	d.CPU = after - before
	return json.NewEncoder(out).Encode(d)
}

// ownCPU is the CPU time of this process so far.
func ownCPU() (time.Duration, error) {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0, fmt.Errorf("getrusage: %w", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano()), nil
}

// decodeAlone runs decodeFile in a process of its own.
func decodeAlone(ctx context.Context, recording string) (d decoding, err error) {
	self, err := os.Executable()
	if err != nil {
		return d, err
	}
	cmd := exec.CommandContext(ctx, self, decodeCommand, recording)
	cmd.Stderr = os.Stderr
	answer, err := cmd.Output()
	if err != nil {
		return d, fmt.Errorf("decode the recorded pages: %w", err)
	}
	return d, json.Unmarshal(answer, &d)
}
