package httpx

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxServerDelay bounds what a server can make us wait: quotas reset hourly.
const maxServerDelay = 65 * time.Minute

// ParseRetryAfter reads a Retry-After header: seconds, an HTTP date, or the
// timestamps that Atlassian sends, such as 2021-05-10T11:00Z. Times before now
// give 0, far ones 65 minutes. It reports false for anything else.
func ParseRetryAfter(value string, now time.Time) (time.Duration, bool) {
	value = strings.TrimSpace(value)
	if s, err := strconv.ParseFloat(value, 64); err == nil && !math.IsNaN(s) {
		return bounded(s), true
	}
	at, ok := parseTime(value)
	if !ok {
		return 0, false
	}
	return bounded(at.Sub(now).Seconds()), true
}

func parseTime(value string) (time.Time, bool) {
	if at, err := http.ParseTime(value); err == nil {
		return at, true
	}
	for _, layout := range [...]string{time.RFC3339, "2006-01-02T15:04Z07:00"} {
		if at, err := time.Parse(layout, value); err == nil {
			return at, true
		}
	}
	return time.Time{}, false
}

func bounded(seconds float64) time.Duration {
	return time.Duration(min(max(seconds, 0), maxServerDelay.Seconds()) * float64(time.Second))
}

// Quota is what the headers of an answer say about one points quota.
type Quota struct {
	Name      string        // such as tenant-app-quota
	PerTenant bool          // else it is shared by all tenants of the app
	Limit     int           // points per window, -1: not said
	Remaining int           // -1: not said
	Reset     time.Duration // until the window ends, -1: not said
}

// quotaPrefixes are those of the headers before and after the quotas were
// enforced (Atlassian community, 97828, page 9).
var quotaPrefixes = [...]string{"", "Beta-", "X-Beta-"}

// ParseQuotas reads the RateLimit and RateLimit-Policy headers, also with the
// prefixes Beta- and X-Beta-. The X-RateLimit headers describe the limit of
// requests per second and are not read here.
func ParseQuotas(h http.Header) []Quota {
	var quotas []Quota
	find := func(name string) *Quota {
		for i := range quotas {
			if quotas[i].Name == name {
				return &quotas[i]
			}
		}
		quotas = append(quotas, Quota{Name: name, PerTenant: strings.Contains(name, "tenant"), Limit: -1, Remaining: -1, Reset: -1})
		return &quotas[len(quotas)-1]
	}
	for _, prefix := range quotaPrefixes {
		for _, line := range h.Values(prefix + "RateLimit-Policy") {
			eachItem(line, func(name string, params map[string]int) {
				if q, ok := params["q"]; ok {
					find(name).Limit = q
				}
			})
		}
		for _, line := range h.Values(prefix + "RateLimit") {
			eachItem(line, func(name string, params map[string]int) {
				if r, ok := params["r"]; ok {
					find(name).Remaining = r
				}
				if t, ok := params["t"]; ok {
					find(name).Reset = bounded(float64(t))
				}
			})
		}
	}
	return quotas
}

// eachItem reads a list such as `"a";r=1;t=2, "b";r=3`. Only names that speak of
// a quota and whole numbers from 0 on count, anything else is passed over.
func eachItem(line string, do func(name string, params map[string]int)) {
	if len(line) > 4096 {
		return
	}
	for item := range strings.SplitSeq(line, ",") {
		fields := strings.Split(item, ";")
		name := strings.Trim(strings.TrimSpace(fields[0]), `"`)
		if !strings.Contains(name, "quota") || len(name) > 100 {
			continue
		}
		params := make(map[string]int, 2)
		for _, f := range fields[1:] {
			k, v, _ := strings.Cut(strings.TrimSpace(f), "=")
			if n, err := strconv.Atoi(v); err == nil && n >= 0 && n <= math.MaxInt32 {
				params[k] = n
			}
		}
		do(name, params)
	}
}

// serverDelay is how long a 429 or 503 asks to be left alone, 0 if it does not say.
func serverDelay(h http.Header, now time.Time) time.Duration {
	if d, ok := ParseRetryAfter(h.Get("Retry-After"), now); ok {
		return d
	}
	if h.Get("X-RateLimit-Remaining") == "0" {
		if at, ok := parseTime(h.Get("X-RateLimit-Reset")); ok {
			return bounded(at.Sub(now).Seconds())
		}
	}
	for _, q := range ParseQuotas(h) {
		if q.Remaining == 0 && q.Reset > 0 {
			return q.Reset
		}
	}
	return 0
}
