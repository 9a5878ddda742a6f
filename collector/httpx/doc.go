// Package httpx sends an API client's requests to one site, so that package
// confluence can think in pages and rows: it adds the credential, keeps within
// the limits, repeats what may be repeated, and turns every failure into an
// *Error with a Class.
//
// A request passes these stages, in this order, on each try:
//
//	resolve   the reference becomes a URL under the pinned base, or is refused
//	budget    the app-wide hourly points, shared fairly by all tenants (Budget)
//	limiter   the tenant's own requests per second
//	authorize the credential's header; a 401 asks once for a newer one
//	pin       last before the wire: nothing leaves for another origin
//	transport one shared http.Transport; redirects are answers, not followed
//	read      the whole body, bounded in time and size, into a reused buffer
//	judge     status and body become success, an error to repeat, or an error
//
// Reading the body inside the try is what lets a reset in the middle of a page
// be repeated like one before it. Only idempotent requests are repeated.
//
// It knows nothing of tokens: an Authorizer gives the header (oauth.Source for
// rotating grants, Basic and Bearer for fixed ones).
package httpx
