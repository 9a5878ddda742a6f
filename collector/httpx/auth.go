package httpx

import (
	"context"
	"encoding/base64"
	"errors"
)

// Authorizer gives the Authorization header of each request. Implementations
// are safe for concurrent use.
type Authorizer interface {
	// Authorization returns the header's value ("" for none) and a number that
	// grows when the credential behind it changes.
	Authorization(ctx context.Context) (header string, generation int64, err error)

	// Refused says that the server answered 401 to the header of the given
	// generation. On nil a newer one is to be had and the request is sent once
	// more.
	Refused(ctx context.Context, generation int64) error
}

// ErrFixedCredential is the answer of a credential that cannot renew itself.
var ErrFixedCredential = errors.New("the credential is refused and cannot be renewed: check it, or make a new one")

// fixed holds its header in a closure, where no printer finds it.
type fixed func() string

// Bearer authorizes with a token that does not change, such as an organization
// API key or a personal access token.
func Bearer(token string) Authorizer {
	header := "Bearer " + token
	return fixed(func() string { return header })
}

// Basic authorizes with a name and an API token.
func Basic(name, token string) Authorizer {
	header := "Basic " + base64.StdEncoding.EncodeToString([]byte(name+":"+token))
	return fixed(func() string { return header })
}

// Anonymous sends no Authorization header.
func Anonymous() Authorizer { return fixed(func() string { return "" }) }

func (f fixed) Authorization(context.Context) (string, int64, error) { return f(), 0, nil }
func (fixed) Refused(context.Context, int64) error                   { return ErrFixedCredential }
