package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/schemas/dictionary"
	"github.com/sitedrift/sitedrift/sinks/clickhouse"
)

type schemaCmd struct {
	Show    schemaShowCmd    `cmd:"" default:"1" help:"List the datasets; with --json all that is declared of them."`
	DDL     schemaDDLCmd     `cmd:"" name:"ddl" help:"Print the statements that make the tables and views."`
	Readers schemaReadersCmd `cmd:"" help:"Print the statements that let readers of one tenant in on a ClickHouse server."`
	Docs    schemaDocsCmd    `cmd:"" help:"Print the data dictionary as Markdown."`
}

type (
	schemaShowCmd struct{}
	schemaDDLCmd  struct {
		Cluster string `placeholder:"NAME" help:"Of Replicated tables, on every replica of this ClickHouse cluster (as warehouse.cluster)."`
	}
	schemaReadersCmd struct {
		Tenant  string `required:"" placeholder:"T" help:"Whose rows they see."`
		Cluster string `placeholder:"NAME" help:"On every replica of this ClickHouse cluster (as warehouse.cluster)."`
	}
	schemaDocsCmd struct{}
)

func (schemaShowCmd) Run(e *env) error {
	if e.cli.JSON {
		text, err := dictionary.JSON(tables())
		if err != nil {
			return err
		}
		_, err = e.out.Write(text)
		return err
	}
	for _, t := range tables() {
		fmt.Fprintf(e.out, "%-24s %-10s %s\n", t.Name, t.Group, t.Doc)
	}
	return nil
}

func (c *schemaDDLCmd) Run(e *env) error {
	_, err := io.WriteString(e.out, strings.Join(clickhouse.DDL(tables(), c.Cluster), ";\n\n")+";\n")
	return err
}

func (c *schemaReadersCmd) Run(e *env) error {
	statements, err := clickhouse.ReaderGrants(tables(), c.Cluster, c.Tenant)
	if err != nil {
		return usage("--tenant: %w", err)
	}
	_, err = io.WriteString(e.out, strings.Join(statements, ";\n")+";\n")
	return err
}

func (schemaDocsCmd) Run(e *env) error {
	pages := dictionary.Markdown(tables())
	for _, name := range slices.Sorted(maps.Keys(pages)) {
		if _, err := io.WriteString(e.out, pages[name]+"\n"); err != nil {
			return err
		}
	}
	return nil
}
