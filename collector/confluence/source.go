package confluence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Settings say what a Source reads and as whom. Tenant and Ways are required.
type Settings struct {
	Tenant     string // id of the customer, for advice such as "sitedrift connect --tenant ..."
	Deployment string // schemas.Cloud if empty
	// Site identifies the site that answers must be about: the cloud id, or the
	// base address of a Data Center site.
	Site string
	// Ways are the tenant's credentials. The source takes copies of their clients
	// that count this run only.
	Ways []Way
	// Tables are the datasets that the run is going to read; nil: unknown, all.
	Tables []*schemas.Dataset
	// Open reports whether a probe found that the vendor lets the kind of
	// credential into a source that the declaration calls closed; nil: none.
	Open func(dataset, section, credential string) bool
	Now  func() time.Time // time.Now if nil
}

// Source reads one site in one run; it implements collector.Source. It is safe
// for concurrent use by readings of different partitions.
type Source struct {
	tenant, deployment, site string
	ways                     []*Way
	tables                   []*schemas.Dataset
	open                     func(dataset, section, credential string) bool
	now                      func() time.Time
	stats                    *httpx.Stats
	denials                  denials

	mu     sync.Mutex
	lists  map[string]*parents // by dataset whose entities are partitions of others
	people people
	// undefined are optional fields that the GraphQL gateway disowned, by question.
	undefined   map[string]map[string]bool
	roles       roleNames
	audit       auditState
	auditAhead  auditAhead
	eventsAhead eventsAhead
	noRoles     error   // why the site has no space roles
	roleMode    *string // as the site told in this run
}

// parents are the entities of a listing that are partitions of other datasets.
type parents struct {
	ids   []string          // in order of appearance
	names map[string]string // key of a space, name of a group
	none  map[string]bool   // of these the listing says that they have no children
	read  bool              // a reading ended
	err   error             // how it ended; nil: complete
}

func (p *parents) reset() { *p = parents{names: map[string]string{}, none: map[string]bool{}} }

func (p *parents) add(id, name string) {
	if _, known := p.names[id]; !known {
		p.ids = append(p.ids, id)
	}
	p.names[id] = name
}

var _ collector.Source = (*Source)(nil)

// New returns the source for one run of one tenant.
func New(settings Settings) *Source {
	s := &Source{
		tenant: settings.Tenant, deployment: cmp.Or(settings.Deployment, schemas.Cloud), site: settings.Site,
		tables: settings.Tables, open: settings.Open, now: settings.Now, stats: new(httpx.Stats), lists: map[string]*parents{},
	}
	if s.now == nil {
		s.now = time.Now
	}
	for _, w := range settings.Ways {
		if w.Client != nil {
			w.Client = w.Client.ForRun(s.stats)
		}
		if w.GraphQL != nil {
			w.GraphQL = &Gateway{w.GraphQL.Client.ForRun(s.stats), w.GraphQL.Path}
		}
		s.ways = append(s.ways, &w)
	}
	for _, table := range datasets.All() {
		if table.Parent != "" && s.lists[table.Parent] == nil {
			s.lists[table.Parent] = new(parents)
			s.lists[table.Parent].reset()
		}
	}
	s.people.reset()
	return s
}

// yielder takes the pages of a reading.
type yielder func(collector.Page) error

// Names of the datasets and sections that decisions depend on.
var (
	tableSpaces                = datasets.Spaces.Name
	tableSpacePermissions      = datasets.SpacePermissions.Name
	tableSecurityConfiguration = datasets.SecurityConfiguration.Name
	tableGroups                = datasets.Groups.Name
	tableGroupMembers          = datasets.GroupMembers.Name
	tableUsers                 = datasets.Users.Name
	tableExternalCollaborators = datasets.ExternalCollaborators.Name
	tablePublicLinkSpaces      = datasets.PublicLinkSpaces.Name
)

const (
	sectionSystemInfo     = datasets.SectionSystemInfo
	sectionAuditRetention = datasets.SectionAuditRetention
	sectionRoleMode       = datasets.SectionSpaceRoleMode
)

