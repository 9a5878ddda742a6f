package httpx

import "sync/atomic"

// Stats counts what one run sent. All fields are safe for concurrent use.
type Stats struct {
	Calls     atomic.Int64 // requests on the wire, repeated ones too
	Retries   atomic.Int64 // those among them that repeat one
	Throttled atomic.Int64 // answers of 429
	Bytes     atomic.Int64 // of bodies read, after decompression
	Points    atomic.Int64 // charged to the app's budget, as estimated
}
