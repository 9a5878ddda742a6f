package confluencetest

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"net/url"
	"slices"
)

// cursor says where a page starts. It is opaque to clients and signed together
// with the endpoint, its parameters (the limit included) and the user, so that it
// works for nothing but the continuation of the very listing that it came from.
type cursor struct {
	after int64 // id after which the page starts, or number of items before it
	page  int32 // number of the page that it leads to
}

const cursorBody = 8 + 4

// sign computes the signature over the cursor and what it is bound to.
func (c *call) sign(body []byte) []byte {
	mac := hmac.New(sha256.New, c.srv.secret[:])
	write := func(s string) {
		var n [4]byte
		binary.LittleEndian.PutUint32(n[:], uint32(len(s)))
		mac.Write(n[:])
		mac.Write([]byte(s))
	}
	mac.Write(body)
	write(c.site.cloudID)
	write(c.route.name)
	write(c.object)
	write(c.who.account)
	names := make([]string, 0, len(c.query))
	for name := range c.query {
		if name != "cursor" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		write(name)
		for _, v := range c.query[name] {
			write(v)
		}
	}
	return mac.Sum(nil)[:12]
}

func (c *call) encodeCursor(cur cursor) string {
	b := make([]byte, cursorBody, cursorBody+12)
	binary.LittleEndian.PutUint64(b, uint64(cur.after))
	binary.LittleEndian.PutUint32(b[8:], uint32(cur.page))
	return base64.RawURLEncoding.EncodeToString(append(b, c.sign(b)...)) + "=="
}

// decodeCursor reads the cursor of the request; ok is false when it is not one
// that was handed out for exactly this listing.
func (c *call) decodeCursor(s string) (cur cursor, ok bool) {
	if len(s) < 2 || s[len(s)-2:] != "==" {
		return cursor{}, false
	}
	b, err := base64.RawURLEncoding.DecodeString(s[:len(s)-2])
	if err != nil || len(b) != cursorBody+12 || !hmac.Equal(b[cursorBody:], c.sign(b[:cursorBody])) {
		return cursor{}, false
	}
	return cursor{
		after: int64(binary.LittleEndian.Uint64(b)), page: int32(binary.LittleEndian.Uint32(b[8:])),
	}, true
}

// nextLink is the relative address of the page after this one. It starts with
// /wiki, as the real one does on the gateway too.
func (c *call) nextLink(cur cursor) string {
	q := url.Values{}
	for name, values := range c.query {
		if name != "cursor" {
			q[name] = values
		}
	}
	q.Set("cursor", c.encodeCursor(cur))
	return c.path + "?" + q.Encode()
}
