package confluence

import (
	"context"
	"strings"

	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathGroupsDC = "/rest/api/group"

// dcGroupWire is a group in "Get groups" and among nested groups. Its name is what
// it is known by.
type dcGroupWire struct {
	Name ident   `json:"name"`
	Type *string `json:"type"`
}

func decodeDataCenterGroups(body []byte) (batch[dcGroupWire], error) {
	return decodeDC(body, dcGroupName)
}

func dcGroupName(w *dcGroupWire) ident { return w.Name }

// normalizeDataCenterGroup turns the answer into a row; why says what it lacks to
// be one.
func normalizeDataCenterGroup(w *dcGroupWire) (row datasets.Group, why string) {
	row.GroupID, row.Name = string(w.Name), string(w.Name)
	if w.Type == nil {
		return row, "no type"
	}
	row.Type = *w.Type
	return row, ""
}

// readDataCenterGroups lists the groups.
func (s *visit) readDataCenterGroups(ctx context.Context, _ string, yield yielder) error {
	return listGroups(ctx, s, listing[dcGroupWire]{path: pathGroupsDC, limit: limitDC, decode: decodeDataCenterGroups, id: dcGroupName}, normalizeDataCenterGroup, yield)
}

// oneDataCenterGroup asks for a group by its name.
func (s *visit) oneDataCenterGroup(ctx context.Context, name string) error {
	part, err := segment("group", name)
	if err != nil {
		return err
	}
	path := pathGroupsDC + "/" + part
	var w dcGroupWire
	if err := s.getOne(ctx, path, nil, &w); err != nil {
		return err
	}
	if !strings.EqualFold(string(w.Name), name) { // directories may ignore case
		return inCall(path, malformedf("it is about group %q", cut(string(w.Name), 80)))
	}
	return nil
}
