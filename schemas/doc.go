// Package schemas is the leaf that everything else leans on: it declares each
// dataset once (columns, key, partition, sources, scopes, severities), and
// from that one declaration derive row and key hashes, column blocks, the
// tables and views of the warehouse, the data dictionary and the list of
// OAuth scopes. The datasets themselves are declared in schemas/confluence.
//
// It also holds the plain records that cross the border to the sinks: Head,
// Delta, Run, Change and Coverage.
package schemas
