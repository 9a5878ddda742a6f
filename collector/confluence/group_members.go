package confluence

import (
	"context"
	"net/url"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// memberWire is a user in "Get group members by group id" (Confluence Cloud REST
// v1). Guests are flagged twice: isGuest, and isExternalCollaborator, which is
// deprecated, has to be expanded, and alone can say that it is not known.
type memberWire struct {
	AccountID   ident   `json:"accountId"`
	AccountType *string `json:"accountType"`
	DisplayName *string `json:"displayName"`
	Guest       flag    `json:"isGuest"`
	External    flag    `json:"isExternalCollaborator"`
}

func decodeMembers(body []byte) (batch[memberWire], error) { return decodeV1(body, memberID) }

func memberID(w *memberWire) ident { return w.AccountID }

// external is what the two flags say together. A yes counts wherever it stands; a
// no only if the other flag does not say that it is unknown.
func (w *memberWire) external() flag {
	switch {
	case w.Guest == flagTrue || w.External == flagTrue:
		return flagTrue
	case w.External == flagFalse, w.External == flagMissing && w.Guest == flagFalse:
		return flagFalse
	default:
		return flagNull
	}
}

// normalizeMember turns the answer into a row; why says what it lacks to be one.
func normalizeMember(w *memberWire, group string) (row datasets.GroupMember, why string) {
	row = datasets.GroupMember{AccountID: string(w.AccountID), GroupName: group, DisplayName: optional(w.DisplayName)}
	if w.AccountType == nil {
		return row, "no account type"
	}
	row.AccountType = *w.AccountType // may be empty: documented as a value
	return row, ""
}

// membersOf is the listing of a group's members. A group that does not exist
// answers 200 without members; Witness is for that.
func membersOf(group string) listing[memberWire] {
	return listing[memberWire]{
		path:  pathGroups + "/" + url.PathEscape(group) + "/membersByGroupId",
		query: url.Values{"expand": {"isExternalCollaborator"}}, // comes with the same call
		limit: limitV1, weight: weightIdentity, decode: decodeMembers, id: memberID,
	}
}

// readGroupMembers reads the members of one group and notes whom users is about.
func (s *visit) readGroupMembers(ctx context.Context, group string, yield yielder) error {
	name := s.name(tableGroups, group)
	var bad lacking
	l := membersOf(group)
	err := offsetPages(ctx, s, datasets.GroupMembers.Dataset, l, func(items []memberWire) error {
		s.mu.Lock()
		for i := range items {
			s.people.add(string(items[i].AccountID), items[i].external())
		}
		s.mu.Unlock()
		rows := make([]datasets.GroupMember, 0, len(items))
		var unknown []datasets.GroupMember
		for i := range items {
			row, why := normalizeMember(&items[i], name)
			if why != "" {
				bad.add("member", row.AccountID, why)
				unknown = append(unknown, row)
				continue
			}
			rows = append(rows, row)
		}
		return yieldPage(yield, datasets.GroupMembers, rows, unknown)
	})
	if err != nil {
		return err
	}
	return bad.err("GET " + l.path)
}
