package confluence

import (
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// Way is one of the tenant's credentials, ready to be used.
type Way struct {
	Kind      string   // schemas.Credential3LO, ...
	Principal string   // account, app or organization that it acts as
	Scopes    []string // granted; nil: the credential knows no scopes and may do all that its principal may
	// Client is pinned to where this kind of credential is taken: the API gateway
	// with the site's cloud id, the site's own host, or the organization's admin API.
	Client *httpx.Client
	// GraphQL is pinned to the GraphQL gateway that takes this kind; nil: none does.
	GraphQL *Gateway
	// Refused says why the credential cannot be used at present. State forbidden
	// stands for one that only a person can mend: the other credentials are tried.
	// Any other state is a matter of time, and no reason to see with other eyes.
	Refused *collector.ReadError
	// OnRefused hears, once a run at most, that the site refuses the credential
	// itself and not only a question, with what was asked and answered. Nil: the
	// credential is a grant, of whose end its provider tells.
	OnRefused func(ctx context.Context, evidence string)
}

// Gateway is where GraphQL questions go.
type Gateway struct {
	Client *httpx.Client
	Path   string // /graphql, /gateway/api/graphql
}

// missing lists the scopes that an access needs and the credential lacks; of
// alternatives, the first.
func (w *Way) missing(a schemas.Access) []string {
	if w.Scopes == nil {
		return nil
	}
	var names []string
	for _, alternatives := range a.Scopes {
		if !slices.ContainsFunc(alternatives, func(scope string) bool { return slices.Contains(w.Scopes, scope) }) && !slices.Contains(names, alternatives[0]) {
			names = append(names, alternatives[0])
		}
	}
	return names
}

// visit is one reading of a partition, or one question, by one way.
type visit struct {
	*Source
	way    *Way
	access schemas.Access
	peek   bool     // one item will do: a question whether it can be read
	asked  []string // method and path of the calls so far
}

// accesses are the ways into a dataset on this deployment; for a section, only
// those that read it.
func (s *Source) accesses(table *schemas.Dataset, section string) []schemas.Access {
	var list []schemas.Access
	for _, a := range table.Sources {
		if a.Deployment == s.deployment && (section == "" || a.Section == section) {
			list = append(list, a)
		}
	}
	return list
}

// visit picks the first source in the order of the declaration that the tenant's
// credentials open. Without one, no call is made: some refusals count as failed
// logins, and none is worth a point. The error says what is missing; a visit comes
// with it when the source is the right one, and only cannot be used for now.
func (s *Source) visit(table *schemas.Dataset, section string) (*visit, error) {
	list := s.accesses(table, section)
	if len(list) == 0 {
		return nil, &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: deploymentName(s.deployment) + " has nothing of the kind"}
	}
	var refused *collector.ReadError
	var lacking, kinds []string
	var lacks *Way
	for _, a := range list {
		if a.Closed && !s.opened(table, a) {
			continue
		}
		i := slices.IndexFunc(s.ways, func(w *Way) bool { return w.Kind == a.Credential })
		if i < 0 {
			kinds = append(kinds, a.Credential)
			continue
		}
		w := s.ways[i]
		scopes := w.missing(a)
		if a.Closed { // it was found open: what is declared is what it took before
			scopes = nil
		}
		switch {
		case w.Refused != nil && w.Refused.State != schemas.CoverageForbidden:
			return &visit{Source: s, way: w, access: a}, w.Refused
		case w.Refused != nil:
			refused = w.Refused
		case len(scopes) == 0:
			if err := s.denied(w.Kind); err != nil { // found in this run, which does not change its source
				return &visit{Source: s, way: w, access: a}, err
			}
			return &visit{Source: s, way: w, access: a}, nil
		case len(lacking) == 0: // later ones are no better to mend
			lacking, lacks = scopes, w
		}
	}
	slices.Sort(lacking)
	switch {
	case refused != nil:
		return nil, refused
	case len(lacking) > 0:
		return nil, &collector.ReadError{
			State:    schemas.CoverageForbidden,
			Evidence: "not asked: the grant lacks the scope " + strings.Join(lacking, " and "),
			Unlock:   (&visit{Source: s, way: lacks}).grantScopes(lacking),
		}
	default:
		return nil, &collector.ReadError{
			State:    schemas.CoverageNotExposed,
			Evidence: "not asked: " + s.has() + ", by which it cannot be read",
			Unlock:   s.addCredential(kinds),
		}
	}
}

