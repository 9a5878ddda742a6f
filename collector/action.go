package collector

import "time"

// Action is one entry of the audit trail: somebody changed what sitedrift does
// or holds, or tried to. It never holds a secret (Invariant 9).
type Action struct {
	At         time.Time // when it ended; of what is unfinished, when it began
	Actor      string    // who: a user of the machine, or ActorConfiguration
	Name       string    // what, in the words of the command line: "tenants pause"
	Tenant     string    // empty: it is about the whole installation
	Detail     string    // for people: a kind of credential, a site, counts
	Failure    string    // why it did not succeed; empty if it did
	Unfinished bool      // it is under way, or its process died: how far it came is not known
}

// ActorConfiguration is the actor of what the configuration file changed at a start.
const ActorConfiguration = "configuration"

// ActorDaemon is the actor of what a daemon completes by itself.
const ActorDaemon = "daemon"