// Read reads a partition and hands over its rows page by page; see
// collector.Source. Without the scopes that the dataset declares, no call is made.
func (s *Source) Read(ctx context.Context, table *schemas.Dataset, partition string, yield func(collector.Page) error) error {
	section := ""
	if len(table.Sections) > 0 {
		section = partition
	}
	v, err := s.visit(table, section)
	if err == nil {
		err = v.read(ctx, table, partition, yield)
	}
	s.remember(table, partition, err)
	return err
}

// Partitions lists the partitions of a dataset: the spaces or groups that this
// run has listed, or the sections that the deployment has.
func (s *Source) Partitions(table *schemas.Dataset) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case table.Parent != "":
		return slices.Clone(s.lists[table.Parent].ids)
	case table.Append:
		return s.audit.days()
	}
	return table.SectionsOf(s.deployment)
}

// Reach tells whether some credential opens the dataset, and whether the site has
// it at all; see collector.Source.
func (s *Source) Reach(table *schemas.Dataset) error {
	sections := table.SectionsOf(s.deployment)
	if len(sections) == 0 {
		sections = []string{""}
	}
	var first error
	for _, section := range sections {
		_, err := s.visit(table, section)
		if err == nil {
			first = nil
			break
		}
		if first == nil {
			first = err
		}
	}
	if first != nil {
		return first
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case table.Name == datasets.SpaceRoleAssignments.Name:
		return s.noRoles
	case table.Name == tableSpacePermissions && s.noRoles != nil && stateOf(s.noRoles) == schemas.CoverageFailed:
		// A change of mode changes all rows at once. Whether there was one is not
		// known now, so the rows cannot be compared.
		return &collector.ReadError{State: schemas.CoverageFailed, Evidence: "the site's role mode, which all rows depend on, could not be read: " + evidenceOf(s.noRoles), Err: s.noRoles}
	default:
		return nil
	}
}

// Stats is what the source has cost so far. Points are an estimate.
func (s *Source) Stats() collector.SourceStats {
	st := s.stats
	return collector.SourceStats{
		Calls: st.Calls.Load(), Retries: st.Retries.Load(), Throttled: st.Throttled.Load(), Points: st.Points.Load(), Bytes: st.Bytes.Load(),
	}
}

// remember keeps how the reading of a parent, or of what users are looked up
// from, ended.
func (s *Source) remember(table *schemas.Dataset, partition string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if list := s.lists[table.Name]; list != nil {
		list.read, list.err = true, err
	}
	switch {
	case table.Name == tableGroupMembers:
		s.people.ended(partition, err)
	case table.Name == tableUsers && s.deployment == schemas.DataCenter:
		s.people.listed, s.people.listErr = true, err
	}
}

// begin empties the list of a dataset whose entities are partitions of others.
func (s *Source) begin(table string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists[table].reset()
}

// list notes an entity of such a dataset.
func (s *Source) list(table, id, name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists[table].add(id, name)
}

// barren notes that the listing says of an entity that it has no children.
func (s *Source) barren(table, id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.lists[table].none[id] = true
}

func (s *Source) isBarren(table, id string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists[table].none[id]
}

// name is the name of a parent that this run has listed.
func (s *Source) name(table, id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.lists[table].names[id]
}

// reads tells whether the run is going to read the dataset.
func (s *Source) reads(name string) bool {
	return s.tables == nil || slices.ContainsFunc(s.tables, func(d *schemas.Dataset) bool { return d.Name == name })
}

// lacking collects rows that came without a value that may not be unknown. They
// are handed over as unknown, and make the reading partial.
type lacking struct {
	n     int
	first string
	stop  error // of the run, met where no error can be returned
}

func (l *lacking) add(what, id, why string) {
	if l.n++; l.n == 1 {
		l.first = fmt.Sprintf("%s %s: %s", what, cut(id, 80), why)
	}
}

// err is nil when nothing was lacking.
func (l *lacking) err(path string) error {
	if l.n == 0 {
		return nil
	}
	return &collector.ReadError{
		State:    schemas.CoveragePartial,
		Evidence: fmt.Sprintf("%s: %d items came incomplete and were left as they were, the first: %s", path, l.n, l.first),
	}
}

// stateOf is the coverage that an error of a reading stands for.
func stateOf(err error) schemas.CoverageState {
	if r, ok := errors.AsType[*collector.ReadError](err); ok {
		return r.State
	}
	return schemas.CoverageFailed
}
