package clickhouse

import "github.com/sitedrift/sitedrift/schemas"

// Database is the database of the contract.
const Database = "sitedrift"

// DDL lists the statements that make the whole schema in an empty server: for
// `schema ddl`, for review, and for those who want to run them by themselves.
// With a cluster they make Replicated tables on all of its replicas.
func DDL(datasets []*schemas.Dataset, cluster string) []string {
	return ddl(layout{database: Database, cluster: cluster}, datasets)
}

func ddl(l layout, datasets []*schemas.Dataset) []string {
	statements := []string{l.createDatabase()}
	for _, t := range tables(datasets) {
		statements = append(statements, t.create(l))
	}
	for _, v := range views(l, datasets) {
		statements = append(statements, v.create(l))
	}
	return statements
}

func (l layout) createDatabase() string {
	return "CREATE DATABASE IF NOT EXISTS " + name(l.database) + l.onCluster()
}

// Views are the names of the contract's views: what readers may ask.
func Views(datasets []*schemas.Dataset) []string {
	var list []string
	for _, v := range views(layout{database: Database}, datasets) {
		list = append(list, v.name)
	}
	return list
}
