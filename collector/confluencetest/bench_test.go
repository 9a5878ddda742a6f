package confluencetest_test

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// BenchmarkPermissionRows reads full pages of permission rows over loopback with a
// client that does nothing but count bytes, and reports rows per second of wall
// time. Run with -cpu 1 for the figure per core, client included.
func BenchmarkPermissionRows(b *testing.B) {
	for _, rows := range []int{200, 250, 60} {
		b.Run(fmt.Sprintf("%drows", rows), func(b *testing.B) {
			srv := confluencetest.New(confluencetest.Settings{})
			if err := srv.Start(); err != nil {
				b.Fatal(err)
			}
			defer srv.Close()
			site := srv.AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 1000, PermissionsPerSpace: rows, Exact: true, HiddenSpaces: -1})
			app := srv.AddApp(confluencetest.App{Scopes: confluencetest.AllScopes()})
			tokens, _, err := srv.Connect(confluencetest.ConsentRequest{ClientID: app.ClientID})
			if err != nil {
				b.Fatal(err)
			}
			var requests []string
			for _, s := range site.Truth().Spaces {
				requests = append(requests, "GET /api/ex/confluence/"+site.CloudID()+"/wiki/api/v2/spaces/"+s.ID+"/permissions?limit=250 HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer "+tokens.AccessToken+"\r\n\r\n")
			}
			conn, err := net.Dial("tcp", strings.TrimPrefix(srv.URL(), "http://"))
			if err != nil {
				b.Fatal(err)
			}
			defer conn.Close()
			in := bufio.NewReaderSize(conn, 64<<10)
			b.ResetTimer()
			for i := range b.N {
				if _, err := io.WriteString(conn, requests[i%len(requests)]); err != nil {
					b.Fatal(err)
				}
				resp, err := http.ReadResponse(in, nil)
				if err != nil || resp.StatusCode != 200 {
					b.Fatal(err, resp)
				}
				n, err := io.Copy(io.Discard, resp.Body)
				if err != nil {
					b.Fatal(err)
				}
				b.SetBytes(n)
			}
			b.ReportMetric(float64(rows)*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
		})
	}
}

// BenchmarkGenerate makes a site of a million rows.
func BenchmarkGenerate(b *testing.B) {
	for b.Loop() {
		confluencetest.New(confluencetest.Settings{}).AddSite(confluencetest.SiteSettings{Name: "acme", Spaces: 5000, PermissionsPerSpace: 200, Users: 5000, Groups: 200, Exact: true})
	}
}
