package oauth

import (
	"encoding/json"
	"errors"
	"fmt"
	mathrand "math/rand/v2"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/vault"
)

// grant is what is sealed in a credential row.
type grant struct {
	Access, Refresh vault.Secret
}

// wireGrant is grant in the clear, between encoding and sealing only.
type wireGrant struct {
	Access  string `json:"access"`
	Refresh string `json:"refresh"`
}

// sealGrant encrypts g for the row that c describes, with c.Generation.
func sealGrant(v *vault.Vault, c collector.Credential, g grant) ([]byte, error) {
	plain, err := json.Marshal(wireGrant{g.Access.Reveal(), g.Refresh.Reveal()})
	if err != nil {
		return nil, fmt.Errorf("encode the grant of tenant %s: %w", c.Tenant, err)
	}
	sealed, err := v.Seal(plain, vault.AssociatedData(c.Tenant, c.Kind, c.Generation))
	if err != nil {
		return nil, fmt.Errorf("seal the grant of tenant %s (%s): %w", c.Tenant, c.Kind, err)
	}
	return sealed, nil
}

// openGrant decrypts the grant in c. A key that does not fit is a matter of
// configuration and says nothing about the grant.
func openGrant(v *vault.Vault, c collector.Credential) (grant, error) {
	fail := func(cause error) error {
		return &Error{Class: ErrClientConfig, Op: "open the stored grant", Tenant: c.Tenant, Kind: c.Kind, Cause: cause}
	}
	plain, err := v.Open(c.Sealed, vault.AssociatedData(c.Tenant, c.Kind, c.Generation))
	if err != nil {
		return grant{}, fail(err)
	}
	var w wireGrant
	if json.Unmarshal(plain, &w) != nil {
		return grant{}, fail(errors.New("what is sealed is not a grant"))
	}
	return grant{vault.NewSecret(w.Access), vault.NewSecret(w.Refresh)}, nil
}

func randomFraction() float64 { return mathrand.Float64() }
