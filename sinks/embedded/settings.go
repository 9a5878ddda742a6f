package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/sinks/embedded/front"
)

// Settings says how to run the engine.
type Settings struct {
	Dir            string         // the daemon's data directory; the engine's files go below Dir/clickhouse. Required
	Command        []string       // runs RunChild with the arguments that are appended. Default: this executable, "engine"
	Library        string         // libchdb file. Default: the pinned build in the cache
	CacheDir       string         // where Install puts files. Default: DefaultCacheDir
	MaxMemoryBytes int64          // limit for the whole engine; statements beyond fail with code 241. Default: 40 % of the machine's or container's
	ListenHTTP     string         // loopback address for people, such as "127.0.0.1:8123". Default: none
	ListenReadOnly bool           // requests on ListenHTTP without a password may read
	Readers        []front.Reader // may read on ListenHTTP, each by a token of its own; then nobody may without one
	Views          []string       // what readers may ask: the views of the contract
	Log            *zap.Logger

	// StartTimeout bounds how long a child may take until it serves. Default 1 minute: opening many tables on a
	// slow disk takes seconds, loading the library from a cold one too.
	StartTimeout time.Duration
	// StopTimeout bounds how long Close waits before it kills. Default 10 s.
	StopTimeout time.Duration
}

func (s Settings) withDefaults() (Settings, error) {
	if s.Dir == "" {
		return s, errors.New("embedded engine: no data directory is configured")
	}
	dir, err := filepath.Abs(s.Dir)
	if err != nil {
		return s, fmt.Errorf("embedded engine: data directory %s: %w", s.Dir, err)
	}
	s.Dir = dir
	if len(s.Command) == 0 {
		self, err := os.Executable()
		if err != nil {
			return s, fmt.Errorf("embedded engine: own executable: %w", err)
		}
		s.Command = []string{self, "engine"}
	}
	if s.MaxMemoryBytes < 0 {
		return s, fmt.Errorf("embedded engine: memory limit of %d bytes is negative", s.MaxMemoryBytes)
	}
	if s.ListenHTTP != "" {
		if err := checkLoopback(s.ListenHTTP); err != nil {
			return s, &ListenError{s.ListenHTTP, err}
		}
	}
	if s.Log == nil {
		s.Log = zap.NewNop()
	}
	if s.StartTimeout <= 0 {
		s.StartTimeout = time.Minute
	}
	if s.StopTimeout <= 0 {
		s.StopTimeout = 10 * time.Second
	}
	return s, nil
}

// checkLoopback refuses every address that other machines could reach: the port speaks plain HTTP.
func checkLoopback(addr string) error {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return fmt.Errorf("want host:port, such as 127.0.0.1:8123: %w", err)
	}
	if ip := net.ParseIP(strings.Trim(host, "[]")); host == "localhost" || ip != nil && ip.IsLoopback() {
		return nil
	}
	return errors.New("the embedded engine serves loopback addresses only (127.0.0.1, ::1, localhost); use a ClickHouse server for clients on other machines")
}
