// Package check holds the tests of the chart, the compose file and the alert
// rules: each is read by the library of the program that it is written for, and
// the configuration that it makes by our own. No container engine and no
// network is needed.
package check
