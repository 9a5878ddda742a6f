package config

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"
)

// Checks are rules that belong to other packages.
type Checks struct {
	// Cron says what is wrong with a cron expression, or nil. Without it any
	// text passes.
	Cron func(expression string) error
}

// maxFile bounds the size of a configuration file, in bytes.
const maxFile = 4 << 20

// Find says which file to load: the one given on the command line, else the
// one that SITEDRIFT_CONFIG names, else the first that exists of
// ./sitedrift.yml, $XDG_CONFIG_HOME/sitedrift/sitedrift.yml
// (~/.config/sitedrift/sitedrift.yml) and /etc/sitedrift/sitedrift.yml. It is
// empty when there is none, and Load then returns the defaults. A file named
// by flag or variable need not exist: Load reports it.
func Find(flag string) string {
	if flag != "" {
		return flag
	}
	if env := os.Getenv("SITEDRIFT_CONFIG"); env != "" {
		return env
	}
	for _, p := range []string{
		"sitedrift.yml",
		xdg(os.Getenv, "XDG_CONFIG_HOME", ".config", "sitedrift.yml"),
		"/etc/sitedrift/sitedrift.yml",
	} {
		if info, err := os.Stat(p); p != "" && err == nil && info.Mode().IsRegular() {
			return p
		}
	}
	return ""
}

// Load reads a file, fills it up with defaults and checks it. An empty path
// gives the defaults. A file with mistakes yields *Errors with all of them.
func Load(path string, checks Checks) (*Config, error) {
	var src []byte
	if path != "" {
		var err error
		if src, err = read(path); err != nil {
			return nil, err
		}
	}
	return parse(path, src, checks)
}

// missingError is the path of a file that does not exist.
type missingError string

func (e missingError) Error() string {
	return "configuration file " + string(e) + " does not exist: create it, or name another with --config or SITEDRIFT_CONFIG"
}

func (missingError) Unwrap() error { return fs.ErrNotExist }

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, missingError(path)
	}
	if err != nil {
		return nil, fmt.Errorf("open configuration file: %w", err)
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.IsDir() {
		return nil, fmt.Errorf("configuration file %s is a folder: name a file in it", path)
	}
	src, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, fmt.Errorf("read configuration file: %w", err)
	}
	if len(src) > maxFile {
		return nil, fmt.Errorf("configuration file %s is larger than 4 MiB: add tenants with `sitedrift tenants` instead", path)
	}
	return src, nil
}

// loader holds what one load collects.
type loader struct {
	file     string // as given
	dir      string // relative paths start here
	checks   Checks
	env      func(string) string
	problems []Problem
	places   map[string]*yaml.Node // by key path, for rules that look at several keys
}

func parse(file string, src []byte, checks Checks) (*Config, error) {
	l := &loader{file: file, checks: checks, env: os.Getenv, places: map[string]*yaml.Node{}}
	c := Default()
	if file != "" {
		abs, err := filepath.Abs(file)
		if err != nil {
			return nil, fmt.Errorf("find configuration file %s: %w", file, err)
		}
		c.File, l.dir = abs, filepath.Dir(abs)
	}
	if root, ok := l.document(src); ok {
		l.mapping(root, "", fields(c))
	}
	l.derive(c)
	l.check(c)
	if len(l.problems) > 0 {
		slices.SortStableFunc(l.problems, func(a, b Problem) int {
			if a.Line != b.Line {
				return a.Line - b.Line
			}
			return a.Column - b.Column
		})
		return nil, &Errors{Problems: l.problems}
	}
	return c, nil
}

// derive fills in what depends on the environment or on other keys.
func (l *loader) derive(c *Config) {
	if c.DataDir == "" {
		c.DataDir = xdg(l.env, "XDG_DATA_HOME", ".local/share", "")
		if c.DataDir == "" && !l.failed("data_dir") {
			l.problem("data_dir", "has no default here, as neither XDG_DATA_HOME nor HOME is set", "set data_dir")
		}
	}
	if c.Vault.KeyFile == "" {
		c.Vault.KeyFile = xdg(l.env, "XDG_CONFIG_HOME", ".config", "vault.key")
		if c.Vault.KeyFile == "" && !l.failed("vault.key_file") {
			l.problem("vault.key_file", "has no default here, as neither XDG_CONFIG_HOME nor HOME is set", "set vault.key_file")
		}
	}
	if c.Server.ControlSocket == "" && c.DataDir != "" {
		c.Server.ControlSocket = filepath.Join(c.DataDir, "control.sock")
	}
	for i := range c.Tenants {
		if c.Tenants[i].Name == "" {
			c.Tenants[i].Name = c.Tenants[i].ID
		}
	}
}

// xdg is a path in a base folder of the XDG Base Directory Specification, or
// empty when neither the variable nor HOME is set. As the specification asks,
// a relative value of the variable counts as unset.
func xdg(env func(string) string, variable, underHome, name string) string {
	base := env(variable)
	if !filepath.IsAbs(base) {
		home := env("HOME")
		if home == "" {
			return ""
		}
		base = filepath.Join(home, underHome)
	}
	return filepath.Join(base, "sitedrift", name)
}

// problem notes a problem at the place of a key, or of the nearest section
// around it that the file has.
func (l *loader) problem(key, message, hint string) {
	place := key
	n := l.places[place]
	for n == nil && place != "" {
		place = parent(place)
		n = l.places[place]
	}
	l.problemAt(n, key, message, hint)
}

func (l *loader) problemAt(n *yaml.Node, key, message, hint string) {
	p := Problem{File: l.file, Key: key, Message: message, Hint: hint}
	if p.File == "" {
		p.File = "default configuration"
	}
	if n != nil {
		p.Line, p.Column = n.Line, n.Column
	}
	l.problems = append(l.problems, p)
}

// failed reports whether a key already has a problem.
func (l *loader) failed(key string) bool {
	return slices.ContainsFunc(l.problems, func(p Problem) bool { return p.Key == key || p.Key == "" })
}

func parent(key string) string {
	if strings.HasSuffix(key, "]") {
		return key[:strings.LastIndexByte(key, '[')]
	}
	if i := strings.LastIndexByte(key, '.'); i >= 0 {
		return key[:i]
	}
	return ""
}
