package contract

import (
	"errors"
	"fmt"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
)

// Relaxation opens one place of a document that the live API goes beyond.
type Relaxation struct {
	API   string // v1 or v2
	Place string // component schema and members, separated by dots
	// Open strips the enumeration; Null admits null.
	Open, Null bool
	Reason     string
}

// Relaxations lists every place where the loaded documents are more lenient than
// the files. Request parameters are never relaxed.
func Relaxations() []Relaxation {
	const (
		openEnum = "a third party's live tests met values that the enumeration lacks"
		absent   = "the live API sends null for what is absent instead of leaving the member out"
		privacy  = "the text allows null by privacy settings, the schema does not say nullable"
		unknown  = "whether somebody is a guest can be unknown, and then the flag is null"
	)
	return []Relaxation{
		{"v2", "SpacePermissionAssignment.principal.type", true, false, openEnum + ": access-class"},
		{"v2", "SpacePermissionAssignment.operation.key", true, false, openEnum + ": manage_users, archive_space"},
		{"v2", "SpacePermissionAssignment.operation.targetType", true, false, openEnum},
		{"v2", "SpaceType", true, false, openEnum},
		{"v2", "AccountType", true, false, openEnum},
		{"v2", "SpaceBulk.currentActiveAlias", false, true, absent},
		{"v2", "SpaceBulk.homepageId", false, true, absent},
		{"v2", "SpaceSingle.homepageId", false, true, absent},
		{"v2", "SpaceDescription", false, true, absent},
		{"v2", "SpaceIcon", false, true, absent},
		{"v2", "User.timeZone", false, true, privacy},
		{"v2", "User.personalSpaceId", false, true, privacy},
		{"v2", "User.isExternalCollaborator", false, true, unknown},
		{"v1", "AccountTypeEnum", true, false, openEnum},
		{"v1", "User.isExternalCollaborator", false, true, unknown},
	}
}

func (r Relaxation) apply(doc *openapi3.T) error {
	names := strings.Split(r.Place, ".")
	ref := doc.Components.Schemas[names[0]]
	for _, name := range names[1:] {
		if ref == nil || ref.Value == nil {
			return fmt.Errorf("nothing has a member %s", name)
		}
		ref = ref.Value.Properties[name]
	}
	if ref == nil || ref.Value == nil {
		return errors.New("the place does not exist")
	}
	if r.Open {
		if len(ref.Value.Enum) == 0 {
			return errors.New("the place has no enumeration any more; drop the relaxation")
		}
		ref.Value.Enum = nil
	}
	if r.Null {
		ref.Value.Nullable = true
	}
	return nil
}
