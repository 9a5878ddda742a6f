package httpx

import (
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func newBudget(clock *clock, points int) *Budget {
	return NewBudget(BudgetOptions{PointsPerHour: points, Now: clock.Now, Sleep: clock.Sleep})
}

func TestBudgetBlocksTillTheFullHour(t *testing.T) {
	clock := newClock() // 10:17
	b := newBudget(clock, 100)
	for range 50 {
		if err := b.Wait(t.Context(), "acme", 2); err != nil {
			t.Fatal(err)
		}
	}
	if left, _ := b.Left(); left != 0 || len(clock.slept) != 0 {
		t.Fatalf("%d points left, slept %v", left, clock.slept)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	var e *Error
	if err := b.Wait(ctx, "acme", 1); !errors.As(err, &e) || e.Class != ClassThrottled || e.RetryAfter != 43*time.Minute {
		t.Errorf("with a deadline before the hour: %v", err)
	}
	if err := b.Wait(t.Context(), "acme", 1); err != nil {
		t.Fatal(err)
	}
	if got := clock.Now(); got.Hour() != 11 || got.Minute() != 0 {
		t.Errorf("went on at %v, want just after 11:00", got)
	}
	if left, reset := b.Left(); left != 99 || reset.Hour() != 12 {
		t.Errorf("%d left until %v", left, reset)
	}
}

// TestWaitingIsTold: people learn of the wait when it begins, once.
func TestWaitingIsTold(t *testing.T) {
	clock := newClock()
	var told []string
	b := NewBudget(BudgetOptions{PointsPerHour: 10, Now: clock.Now, Sleep: clock.Sleep, Waiting: func(tenant string, until time.Time) {
		told = append(told, tenant+" until "+until.Format("15:04"))
	}})
	for range 25 {
		if err := b.Wait(t.Context(), "acme", 1); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]string{"acme until 11:00", "acme until 12:00"}, told); diff != "" {
		t.Error(diff)
	}
}

func TestGreedyTenantLeavesRoomForOthers(t *testing.T) {
	clock := newClock()
	b := newBudget(clock, 1000)
	take := func(tenant string) bool { _, ok := b.take(tenant, 1); return ok }
	for _, name := range []string{"a", "b", "c", "d"} {
		if !take(name) {
			t.Fatal("the pool is full and gives nothing")
		}
	}
	greedy := 1
	for take("a") {
		greedy++
	}
	// 20 % stays for those who took less than a quarter of the pool.
	if greedy < 790 || greedy > 800 {
		t.Errorf("one tenant took %d of 1000 points, want about 797", greedy)
	}
	for _, name := range []string{"b", "c", "d"} {
		for range 60 {
			if !take(name) {
				t.Fatalf("tenant %s starves", name)
			}
		}
	}
	// Alone, a tenant may use everything.
	alone := newBudget(clock, 1000)
	n := 0
	for {
		if _, ok := alone.take("a", 1); !ok {
			break
		}
		n++
	}
	if n != 1000 {
		t.Errorf("a lone tenant got %d of 1000", n)
	}
}

func TestBudgetLearnsFromAnswers(t *testing.T) {
	h := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	for name, test := range map[string]struct {
		status    int
		header    http.Header
		left      int
		acme, all time.Duration // blocked for; 0: not
	}{
		"nothing":                  {200, h(), 1000, 0, 0},
		"app quota":                {200, h("RateLimit-Policy", `"global-app-quota";q=65000;w=3600`, "RateLimit", `"global-app-quota";r=123;t=600`), 123, 0, 0},
		"beta":                     {200, h("X-Beta-RateLimit", `"global-app-quota";r=7;t=600`), 7, 0, 0},
		"tenant quota":             {200, h("Beta-RateLimit", `"tenant-app-quota";r=17842;t=2107`), 1000, 0, 0},
		"tenant quota used up":     {200, h("RateLimit", `"tenant-app-quota";r=0;t=600`), 1000, 10 * time.Minute, 0},
		"both":                     {200, h("RateLimit", `"tenant-app-quota";r=0;t=600, "global-app-quota";r=55`), 55, 10 * time.Minute, 0},
		"429 global":               {429, h("RateLimit-Reason", "confluence-quota-global-based", "Retry-After", "1200"), 1000, 20 * time.Minute, 20 * time.Minute},
		"429 global, no time":      {429, h("RateLimit-Reason", "confluence-quota-global-based"), 1000, 43 * time.Minute, 43 * time.Minute},
		"429 tenant":               {429, h("RateLimit-Reason", "confluence-quota-tenant-based", "Retry-After", "60"), 1000, time.Minute, 0},
		"429 burst":                {429, h("RateLimit-Reason", "confluence-burst-based", "Retry-After", "5"), 1000, 0, 0},
		"burst bucket is no quota": {200, h("X-RateLimit-Limit", "400", "X-RateLimit-Remaining", "0"), 1000, 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			clock := newClock()
			b := newBudget(clock, 1000)
			b.observe("acme", test.status, test.header)
			if left, _ := b.Left(); left != test.left {
				t.Errorf("%d left, want %d", left, test.left)
			}
			for tenant, want := range map[string]time.Duration{"acme": test.acme, "globex": test.all} {
				until, ok := b.take(tenant, 1)
				got := time.Duration(0)
				if !ok {
					got = until.Sub(clock.Now())
				}
				if got != want {
					t.Errorf("%s is blocked for %v, want %v", tenant, got, want)
				}
			}
		})
	}
}

