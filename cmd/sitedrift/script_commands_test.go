//go:build linux && !noengine

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"html"
	"io"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/rogpeppe/go-internal/testscript"

	sim "github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
)

// scriptCommands are what scripts can do beyond the usual.
//
//	drift CODE ARGS... [< FILE]   runs the program, which must end with CODE
//	browse CODE DECISION ARGS...  the same for connect, with a browser that opens
//	                              the address, and decides: accept, deny, foreign;
//	                              beside: accepts after other commands were run,
//	                              and while another one holds the data directory;
//	                              removed: accepts when the tenant is gone
//	daemon [start|stop|kill]      a daemon: without a word, where this run of the
//	                              scripts has one; restart, if one is running
//	token FILE SITE [-SCOPE...]   a refresh token for a site, got elsewhere
//	fault SITE STATUS ENDPOINT [OBJECT]  from now on; `fault SITE none` ends it
//	slow SITE DURATION ENDPOINT   answers late from now on
//	asked SITE                    waits until a fault was seen there
//	revoke SITE                   every grant for a site
//	asker SITE imported|browser   who the site was asked as last: the person of
//	                              `token`, or the one who browses
//	expire                        every access token
//	vanish SITE N                 the first N spaces are out of sight
//	listen ADDRESS                somebody else has the address, to the script's end
func scriptCommands() map[string]func(*testscript.TestScript, bool, []string) {
	return map[string]func(*testscript.TestScript, bool, []string){
		"drift": cmdDrift, "browse": cmdBrowse, "daemon": cmdDaemon, "token": cmdToken, "fault": cmdFault, "revoke": cmdRevoke,
		"listen": cmdListen, "vanish": cmdVanish, "expire": cmdExpire, "asker": cmdAsker,
		"slow": cmdSlow, "asked": cmdAsked, "get": cmdGet, "metrics": cmdMetrics, "log": cmdLog, "await": cmdAwait, "still": cmdStill, "jsonl": cmdJSONL,
	}
}

func cmdDrift(ts *testscript.TestScript, _ bool, args []string) {
	code, args := wantedCode(ts, args)
	w := worldOf(ts)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	var in io.Reader
	if n := len(args); n > 2 && args[n-2] == "<" {
		in, args = strings.NewReader(ts.ReadFile(args[n-1])), args[:n-2]
	}
	c := w.command(ctx, ts, args)
	var out, errs bytes.Buffer
	c.Stdin, c.Stdout, c.Stderr = in, &out, &errs
	w.judge(ts, code, args, c.Run(), out.String(), errs.String())
}

func wantedCode(ts *testscript.TestScript, args []string) (int, []string) {
	if len(args) == 0 {
		ts.Fatalf("usage: COMMAND EXITCODE ARGS...")
	}
	code, err := strconv.Atoi(args[0])
	ts.Check(err)
	return code, args[1:]
}

// judge holds what is the same for all commands: the exit code; data on standard
// output, and all else on standard error; JSON where it was asked for; texts for
// people; no secret (Invariant 9); nothing that steers a terminal (Invariant 10).
func (w *scriptWorld) judge(ts *testscript.TestScript, code int, args []string, err error, out, errs string) {
	notSteering(ts, args, out+errs)
	got := 0
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		got = failed.ExitCode()
	} else {
		ts.Check(err)
	}
	_, _ = io.WriteString(ts.Stdout(), w.normal(ts, out))
	if slices.Contains(args, "serve") { // the log, and behind it what is for people
		errs = strings.TrimPrefix(lastParagraph(errs), "\n")
	}
	_, _ = io.WriteString(ts.Stderr(), w.normal(ts, errs))
	if got != code {
		ts.Fatalf("%v ended with %d, not %d; standard error:\n%s\nstandard output:\n%s", args, got, code, errs, out)
	}
	for _, secret := range w.secrets {
		if strings.Contains(out+errs, secret) {
			ts.Fatalf("%v shows a secret", args)
		}
	}
	if slices.Contains(args, "--json") && (code == exitOK || code == exitIncomplete) {
		for d := json.NewDecoder(strings.NewReader(out)); ; {
			var v any
			if err := d.Decode(&v); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				ts.Fatalf("%v: no JSON: %v\n%s", args, err, out)
			}
		}
	}
	if code != exitOK && !strings.HasPrefix(lastParagraph(errs), "sitedrift: ") {
		ts.Fatalf("%v ended with %d and does not say why as its last:\n%s", args, code, errs)
	}
	if (code == exitUsage || code == exitRuntime) && out != "" && !slices.Contains(args, "migrate") && !slices.Contains(args, "sync") {
		ts.Fatalf("%v failed and has data on standard output:\n%s", args, out)
	}
	if found := jargon.FindString(errs); found != "" {
		ts.Fatalf("%v says %q to people:\n%s", args, found, errs)
	}
}

