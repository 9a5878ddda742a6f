package confluencetest

import (
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
)

const defaultFirst = 25

// connection is a list of the gateway that is read in pages.
type connection struct {
	total   int
	maximum int // of first
	id      func(i int) string
	item    func(i int) any
	// edge and typ are the type names of the edges and of the connection.
	edge, typ string
	count     string // name of the member with the number of all items; empty: none
	// offset is the number of items that the argument of that name skips.
	offset int
}

// page cuts out what a document asks for and wraps it up.
func (x *execution) page(args map[string]any, l connection) (any, *gqlError) {
	w, failed := x.cut(args, l)
	if failed != nil {
		return nil, failed
	}
	n := &node{typ: l.typ, fields: map[string]any{}}
	nodes := make([]any, 0, w.end-w.from)
	edges := make([]any, 0, w.end-w.from)
	for i := w.from; i < w.end; i++ {
		item := l.item(i)
		nodes = append(nodes, item)
		if l.edge != "" {
			edges = append(edges, &node{typ: l.edge, fields: map[string]any{"node": item, "cursor": x.cursor(args, l, i+1, w.number)}})
		}
	}
	n.fields["nodes"], n.fields["edges"] = nodes, edges
	if l.count != "" {
		n.fields[l.count] = l.total
	}
	var start, end any
	if w.end > w.from {
		start = x.cursor(args, l, w.from, w.number)
	}
	if w.end > w.from || w.more {
		end = x.cursor(args, l, w.next, w.turned)
		if x.c.fault != nil && x.c.fault.Kind == FaultForeignNextLink {
			end = x.c.srv.TrapURL()
		}
	}
	info := map[string]any{"endCursor": end, "startCursor": start, "hasNextPage": w.more, "hasPreviousPage": w.from > 0}
	typ := "PageInfo"
	if l.edge == "" { // public links have a shape of their own
		typ = "PublicLinkPageInfo"
		info = map[string]any{"endPage": end, "startPage": start, "hasNextPage": w.more}
	}
	n.fields["pageInfo"] = &node{typ: typ, fields: info}
	return n, nil
}

// slice is the part of a connection that is answered.
type slice struct {
	from, end, next int
	number, turned  int // page numbers of this page and of its successor
	more            bool
}

func (x *execution) cut(args map[string]any, l connection) (w slice, failed *gqlError) {
	first := int64(defaultFirst)
	maximum := int64(l.maximum)
	if limit := x.c.site.posture.maxFirst; limit > 0 {
		maximum = min(maximum, int64(limit))
		first = min(first, maximum)
	}
	if v, ok := args["first"].(int64); ok {
		first = v
	}
	if first < 1 || first > maximum {
		return w, badArgument(fmt.Sprintf("first must be between 1 and %d, but is %d", maximum, first))
	}
	if args["last"] != nil || args["before"] != nil {
		return w, &gqlError{message: "The simulator does not imitate paging backwards", classification: "BAD_REQUEST", status: http.StatusNotImplemented}
	}
	w.from, w.number = min(l.offset, l.total), 1
	if after, ok := args["after"].(string); ok {
		if w.from, w.number, ok = x.position(args, l, after); !ok {
			return w, badArgument("after is no cursor of this listing")
		}
	}
	w.end = min(w.from+int(first), l.total)
	w.more, w.next, w.turned = w.end < l.total, w.end, w.number+1
	if !x.struckHere() {
		return w, nil
	}
	switch x.c.fault.Kind {
	case FaultEmptyPage:
		w.end, w.more = w.from, false
	case FaultEmptyWithNext:
		w.end, w.next, w.more = w.from, w.from, true
	case FaultShortWithNext:
		w.end = w.from + (w.end-w.from)/2
		w.next, w.more = w.end, true
	case FaultRepeatedPage, FaultEndless:
		w.next, w.more, w.turned = w.from, true, w.number
	case FaultOverlap:
		w.next, w.more = max(w.from, w.end-3), true
	case FaultCursorExpired:
		return w, badArgument("The cursor is no longer valid")
	}
	return w, nil
}

// struckHere tells whether the request's fault means the connection at hand.
func (x *execution) struckHere() bool {
	f := x.c.fault
	if f == nil {
		return false
	}
	at := strings.Join(x.names, ".")
	return f.Field == "" || at == f.Field || strings.HasPrefix(at, f.Field+".")
}

func badArgument(message string) *gqlError {
	return &gqlError{message: message, classification: "BAD_REQUEST", status: http.StatusBadRequest}
}

func (x *execution) cursor(args map[string]any, l connection, before, page int) string {
	return x.c.srv.seal(bookmark{before: before, page: page, last: l.hash(before - 1)}, x.binding(args)...)
}

func (l connection) hash(i int) uint64 {
	if i < 0 || i >= l.total {
		return 0
	}
	return itemHash(l.id(i))
}

// position finds where the page after a cursor begins.
func (x *execution) position(args map[string]any, l connection, after string) (from, page int, ok bool) {
	b, ok := x.c.srv.unseal(after, x.binding(args)...)
	if !ok {
		return 0, 0, false
	}
	return b.resume(l.total, l.hash), b.page, true
}

// binding is what a cursor works for: the field and its arguments (but the size
// of the page), the site and the user.
func (x *execution) binding(args map[string]any) []string {
	list := []string{"graphql", x.c.site.cloudID, x.c.who.account, strings.Join(x.names, ".")}
	for _, name := range slices.Sorted(maps.Keys(args)) {
		if name != "after" && name != "first" && name != "offset" && args[name] != nil {
			list = append(list, name, fmt.Sprint(args[name]))
		}
	}
	return list
}

// listed makes []any of a typed list.
func listed[T any](list []T, item func(T) any) []any {
	result := make([]any, len(list))
	for i, v := range list {
		result[i] = item(v)
	}
	return result
}
