// Package confluencetest is a strict, seeded imitation of Atlassian Cloud that
// runs on loopback: the authorization server with rotating refresh tokens, the
// API gateway that OAuth tokens must use, and the site hosts that refuse them. It
// imitates Confluence Data Center installations, too.
//
// It exists so that the collector can be tested against something that does not
// share its code. The package therefore imports nothing of sitedrift: its
// pagination, its encoding and its idea of what a site holds ([Site.Truth]) are
// its own. A neighbour, the package contract below this one, checks both sides
// against Atlassian's published OpenAPI files.
//
// # The parts
//
//   - [Server] serves everything from one listener; hosts are told apart by path
//     prefix: /auth, /api, /site/{name}. A second listener, the trap, stands for
//     "some other host" and records whoever is lured there.
//   - [Site] is one Confluence site. It is generated from a seed, changed by its
//     mutation methods or by a scheduled history, and every applied change is in
//     [Site.Log].
//     What OAuth tokens read of it is [Site.Truth]. [Site.Posture] is what only an
//     administrator's API token reads on the site's own host: the GraphQL gateway,
//     the plugin manager, the licence.
//   - [Organization] owns sites and answers below /api/admin to keys of its own.
//   - [DataCenter] is one Confluence Data Center installation below /dc/{name},
//     with its own users, tokens and authorization server.
//   - [App], [Person] and [Grant] are the OAuth side; [Server.Family] tells a test
//     whether a refresh token is still worth anything.
//   - [Fault] scripts what goes wrong, on API endpoints and on the token endpoint.
//
// # Strictness
//
// Where the real service is lenient or undocumented, the simulator refuses:
// unknown paths, parameters and body fields, limits beyond the documented
// maximum, cursors used with other parameters than those they were made for.
// Answers, on the other hand, are as untidy as real ones: unknown enum values and
// fields, short pages that have a successor, ids beyond 2^53, hostile names.
//
// All methods of Server and Site may be called from many goroutines.
package confluencetest
