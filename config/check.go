package config

import (
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"

	"github.com/google/uuid"
)

// checkURL accepts https addresses without user, query and fragment, and http
// ones for this machine only. A trailing slash is cut off.
func checkURL(v string) (string, *fault) {
	const hint = "write something like https://acme.atlassian.net"
	u, err := url.Parse(v)
	switch {
	case err != nil || u.Host == "" && u.Opaque == "" && u.Scheme == "":
		return "", faultf(hint, "is %s, which is no web address", show(v))
	case u.User != nil:
		return "", faultf("remove everything between // and @; credentials are stored with `sitedrift connect`",
			"has a user or password in the address")
	case u.Scheme != "https" && u.Scheme != "http":
		return "", faultf(hint, "has the scheme %q where only https is possible", u.Scheme)
	case u.Hostname() == "":
		return "", faultf(hint, "is %s, which names no host", show(v))
	case strings.HasSuffix(u.Hostname(), "."):
		return "", faultf("write the host without the dot at its end", "has a host that ends with a dot, which would be another site to sitedrift than the same host without it")
	case u.Scheme == "http" && !isLoopback(u.Hostname()):
		return "", faultf("write https:// instead", "uses http, which is possible for this machine only (127.0.0.1, ::1, localhost)")
	case u.RawQuery != "" || u.ForceQuery || u.Fragment != "":
		return "", faultf("end the address before ? and #", "has a query or a fragment")
	case strings.HasSuffix(u.Hostname(), ".atlassian.net") && strings.Trim(u.Path, "/") != "":
		return "", faultf("write https://"+u.Host, "has a path after the host of a Cloud site")
	}
	if p := u.Port(); p != "" && !isPort(p) {
		return "", faultf("write a port from 1 to 65535, or none", "has the port %s", p)
	}
	u.Host = strings.ToLower(u.Host)
	return strings.TrimRight(u.String(), "/"), nil
}

func checkListen(v string, loopback bool) *fault {
	host, port, err := net.SplitHostPort(v)
	if err != nil || !isPort(port) {
		return faultf("write host:port, such as 127.0.0.1:9464, or off", "is %s, which is no host:port", show(v))
	}
	if loopback && !isLoopback(host) {
		return faultf("write 127.0.0.1:"+port+", and put a proxy that asks for passwords in front to serve other machines",
			"listens beyond this machine, and the port knows no users")
	}
	return nil
}

// checkNetworks takes only networks that are written as such: 10.1.2.3/8 would
// open more than it seems to.
func checkNetworks(v string) ([]netip.Prefix, *fault) {
	var all []netip.Prefix
	for part := range strings.SplitSeq(v, ",") {
		part = strings.TrimSpace(part)
		n, err := netip.ParsePrefix(part)
		switch {
		case err != nil:
			return nil, faultf("write networks such as 10.1.2.0/24, with commas between; one address is 10.1.2.3/32",
				"holds %s, which is no network", show(part))
		case n != n.Masked():
			return nil, faultf("write "+n.Masked().String()+", or "+n.Addr().String()+"/"+strconv.Itoa(n.Addr().BitLen())+" for the one address",
				"holds %s, whose address is not the first of its network", show(part))
		case n.Addr().Is4In6():
			return nil, faultf("write IPv4 networks as such", "holds %s, which is IPv4 inside IPv6", show(part))
		}
		all = append(all, n)
	}
	return all, nil
}

func isPort(s string) bool {
	n, err := strconv.Atoi(s)
	return err == nil && n >= 1 && n <= 65535
}

func isLoopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}

var tenantIDPattern = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]{0,62}$`)

func tenantID(v string) (string, *fault) {
	if !tenantIDPattern.MatchString(v) {
		return "", faultf("write up to 63 lower-case letters, digits, dots, dashes and underscores, the first a letter or digit",
			"is %s, which is no tenant id", show(v))
	}
	return v, nil
}

var clusterPattern = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$`)

func clusterName(v string) (string, *fault) {
	if !clusterPattern.MatchString(v) {
		return "", faultf("write a name that the server's table system.clusters shows", "is %s, which is no name of a cluster", show(v))
	}
	return v, nil
}

func readerTenant(v string) (string, *fault) {
	if v == AllTenants {
		return v, nil
	}
	return tenantID(v)
}

func cloudID(v string) (string, *fault) {
	id, err := uuid.Parse(v)
	if err != nil || len(v) != 36 {
		return "", faultf("write the id that https://<site>/_edge/tenant_info shows, or leave it out", "is %s, which is no UUID", show(v))
	}
	return id.String(), nil
}

// cron asks the caller's check; what is wrong with every expression that names
// a time zone is known here.
func (l *loader) cron(v string) *fault {
	const hint = `write five fields such as "23 */6 * * *", @hourly, @daily, @every 30m, or off`
	if strings.Contains(v, "TZ=") {
		return faultf("remove it; schedules are in UTC, where no hour is skipped or doubled", "names a time zone")
	}
	if l.checks.Cron == nil {
		return nil
	}
	if err := l.checks.Cron(v); err != nil {
		return faultf(hint, "is %s, which is no schedule (%s)", show(v), err)
	}
	return nil
}

// path makes a path absolute: ~ is the home folder, anything relative starts
// at the folder of the configuration file.
func (l *loader) path(v string) (string, *fault) {
	switch {
	case strings.ContainsRune(v, 0):
		return "", faultf("write a path without it", "contains a zero byte")
	case v == "":
		return "", nil
	case v == "~" || strings.HasPrefix(v, "~/"):
		home := l.env("HOME")
		if home == "" {
			return "", faultf("write the whole path", "starts with ~, and HOME is not set")
		}
		v = filepath.Join(home, strings.TrimPrefix(v, "~"))
	case strings.HasPrefix(v, "~"):
		return "", faultf("write the whole path", "starts with the home folder of another user")
	case strings.Contains(v, "$"):
		return "", faultf("write the value itself", "contains $, and variables are not replaced in paths")
	}
	if !filepath.IsAbs(v) {
		v = filepath.Join(l.dir, v)
	}
	return filepath.Clean(v), nil
}
