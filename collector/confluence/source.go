package confluence

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// deployment is what this package reads; Data Center has an API of its own.
const deployment = "cloud"

// Settings say what a Source reads and as whom. Client, Tenant and CloudID are required.
type Settings struct {
	// Client is pinned to {endpoints.api}/ex/confluence/{cloudId}. The source
	// takes a copy of it that counts this run only.
	Client    *httpx.Client
	Tenant    string   // id of the customer, for advice such as "sitedrift connect --tenant ..."
	CloudID   string   // the site that answers must be about
	Kind      string   // kind of credential; collector.CredentialKind3LO if empty
	Principal string   // account that granted
	Scopes    []string // granted; nil: the credential knows no scopes
	// Tables are the datasets that the run is going to read; nil: unknown, all.
	Tables []*schemas.Dataset
}

// Source reads one site in one run; it implements collector.Source. It is safe
// for concurrent use by readings of different partitions.
type Source struct {
	client                           *httpx.Client
	tenant, cloudID, kind, principal string
	scopes                           []string
	tables                           []*schemas.Dataset

	mu     sync.Mutex
	spaces parents
	groups parents
	people people
}

// parents are the entities of a listing that are partitions of other datasets.
type parents struct {
	ids   []string          // in order of appearance
	names map[string]string // key of a space, name of a group
	read  bool              // a reading ended
	err   error             // how it ended; nil: complete
}

func (p *parents) reset() { *p = parents{names: map[string]string{}} }

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
		client: settings.Client.ForRun(new(httpx.Stats)),
		tenant: settings.Tenant, cloudID: settings.CloudID, kind: cmp.Or(settings.Kind, collector.CredentialKind3LO),
		principal: settings.Principal, scopes: slices.Clone(settings.Scopes), tables: settings.Tables,
	}
	s.spaces.reset()
	s.groups.reset()
	s.people.reset()
	return s
}

// yielder takes the pages of a reading.
type yielder func(collector.Page) error

// reader reads one partition of a dataset.
type reader func(s *Source, ctx context.Context, partition string, yield yielder) error

// readers has one line per dataset.
func readers(name string) reader {
	switch name {
	case tableSpaces:
		return (*Source).readSpaces
	case tableSpacePermissions:
		return (*Source).readSpacePermissions
	case tableSecurityConfiguration:
		return (*Source).readSecurityConfiguration
	case tableGroups:
		return (*Source).readGroups
	case tableGroupMembers:
		return (*Source).readGroupMembers
	case tableUsers:
		return (*Source).readUsers
	case tableExternalCollaborators:
		return (*Source).readExternalCollaborators
	default:
		return nil
	}
}

// Names of the datasets and sections that decisions depend on.
var (
	tableSpaces                = datasets.Spaces.Name
	tableSpacePermissions      = datasets.SpacePermissions.Name
	tableSecurityConfiguration = datasets.SecurityConfiguration.Name
	tableGroups                = datasets.Groups.Name
	tableGroupMembers          = datasets.GroupMembers.Name
	tableUsers                 = datasets.Users.Name
	tableExternalCollaborators = datasets.ExternalCollaborators.Name
)

const (
	sectionSystemInfo     = datasets.SectionSystemInfo
	sectionAuditRetention = datasets.SectionAuditRetention
	sectionRoleMode       = datasets.SectionSpaceRoleMode
)

// Read reads a partition and hands over its rows page by page; see
// collector.Source. Without the scopes that the dataset declares, no call is made.
func (s *Source) Read(ctx context.Context, table *schemas.Dataset, partition string, yield func(collector.Page) error) error {
	read := readers(table.Name)
	if read == nil {
		return &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: "no reader for " + table.Name + " on Confluence Cloud"}
	}
	section := ""
	if len(table.Sections) > 0 {
		section = partition
	}
	var err error
	if err = s.mayRead(table, section); err == nil {
		err = read(s, ctx, partition, yield)
	}
	s.remember(table, partition, err)
	return err
}

// Partitions lists the partitions of a dataset: the spaces or groups that this
// run has listed, or the dataset's sections.
func (s *Source) Partitions(table *schemas.Dataset) []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch table.Parent {
	case tableSpaces:
		return slices.Clone(s.spaces.ids)
	case tableGroups:
		return slices.Clone(s.groups.ids)
	default:
		return slices.Clone(table.Sections)
	}
}

// Stats is what the source has cost so far. Points are an estimate.
func (s *Source) Stats() collector.SourceStats {
	st := s.client.Stats()
	return collector.SourceStats{
		Calls: st.Calls.Load(), Retries: st.Retries.Load(), Throttled: st.Throttled.Load(), Points: st.Points.Load(), Bytes: st.Bytes.Load(),
	}
}

// remember keeps how the reading of a parent, or of what users are looked up
// from, ended.
func (s *Source) remember(table *schemas.Dataset, partition string, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch table.Name {
	case tableSpaces:
		s.spaces.read, s.spaces.err = true, err
	case tableGroups:
		s.groups.read, s.groups.err = true, err
	case tableGroupMembers:
		s.people.ended(partition, err)
	}
}

// name is the name of a parent that this run has listed.
func (s *Source) name(p *parents, id string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return p.names[id]
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
	var r *collector.ReadError
	if errors.As(err, &r) {
		return r.State
	}
	return schemas.CoverageFailed
}
