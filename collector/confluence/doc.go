// Package confluence reads the datasets of one Confluence site, Cloud or Data
// Center, for one run.
//
// A [Source] is made for each run of a tenant and implements collector.Source.
// It sits between the engine, which decides what a reading means, and
// collector/httpx, which authorizes, limits and repeats single requests; what it
// adds is the knowledge of Atlassian's API: which calls make up a dataset, how
// their pages follow each other, what their errors say, and when a reading may be
// called complete. The datasets themselves are declared in schemas/confluence.
//
// # One file per dataset
//
// Each dataset has one file with the shape of the answer (wire), the calls (read)
// and a pure function from wire to row (normalize). To add one: declare it in
// schemas/confluence, write its file here and add a line to fetches. What Data
// Center has is read by files of their own, dc_*.go.
//
// # What is believed
//
//   - A reading without an error has seen every page: listings are followed until
//     the site says that they end, short and empty pages included.
//   - Items without an id make the whole answer malformed: nothing is skipped in
//     silence. Items that lack another value which may not be unknown are handed
//     over as unknown rows, and the reading is partial.
//   - null, hidden and left-out values are unknown (nil), never false or empty.
//   - Values beyond the documented enumerations pass through; unknown members of
//     objects are ignored. Ids are kept digit by digit.
//   - Links in answers only lend their cursor or start number; the address asked is
//     always built here (Invariant 10).
package confluence
