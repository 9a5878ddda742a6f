package confluencetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"hash/fnv"
)

// bookmark is what the cursors of the gateway and of the organization API hold:
// the number of items before the page that it leads to, that page's number, and a
// hash of the last item before it, so that the page begins after the same item
// even when others came or went in between.
type bookmark struct {
	before, page int
	last         uint64
}

const bookmarkLength = 8 + 4 + 8

// seal makes a cursor of a bookmark, signed together with what it is good for.
func (srv *Server) seal(b bookmark, binding ...string) string {
	body := binary.LittleEndian.AppendUint64(nil, uint64(b.before))
	body = binary.LittleEndian.AppendUint32(body, uint32(b.page))
	body = binary.LittleEndian.AppendUint64(body, b.last)
	return base64.RawURLEncoding.EncodeToString(append(body, srv.signature(body, binding)...))
}

// unseal reads a cursor; ok is false when it was not made for exactly this.
func (srv *Server) unseal(cursor string, binding ...string) (b bookmark, ok bool) {
	body, ok := openBookmark(cursor)
	if !ok || !hmac.Equal(body[bookmarkLength:], srv.signature(body[:bookmarkLength], binding)) {
		return bookmark{}, false
	}
	return bookmark{
		before: int(binary.LittleEndian.Uint64(body)), page: int(binary.LittleEndian.Uint32(body[8:])), last: binary.LittleEndian.Uint64(body[12:]),
	}, true
}

func openBookmark(cursor string) ([]byte, bool) {
	body, err := base64.RawURLEncoding.DecodeString(cursor)
	return body, err == nil && len(body) == bookmarkLength+12
}

// pageOfCursor reads the page number of a cursor without checking the rest.
func pageOfCursor(cursor string) int {
	if body, ok := openBookmark(cursor); ok {
		return int(binary.LittleEndian.Uint32(body[8:]))
	}
	return 1
}

func (srv *Server) signature(body []byte, binding []string) []byte {
	mac := hmac.New(sha256.New, srv.secret[:])
	mac.Write(body)
	for _, s := range binding {
		mac.Write(binary.LittleEndian.AppendUint32(nil, uint32(len(s))))
		mac.Write([]byte(s))
	}
	return mac.Sum(nil)[:12]
}

// resume finds where a page begins in a list whose items have these hashes.
func (b bookmark) resume(total int, hash func(i int) uint64) int {
	if b.before > 0 && (b.before > total || hash(b.before-1) != b.last) {
		for i := range total {
			if hash(i) == b.last {
				return i + 1
			}
		}
	}
	return min(b.before, total)
}

func itemHash(id string) uint64 {
	h := fnv.New64a()
	h.Write([]byte(id))
	return h.Sum64()
}
