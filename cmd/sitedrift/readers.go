package main

import (
	"context"
	"fmt"

	"github.com/sitedrift/sitedrift/config"
	"github.com/sitedrift/sitedrift/sinks/embedded/front"
)

// shortestToken is what a reader's token must have at least: enough that nobody
// finds one by trying.
const shortestToken = 24

// resolveReaders reads the readers' tokens and keeps their hashes only.
func resolveReaders(list []config.Reader) ([]front.Reader, error) {
	readers := make([]front.Reader, len(list))
	names := map[[32]byte]string{}
	for i, r := range list {
		place := fmt.Sprintf("warehouse.readers[%d].token", i)
		token, err := r.Token.Resolve()
		if err != nil {
			return nil, &exitError{exitUsage, fmt.Errorf("%s: %w", place, err)}
		}
		if len(token) < shortestToken {
			return nil, usage("%s: the token of %s has fewer than %d characters: make one with `openssl rand -hex 24`", place, r.Name, shortestToken)
		}
		readers[i] = front.Reader{Name: r.Name, Tenant: r.Tenant, Token: front.HashToken(token)}
		if other, taken := names[readers[i].Token]; taken {
			return nil, usage("%s: %s has the token of %s: give each reader one of its own", place, r.Name, other)
		}
		names[readers[i].Token] = r.Name
	}
	return readers, nil
}

// readerGaps tells what a server lacks to keep tenants' readers apart. The
// embedded engine has no users: its port keeps them apart by itself.
func (a *app) readerGaps(ctx context.Context) []string {
	if a.cfg.Warehouse.Mode != config.ModeClickHouse {
		return []string{}
	}
	gaps, err := a.warehouse.ReaderGaps(ctx)
	if err != nil {
		return []string{err.Error()} // what cannot be seen is a gap
	}
	return append([]string{}, gaps...)
}
