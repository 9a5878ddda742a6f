package config

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/sitedrift/sitedrift/schemas"
)

func TestParseTenants(t *testing.T) {
	want := []Tenant{
		{ID: "acme", Name: "Acme, Inc.", Site: "https://acme.atlassian.net", Deployment: schemas.Cloud, Schedules: map[string]string{}},
		{ID: "wiki", Name: "wiki", Site: "https://wiki.example.com/confluence", Deployment: schemas.DataCenter, Paused: true, Schedules: map[string]string{}},
	}
	for name, src := range map[string]string{
		"a.csv":                   "\xef\xbb\xbfid,name,site,deployment,paused\r\nacme,\"Acme, Inc.\",https://acme.atlassian.net,,\r\nwiki,,https://wiki.example.com/confluence/,data_center,true\r\n",
		"a.yml":                   "tenants:\n- id: acme\n  name: Acme, Inc.\n  site: https://acme.atlassian.net\n- {id: wiki, site: https://wiki.example.com/confluence/, deployment: data_center, paused: true}\n",
		"table of standard input": "id,site,name,deployment,paused\nacme,https://acme.atlassian.net,\"Acme, Inc.\",,\nwiki,https://wiki.example.com/confluence,,data_center,true\n",
		"list of standard input":  "tenants: [{id: acme, name: \"Acme, Inc.\", site: https://acme.atlassian.net}, {id: wiki, site: https://wiki.example.com/confluence, deployment: data_center, paused: true}]\n",
	} {
		got, err := ParseTenants(name, []byte(src), Checks{})
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
}

// TestParseTenantsTellsAll: every bad line is told of, with its place, and no
// tenant of such a list is used.
func TestParseTenantsTellsAll(t *testing.T) {
	for name, c := range map[string]struct{ src, want string }{
		"bad.csv": {
			"id,name,site,colour\nacme,Acme,https://acme.atlassian.net,\nBad Id,x,https://b.atlassian.net,\nc,d\ne,f,ftp://g,red\nacme,again,https://h.atlassian.net,\n",
			`bad.csv:3: tenants[1].id: is "Bad Id"
bad.csv:4: tenants[2]: has 2 columns
bad.csv:4: tenants[2].site: is missing
bad.csv:5: tenants[3].site: has the scheme "ftp"
bad.csv:5: tenants[3].colour: is not a known key
bad.csv:6: tenants[4].id: is the same as that of tenants[0] on line 2`,
		},
		"quote.csv": {"id,site\na,\"https://a.atlassian.net\nb,c\n", "quote.csv:2: tenants: cannot be read as CSV here"},
		"odd.csv": {
			"id,name,site\na,caf\xe9,https://a.atlassian.net\nb,nul\x00,https://b.atlassian.net\nc,\x1b[2J,https://c.atlassian.net\n",
			"odd.csv:2: tenants: is not encoded in UTF-8\nodd.csv:3: tenants: contains a control character\nodd.csv:4: tenants: contains a control character",
		},
		"dot.csv":   {"id,site\na,https://acme.atlassian.net.\n", "dot.csv:2: tenants[0].site: has a host that ends with a dot"},
		"empty.csv": {"", "empty.csv:1: tenants: is an empty file"},
		"none.yml":  {"", "none.yml: tenants: is missing or empty"},
		"more.yml":  {"tenants: [{id: a, site: https://a.atlassian.net}]\ndata_dir: /x\n", "more.yml:2: data_dir: is not a known key"},
	} {
		list, err := ParseTenants(name, []byte(c.src), Checks{})
		var wrong *Errors
		if !errors.As(err, &wrong) || list != nil {
			t.Errorf("%s: %v, %v", name, list, err)
			continue
		}
		lines := strings.Split(c.want, "\n")
		if len(wrong.Problems) != len(lines) {
			t.Errorf("%s: %d problems, want %d:\n%v", name, len(wrong.Problems), len(lines), err)
		}
		for _, line := range lines {
			place, rest, _ := strings.Cut(line, ": ")
			if !strings.Contains(err.Error(), rest) || !strings.Contains(err.Error(), place) {
				t.Errorf("%s: %q is not told in:\n%v", name, line, err)
			}
		}
	}
}
