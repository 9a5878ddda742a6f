// Package schedule says when runs start: it parses cron expressions, spreads the
// tenants' starts over time, and decides what happens after downtime and after
// failures.
//
// It is pure: no clock, no goroutine, no storage. The table of work keeps one
// time per schedule, the next start; this package computes it. robfig/cron does
// the calendar arithmetic and nothing else; its own runner is not used, since a
// schedule has to survive the process.
//
// # Ticks, starts, and the plan
//
// A tick is a time that the expression names. A start is a tick moved by the
// offset of the tenant and group, which does not change from tick to tick. A
// Plan is an expression together with that offset. Because the offset is
// constant, starts and ticks correspond one to one, and "which ticks were
// missed" can be answered from the start alone that the table holds
// (Invariant 11).
//
// A run claims its start, and at that moment computes the next one with
// Plan.Due. Ticks that pass while it works are then due when it ends, and are
// made up for by one run, like the ticks of a downtime.
package schedule
