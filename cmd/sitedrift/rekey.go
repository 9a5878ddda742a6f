package main

import (
	"context"
	"fmt"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

type tenantsRekeyCmd struct {
	DropOld bool `help:"Instead: take all keys but the newest out of the key file, once nothing stored needs them."`
}

// Help is shown by --help.
func (tenantsRekeyCmd) Help() string {
	return "A new key is added to the key file and encrypts from now on; what is stored is encrypted anew while the daemon works. Older keys stay in the file, so that backups made before still open, until --drop-old takes them out: keep a copy of the file with such backups. Where replicas have copies of the key file, give them the new one at once: until then they cannot open what others stored."
}

type rekeyParams struct {
	DropOld bool `json:"drop_old"`
}

type rekeyed struct {
	Key      uint32   `json:"key"`      // that encrypts from now on
	Resealed int      `json:"resealed"` // credentials that were encrypted anew
	Old      []uint32 `json:"old_keys"` // still in the key file
	Dropped  []uint32 `json:"dropped_keys"`
}

func opRekey(ctx context.Context, a *app, p rekeyParams, _ func(any)) (rekeyed, error) {
	res := rekeyed{Old: []uint32{}, Dropped: []uint32{}}
	if !p.DropOld {
		if _, err := a.vault.AddKey(); err != nil {
			return res, err
		}
	}
	var err error
	if res.Resealed, err = a.reseal(ctx); err != nil {
		return res, err
	}
	if p.DropOld {
		if res.Dropped, err = a.vault.DropOldKeys(); err != nil {
			return res, err
		}
	}
	keys := a.vault.Keys()
	res.Key, res.Old = keys[0], append(res.Old, keys[1:]...)
	return res, nil
}

// reseal encrypts all credentials with the present key that are encrypted with
// another, and then what proves the key. One that changes meanwhile is looked at again: another process may
// have written it with the key that it knew.
func (a *app) reseal(ctx context.Context) (n int, err error) {
	for {
		stored, err := a.store.Credentials(ctx)
		if err != nil {
			return n, err
		}
		moved := false
		for _, c := range stored {
			if a.vault.SealedWithPrimary(c.Sealed) {
				continue
			}
			done, err := a.resealOne(ctx, c)
			if err != nil {
				return n, err
			}
			if done {
				n++
			} else {
				moved = true
			}
		}
		if ctx.Err() != nil {
			return n, ctx.Err()
		}
		if !moved {
			return n, a.resealKeyProof(ctx)
		}
	}
}

func (a *app) resealOne(ctx context.Context, c collector.Credential) (bool, error) {
	bound := vault.AssociatedData(c.Tenant, c.Kind, c.Generation)
	plain, err := a.vault.Open(c.Sealed, bound)
	if err != nil {
		return false, fmt.Errorf("credential %s of tenant %s: %w", c.Kind, c.Tenant, err)
	}
	defer clear(plain)
	sealed, err := a.vault.Seal(plain, bound)
	if err != nil {
		return false, err
	}
	return a.store.Reseal(ctx, c, sealed)
}

func (c tenantsRekeyCmd) Run(e *env) error {
	res, err := call[rekeyed](e, "rekey", rekeyParams(c), nil)
	if err != nil {
		return err
	}
	if e.cli.JSON {
		return printJSON(e.out, res)
	}
	fmt.Fprintf(e.out, "key %d encrypts; %s encrypted anew\n", res.Key, count(res.Resealed, "credential"))
	switch {
	case len(res.Dropped) > 0:
		fmt.Fprintf(e.out, "%s taken out of the key file: backups made before need a copy that has them\n", count(len(res.Dropped), "older key"))
	case len(res.Old) > 0:
		fmt.Fprintf(e.out, "%s still in the key file, for backups made before; take them out with: sitedrift tenants rekey --drop-old\n", count(len(res.Old), "older key"))
	}
	return nil
}
