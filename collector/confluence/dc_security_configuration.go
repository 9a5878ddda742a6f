package confluence

import (
	"bytes"
	"context"
	"net/url"
	"strings"

	"github.com/sitedrift/sitedrift/collector"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

const (
	pathServerInformation = "/rest/api/server-information" // since 9.1
	pathAccessMode        = "/rest/api/accessmode"
)

// serverWire is "Get server information" (Confluence Data Center REST API).
type serverWire struct {
	BaseURL     *string `json:"baseUrl"`
	Version     *string `json:"version"`
	BuildNumber ident   `json:"buildNumber"`
}

// readDataCenterConfiguration reads the settings of one endpoint. The third one
// that there is, instance-metrics, counts spaces, pages and users: it tells nothing
// of security, and counts by itself change in every run.
func (s *visit) readDataCenterConfiguration(ctx context.Context, section string, yield yielder) error {
	var rows []datasets.Setting
	var err error
	switch section {
	case datasets.SectionServerInformation:
		rows, err = s.serverInformation(ctx)
	case datasets.SectionAccessMode:
		err = s.get(ctx, pathAccessMode, nil, nil, func(a answer) error {
			var err error
			rows, err = decodeAccessMode(a.body)
			return err
		})
	default:
		return &collector.ReadError{State: schemas.CoverageNotExposed, Evidence: "no endpoint is known for the section " + cut(section, 80)}
	}
	if err != nil {
		return s.readError(datasets.SecurityConfiguration.Dataset, section, err)
	}
	rows, unknown := told(rows)
	return yieldPage(yield, datasets.SecurityConfiguration, rows, unknown)
}

// serverInformation asks the site who it is. An answer about another site is worth
// nothing: storing it would mix two customers (Invariant 7).
func (s *visit) serverInformation(ctx context.Context) ([]datasets.Setting, error) {
	var w serverWire
	if err := s.getOne(ctx, pathServerInformation, nil, &w); err != nil {
		return nil, err
	}
	if optional(w.BaseURL) == nil {
		return nil, inCall(pathServerInformation, malformedf("no baseUrl"))
	}
	if s.site != "" && !sameAddress(*w.BaseURL, s.site) {
		return nil, &collector.ReadError{
			State:    schemas.CoverageFailed,
			Evidence: "GET " + pathServerInformation + ": 200: the answer is about another site: base URL " + quoted(*w.BaseURL) + ", expected " + quoted(s.site),
			Unlock:   "if they are one site, make its base URL (general configuration) and the tenant's site address the same",
		}
	}
	return normalizeServer(w), nil
}

func normalizeServer(w serverWire) []datasets.Setting {
	text := func(name string, v *string) datasets.Setting {
		return datasets.Setting{Setting: name, Value: optional(v), ValueType: "string"}
	}
	return []datasets.Setting{text("base_url", w.BaseURL), text("version", w.Version), text("build_number", optionalID(w.BuildNumber))}
}

// decodeAccessMode reads a JSON text, or the bare word that some versions send.
func decodeAccessMode(body []byte) ([]datasets.Setting, error) {
	var mode string
	if word := bytes.TrimSpace(body); len(word) > 0 && len(word) < 100 && len(bytes.Trim(word, "ABCDEFGHIJKLMNOPQRSTUVWXYZ_")) == 0 {
		mode = string(word)
	} else if err := decode(body, &mode); err != nil {
		return nil, err
	}
	if mode == "" {
		return nil, malformedf("no access mode")
	}
	return []datasets.Setting{{Setting: "access_mode", Value: &mode, ValueType: "string"}}, nil
}

// sameAddress compares two base addresses. Whether a proxy takes TLS off before
// the site is no difference, nor are a port that goes without saying, the case of
// the host and a slash at the end.
func sameAddress(a, b string) bool {
	parts := func(text string) (host, path string, ok bool) {
		u, err := url.Parse(strings.TrimSpace(text))
		if err != nil || u.Host == "" || u.User != nil {
			return "", "", false
		}
		host = strings.ToLower(u.Hostname())
		if port := u.Port(); port != "" && port != map[string]string{"http": "80", "https": "443"}[strings.ToLower(u.Scheme)] {
			host += ":" + port
		}
		return host, strings.TrimRight(u.Path, "/"), true
	}
	hostA, pathA, okA := parts(a)
	hostB, pathB, okB := parts(b)
	return okA && okB && hostA == hostB && pathA == pathB
}
