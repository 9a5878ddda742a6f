package config

import (
	"fmt"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"
)

// field is the declaration of one key: how it is read, and what the example
// file says about it.
type field struct {
	key     string
	doc     []string
	value   string   // the default as YAML; empty when there is none
	sample  string   // shown in the example file when there is no default
	from    string   // where a default comes from that is not a constant
	allowed []string // every value, when they can be listed

	scalar func(l *loader, v string) *fault // reads a value
	want   string                           // what the value is, for people: "a duration such as 5m"

	sub  []field             // keys of a section
	item func(i int) []field // keys of the i-th element of a list
	must bool                // every element of the list has it
}

func (f field) example(v string) field { f.sample = v; return f }
func (f field) needed() field          { f.must = true; return f }
func (f field) derived(v string) field { f.from = v; return f }
func (f field) more(doc ...string) field {
	f.doc = append(slices.Clone(f.doc), doc...)
	return f
}

func docs(lines ...string) []string {
	return slices.DeleteFunc(lines, func(s string) bool { return s == "" })
}

func section(key, doc string, sub ...field) field {
	return field{key: key, doc: docs(doc), sub: sub}
}

func list(key, doc string, item func(i int) []field) field {
	return field{key: key, doc: docs(doc), item: item}
}

func text(key string, p *string, doc string) field {
	return field{
		key: key, doc: docs(doc), value: quoted(*p), want: "a text",
		scalar: func(_ *loader, v string) *fault { *p = v; return nil },
	}
}

// checked is a text that a rule accepts and normalizes.
func checked(key, want string, p *string, rule func(string) (string, *fault), doc string) field {
	return field{
		key: key, doc: docs(doc), value: quoted(*p), want: article(want),
		scalar: func(_ *loader, v string) (f *fault) {
			var norm string
			if norm, f = rule(v); f == nil {
				*p = norm
			}
			return f
		},
	}
}

func path(key string, p *string, doc string) field {
	return field{
		key: key, doc: docs(doc), value: quoted(*p), want: "a path",
		scalar: func(l *loader, v string) (f *fault) { *p, f = l.path(v); return f },
	}
}

func webURL(key string, p *string, doc string) field {
	return checked(key, "web address", p, checkURL, doc)
}

func ref(key string, p *Ref, rule func(v, dir string) (Ref, *fault), doc string) field {
	return field{
		key: key, doc: docs(doc), value: quoted(p.String()), want: "a reference such as env:NAME or file:/path",
		scalar: func(l *loader, v string) (f *fault) { *p, f = rule(v, l.dir); return f },
	}
}

func clickHouseRef(v, dir string) (Ref, *fault) {
	return addressRef(v, dir, "https", "http", "clickhouse")
}

func state(key string, s *State, doc ...string) field {
	return field{
		key: key, doc: docs(doc...), value: s.Driver, want: "sqlite, or the address of PostgreSQL",
		scalar: func(l *loader, v string) *fault {
			if v == DriverSQLite {
				*s = State{Driver: DriverSQLite}
				return nil
			}
			dsn, f := addressRef(v, l.dir, "postgres", "postgresql")
			if f != nil {
				f.hint = "write sqlite, or " + strings.TrimPrefix(f.hint, "write ")
				return f
			}
			*s = State{Driver: DriverPostgres, DSN: dsn}
			return nil
		},
	}
}

func oneOf(key string, p *string, values []string, doc string) field {
	return field{
		key: key, doc: docs(doc + " One of " + strings.Join(values, ", ") + "."), value: *p, allowed: values,
		want: "one of " + strings.Join(values, ", "),
		scalar: func(_ *loader, v string) *fault {
			if !slices.Contains(values, v) {
				return faultf(choice(v, values), "does not know %s", show(v))
			}
			*p = v
			return nil
		},
	}
}

func boolean(key string, p *bool, doc string) field {
	return field{
		key: key, doc: docs(doc), value: strconv.FormatBool(*p), want: "true or false",
		scalar: func(_ *loader, v string) *fault {
			switch v {
			case "true":
				*p = true
			case "false":
				*p = false
			default:
				return faultf("write true or false", "is %s", show(v))
			}
			return nil
		},
	}
}

func integer(key string, p *int, lo, hi int, doc string) field {
	return field{
		key: key, doc: docs(doc), value: nonZero(strconv.Itoa(*p)), want: "a whole number",
		scalar: func(_ *loader, v string) *fault {
			hint := fmt.Sprintf("write a whole number from %d to %d", lo, hi)
			n, err := strconv.Atoi(v)
			if err != nil {
				return faultf(hint, "is %s, which is no whole number", show(v))
			}
			if n < lo || n > hi {
				return faultf(hint, "is %d, which is out of bounds", n)
			}
			*p = n
			return nil
		},
	}
}