func TestChargesOfPages(t *testing.T) {
	b := newBudget(newClock(), 1000)
	b.Charge("acme", 300)
	if left, _ := b.Left(); left != 700 {
		t.Errorf("%d left", left)
	}
	b.observe("acme", 200, http.Header{"Ratelimit": {`"global-app-quota";r=650`}})
	b.Charge("acme", 50) // the answer had it counted already
	if left, _ := b.Left(); left != 650 {
		t.Errorf("%d left after the provider said 650", left)
	}
	b.Charge("acme", 1<<30)
	if _, ok := b.take("acme", 1); !ok {
		t.Error("a learned budget went negative")
	}
}

func TestTenantsShareOneBudget(t *testing.T) {
	clock := newClock()
	srv := serve(t, func(call int, w http.ResponseWriter, _ *http.Request) {
		if call == 1 {
			w.Header().Set("RateLimit-Reason", "confluence-quota-global-based")
			w.Header().Set("Retry-After", "900")
			w.WriteHeader(429)
			return
		}
		_, _ = io.WriteString(w, good)
	})
	b := newBudget(clock, 1000)
	first := client(t, srv.URL, clock, func(o *Options) { o.Budget, o.MaxTries = b, 1 })
	second := client(t, srv.URL, clock, func(o *Options) { o.Budget, o.Tenant = b, "globex" })
	if _, err := first.Do(t.Context(), Request{Ref: "/a"}); ClassOf(err) != ClassThrottled {
		t.Fatal(err)
	}
	if _, err := second.Do(t.Context(), Request{Ref: "/a"}); err != nil {
		t.Fatal(err)
	}
	if got := clock.total(); got < 15*time.Minute || got > 16*time.Minute {
		t.Errorf("the other tenant waited %v, want the 15 minutes that the app was told", got)
	}
}

func TestHeadersOfQuotas(t *testing.T) {
	h := http.Header{}
	h.Set("Beta-RateLimit-Policy", `"tenant-app-quota";q=100100;w=3600`)
	h.Set("Beta-RateLimit", `"tenant-app-quota";r=17842;t=2107`)
	want := []Quota{{Name: "tenant-app-quota", PerTenant: true, Limit: 100100, Remaining: 17842, Reset: 2107 * time.Second}}
	if diff := cmp.Diff(want, ParseQuotas(h)); diff != "" {
		t.Error(diff)
	}
}

func FuzzParseRetryAfter(f *testing.F) {
	for _, s := range []string{"", "0", "17", "-3", "1.5", "NaN", "Inf", "1e99", "2021-05-10T11:00Z", "2026-03-02T10:18:00+01:00", "Mon, 02 Mar 2026 10:18:00 GMT", " 5 "} {
		f.Add(s)
	}
	now := newClock().Now()
	f.Fuzz(func(t *testing.T, s string) {
		d, ok := ParseRetryAfter(s, now)
		if d < 0 || d > maxServerDelay || !ok && d != 0 {
			t.Errorf("%q = %v, %v", s, d, ok)
		}
	})
}

