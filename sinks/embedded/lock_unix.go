//go:build unix

package embedded

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// lockDir takes the lock file of a data directory for this process and its children: they inherit the file, and
// the lock goes with its last holder. So a daemon that starts while the engine of a killed one is still stopping
// waits for it, up to patience; one that starts beside a living daemon is refused at once.
func lockDir(ctx context.Context, dir, file string, patience time.Duration) (*os.File, error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("embedded engine: lock data directory: %w", err)
	}
	deadline := time.Now().Add(patience)
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			break
		}
		pid := readPID(file)
		dead := pid != 0 && errors.Is(syscall.Kill(pid, 0), syscall.ESRCH)
		if !errors.Is(err, syscall.EWOULDBLOCK) || !dead || time.Now().After(deadline) {
			f.Close()
			if errors.Is(err, syscall.EWOULDBLOCK) {
				return nil, &InUseError{Dir: dir, PID: pid}
			}
			return nil, fmt.Errorf("embedded engine: lock data directory %s: %w", dir, err)
		}
		if err := pause(ctx, 50*time.Millisecond); err != nil {
			f.Close()
			return nil, err
		}
	}
	if err := errors.Join(f.Truncate(0), writeAt(f, strconv.Itoa(os.Getpid()))); err != nil {
		f.Close()
		return nil, fmt.Errorf("embedded engine: lock data directory: %w", err)
	}
	return f, nil
}

// lockWait takes a lock file and waits for it as long as ctx lasts.
func lockWait(ctx context.Context, file string) (unlock func(), err error) {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = pause(ctx, 100*time.Millisecond)
		}
		if err != nil {
			f.Close()
			return nil, fmt.Errorf("lock %s: %w", file, err)
		}
	}
}

func readPID(file string) int {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(b)))
	return pid
}

func writeAt(f *os.File, s string) error {
	_, err := f.WriteAt([]byte(s), 0)
	return err
}

// pause waits, unless ctx ends first.
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