func number(key string, p *float64, lo, hi float64, doc string) field {
	return field{
		key: key, doc: docs(doc), value: nonZero(strconv.FormatFloat(*p, 'g', -1, 64)), want: "a number",
		scalar: func(_ *loader, v string) *fault {
			hint := fmt.Sprintf("write a number from %g to %g", lo, hi)
			n, err := strconv.ParseFloat(v, 64)
			if err != nil {
				if strings.HasSuffix(v, "%") {
					hint += "; 30 % is 0.3"
				}
				return faultf(hint, "is %s, which is no number", show(v))
			}
			if !(n >= lo && n <= hi) { // written so that NaN is refused
				return faultf(hint, "is %g, which is out of bounds", n)
			}
			*p = n
			return nil
		},
	}
}

func duration(key string, p *time.Duration, lo, hi time.Duration, doc string) field {
	return field{
		key: key, doc: docs(doc), value: shortDuration(*p), want: "a duration such as 5m",
		scalar: func(_ *loader, v string) *fault {
			hint := fmt.Sprintf("write a duration from %s to %s, such as 90s, 5m or 2h", shortDuration(lo), shortDuration(hi))
			d, err := time.ParseDuration(v)
			if err != nil {
				return faultf(hint, "is %s, which is no duration", show(v))
			}
			if d < lo || d > hi {
				return faultf(hint, "is %s, which is out of bounds", show(v))
			}
			*p = d
			return nil
		},
	}
}

// size is a field for a number of bytes, at least lo.
func size(key string, p *Bytes, lo Bytes, doc string) field {
	const hi = 16 * TiB
	return field{
		key: key, doc: docs(doc), value: strings.TrimPrefix(p.String(), "0B"), want: "a size such as 2GiB",
		scalar: func(_ *loader, v string) *fault {
			hint := fmt.Sprintf("write a size with its unit from %s to %s, such as 512MiB or 2GiB", lo, hi)
			b, ok := parseBytes(v)
			if !ok {
				return faultf(hint, "is %s, which is no size", show(v))
			}
			if b < lo || b > hi {
				return faultf(hint, "is %s, which is out of bounds", b)
			}
			*p = b
			return nil
		},
	}
}

// listen is host:port, or off. A loopback one answers this machine only.
func listen(key string, p *string, loopback bool, doc string) field {
	return field{
		key: key, doc: docs(doc), value: quoted(*p), want: "host:port",
		scalar: func(_ *loader, v string) *fault {
			if v == Off {
				*p = Off
				if loopback {
					*p = ""
				}
				return nil
			}
			f := checkListen(v, loopback)
			if f == nil {
				*p = v
			}
			return f
		},
	}
}

func cron(group string, m map[string]string, doc string) field {
	return field{
		key: group, doc: docs(doc), value: cronValue(m[group]), want: "a cron expression",
		scalar: func(l *loader, v string) *fault {
			if v != Off {
				if f := l.cron(v); f != nil {
					return f
				}
			}
			m[group] = v
			return nil
		},
	}
}

// networks are CIDR blocks with commas between.
func networks(key string, p *[]netip.Prefix, doc ...string) field {
	return field{
		key: key, doc: docs(doc...), want: "a network such as 10.1.2.0/24",
		scalar: func(_ *loader, v string) (f *fault) { *p, f = checkNetworks(v); return f },
	}
}

// cronValue quotes an expression: a plain value must not start with * or @.
func cronValue(v string) string {
	if v == "" || v == Off {
		return v
	}
	return strconv.Quote(v)
}

// show quotes a value for a message: short, and without the user part of an
// address, where passwords are.
func show(v string) string {
	if u, err := url.Parse(v); strings.Contains(v, "@") && (err != nil || u.User != nil) {
		return "an address with a user in it"
	}
	if r := []rune(v); len(r) > 40 {
		v = string(r[:40]) + "..."
	}
	return strconv.Quote(v)
}

// quoted writes a text as YAML, or nothing for an empty one.
func quoted(v string) string {
	if v == "" {
		return ""
	}
	b, err := yaml.Marshal(v)
	if err != nil {
		return strconv.Quote(v)
	}
	return strings.TrimSpace(string(b))
}

func nonZero(v string) string {
	if v == "0" {
		return ""
	}
	return v
}

// shortDuration writes 5m, where the standard library writes 5m0s.
func shortDuration(d time.Duration) string {
	s := d.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

func article(noun string) string {
	if strings.ContainsRune("aeio", rune(noun[0])) {
		return "an " + noun
	}
	return "a " + noun
}
