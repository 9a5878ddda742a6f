// Package oauth keeps every kind of credential usable: grants with rotating
// refresh tokens, service accounts, and the tokens and keys that nothing renews.
// Tokens.Authorizer is the one entry: for a stored credential of any kind it
// gives the Authorization header of each request.
//
// Atlassian Cloud replaces a grant's refresh token with every use and revokes the
// whole grant when an old one comes back outside a leeway of ten minutes. So a
// token that is rotated at the provider and not stored here is lost for good, and
// two processes that refresh at once may kill the grant. Tokens is the protocol
// against both (Invariant 5): a lease and an intent are durable before the
// call, the new pair is durable before its access token is used, the write is a
// compare-and-swap on a generation number, and a call with unknown outcome is
// repeated with the same token inside the leeway. Only an answer that proves
// the grant dead, given while the stored generation has not moved, marks the
// credential needs_reconsent (Invariant 6).
//
// A Data Center site is a provider of its own, takes a refresh token once, and
// ends the access token in use with it. So the calls in flight are let finish
// before a refresh, and those that come meanwhile wait for it (Tokens.Transport);
// an answer that is lost there is tried for once more, and then a person has to
// consent again and is told why.
//
// A service account has no refresh token: any process gets itself an access
// token for the client id and secret and keeps it in memory. Tokens and keys
// that an operator makes are stored by Tokens.Keep and sent as they are; one that
// is replaced is taken up by running processes, and a refusal by one endpoint is
// no proof that it is dead.
//
// Consent gets grants: the browser flow of `connect`, with the checks that find
// a wrong site, a missing scope or a person who granted twice.
//
// The store behind all of it is the Store interface, which collector/state
// implements; secrets are sealed by collector/vault before they get there. An
// Authorizer has the methods that collector/httpx asks of one.
package oauth