// notSteering holds for whatever a terminal may show, in any format: names of the
// simulated sites try to steer it.
func notSteering(ts *testscript.TestScript, from any, text string) {
	if !utf8.ValidString(text) {
		ts.Fatalf("%v: not all of it is UTF-8: %q", from, text)
	}
	for _, r := range text {
		if r != '\n' && r != '\t' && (unicode.IsControl(r) || unicode.Is(unicode.Bidi_Control, r)) {
			ts.Fatalf("%v: %U steers a terminal (Invariant 10): %q", from, r, text)
		}
	}
}

// lastParagraph is the text from the last line on that says whose it is.
func lastParagraph(text string) string {
	return text[max(0, strings.LastIndex("\n"+text, "\nsitedrift: ")):]
}

var (
	openThis   = regexp.MustCompile(`http://\S+/start\?key=\S+`)
	formAction = regexp.MustCompile(`<form method="post" action="([^"]+)">`)
)

// cmdBrowse is connect with a person who opens the printed address in a browser.
func cmdBrowse(ts *testscript.TestScript, _ bool, args []string) {
	code, args := wantedCode(ts, args)
	decision, args := args[0], append([]string{"connect"}, args[1:]...)
	w := worldOf(ts)
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	c := w.command(ctx, ts, args)
	var out, errs bytes.Buffer
	c.Stdout = &out
	told, err := c.StderrPipe()
	ts.Check(err)
	ts.Check(c.Start())
	lines := bufio.NewScanner(io.TeeReader(told, &errs))
	for lines.Scan() {
		if address := openThis.FindString(lines.Text()); address != "" {
			if decision == "beside" { // a person who reads for minutes is in nobody's way
				if out, err := w.command(ctx, ts, []string{"tenants", "list"}).CombinedOutput(); err != nil {
					ts.Fatalf("tenants list beside a consent: %v\n%s", err, out)
				}
				if w.daemon == nil {
					w.hold(ts, time.Second)
				}
			}
			if decision == "removed" {
				if out, err := w.command(ctx, ts, []string{"tenants", "remove", args[2], "--yes"}).CombinedOutput(); err != nil {
					ts.Fatalf("tenants remove beside a consent: %v\n%s", err, out)
				}
			}
			page, err := consentInBrowser(ctx, address, decision)
			ts.Check(err)
			ts.Logf("the browser shows: %s", w.normal(ts, page))
		}
	}
	w.judge(ts, code, args, c.Wait(), out.String(), openThis.ReplaceAllString(errs.String(), "$$START"))
}

// hold takes the data directory for a while, as another command does.
func (w *scriptWorld) hold(ts *testscript.TestScript, d time.Duration) {
	lock, err := os.OpenFile(ts.MkAbs("data/lock"), os.O_RDWR, 0)
	ts.Check(err)
	ts.Check(syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB))
	time.AfterFunc(d, func() { _ = lock.Close() })
}

// consentInBrowser does what a person does who consents: opens the address,
// reads the provider's page, presses a button, and follows where it leads. It
// returns the text of the last page. With "foreign" another browser than the one
// that began shows up at the callback first.
func consentInBrowser(ctx context.Context, address, decision string) (string, error) {
	jar, err := cookiejar.New(nil)
	if err != nil {
		return "", err
	}
	browser := &http.Client{Jar: jar}
	page, at, err := visit(ctx, browser, http.MethodGet, address, nil)
	if err != nil {
		return "", err
	}
	form := formAction.FindStringSubmatch(page)
	if form == nil {
		return "", fmt.Errorf("no form to consent on the page %s:\n%s", at, page)
	}
	action, err := at.Parse(html.UnescapeString(form[1]))
	if err != nil {
		return "", err
	}
	answer := url.Values{"decision": {"allow"}, "site": {"acme"}}
	switch decision {
	case "deny":
		answer.Set("decision", "deny")
	case "elsewhere":
		answer.Set("site", "globex")
	case "foreign":
		stranger := &http.Client{} // has no cookie of ours
		if page, _, err = visit(ctx, stranger, http.MethodPost, action.String(), answer); err != nil {
			return "", err
		}
		if !strings.Contains(page, "Not accepted") {
			return "", fmt.Errorf("another browser was let in:\n%s", page)
		}
	}
	page, _, err = visit(ctx, browser, http.MethodPost, action.String(), answer)
	return page, err
}

