package confluence

import (
	"context"
	"maps"
	"slices"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// dcUserWire is a user in Data Center's listings. The key stays when the username
// changes; the e-mail address is shown to administrators.
type dcUserWire struct {
	Type        *string `json:"type"`
	UserKey     ident   `json:"userKey"`
	Username    *string `json:"username"`
	DisplayName *string `json:"displayName"`
	Email       *string `json:"email"`
	Status      *string `json:"status"`
}

func decodeDataCenterUsers(body []byte) (batch[dcUserWire], error) { return decodeDC(body, dcUserKey) }

func dcUserKey(w *dcUserWire) ident { return w.UserKey }

// accountType is the type as the datasets have it: a user whom the site knows is
// "known" to it.
func (w *dcUserWire) accountType() string {
	if w.Type == nil || *w.Type == "known" {
		return "user"
	}
	return *w.Type
}

func normalizeDataCenterMember(w *dcUserWire, group string) datasets.GroupMember {
	return datasets.GroupMember{AccountID: string(w.UserKey), GroupName: group, DisplayName: optional(w.DisplayName), AccountType: w.accountType()}
}

// readDataCenterGroupMembers reads who is in one group: its users, and the groups
// that are directly in it. Those are not followed from here: each is a partition
// of its own, so that circles of groups cost nothing and mean nothing.
func (s *visit) readDataCenterGroupMembers(ctx context.Context, group string, yield yielder) error {
	part, err := segment("group", group)
	if err != nil {
		return err
	}
	path := pathGroupsDC + "/" + part
	nested, unread := s.nestedGroups(ctx, path)
	if ctx.Err() != nil {
		return unread
	}
	var bad lacking
	l := listing[dcUserWire]{path: path + "/member", limit: limitDC, decode: decodeDataCenterUsers, id: dcUserKey}
	err = offsetPages(ctx, s, datasets.GroupMembers.Dataset, l, func(items []dcUserWire) error {
		rows := make([]datasets.GroupMember, 0, len(items))
		for i := range items {
			row := normalizeDataCenterMember(&items[i], group)
			if _, twice := nested[row.AccountID]; twice {
				// One id cannot be two members. The person counts: nobody shall hide
				// somebody by naming a group like a key.
				delete(nested, row.AccountID)
				bad.add("group", row.AccountID, "a member of the group has its name as the key")
			}
			rows = append(rows, row)
		}
		return yieldPage(yield, datasets.GroupMembers, rows, nil)
	})
	if httpx.ClassOf(err) == httpx.ClassNotFound {
		return s.whatOfDataCenterGroup(ctx, group, err)
	}
	if err != nil {
		return err
	}
	rows := make([]datasets.GroupMember, 0, len(nested))
	for _, name := range slices.Sorted(maps.Keys(nested)) {
		rows = append(rows, datasets.GroupMember{AccountID: name, GroupName: group, DisplayName: new(name), AccountType: "group"})
	}
	if err := yieldPage(yield, datasets.GroupMembers, rows, nil); err != nil {
		return err
	}
	if unread != nil {
		return &collector.ReadError{State: schemas.CoveragePartial, Evidence: "its nested groups could not be read: " + evidenceOf(unread), Unlock: unlockOf(unread), Err: unread}
	}
	return bad.err("GET " + path + "/member")
}

// nestedGroups are the groups that are directly in a group. An error leaves what
// was read until then.
func (s *visit) nestedGroups(ctx context.Context, path string) (map[string]bool, error) {
	nested := map[string]bool{}
	if s.peek {
		return nested, nil
	}
	l := listing[dcGroupWire]{path: path + "/groupmember", limit: limitDC, decode: decodeDataCenterGroups, id: dcGroupName}
	err := offsetPages(ctx, s, datasets.GroupMembers.Dataset, l, func(items []dcGroupWire) error {
		for i := range items {
			nested[string(items[i].Name)] = true
		}
		return nil
	})
	return nested, err
}

// whatOfDataCenterGroup tells what a 404 for the members of a listed group means.
func (s *visit) whatOfDataCenterGroup(ctx context.Context, group string, cause error) error {
	err := s.oneDataCenterGroup(ctx, group)
	switch {
	case err == nil:
		return siteAnswered(cause)
	case httpx.ClassOf(err) == httpx.ClassNotFound:
		return &collector.ReadError{State: schemas.CoverageGone, Evidence: evidenceOf(cause) + "; the group itself is not found either", Err: cause}
	default:
		return s.readError(datasets.GroupMembers.Dataset, "", err)
	}
}
