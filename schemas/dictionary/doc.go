// Package dictionary renders the data dictionary from the declarations: the
// pages in docs/datasets for people, and the JSON of `sitedrift schema --json`
// for programs. Nothing in it is written twice: a column's sentence stands in
// its declaration and nowhere else.
package dictionary

//go:generate go run ./generate ../../docs/datasets
