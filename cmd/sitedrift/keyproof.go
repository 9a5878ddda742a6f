package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
	"github.com/sitedrift/sitedrift/config"
)

// keyProof is what is sealed to prove the key. No tenant's secret can be put in
// its place, nor it in theirs: no tenant is without an id.
const keyProof = "the key of this installation"

func keyProofBound() []byte { return vault.AssociatedData("", "key proof", 0) }

// proveKey refuses a key file that is not the installation's, or lacks the key with
// which others encrypt now, before anything is opened or stored with it (Invariant
// 5): a rotated token that the other replicas cannot open would be lost to them.
// The first process of an installation makes the proof.
func (a *app) proveKey(ctx context.Context) error {
	proof, err := a.store.KeyProof(ctx)
	if err != nil {
		return err
	}
	stored, err := a.store.Credentials(ctx)
	if err != nil {
		return err
	}
	if proof == nil {
		if err := a.opensSome(stored); err != nil {
			return a.foreignKey(err)
		}
		return a.putKeyProof(ctx, nil)
	}
	_, err = a.vault.Open(proof, keyProofBound())
	if errors.Is(err, vault.ErrUnknownKey) && len(stored) == 0 && a.cfg.State.Driver == config.DriverSQLite {
		// Nobody else uses the key, and nothing is lost with it.
		return a.putKeyProof(ctx, proof)
	}
	return a.foreignKey(err)
}

// trustKeyFile is proveKey for a key file that was put in the place of the proven one
// while this process runs. Until it is the right one, the keys in memory are used on.
func (a *app) trustKeyFile(candidate *vault.Vault) error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	proof, err := a.store.KeyProof(ctx)
	if err == nil && proof != nil {
		_, err = candidate.Open(proof, keyProofBound())
		err = a.foreignKey(err)
	}
	if err != nil {
		a.log.Error("the key file was replaced, and is not taken up", zap.Error(err))
	}
	return err
}

// opensSome returns why the key opens none of the credentials; nil if there are
// none, or if only the credentials themselves are wrong.
func (a *app) opensSome(stored []collector.Credential) (err error) {
	for _, c := range stored {
		var plain []byte
		plain, err = a.vault.Open(c.Sealed, vault.AssociatedData(c.Tenant, c.Kind, c.Generation))
		clear(plain)
		if !errors.Is(err, vault.ErrUnknownKey) {
			return nil
		}
	}
	return err
}

// foreignKey says of a key that does not fit what to do.
func (a *app) foreignKey(err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("the key file %s (vault.key_file) does not belong to this installation, or is older than its last new key; nothing was opened or stored with it. Put the right file there, from its backup or from another replica; if it is lost for good, delete what is encrypted (%s) and connect each tenant again (%w)",
		a.cfg.Vault.KeyFile, a.credentialsPlace(), err)
}

// putKeyProof seals the proof with the present key, in the place of old (nil: for
// the first time), and checks it again, since another process may have been faster.
func (a *app) putKeyProof(ctx context.Context, old []byte) error {
	sealed, err := a.vault.Seal([]byte(keyProof), keyProofBound())
	if err != nil {
		return err
	}
	if done, err := a.store.PutKeyProof(ctx, old, sealed); err != nil || done {
		return err
	}
	return a.proveKey(ctx)
}

// resealKeyProof lets the proof be of the present key.
func (a *app) resealKeyProof(ctx context.Context) error {
	proof, err := a.store.KeyProof(ctx)
	if err != nil || a.vault.SealedWithPrimary(proof) {
		return err
	}
	if proof != nil {
		if _, err := a.vault.Open(proof, keyProofBound()); err != nil {
			return a.foreignKey(err)
		}
	}
	return a.putKeyProof(ctx, proof)
}

// keyInUse says what needs the key file that is missing; empty when nothing does.
func (a *app) keyInUse(ctx context.Context) (string, error) {
	stored, err := a.store.Credentials(ctx)
	if err != nil {
		return "", err
	}
	if len(stored) > 0 {
		return fmt.Sprintf("what is stored, %s, is encrypted with it", count(len(stored), "credential")), nil
	}
	proof, err := a.store.KeyProof(ctx)
	if err != nil || proof == nil || a.cfg.State.Driver == config.DriverSQLite {
		return "", err
	}
	return "other replicas of this installation have it", nil
}
