package config

import (
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Ref names the place of a secret: an environment variable (env:NAME) or a file
// (file:/path). For addresses of databases it may also be the address itself,
// as long as that holds no password. The zero Ref is unset.
//
// A Ref holds no secret, so it may be printed and logged (Invariant 9).
type Ref struct {
	env   string
	file  string
	plain string
}

// IsZero reports whether the reference is unset.
func (r Ref) IsZero() bool { return r == Ref{} }

// String is the reference as it is written in the file.
func (r Ref) String() string {
	switch {
	case r.env != "":
		return "env:" + r.env
	case r.file != "":
		return "file:" + r.file
	default:
		return r.plain
	}
}

// maxSecret bounds what a secret's file may hold, in bytes.
const maxSecret = 64 << 10

// Resolve reads the secret. It is read anew on each call, so a rotated file
// needs no restart. The error names the place and never holds the value.
func (r Ref) Resolve() (string, error) {
	switch {
	case r.env != "":
		v, ok := os.LookupEnv(r.env)
		if !ok {
			return "", fmt.Errorf("environment variable %s is not set: set it, or change the reference env:%s", r.env, r.env)
		}
		if v == "" {
			return "", fmt.Errorf("environment variable %s is empty: give it the value of the secret", r.env)
		}
		return v, nil
	case r.file != "":
		return readSecret(r.file)
	case r.plain != "":
		return r.plain, nil
	default:
		return "", errors.New("no secret configured here")
	}
}

func readSecret(path string) (string, error) {
	info, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("secret file %s does not exist: create it, or change the reference to it", path)
	}
	if err != nil {
		return "", fmt.Errorf("read secret file: %w", err)
	}
	if !info.Mode().IsRegular() || info.Size() > maxSecret {
		return "", fmt.Errorf("secret file %s must be a plain file of at most 64 KiB", path)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("read secret file: %w", err)
	}
	v := strings.TrimRight(string(b), "\r\n")
	if v == "" {
		return "", fmt.Errorf("secret file %s is empty: write the secret into it", path)
	}
	return v, nil
}

// parseRef accepts env:NAME and file:/path. Relative files are taken from dir.
func parseRef(v, dir string) (Ref, bool, *fault) {
	if name, ok := strings.CutPrefix(v, "env:"); ok {
		if !isEnvName(name) {
			return Ref{}, true, faultf("write env: and the name of an environment variable, such as env:CLICKHOUSE_DSN",
				"names an environment variable that cannot exist")
		}
		return Ref{env: name}, true, nil
	}
	if path, ok := strings.CutPrefix(v, "file:"); ok {
		path = strings.TrimPrefix(path, "//")
		if path == "" {
			return Ref{}, true, faultf("write file: and the path of the secret, such as file:/run/secrets/oauth",
				"names no file")
		}
		if !filepath.IsAbs(path) {
			path = filepath.Join(dir, path)
		}
		return Ref{file: filepath.Clean(path)}, true, nil
	}
	return Ref{}, false, nil
}

// secretRef is the rule for keys that are secrets as a whole.
func secretRef(v, dir string) (Ref, *fault) {
	r, ok, f := parseRef(v, dir)
	if ok {
		return r, f
	}
	return Ref{}, faultf("move it to the environment or to a file and write env:NAME or file:/path here; "+
		"if this file was ever shared or committed, replace the secret",
		"holds the secret itself, and configuration files end up in backups and repositories")
}

// addressRef is the rule for addresses of databases: a reference, or the
// address itself when it carries no password.
func addressRef(v, dir string, schemes ...string) (Ref, *fault) {
	if r, ok, f := parseRef(v, dir); ok {
		return r, f
	}
	want := strings.Join(schemes, ":// or ") + "://"
	u, err := url.Parse(v)
	if err != nil || u.Scheme == "" || u.Host == "" {
		return Ref{}, faultf("write "+want+"host/..., or a reference such as env:NAME", "is not an address")
	}
	if !slices.Contains(schemes, u.Scheme) {
		return Ref{}, faultf("write "+want+"host/..., or a reference such as env:NAME",
			"has the scheme %q", u.Scheme)
	}
	_, password := u.User.Password()
	q := u.Query()
	if password || q.Has("password") || q.Has("sslpassword") || q.Has("access_token") {
		return Ref{}, faultf("move the whole address to the environment or to a file and write env:NAME or file:/path here; "+
			"if this file was ever shared or committed, replace the password",
			"holds a password, and configuration files end up in backups and repositories")
	}
	return Ref{plain: v}, nil
}

func isEnvName(s string) bool {
	for i, r := range s {
		letter := r == '_' || r >= 'A' && r <= 'Z' || r >= 'a' && r <= 'z'
		if !letter && (i == 0 || r < '0' || r > '9') {
			return false
		}
	}
	return s != ""
}

// SecretRef parses env:NAME or file:/path, as given on a command line; relative
// paths start at the working directory. What is a secret itself is refused, and
// not repeated in the error.
func SecretRef(v string) (Ref, error) {
	dir, err := os.Getwd()
	if err != nil {
		return Ref{}, fmt.Errorf("find the working directory: %w", err)
	}
	r, ok, f := parseRef(v, dir)
	switch {
	case !ok:
		return Ref{}, errors.New("is neither env:NAME nor file:PATH; the secret itself does not belong on a command line")
	case f != nil:
		return Ref{}, errors.New(f.message + "; " + f.hint)
	default:
		return r, nil
	}
}

// FileRef is a reference to the secret in a file, for configurations that are
// not read from one.
func FileRef(path string) Ref { return Ref{file: path} }