func visit(ctx context.Context, browser *http.Client, method, address string, form url.Values) (string, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, method, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", nil, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	resp, err := browser.Do(req)
	if err != nil {
		return "", nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	return string(text), resp.Request.URL, err
}

func cmdDaemon(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	switch {
	case len(args) == 0 && w.served, len(args) == 1 && args[0] == "start":
		w.serve(ts)
	case len(args) == 1 && args[0] == "stop":
		w.stop(ts)
	case len(args) == 1 && args[0] == "kill":
		ts.Check(w.daemon.Process.Kill())
		<-w.ended
		w.daemon = nil
	case len(args) == 1 && args[0] == "restart":
		if w.daemon != nil {
			w.stop(ts)
			w.serve(ts)
		}
	}
}

// cmdToken gets consent elsewhere and writes the refresh token to a file.
func cmdToken(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) < 2 {
		ts.Fatalf("usage: token FILE SITE [-SCOPE...]")
	}
	w := worldOf(ts)
	scopes := append(wantedScopes(schemas.Credential3LO), "offline_access")
	for _, without := range args[2:] {
		scopes = slices.DeleteFunc(scopes, func(s string) bool { return "-"+s == without })
	}
	person := w.provider.AddPerson(sim.Person{Name: "Admin of " + args[1], AccountID: w.provider.Site(args[1]).Truth().Users[1].AccountID})
	tokens, _, err := w.provider.Connect(sim.ConsentRequest{ClientID: w.app.ClientID, AccountID: person.AccountID, Sites: []string{args[1]}, Scopes: scopes})
	ts.Check(err)
	w.secrets = append(w.secrets, tokens.RefreshToken, tokens.AccessToken)
	ts.Check(os.WriteFile(ts.MkAbs(args[0]), []byte(tokens.RefreshToken+"\n"), 0o600))
}

func cmdFault(ts *testscript.TestScript, _ bool, args []string) {
	site := worldOf(ts).provider.Site(args[0])
	if args[1] == "none" {
		site.ClearFaults()
		return
	}
	status, err := strconv.Atoi(args[1])
	ts.Check(err)
	f := sim.Fault{Kind: sim.FaultStatus, Status: status, Times: -1}
	if len(args) > 2 {
		f.Endpoint = args[2]
	}
	if len(args) > 3 {
		f.Object = args[3]
	}
	if status == http.StatusTooManyRequests {
		f.Kind, f.Times, f.RetryAfter, f.Reason = sim.FaultRateLimited, 1, "0", "confluence-quota-tenant-based"
	}
	site.Fail(f)
}

func cmdRevoke(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	for _, g := range w.provider.Grants() {
		if slices.Contains(g.Sites, args[0]) {
			ts.Check(w.provider.Revoke(g.ID))
		}
	}
	w.provider.ExpireAccessTokens()
}

func cmdListen(ts *testscript.TestScript, _ bool, args []string) {
	l, err := net.Listen("tcp", args[0])
	ts.Check(err)
	ts.Defer(func() { _ = l.Close() })
}

func cmdVanish(ts *testscript.TestScript, _ bool, args []string) {
	site := worldOf(ts).provider.Site(args[0])
	n, err := strconv.Atoi(args[1])
	ts.Check(err)
	for _, s := range site.Truth().Spaces[:n] {
		ts.Check(site.HideSpace(s.ID))
	}
}

func cmdExpire(ts *testscript.TestScript, _ bool, _ []string) {
	worldOf(ts).provider.ExpireAccessTokens()
}

func cmdAsker(ts *testscript.TestScript, _ bool, args []string) {
	w := worldOf(ts)
	site := w.provider.Site(args[0])
	want := map[string]string{"imported": site.Truth().Users[1].AccountID, "browser": w.provider.Collector().AccountID}[args[1]]
	all := site.Requests()
	if got := all[len(all)-1].AccountID; got != want {
		ts.Fatalf("the site was asked as %s last, not as %s", got, want)
	}
}

func cmdSlow(ts *testscript.TestScript, _ bool, args []string) {
	delay, err := time.ParseDuration(args[1])
	ts.Check(err)
	worldOf(ts).provider.Site(args[0]).Fail(sim.Fault{Kind: sim.FaultSlow, Delay: delay, Endpoint: args[2], Times: -1})
}

func cmdAsked(ts *testscript.TestScript, _ bool, args []string) {
	site := worldOf(ts).provider.Site(args[0])
	for deadline := time.Now().Add(patience); site.FaultsApplied() == 0; time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			ts.Fatalf("%s is not asked", args[0])
		}
	}
}
