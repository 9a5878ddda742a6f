package confluence

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"unicode"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// readError says what a failed call means for a dataset or one of its sections:
// whether it is for want of a right, a feature or luck, and what would help.
func (s *visit) readError(table *schemas.Dataset, section string, err error) error {
	if denied := s.denied(s.way.Kind); denied != nil && httpx.ClassOf(err) == httpx.ClassUnauthorized {
		return denied
	}
	if done, ok := errors.AsType[*collector.ReadError](err); ok {
		return done
	}
	r := &collector.ReadError{State: schemas.CoverageFailed, Evidence: err.Error(), Err: err}
	where := ""
	if call, ok := errors.AsType[*callError](err); ok {
		where = call.method + " " + call.path
		r.Evidence = where + ": " + cut(call.err.Error(), 300)
	}
	if m, ok := errors.AsType[*malformed](err); ok {
		r.Evidence = where + ": 200: " + m.Error()
		return r
	}
	var e *httpx.Error
	if !errors.As(err, &e) {
		return r
	}
	r.Evidence = evidence(where, e)
	if s.deployment == schemas.DataCenter && e.Class != httpx.ClassCredential {
		s.refusedByDataCenter(r, e, table)
		return r
	}
	switch e.Class {
	case httpx.ClassCredential:
		// Whether a grant is dead for good is for its owner to decide (Invariant 6).
		if errors.Is(err, collector.ErrNoCredential) {
			r.State, r.Unlock = schemas.CoverageForbidden, "connect the site ("+s.connect(s.way.Kind)+")"
		}
	case httpx.ClassScopeMissing:
		r.State, r.Unlock = schemas.CoverageForbidden, s.grantScopes(s.wantedScopes())
	case httpx.ClassUnauthorized:
		r.State, r.Unlock = schemas.CoverageForbidden, "reconnect the site ("+s.connect(s.way.Kind)+")"
	case httpx.ClassForbidden:
		if e.Status == http.StatusUnavailableForLegalReasons || blocked(e.Message) {
			r.State, r.Unlock = schemas.CoverageBlocked, "an organization admin can exempt the app from the data security policy that blocks it"
		} else {
			r.State, r.Unlock = schemas.CoverageForbidden, s.needsRight(table, section)
		}
	case httpx.ClassNotFound:
		r.State, r.Unlock = schemas.CoverageForbidden, s.needsRight(table, section) // v2 hides a missing right behind 404
		if table.PartitionColumn == "" || len(table.Sections) > 0 {                 // asked of the site, not of one space or group of it
			r.Unlock += "; if the site was deleted or moved: sitedrift tenants pause " + s.tenant
		}
		if section == sectionRoleMode {
			r.State, r.Unlock = schemas.CoverageNotExposed, ""
		}
	case httpx.ClassBadRequest:
		switch {
		case e.Status == http.StatusPaymentRequired:
			r.State = schemas.CoverageNotLicensed
		case section == sectionRoleMode && (e.Status == http.StatusBadRequest || e.Status == http.StatusMethodNotAllowed):
			r.State = schemas.CoverageNotExposed // sites without space roles (Confluence Cloud REST v2, "Space roles")
		}
	case httpx.ClassServer:
		if section == sectionRoleMode && e.Status == http.StatusNotImplemented {
			r.State = schemas.CoverageNotExposed
		}
	default: // throttled, timeouts, the network: waiting may help
	}
	return r
}

// evidence tells people what was asked and answered: method, path, status, the
// server's words.
func evidence(where string, e *httpx.Error) string {
	text := where + ": "
	if e.Status != 0 {
		text += strconv.Itoa(e.Status)
	} else {
		text += string(e.Class)
	}
	switch {
	case e.Message != "":
		text += ": " + cut(e.Message, 200)
	case e.Cause != nil:
		text += ": " + cut(e.Cause.Error(), 200)
	case e.Status >= 200 && e.Status < 300:
		text += ": " + string(e.Class)
	}
	if e.Tries > 1 {
		text += fmt.Sprintf(" (after %d tries)", e.Tries)
	}
	return text
}

const adviceAdministrator = "give the account of the credential the Confluence Administrator permission"

// needsRight names the right that the account lacks, as far as it is documented.
func (s *visit) needsRight(table *schemas.Dataset, section string) string {
	switch {
	case s.access.Credential == schemas.CredentialAdminKey:
		return "store a key of the organization with the scopes " + strings.Join(s.wantedScopes(), " and ") + " (" + s.connect(s.way.Kind) + ")"
	case s.access.API != schemas.APIRest, section == datasets.SectionAdminKey:
		return adviceAdministrator
	case section == sectionAuditRetention, table.Append:
		return "give the account that connected the site the Confluence Administrator permission"
	case table.Name == tableSpacePermissions:
		return "give the account that connected the site permission to view the space"
	default:
		return "give the account that connected the site permission to read " + strings.ReplaceAll(table.Name, "_", " ") + ", and the app access to the site"
	}
}

// blocked recognizes a refusal by an organization's data security policy. The
// shape of that answer is not documented; these are the words that Atlassian uses
// for the feature.
func blocked(message string) bool {
	m := strings.ToLower(message)
	return strings.Contains(m, "data security policy") || strings.Contains(m, "app access rule") || strings.Contains(m, "blocked by policy")
}

// statusOf is the HTTP status of a failed call, 0 if it had none.
func statusOf(err error) int {
	if e, ok := errors.AsType[*httpx.Error](err); ok {
		return e.Status
	}
	return 0
}

// cut shortens foreign text to n runes and escapes what does not print: the
// people who are watched write some of it (Invariant 10).
func cut(text string, n int) string {
	var b strings.Builder
	for _, r := range text {
		if n--; n < 0 {
			b.WriteString("...")
			break
		}
		if unicode.IsPrint(r) && r != unicode.ReplacementChar {
			b.WriteRune(r)
		} else {
			fmt.Fprintf(&b, "\\u%04x", r)
		}
	}
	return b.String()
}
