package confluence

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"slices"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// accesses are the ways into a dataset that the run's kind of credential has; for
// a section, only those that read it.
func (s *Source) accesses(table *schemas.Dataset, section string) []schemas.Access {
	var list []schemas.Access
	for _, a := range table.Sources {
		if a.Deployment == deployment && a.Credential == s.kind && (section == "" || a.Section == section) {
			list = append(list, a)
		}
	}
	return list
}

// missing lists the scopes that an access needs and the grant lacks; of
// alternatives, the first. A nil list of granted scopes stands for a credential
// without scopes, which may do all that its account may.
func (s *Source) missing(a schemas.Access) []string {
	if s.scopes == nil {
		return nil
	}
	var names []string
	for _, alternatives := range a.Scopes {
		if !slices.ContainsFunc(alternatives, func(scope string) bool { return slices.Contains(s.scopes, scope) }) && !slices.Contains(names, alternatives[0]) {
			names = append(names, alternatives[0])
		}
	}
	return names
}

// mayRead refuses a reading that would be answered 401 for want of a scope before
// any call is made. Some refusals count as failed logins; none is worth a point.
func (s *Source) mayRead(table *schemas.Dataset, section string) error {
	list := s.accesses(table, section)
	if len(list) == 0 {
		return &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: table.Name + " cannot be read with a credential of the kind " + s.kind}
	}
	var lacking []string
	for _, a := range list {
		scopes := s.missing(a)
		if len(scopes) == 0 {
			return nil
		}
		lacking = append(lacking, scopes...)
	}
	slices.Sort(lacking)
	lacking = slices.Compact(lacking)
	return &collector.ReadError{
		State:    schemas.CoverageForbidden,
		Evidence: "not asked: the grant lacks the scope " + strings.Join(lacking, " and "),
		Unlock:   s.grantScopes(lacking),
	}
}

func (s *Source) grantScopes(scopes []string) string {
	return "grant scope " + strings.Join(scopes, " and ") + " (sitedrift connect --tenant " + s.tenant + ")"
}

// scopesFor names the scopes of a dataset or section, for the advice that goes
// with a refusal.
func (s *Source) scopesFor(table *schemas.Dataset, section string) []string {
	var names []string
	for _, a := range s.accesses(table, section) {
		for _, alternatives := range a.Scopes {
			if !slices.Contains(names, alternatives[0]) {
				names = append(names, alternatives[0])
			}
		}
	}
	return names
}

// Fingerprint identifies what decides which rows of the dataset can be seen: the
// site, the kind of credential, the principal, and those of the granted scopes
// that the dataset declares. The encoding is length-prefixed (Invariant 10).
func (s *Source) Fingerprint(table *schemas.Dataset) string {
	var declared []string
	for _, a := range s.accesses(table, "") {
		for _, alternatives := range a.Scopes {
			declared = append(declared, alternatives...)
		}
	}
	slices.Sort(declared)
	granted := slices.DeleteFunc(slices.Compact(declared), func(scope string) bool { return s.scopes != nil && !slices.Contains(s.scopes, scope) })
	var b []byte
	for _, part := range append([]string{"sitedrift fingerprint", "confluence " + deployment, s.cloudID, s.kind, s.principal}, granted...) {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
