package httpx

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"
)

// loopback lets tests reach their own servers.
var loopback = netip.MustParsePrefix("127.0.0.0/8")

func TestOnlyPublicAddresses(t *testing.T) {
	own := guard{netip.MustParsePrefix("10.20.0.0/16"), netip.MustParsePrefix("169.254.0.0/16"), netip.MustParsePrefix("fd00::/8")}
	for address, may := range map[string]struct{ strict, own bool }{
		"185.166.143.1": {true, true}, "2401:1d80:3000::1": {true, true}, "100.128.0.1": {true, true}, "172.32.0.1": {true, true},
		"::ffff:185.166.143.1": {true, true}, "64:ff9b::185.166.143.1": {true, true},
		"127.0.0.1": {}, "::1": {}, "127.255.0.9": {}, "::ffff:127.0.0.1": {}, "::127.0.0.1": {}, "64:ff9b::127.0.0.1": {},
		"0.0.0.0": {}, "::": {}, "0.1.2.3": {}, "::ffff:0.0.0.0": {},
		"10.0.0.1": {}, "172.16.0.1": {}, "172.31.255.255": {}, "192.168.1.1": {}, "::ffff:192.168.1.1": {}, "64:ff9b::10.0.0.1": {}, "2002:a00:1::1": {},
		"10.20.3.4": {false, true}, "::ffff:10.20.3.4": {false, true}, "64:ff9b::a14:304": {false, true},
		"169.254.1.1": {false, true}, "fe80::1": {}, "fe80::1%eth0": {}, "fec0::1": {},
		"fd12:3456::1": {false, true}, "fc00::1": {},
		"100.64.0.1": {}, "100.127.255.255": {}, "198.18.0.1": {}, "192.0.2.1": {},
		"224.0.0.1": {}, "239.1.1.1": {}, "255.255.255.255": {}, "240.0.0.1": {}, "ff02::1": {},
		"2001::1": {}, "2001:db8::1": {}, "64:ff9b:1::1": {}, "100::1": {}, "5f00::1": {},
		// Where clouds hand out credentials: not even in an allowed network.
		"169.254.169.254": {}, "::ffff:169.254.169.254": {}, "64:ff9b::a9fe:a9fe": {}, "fd00:ec2::254": {}, "169.254.170.2": {}, "169.254.170.23": {}, "fd00:ec2::23": {}, "fd20:ce::254": {}, "100.100.100.200": {}, "168.63.129.16": {},
	} {
		to := net.JoinHostPort(address, "443")
		if err := (guard{}).control("tcp", to, nil); (err == nil) != may.strict {
			t.Errorf("%s: %v", address, err)
		}
		if err := own.control("tcp", to, nil); (err == nil) != may.own {
			t.Errorf("%s with networks of its own: %v", address, err)
		}
	}
}

// The connection itself is refused, whatever the name said when it was looked
// up: no request of ours reaches the machine's own ports, and none is repeated.
func TestNamesThatLeadInside(t *testing.T) {
	asked := 0
	inside := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked++ }))
	defer inside.Close()
	name := "http://localhost:" + inside.URL[strings.LastIndexByte(inside.URL, ':')+1:]
	for base, allowed := range map[string][]netip.Prefix{inside.URL: nil, name: nil, name + "/": {netip.MustParsePrefix("10.0.0.0/8")}} {
		c, err := New(Options{Base: base, Auth: Bearer(canary), Transport: NewTransport(allowed...), Sleep: func(context.Context, time.Duration) error {
			t.Error("tried again")
			return nil
		}})
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.Do(t.Context(), Request{Op: "list spaces", Ref: "/"})
		failed, ok := errors.AsType[*Error](err)
		if !ok || failed.Class != ClassWrongOrigin || !errors.Is(err, errNetwork) || !strings.Contains(err.Error(), "network.allow") {
			t.Errorf("%s: %v", base, err)
		}
	}
	if asked != 0 {
		t.Errorf("%d requests arrived", asked)
	}
	c, err := New(Options{Base: inside.URL, Transport: NewTransport(loopback)})
	if err != nil {
		t.Fatal(err)
	}
	_, _ = c.Do(t.Context(), Request{Op: "list spaces", Ref: "/", Header: http.Header{"Accept": {"text/plain"}}})
	if asked != 1 {
		t.Errorf("an allowed network: %d requests arrived, want 1", asked)
	}
}
