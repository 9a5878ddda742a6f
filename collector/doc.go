// Package collector is the core of sitedrift: one run over one group of a
// tenant's datasets as a state machine, and the scheduler that claims due runs.
//
// The core owns the rules (what counts as complete, what may be called
// removed, when a run becomes visible) and names the small interfaces it needs
// for the rest: a Source that reads the site, a Ledger that decides which
// attempt counts, a Warehouse that holds rows and baselines, further Sinks,
// and Work, the table of schedules. Its adapters (confluence, oauth, vault,
// httpx, state) and the sinks are joined to it in cmd/sitedrift only.
//
// Comments of the form "Invariant N" mark the line that enforces the invariant
// with that number in docs/invariants.md.
package collector
