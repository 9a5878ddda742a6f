// Package oauth keeps grants with rotating refresh tokens alive and gets new
// ones by consent.
//
// Atlassian replaces the refresh token with every use and revokes the whole
// grant when an old one comes back outside a leeway of ten minutes. So a token
// that is rotated at the provider and not stored here is lost for good, and
// two processes that refresh at once may kill the grant. Tokens is the protocol
// against both (Invariant 5): a lease and an intent are durable before the
// call, the new pair is durable before its access token is used, the write is a
// compare-and-swap on a generation number, and a call with unknown outcome is
// repeated with the same token inside the leeway. Only an answer that proves
// the grant dead, given while the stored generation has not moved, marks the
// credential needs_reconsent (Invariant 6).
//
// Consent is the other half: the browser flow of `connect`, with the checks
// that find a wrong site, a missing scope or a person who granted twice.
//
// The store behind both is the Store interface, which collector/state
// implements; token pairs are sealed by collector/vault before they get there.
// collector/httpx asks a Source for the Authorization header of each request.
package oauth
