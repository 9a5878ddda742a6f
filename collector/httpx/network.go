package httpx

import (
	"errors"
	"fmt"
	"net/netip"
	"syscall"
)

// errNetwork is in the error of a connection to an address that is not allowed.
var errNetwork = errors.New("the name leads into a network that is not allowed")

// guard lets connections through to addresses of the public internet and to
// networks that are allowed by name. It is asked with the address that is about
// to be connected to, after names were looked up: a name whose address changes
// between a check and the connection gains nothing (Invariant 10).
type guard []netip.Prefix

// control is for net.Dialer.Control.
func (g guard) control(_, address string, _ syscall.RawConn) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return fmt.Errorf("%w: %q is no address", errNetwork, address)
	}
	return g.check(to.Addr())
}

func (g guard) check(ip netip.Addr) error {
	real := target(ip)
	if metadata[real] || real.IsUnspecified() || real.IsMulticast() {
		return fmt.Errorf("%w: %s is never connected to", errNetwork, ip)
	}
	for _, network := range g {
		if network.Contains(real) {
			return nil
		}
	}
	if !public(real) {
		return fmt.Errorf("%w: %s is not of the public internet; if it is meant, name its network in network.allow, for one tenant's Data Center in that tenant's own", errNetwork, ip)
	}
	return nil
}

// target is the address that packets to ip end at: IPv4 is also written in IPv6
// (RFC 4291, RFC 6052, RFC 3056).
func target(ip netip.Addr) netip.Addr {
	ip = ip.Unmap().WithZone("")
	if ip.Is4() {
		return ip
	}
	b := ip.As16()
	switch {
	case nat64.Contains(ip), compatible.Contains(ip) && ip != netip.IPv6Unspecified() && ip != netip.IPv6Loopback():
		return netip.AddrFrom4([4]byte(b[12:16]))
	case sixToFour.Contains(ip):
		return netip.AddrFrom4([4]byte(b[2:6]))
	}
	return ip
}

var (
	nat64      = netip.MustParsePrefix("64:ff9b::/96")
	compatible = netip.MustParsePrefix("::/96")
	sixToFour  = netip.MustParsePrefix("2002::/16")
	unicast6   = netip.MustParsePrefix("2000::/3") // all that is given out of IPv6 (RFC 4291, IANA)
)

// metadata are addresses where clouds hand out credentials of the machine. No
// network that holds one opens it.
var metadata = map[netip.Addr]bool{
	netip.MustParseAddr("169.254.169.254"): true, // AWS, Azure, Google Cloud, OpenStack, DigitalOcean, Oracle
	netip.MustParseAddr("169.254.170.2"):   true, // AWS containers
	netip.MustParseAddr("169.254.170.23"):  true, // AWS pods
	netip.MustParseAddr("fd00:ec2::254"):   true, // AWS
	netip.MustParseAddr("fd00:ec2::23"):    true, // AWS pods
	netip.MustParseAddr("fd20:ce::254"):    true, // Google Cloud
	netip.MustParseAddr("100.100.100.200"): true, // Alibaba Cloud
	netip.MustParseAddr("168.63.129.16"):   true, // Azure's host, which has a public address
	netip.MustParseAddr("192.0.0.192"):     true, // Oracle Cloud
}

// special are the networks that are not of the public internet (IANA, "Special-
// Purpose Address Registry" of IPv4 and IPv6). The rest of IPv6 lies outside
// 2000::/3: loopback, link-local, unique-local, site-local, multicast.
var special = []netip.Prefix{
	netip.MustParsePrefix("0.0.0.0/8"),
	netip.MustParsePrefix("10.0.0.0/8"),
	netip.MustParsePrefix("100.64.0.0/10"), // carriers' NAT
	netip.MustParsePrefix("127.0.0.0/8"),
	netip.MustParsePrefix("169.254.0.0/16"),
	netip.MustParsePrefix("172.16.0.0/12"),
	netip.MustParsePrefix("192.0.0.0/24"),
	netip.MustParsePrefix("192.0.2.0/24"),
	netip.MustParsePrefix("192.88.99.0/24"),
	netip.MustParsePrefix("192.168.0.0/16"),
	netip.MustParsePrefix("198.18.0.0/15"),
	netip.MustParsePrefix("198.51.100.0/24"),
	netip.MustParsePrefix("203.0.113.0/24"),
	netip.MustParsePrefix("224.0.0.0/3"), // multicast, reserved, broadcast
	netip.MustParsePrefix("2001::/23"),   // protocols, Teredo among them
	netip.MustParsePrefix("2001:db8::/32"),
	netip.MustParsePrefix("3fff::/20"),
}

func public(ip netip.Addr) bool {
	if ip.Is6() && !unicast6.Contains(ip) {
		return false
	}
	for _, network := range special {
		if network.Contains(ip) {
			return false
		}
	}
	return true
}
