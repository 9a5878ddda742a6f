package confluence

import (
	"context"
	"strings"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Finding is what a check says of a dataset, or of one of its sections, and one
// of the tenant's credentials.
type Finding struct {
	Dataset, Section string
	Credential       string                // kind; empty when the tenant has none that the dataset could be read with
	API              string                // interface that was asked
	Taken            bool                  // a run would read by this source
	State            schemas.CoverageState // complete: it can be read
	Evidence         string                // what was asked and answered
	Unlock           string                // what would make it readable
}

// Check asks, with small requests for each dataset or section and each of the
// tenant's credentials, whether it can be read, and says what would unlock it if
// not. It changes nothing. Datasets that have to be read before others come first.
func (s *Source) Check(ctx context.Context) []Finding {
	alone := make([]*Source, len(s.ways)) // one for each credential
	for i, w := range s.ways {
		alone[i] = New(Settings{Tenant: s.tenant, Deployment: s.deployment, Site: s.site, Tables: s.tables, Open: s.open, Now: s.now})
		alone[i].ways, alone[i].stats = []*Way{w}, s.stats
	}
	var list []Finding
	for _, table := range datasets.All() {
		if !s.reads(table.Name) {
			continue
		}
		sections := table.SectionsOf(s.deployment)
		if len(sections) == 0 {
			sections = []string{""}
		}
		for _, section := range sections {
			chosen, nothing := s.visit(table, section)
			before := len(list)
			for _, one := range alone {
				if f, asked := one.question(ctx, table, section); asked {
					f.Taken = chosen != nil && chosen.way.Kind == f.Credential
					list = append(list, f)
				}
			}
			if len(list) == before {
				list = append(list, Finding{Dataset: table.Name, Section: section, State: stateOf(nothing), Evidence: evidenceOf(nothing), Unlock: unlockOf(nothing)})
			}
		}
	}
	return list
}

// question asks for one item of a dataset or section with the only credential
// that the source has; false when the dataset cannot be read with its kind.
func (s *Source) question(ctx context.Context, table *schemas.Dataset, section string) (Finding, bool) {
	kind := s.ways[0].Kind
	f := Finding{Dataset: table.Name, Section: section, Credential: kind, State: schemas.CoverageComplete}
	possible := false
	for _, a := range s.accesses(table, section) {
		if a.Credential == kind && (!a.Closed || s.opened(table, a)) {
			possible = true
		}
	}
	if !possible {
		return f, false
	}
	v, err := s.visit(table, section)
	if err == nil {
		f.API = v.access.API
		if err = s.Reach(table); err == nil {
			f.Evidence, err = v.ask(ctx, table, section)
		}
	}
	if err != nil {
		f.State, f.Evidence, f.Unlock = stateOf(err), evidenceOf(err), unlockOf(err)
	}
	return f, true
}

// ask reads one item, and says in words what was asked.
func (s *visit) ask(ctx context.Context, table *schemas.Dataset, section string) (string, error) {
	s.peek = true
	partition := section
	if table.Parent != "" {
		known := s.Partitions(table)
		if len(known) == 0 {
			return "", &collector.ReadError{State: schemas.CoverageNeverRun, Evidence: "not asked: none of " + table.Parent + " is known to ask about"}
		}
		partition = known[0]
	}
	if table.Append {
		s.Resume(table, "")
		partition = s.now().UTC().Format(time.DateOnly)
	}
	seen := 0
	err := s.read(ctx, table, partition, func(p collector.Page) error {
		for _, told := range []schemas.Rows{p.Rows, p.Partly} {
			if told != nil {
				seen += told.Len()
			}
		}
		return nil
	})
	s.remember(table, partition, err)
	if err != nil {
		return "", err
	}
	asked := strings.Join(s.asked, ", ")
	switch {
	case asked == "":
		return "told by the answers to other questions", nil
	case seen == 0 && table.Parent == "":
		return asked + ": answers, but shows nothing", nil
	default:
		return asked + ": answers", nil
	}
}
