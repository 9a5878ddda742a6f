package confluence

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// dcPermissionWire is a permission of a space or of the whole site. It has no id;
// the members about the space are missing on permissions of the site.
type dcPermissionWire struct {
	Operation struct {
		Key        term `json:"operationKey"`
		TargetType term `json:"targetType"`
	} `json:"operation"`
	Subject  *dcSubjectWire `json:"subject"`
	SpaceKey *string        `json:"spaceKey"`
	SpaceID  ident          `json:"spaceId"`
}

// dcSubjectWire is whom a permission is given to. The reference pages print type
// and displayName; sites send a name with groups and a userKey with users, whose
// type is user or known (CONFSERVER-100505).
type dcSubjectWire struct {
	Type        *string `json:"type"`
	Name        *string `json:"name"`
	UserKey     *string `json:"userKey"`
	Username    *string `json:"username"`
	DisplayName *string `json:"displayName"`
}

// decodeDataCenterPermissions decodes an answer that is not paged.
func decodeDataCenterPermissions(body []byte) ([]dcPermissionWire, error) {
	var list []dcPermissionWire
	if err := decode(body, &list); err != nil {
		return nil, err
	}
	if list == nil {
		return nil, malformedf("no list of permissions")
	}
	return list, nil
}

// dcPrincipal is whom a permission is given to, in the words of site_permissions.
type dcPrincipal struct {
	kind, id string
	name     *string
}

// principal tells whom the permission is given to; why says what is missing to
// know that.
//
// A permission without a subject is one for visitors without a login: that is how
// Confluence keeps those, and "anonymous" is what it calls them elsewhere. A user
// who was deleted (type unknown) is the same user: the permission did not change
// when the user went. The id of a user is the key, because names change hands. A
// group has no id but its name, which the display name repeats.
func (w *dcPermissionWire) principal() (p dcPrincipal, why string) {
	if w.Subject == nil {
		return dcPrincipal{kind: datasets.PrincipalAnonymous, id: datasets.PrincipalAnonymous}, ""
	}
	subject := w.Subject
	switch kind := firstText(subject.Type); kind {
	case "":
		return p, "its subject has no type"
	case datasets.PrincipalAnonymous, datasets.PrincipalUnlicensed:
		return dcPrincipal{kind: kind, id: kind}, ""
	case datasets.PrincipalUser, "known", "unknown":
		p = dcPrincipal{datasets.PrincipalUser, firstText(subject.UserKey), optional(subject.DisplayName)}
		if p.id == "" {
			why = "its user has no key"
		}
	case datasets.PrincipalGroup:
		p = dcPrincipal{kind: kind, id: firstText(subject.Name, subject.DisplayName)}
		if p.name = optional(&p.id); p.id == "" {
			why = "its group has no name"
		}
	default:
		p = dcPrincipal{kind, firstText(subject.UserKey, subject.Name, subject.Username, subject.DisplayName), optional(subject.DisplayName)}
		if p.id == "" {
			why = "its subject has no name"
		}
	}
	return p, why
}

// grantID makes up the id that Data Center does not give a permission: a hash of
// all that makes it the one it is. The same permission has the same id in every
// run and no other has it, in this space or another one. The parts are
// length-prefixed: whoever names a group cannot make two permissions look like one
// (Invariant 10). Nothing of it may change: all ids in the warehouse would.
func grantID(space, principalType, principalID, operation, targetType string) string {
	b := []byte("sitedrift data center permission\x00")
	for _, part := range [...]string{space, principalType, principalID, operation, targetType} {
		b = append(binary.AppendUvarint(b, uint64(len(part))), part...)
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:16])
}
