// Package statetest is the suite that every database under package state has to
// pass, and the throw-away PostgreSQL cluster that it runs on.
//
// Run is called once per database. Cluster serves other packages too: whoever
// wants to test replicas against a real PostgreSQL starts one and takes a
// database from it per test.
package statetest