func FuzzParseQuotas(f *testing.F) {
	f.Add(`"tenant-app-quota";q=100100;w=3600`, `"tenant-app-quota";r=17842;t=2107`)
	f.Add(`"a-quota"`, `"a-quota";r=-1;t=99999999999999999999`)
	f.Add(`;;;,,,"`, `=;=,quota;r`)
	f.Fuzz(func(t *testing.T, policy, limit string) {
		h := http.Header{"Ratelimit-Policy": {policy}, "Ratelimit": {limit}}
		for _, q := range ParseQuotas(h) {
			if q.Limit < -1 || q.Remaining < -1 || q.Reset < -1 || q.Reset > maxServerDelay || !strings.Contains(q.Name, "quota") || len(q.Name) > 100 {
				t.Errorf("%q %q = %+v", policy, limit, q)
			}
		}
		newBudget(newClock(), 100).observe("acme", 429, h)
	})
}

func FuzzMessage(f *testing.F) {
	f.Add([]byte(`{"errors":[{"title":"x"}]}`))
	f.Add([]byte(`{"message":5}`))
	f.Add([]byte("\x00\xff"))
	f.Fuzz(func(t *testing.T, body []byte) {
		if m := message(body); strings.ContainsAny(m, "\x00\x1b\r\n") || len([]rune(m)) > 200*6+3 {
			t.Errorf("message %q", m)
		}
	})
}

// BenchmarkOverhead compares a call with the barest use of net/http, for a page
// of 32 kB on loopback.
func BenchmarkOverhead(b *testing.B) {
	page := []byte(`{"results":["` + fmt.Sprintf("%032000d", rand.IntN(9)) + `"]}`)
	srv := serve(b, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = w.Write(page)
	})
	b.Run("net/http", func(b *testing.B) {
		hc := srv.Client()
		b.ReportAllocs()
		b.SetBytes(int64(len(page)))
		for b.Loop() {
			req, err := http.NewRequestWithContext(b.Context(), http.MethodGet, srv.URL+"/wiki/api/v2/spaces?limit=250", nil)
			if err != nil {
				b.Fatal(err)
			}
			req.Header.Set("Authorization", "Bearer x")
			resp, err := hc.Do(req)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.ReadAll(resp.Body); err != nil {
				b.Fatal(err)
			}
			_ = resp.Body.Close()
		}
	})
	b.Run("httpx", func(b *testing.B) {
		c, err := New(Options{Base: srv.URL, Auth: Bearer("x"), Transport: srv.Client().Transport, Budget: NewBudget(BudgetOptions{PointsPerHour: 1 << 30})})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.SetBytes(int64(len(page)))
		for b.Loop() {
			if err := c.Get(b.Context(), "list spaces", "/wiki/api/v2/spaces?limit=250", nil, func(body []byte, _ http.Header) error {
				if len(body) != len(page) {
					return io.ErrShortBuffer
				}
				return nil
			}); err != nil {
				b.Fatal(err)
			}
		}
	})
}

// TestReplicasShareThePool: together they take no more than there is, also when
// answers say how much is left, and follow their number.
func TestReplicasShareThePool(t *testing.T) {
	clock := newClock()
	replicas := 1
	b := NewBudget(BudgetOptions{PointsPerHour: 900, Replicas: func() int { return replicas }, Now: clock.Now, Sleep: clock.Sleep})
	want := func(left int, when string) {
		t.Helper()
		if got, _ := b.Left(); got != left {
			t.Errorf("%s: %d points left, want %d", when, got, left)
		}
	}
	want(900, "alone")
	replicas = 3
	want(300, "one of three")
	b.observe("acme", http.StatusOK, http.Header{"Ratelimit": {`"global-app-quota";r=600;t=600`}})
	want(200, "600 are left of the pool")
	replicas = 2
	want(300, "one of two")
	_ = clock.Sleep(t.Context(), time.Hour)
	want(450, "the next hour")
}
