package confluence

import (
	"context"
	"errors"
	"maps"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
)

// connection is a page of a GraphQL listing. Most name the next page by the cursor
// of their end; those of public links by the end page.
type connection[T any] struct {
	Nodes    []*T `json:"nodes"`
	PageInfo *struct {
		HasNextPage *bool   `json:"hasNextPage"`
		EndCursor   *string `json:"endCursor"`
		EndPage     *string `json:"endPage"`
	} `json:"pageInfo"`
}

// next is the cursor of the page that follows; empty when there is none.
func (c *connection[T]) next() (string, error) {
	switch p := c.PageInfo; {
	case p == nil || p.HasNextPage == nil:
		return "", malformedf("no page info")
	case !*p.HasNextPage:
		return "", nil
	case p.EndCursor != nil && *p.EndCursor != "":
		return *p.EndCursor, nil
	case p.EndPage != nil && *p.EndPage != "":
		return *p.EndPage, nil
	default:
		return "", malformedf("another page is promised, and no cursor leads there")
	}
}

// walk describes how to read a GraphQL listing.
type walk[T any] struct {
	q         question
	variables map[string]any // first and after are added
	first     int
	id        func(*T) string
	// page asks for the listing in the answer; nil: the answer has none.
	page func(data *graphData) *connection[T]
	// emit gets the items that it has not had yet; whole says whether they came
	// with all the fields that were asked for.
	emit func(items []*T, whole bool) error
}

// connectionPages walks a GraphQL listing to its end. It is complete only when no
// page came with errors, and all had what was asked for.
func connectionPages[T any](ctx context.Context, s *visit, table *schemas.Dataset, w walk[T]) error {
	where := "GraphQL " + w.q.field
	failed := func(err error) error {
		return &collector.ReadError{State: schemas.CoverageFailed, Evidence: where + ": " + err.Error(), Err: err}
	}
	var c course
	var lacks, partial error
	restarted := false
	variables := map[string]any{"first": s.limit(w.first)}
	maps.Copy(variables, w.variables)
	for range maxPages {
		var data graphData
		reply, err := s.query(ctx, table, w.q, variables, &data)
		if err != nil && !reply.badRequest {
			return partly(err, len(c.ids.ids) > 0)
		}
		page := w.page(&data)
		if reply.badRequest && c.cursor != "" && !restarted { // a cursor that the gateway no longer takes: begin again, once
			restarted = true
			c.restart()
			delete(variables, "after")
			continue
		}
		partial, lacks = errors.Join(partial, reply.failed), reply.without(w.q)
		if page == nil || page.Nodes == nil {
			if reply.failed != nil {
				return partly(reply.failed, len(c.ids.ids) > 0)
			}
			return failed(malformedf("no list of nodes"))
		}
		for _, node := range page.Nodes {
			if node == nil || w.id(node) == "" {
				return failed(malformedf("an item is null or has no id"))
			}
		}
		next, err := page.next()
		if err != nil {
			return failed(err)
		}
		if c.doubts(len(page.Nodes), next) {
			continue
		}
		items := len(page.Nodes)
		fresh, progress := keep(&c.ids, page.Nodes, func(n **T) ident { return ident(w.id(*n)) })
		s.spend(weightIdentity, items)
		if len(fresh) > 0 {
			if err := w.emit(fresh, lacks == nil && reply.failed == nil); err != nil {
				return err
			}
		}
		if next == "" || s.peek {
			if partial != nil {
				return partly(partial, true)
			}
			return lacks
		}
		if !c.turn(items, progress, next) {
			break
		}
		variables["after"] = next
	}
	return inCircles(where)
}

// partly makes a failure partial when some rows were read before it.
func partly(err error, some bool) error {
	var r *collector.ReadError
	if !some || !errors.As(err, &r) || r.State != schemas.CoverageFailed {
		return err
	}
	return &collector.ReadError{State: schemas.CoveragePartial, Evidence: r.Evidence, Unlock: r.Unlock, Err: err}
}
