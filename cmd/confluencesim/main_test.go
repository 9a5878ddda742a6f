package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

// TestPlay starts the program, reads what it prints and presses every button.
func TestPlay(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	read, write := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		err := run(ctx, options{Listen: "127.0.0.1:0", Seed: 3, Sites: 9, DataCenters: 2, Spaces: 8, Permissions: 10, Users: 30, Leeway: time.Minute, History: 2, Callback: "http://127.0.0.1:1/callback"}, write)
		_ = write.CloseWithError(err)
		ended <- err
	}()
	var printed strings.Builder
	for lines := bufio.NewScanner(read); lines.Scan(); {
		printed.WriteString(lines.Text() + "\n")
		if strings.Contains(lines.Text(), `Ctrl-C ends`) {
			break
		}
	}
	config := regexp.MustCompile(`(?s)export SITEDRIFT_OAUTH_SECRET=ATOA\w+\n.*client_id: \w+\n.*auth: (http://127\.0\.0\.1:\d+)/auth\n.*id: acme\n    site: http\S+/site/acme\n.*  - id: intra2\n    site: http\S+/dc/intra2/confluence\n    deployment: data_center\n`)
	found := config.FindStringSubmatch(printed.String())
	if found == nil {
		t.Fatalf("the printed configuration is incomplete:\n%s", &printed)
	}
	base := found[1]
	token := regexp.MustCompile(`# An administrator's API token for the sites' own hosts: (\S+) (ATATT\w+)\n# A service account for all sites: client id (\w+), secret (\S+)\n# Organization (\S+) owns all sites; its key: (ATCTT\S+)\n`).FindStringSubmatch(printed.String())
	if token == nil {
		t.Fatalf("the API token, the service account and the organization's key are not told of:\n%s", &printed)
	}
	for path, auth := range map[string]func(*http.Request){
		"/site/acme/wiki/rest/license/1.0/license/userCount": func(r *http.Request) { r.SetBasicAuth(token[1], token[2]) },
		"/api/admin/v1/orgs/" + token[5]:                     func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+token[6]) },
	} {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, base+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		auth(req)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		if resp.Body.Close(); resp.StatusCode != http.StatusOK {
			t.Errorf("%s answers %d to what was printed", path, resp.StatusCode)
		}
	}
	granted, err := http.PostForm(base+"/auth/oauth/token", url.Values{"grant_type": {"client_credentials"}, "client_id": {token[3]}, "client_secret": {token[4]}})
	if err != nil {
		t.Fatal(err)
	}
	if granted.Body.Close(); granted.StatusCode != http.StatusOK {
		t.Errorf("the service account gets no token: status %d", granted.StatusCode)
	}
	center := regexp.MustCompile(`# Data Center site intra2: (http\S+/dc/intra2/confluence)\n#   personal access token: (\w+)\n#   OAuth 2\.0: client id \w+, secret \w+\n`).FindStringSubmatch(printed.String())
	if center == nil {
		t.Fatalf("the second Data Center site is not told of:\n%s", &printed)
	}
	ask, err := http.NewRequestWithContext(t.Context(), http.MethodGet, center[1]+"/rest/api/permissions", nil)
	if err != nil {
		t.Fatal(err)
	}
	ask.Header.Set("Authorization", "Bearer "+center[2])
	answer, err := http.DefaultClient.Do(ask)
	if err != nil {
		t.Fatal(err)
	}
	if answer.Body.Close(); answer.StatusCode != http.StatusOK {
		t.Errorf("the Data Center site answers %d to the printed token", answer.StatusCode)
	}
	get := func() string {
		t.Helper()
		resp, err := http.Get(base + "/")
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		body, err := io.ReadAll(resp.Body)
		if err != nil || resp.StatusCode != http.StatusOK {
			t.Fatalf("status %d, %v", resp.StatusCode, err)
		}
		return string(body)
	}
	press := func(what, on string) int {
		t.Helper()
		resp, err := http.PostForm(base+"/press", url.Values{"what": {what}, "on": {on}})
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		return resp.StatusCode
	}
	for _, b := range buttons() {
		if got := press(b.Name, "acme"); got != http.StatusOK { // after the redirect to the page
			t.Errorf("%s: status %d", b.Label, got)
		}
	}
	text := get()
	for _, part := range []string{"space_hidden", "acme2", "None yet. Run <code>sitedrift connect", "<dt>spaces</dt><dd>6</dd>"} {
		if !strings.Contains(text, part) {
			t.Errorf("the page lacks %q", part)
		}
	}
	for what, on := range map[string]string{"delete": "nowhere", "dance": "acme", "revoke": "unknown"} {
		if got := press(what, on); got != http.StatusBadRequest {
			t.Errorf("%s on %s: status %d, want 400", what, on, got)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, base+"/press", strings.NewReader("what=delete&on=acme"))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Sec-Fetch-Site", "cross-site")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusForbidden {
		t.Errorf("a foreign page pressed a button: status %d", resp.StatusCode)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Errorf("run ended with %v", err)
	}
}

// TestHistoryHappens lets two simulated hours pass.
func TestHistoryHappens(t *testing.T) {
	srv := confluencetest.New(confluencetest.Settings{})
	site := srv.AddSite(confluencetest.SiteSettings{})
	now := time.Now()
	o := options{Seed: 1, History: 30}
	for range 3 {
		live(srv, o, now)
		now = now.Add(time.Hour)
	}
	if n := len(site.Log()); n < 30 || n > 120 {
		t.Errorf("%d changes in two hours of 30 steps each", n)
	}
	if site.Pending() != 30 {
		t.Errorf("%d steps are planned for the next hour, want 30", site.Pending())
	}
}