// opened reports whether a probe found that a closed source lets the tenant in.
// For the parts of a parent it is the parent that was probed.
func (s *Source) opened(table *schemas.Dataset, a schemas.Access) bool {
	name := table.Name
	if table.Parent != "" {
		name = table.Parent
	}
	return s.open != nil && s.open(name, a.Section, a.Credential)
}

func (v *visit) grantScopes(scopes []string) string {
	if len(scopes) == 0 {
		return "reconnect the site (" + v.connect(v.way.Kind) + ")"
	}
	return "grant scope " + strings.Join(scopes, " and ") + " (" + v.connect(v.way.Kind) + ")"
}

// connect is the command that stores a credential of the kind.
func (s *Source) connect(kind string) string {
	command := "sitedrift connect --tenant " + s.tenant
	if kind != schemas.Credential3LO && kind != schemas.CredentialDCOAuth { // these are what a site is connected with
		command += " --kind " + kind
	}
	return command
}

// wantedScopes names the scopes of the visit's source, for the advice that goes
// with a refusal.
func (v *visit) wantedScopes() (names []string) {
	for _, alternatives := range v.access.Scopes {
		if !slices.Contains(names, alternatives[0]) {
			names = append(names, alternatives[0])
		}
	}
	return names
}

// has names the credentials that the tenant has.
func (s *Source) has() string {
	var kinds []string
	for _, w := range s.ways {
		kinds = append(kinds, w.Kind)
	}
	if len(kinds) == 0 {
		return "the tenant has no credential"
	}
	return "the tenant has " + strings.Join(kinds, " and ")
}

// addCredential says which credential would help; of several the one that may do
// least comes first.
func (s *Source) addCredential(kinds []string) string {
	if len(kinds) == 0 {
		return ""
	}
	kinds = slices.Clone(kinds)
	slices.SortStableFunc(kinds, func(a, b string) int {
		order := schemas.Credentials(s.deployment)
		return slices.Index(order, a) - slices.Index(order, b)
	})
	connect := s.connect(kinds[0])
	for i, kind := range kinds {
		switch {
		case kind == schemas.CredentialAPIToken: // Atlassian, "Data security policy developer guide"
			kinds[i] += ", which is unscoped, and which Atlassian advises vendors that host apps against asking for,"
		case !schemas.Scoped(kind):
			kinds[i] += ", which is unscoped,"
		}
	}
	return strings.TrimSuffix("add a credential of the kind "+strings.Join(slices.Compact(kinds), " or "), ",") + " (" + connect + ")"
}

func deploymentName(deployment string) string {
	if deployment == schemas.DataCenter {
		return "Confluence Data Center"
	}
	return "Confluence Cloud"
}

// Fingerprint identifies what decides which rows of the dataset can be seen: the
// site, and for each section the source, the principal, and those of the granted
// scopes that the source declares. The encoding is length-prefixed (Invariant 10).
func (s *Source) Fingerprint(table *schemas.Dataset) string {
	sections := table.SectionsOf(s.deployment)
	if len(sections) == 0 {
		sections = []string{""}
	}
	parts := []string{"sitedrift fingerprint", s.deployment, s.site}
	if table.Name == tableSpacePermissions || table.Name == datasets.SpaceRoleAssignments.Name {
		// A site that moves from permissions to roles shows other rows in every
		// space: that is one event, the setting space_role_mode, and no flood.
		s.mu.Lock()
		if s.roleMode != nil {
			parts = append(parts, "role mode", *s.roleMode)
		}
		s.mu.Unlock()
	}
	for _, section := range sections {
		v, _ := s.visit(table, section)
		if v == nil {
			continue // it contributes no rows
		}
		var granted []string
		for _, alternatives := range v.access.Scopes {
			for _, scope := range alternatives {
				if v.way.Scopes == nil || slices.Contains(v.way.Scopes, scope) {
					granted = append(granted, scope)
				}
			}
		}
		slices.Sort(granted)
		parts = append(parts, section, v.access.API, v.way.Kind, v.way.Principal, strings.Join(slices.Compact(granted), " "))
	}
	var b []byte
	for _, part := range parts {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}

// Via names the source that the run takes for a dataset or section; see
// collector.Source.
func (s *Source) Via(table *schemas.Dataset, section string) string {
	v, err := s.visit(table, section)
	if err != nil {
		return ""
	}
	return v.access.String()
}
