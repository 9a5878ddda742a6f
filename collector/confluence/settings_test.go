package confluence_test

import (
	"fmt"
	"net/http"
	"testing"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
	"github.com/sitedrift/sitedrift/schemas"
	datasets "github.com/sitedrift/sitedrift/schemas/confluence"
)

// TestSettingsLeftOutAreUnknown: a setting that an answer does not name stays as it
// was stored; it did not become empty.
func TestSettingsLeftOutAreUnknown(t *testing.T) {
	t.Parallel()
	answer := func(body string) confluencetest.Fault {
		return confluencetest.Fault{Kind: confluencetest.FaultStatus, Status: http.StatusOK, Body: body, Times: -1}
	}
	s := newSite(t, confluencetest.SiteSettings{})
	s.sim.Fail(answer(fmt.Sprintf(`{"cloudId":%q,"siteTitle":"Told","edition":null}`, s.sim.CloudID())))
	got := read(t, s.source(), datasets.SecurityConfiguration.Dataset, datasets.SectionSystemInfo)
	if got.state() != schemas.CoverageComplete || len(got.rows) != 1 || len(got.unknown) != 4 {
		t.Errorf("Cloud: %s, %d rows, %d unknown", got.state(), len(got.rows), len(got.unknown))
	}
	c := newCenter(t, confluencetest.DataCenterSettings{})
	c.dc.Fail(answer(fmt.Sprintf(`{"baseUrl":%q,"version":""}`, c.dc.URL())))
	in := readIn(t, c.source(), datasets.SecurityConfiguration.Dataset, datasets.SectionServerInformation)
	if in.state() != schemas.CoverageComplete || len(in.rows) != 1 || len(in.unknown) != 2 {
		t.Errorf("Data Center: %s, %d rows, %d unknown: %v", in.state(), len(in.rows), len(in.unknown), in.err)
	}
}
