package confluence

import (
	"context"
	"errors"
	"net/url"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/collector/httpx"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const pathSpacesDC = "/rest/api/space"

// dcSpaceWire is a space in "Get spaces" and "Get space" (Confluence Data Center
// REST API). Its id is a number; its homepage comes on demand.
type dcSpaceWire struct {
	ID       ident   `json:"id"`
	Key      *string `json:"key"`
	Name     *string `json:"name"`
	Type     *string `json:"type"`
	Status   *string `json:"status"`
	Homepage *struct {
		ID ident `json:"id"`
	} `json:"homepage"`
}

func decodeDataCenterSpaces(body []byte) (batch[dcSpaceWire], error) {
	return decodeDC(body, dcSpaceID)
}

func dcSpaceID(w *dcSpaceWire) ident { return w.ID }

// normalizeDataCenterSpace turns the answer into a row; why says what it lacks to
// be one. Data Center tells no alias, no author and no time of creation.
func normalizeDataCenterSpace(w *dcSpaceWire) (row datasets.Space, why string) {
	same := spaceWire{ID: w.ID, Key: optional(w.Key), Name: w.Name, Type: w.Type, Status: w.Status}
	if w.Homepage != nil {
		same.HomepageID = w.Homepage.ID
	}
	return normalizeSpace(&same)
}

// readDataCenterSpaces lists the spaces that the account may see: all of them if
// it administers Confluence. As on Cloud, archived ones are asked for by name when
// the plain listing shows none.
func (s *visit) readDataCenterSpaces(ctx context.Context, _ string, yield yielder) error {
	s.begin(tableSpaces)
	var bad lacking
	had := map[ident]bool{}
	archived := false
	emit := func(items []dcSpaceWire) error {
		var rows, unknown []datasets.Space
		for i := range items {
			if had[items[i].ID] {
				continue
			}
			had[items[i].ID] = true
			row, why := normalizeDataCenterSpace(&items[i])
			if why != "" {
				bad.add("space", row.SpaceID, why)
				unknown = append(unknown, row)
			} else {
				rows = append(rows, row)
			}
			archived = archived || row.Status == "archived"
			s.list(tableSpaces, row.SpaceID, row.Key)
		}
		return yieldPage(yield, datasets.Spaces, rows, unknown)
	}
	l := listing[dcSpaceWire]{path: pathSpacesDC, query: url.Values{"expand": {"homepage"}}, limit: limitDC, decode: decodeDataCenterSpaces, id: dcSpaceID}
	if err := offsetPages(ctx, s, datasets.Spaces.Dataset, l, emit); err != nil {
		return err
	}
	if !archived && !s.peek {
		l.query.Set("status", "archived")
		if err := offsetPages(ctx, s, datasets.Spaces.Dataset, l, emit); err != nil {
			return err
		}
	}
	return bad.err("GET " + pathSpacesDC)
}

// spacePathDC is the path of a space that this run has listed. Data Center knows
// spaces by key; their ids, which never change, are what rows go by.
func (s *visit) spacePathDC(id string) (key, path string, err error) {
	key = s.name(tableSpaces, id)
	if key == "" {
		return "", "", &collector.ReadError{State: schemas.CoverageFailed, Evidence: "GET " + pathSpacesDC + ": it did not tell the key of the space " + quoted(id)}
	}
	part, err := segment("space with the key", key)
	return key, pathSpacesDC + "/" + part, err
}

// oneDataCenterSpace asks for a space by its key. Keys can pass to another space,
// so the id decides whether it is the one.
func (s *visit) oneDataCenterSpace(ctx context.Context, id string) error {
	_, path, err := s.spacePathDC(id)
	if err != nil {
		return err
	}
	var w dcSpaceWire
	if err := s.getOne(ctx, path, nil, &w); err != nil {
		return err
	}
	switch {
	case w.ID == "":
		return inCall(path, malformedf("no id"))
	case string(w.ID) != id:
		return &collector.ReadError{State: schemas.CoverageGone, Evidence: "GET " + path + ": 200: the key belongs to another space now, " + quoted(string(w.ID))}
	}
	return nil
}

// whatOfDataCenterSpace tells what a 404 below a listed space means: that the
// space is gone or out of view, or that this version of Confluence lacks the
// endpoint. The space itself decides.
func (s *visit) whatOfDataCenterSpace(ctx context.Context, space string, cause error) error {
	err := s.oneDataCenterSpace(ctx, space)
	switch {
	case err == nil:
		return siteAnswered(cause)
	case httpx.ClassOf(err) == httpx.ClassNotFound:
		return &collector.ReadError{
			State: schemas.CoverageGone, Err: cause,
			Evidence: evidenceOf(cause) + "; the space itself is not found either: deleted, or hidden from the account",
		}
	default:
		return s.readError(datasets.SpacePermissions.Dataset, "", err)
	}
}

// siteAnswered takes back the advice to look at the site's address: it is right.
func siteAnswered(cause error) error {
	if r, ok := errors.AsType[*collector.ReadError](cause); ok && r.State == schemas.CoverageFailed {
		r.Unlock = ""
	}
	return cause
}
