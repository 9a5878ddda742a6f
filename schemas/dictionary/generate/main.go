// Command generate writes the data dictionary's pages into the directory that
// its argument names, and takes pages of datasets away that are no more.
package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/sitedrift/sitedrift/schemas/confluence"
	"github.com/sitedrift/sitedrift/schemas/dictionary"
)

func main() {
	err := errors.New("usage: generate <directory>")
	if len(os.Args) == 2 {
		err = write(os.Args[1])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1) //nolint:forbidigo // main turns the error into the exit code
	}
}

func write(dir string) error {
	if err := os.MkdirAll(dir, 0o750); err != nil { //nolint:gosec // the directory is the caller's choice
		return err
	}
	pages := dictionary.Markdown(confluence.All())
	old, err := filepath.Glob(filepath.Join(dir, "*.md"))
	if err != nil {
		return err
	}
	for _, path := range old {
		if _, ok := pages[filepath.Base(path)]; !ok {
			if err := os.Remove(path); err != nil { //nolint:gosec // as above
				return err
			}
		}
	}
	for name, text := range pages {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil { //nolint:gosec // pages of a public repository
			return err
		}
	}
	return nil
}
