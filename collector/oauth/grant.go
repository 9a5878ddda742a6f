package oauth

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// grant is what is sealed in a credential row.
type grant struct {
	Access, Refresh vault.Secret
	// Secret is a token or key that is sent as it is, or the client secret: of a
	// service account, or of an app that is registered for this tenant alone.
	Secret vault.Secret
	// Redirect is the redirect URL of the consent, where a refresh repeats it.
	Redirect string
}

// wireGrant is grant in the clear, between encoding and sealing only.
type wireGrant struct {
	Access   string `json:"access"`
	Refresh  string `json:"refresh"`
	Secret   string `json:"secret,omitempty"`
	Redirect string `json:"redirect,omitempty"`
}

// sealGrant encrypts g for the row that c describes, with c.Generation.
func sealGrant(v *vault.Vault, c collector.Credential, g grant) ([]byte, error) {
	//nolint:gosec // encoded to be sealed on the next lines
	plain, err := json.Marshal(wireGrant{g.Access.Reveal(), g.Refresh.Reveal(), g.Secret.Reveal(), g.Redirect})
	if err != nil {
		return nil, fmt.Errorf("encode the %s of tenant %s: %w", noun(c.Kind), c.Tenant, err)
	}
	sealed, err := v.Seal(plain, vault.AssociatedData(c.Tenant, c.Kind, c.Generation))
	if err != nil {
		return nil, fmt.Errorf("seal the %s of tenant %s (%s): %w", noun(c.Kind), c.Tenant, c.Kind, err)
	}
	return sealed, nil
}

// openGrant decrypts the grant in c. A key that does not fit is a matter of
// configuration and says nothing about the grant.
func openGrant(v *vault.Vault, c collector.Credential) (grant, error) {
	fail := func(cause error) error {
		return &Error{Class: ErrClientConfig, Op: "open the stored " + noun(c.Kind), Tenant: c.Tenant, Kind: c.Kind, Cause: cause}
	}
	plain, err := v.Open(c.Sealed, vault.AssociatedData(c.Tenant, c.Kind, c.Generation))
	if err != nil {
		return grant{}, fail(err)
	}
	var w wireGrant
	if json.Unmarshal(plain, &w) != nil {
		return grant{}, fail(errors.New("what is sealed is not a grant"))
	}
	return grant{vault.NewSecret(w.Access), vault.NewSecret(w.Refresh), vault.NewSecret(w.Secret), w.Redirect}, nil
}

// keeper stores what a person brings, by consent or by hand.
type keeper struct {
	store Store
	vault *vault.Vault
}

// previous returns the stored row, or a zero one.
func (k keeper) previous(ctx context.Context, tenant, kind string) (collector.Credential, error) {
	old, err := k.store.Credential(ctx, tenant, kind)
	if err != nil && !errors.Is(err, collector.ErrNoCredential) {
		return old, fmt.Errorf("read the present %s of tenant %s: %w", noun(kind), tenant, err)
	}
	return old, nil
}

// replace puts g in place of whatever is stored. What a person brings wins over
// refreshes of the old grant that come between.
func (k keeper) replace(ctx context.Context, row collector.Credential, g grant) (collector.Credential, error) {
	for try := 1; ; try++ {
		old, err := k.previous(ctx, row.Tenant, row.Kind)
		if err != nil {
			return row, err
		}
		row.Generation = old.Generation
		stored, err := k.put(ctx, row, g)
		if err == nil {
			return stored, nil
		}
		if now, e := k.previous(ctx, row.Tenant, row.Kind); e != nil || now.Generation == old.Generation || try == 5 {
			return row, err
		}
	}
}

// put seals g for the generation after row's and stores it if row's is still
// the stored one.
func (k keeper) put(ctx context.Context, row collector.Credential, g grant) (collector.Credential, error) {
	row.Generation++
	sealed, err := sealGrant(k.vault, row, g)
	if err != nil {
		return row, err
	}
	row.State, row.Sealed = collector.CredentialOK, sealed
	stored, err := k.store.PutConsent(ctx, row)
	if err != nil {
		return row, fmt.Errorf("store the %s of tenant %s: %w", noun(row.Kind), row.Tenant, err)
	}
	return stored, nil
}
