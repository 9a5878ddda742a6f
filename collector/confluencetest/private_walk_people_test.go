package confluencetest_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/sitedrift/sitedrift/collector/confluencetest"
)

func (in *insider) readGuests(p *confluencetest.Posture) {
	in.t.Helper()
	for after, more := (*string)(nil), true; more; {
		var answer struct {
			List struct {
				Count    *int
				PageInfo wireInfo
				Nodes    []wirePerson
			}
		}
		in.data(&answer, `query Guests($first: Int, $after: String) { list: confluence_externalCollaboratorsByCriteria(first: $first, after: $after) {
			count pageInfo { endCursor hasNextPage } nodes { accountId permissionType spacesAssigned { count nodes { id key name } } }
		} }`, in.paging(after))
		for _, n := range answer.List.Nodes {
			g := confluencetest.GuestAssignment{AccountID: n.AccountID}
			if n.SpacesAssigned != nil {
				g.SpaceIDs = []string{}
				for _, s := range n.SpacesAssigned.Nodes {
					g.SpaceIDs = append(g.SpaceIDs, s.ID)
				}
			}
			p.Guests = append(p.Guests, g)
		}
		if after, more = answer.List.PageInfo.next(in.t); !more {
			checkCount(in.t, "guests", answer.List.Count, len(p.Guests))
		}
	}
	slices.SortFunc(p.Guests, func(a, b confluencetest.GuestAssignment) int { return cmp.Compare(a.AccountID, b.AccountID) })
}

func (in *insider) readLicence(p *confluencetest.Posture) {
	in.t.Helper()
	count := func(what string) int {
		var answer struct{ Count *int }
		got := in.get("/wiki/rest/license/1.0/license/" + what)
		if err := json.Unmarshal(got.body, &answer); err != nil || got.status != http.StatusOK || answer.Count == nil {
			in.t.Fatalf("%s: status %d, %v in %s", what, got.status, err, got.body)
		}
		return *answer.Count
	}
	p.Seats = confluencetest.Seats{Used: count("userCount"), Maximum: count("maxUsers")}
	if left := count("remainingSeats"); left != p.Seats.Remaining() {
		in.t.Errorf("%d seats remain, want %d", left, p.Seats.Remaining())
	}
	switch got := in.get("/wiki/api/v2/admin-key"); got.status {
	case http.StatusNotFound:
	case http.StatusOK:
		var answer struct {
			AccountID      string
			ExpirationTime time.Time
		}
		if err := json.Unmarshal(got.body, &answer); err != nil {
			in.t.Fatal(err)
		}
		p.AdminKey = &confluencetest.AdminKeyState{AccountID: answer.AccountID, Until: answer.ExpirationTime}
	default:
		in.t.Fatalf("admin key: status %d: %s", got.status, got.body)
	}
}

type wireLicense struct {
	Active                            bool
	Type                              *string
	IsEvaluation                      *bool
	TrialEndDate, SubscriptionEndDate *time.Time
}

func (l *wireLicense) license() *confluencetest.AppLicense {
	if l == nil {
		return nil
	}
	at := func(t *time.Time) time.Time {
		if t == nil {
			return time.Time{}
		}
		return *t
	}
	return &confluencetest.AppLicense{Active: l.Active, Type: value(l.Type), Evaluation: l.IsEvaluation, TrialEnd: at(l.TrialEndDate), End: at(l.SubscriptionEndDate)}
}

const installationFields = `id createdAt createdBy { accountId name } installationContext appEnvironment { type key }
	appEnvironmentVersion { version isLatest permissions { scopes { key name description } egress { type addresses } } trustSignal(key: "x") { key result } }
	license { active type isEvaluation trialEndDate subscriptionEndDate }`

type wireInstallation struct {
	ID                    string
	CreatedAt             time.Time
	CreatedBy             *struct{ AccountID string }
	AppEnvironment        struct{ Type string }
	AppEnvironmentVersion struct {
		Version     string
		IsLatest    bool
		Permissions []struct {
			Scopes []struct{ Key string }
			Egress []confluencetest.Egress
		}
	}
	License *wireLicense
}

func (w wireInstallation) fill(a *confluencetest.InstalledApp) {
	a.Installation, a.InstalledAt, a.Environment, a.Version, a.Latest = w.ID, w.CreatedAt, w.AppEnvironment.Type, w.AppEnvironmentVersion.Version, w.AppEnvironmentVersion.IsLatest
	if w.CreatedBy != nil {
		a.InstalledBy = w.CreatedBy.AccountID
	}
	for _, p := range w.AppEnvironmentVersion.Permissions {
		for _, s := range p.Scopes {
			a.Scopes = append(a.Scopes, s.Key)
		}
		a.Egress = append(a.Egress, p.Egress...)
	}
	a.License = w.License.license()
}

// readApps reads the apps from the newer field, and checks the older one and the
// plugin manager against it. What neither tells about Connect apps stays empty.
func (in *insider) readApps(p *confluencetest.Posture) {
	in.t.Helper()
	ari := "ari:cloud:confluence::site/" + in.site.CloudID()
	for after, more := (*string)(nil), true; more; {
		var answer struct {
			Ecosystem struct {
				AppsInstalledInContexts struct {
					TotalCount *int
					PageInfo   wireInfo
					Edges      []struct {
						Node struct {
							Typename                        string `json:"__typename"`
							ID, Name, DistributionStatus    string
							VendorName, VendorType, BaseURL *string
							StoresPersonalData              *bool
							MarketplaceApp                  *struct{ AppKey string }
							Installations                   []struct {
								AppVersion struct {
									Version     string
									Permissions []string
								}
								InstallationContext string
								License             *wireLicense
							}
							InstallationsByContexts struct {
								TotalCount int
								Nodes      []wireInstallation
							}
						}
					}
				}
			}
		}
		v := in.paging(after)
		v["context"] = ari
		in.data(&answer, `query Apps($context: ID!, $first: Int, $after: String) { ecosystem { appsInstalledInContexts(contextIds: [$context], first: $first, after: $after) {
			totalCount pageInfo { endCursor hasNextPage }
			edges { cursor node { __typename
				... on App { id name distributionStatus vendorName vendorType storesPersonalData marketplaceApp { appKey } installationsByContexts(contexts: [$context]) { totalCount nodes { `+installationFields+` } } }
				... on EcosystemConnectApp { id name distributionStatus vendorName baseUrl marketplaceApp { appKey }
					installations { appVersion { version permissions } installationContext license { active type isEvaluation trialEndDate subscriptionEndDate } } }
			} }
		} } }`, v)
		list := answer.Ecosystem.AppsInstalledInContexts
		for _, e := range list.Edges {
			n := e.Node
			a := confluencetest.InstalledApp{
				ID: n.ID, Name: n.Name, DistributionStatus: n.DistributionStatus, Vendor: value(n.VendorName), VendorType: value(n.VendorType), BaseURL: value(n.BaseURL), PersonalData: n.StoresPersonalData,
			}
			if n.MarketplaceApp != nil {
				a.MarketplaceKey = n.MarketplaceApp.AppKey
			}
			switch n.Typename {
			case "App":
				a.Kind, a.Enabled = "forge", true
				if len(n.InstallationsByContexts.Nodes) != 1 {
					in.t.Fatalf("app %s has %d installations", n.ID, len(n.InstallationsByContexts.Nodes))
				}
				n.InstallationsByContexts.Nodes[0].fill(&a)
			case "EcosystemConnectApp":
				a.Kind, a.Version, a.Scopes, a.License = "connect", n.Installations[0].AppVersion.Version, n.Installations[0].AppVersion.Permissions, n.Installations[0].License.license()
			default:
				in.t.Fatalf("an app is a %q", n.Typename)
			}
			p.Apps = append(p.Apps, a)
		}
		if after, more = list.PageInfo.next(in.t); !more {
			checkCount(in.t, "apps", list.TotalCount, len(p.Apps))
		}
	}
	in.checkInstallations(p, ari)
	in.readPlugins(p)
}

func (in *insider) checkInstallations(p *confluencetest.Posture, ari string) {
	in.t.Helper()
	var got []string
	for after, more := (*string)(nil), true; more; {
		var answer struct {
			Ecosystem struct {
				AppInstallationsByContext struct {
					PageInfo wireInfo
					Nodes    []struct {
						wireInstallation
						App struct{ ID string }
					}
				}
			}
		}
		v := in.paging(after)
		v["filter"] = map[string]any{"appInstallations": map[string]any{"contexts": []string{ari}}}
		in.data(&answer, `query Forge($filter: AppInstallationsByContextFilter!, $first: Int, $after: String) { ecosystem { appInstallationsByContext(filter: $filter, first: $first, after: $after) {
			totalCount pageInfo { endCursor hasNextPage } nodes { app { id } `+installationFields+` }
		} } }`, v)
		for _, n := range answer.Ecosystem.AppInstallationsByContext.Nodes {
			got = append(got, n.App.ID+" "+n.AppEnvironmentVersion.Version)
		}
		after, more = answer.Ecosystem.AppInstallationsByContext.PageInfo.next(in.t)
	}
	var want []string
	for _, a := range p.Apps {
		if a.Kind == "forge" {
			want = append(want, a.ID+" "+a.Version)
		}
	}
	if !slices.Equal(got, want) {
		in.t.Errorf("the older field lists %q, the newer one %q", got, want)
	}
}

func (in *insider) readPlugins(p *confluencetest.Posture) {
	in.t.Helper()
	got := in.get("/wiki/rest/plugins/1.0/", "Accept", "application/vnd.atl.plugins.installed+json")
	var answer struct {
		Plugins []struct {
			Key, Name, Version                string
			Enabled, UserInstalled, Remotable bool
			Vendor                            *struct{ Name string }
		}
	}
	if err := json.Unmarshal(got.body, &answer); err != nil || got.status != http.StatusOK || got.header.Get("Content-Type") != "application/vnd.atl.plugins.installed+json" {
		in.t.Fatalf("plugins: status %d, %v, %v", got.status, got.header, err)
	}
	for _, row := range answer.Plugins {
		if !row.Remotable {
			p.InternalPlugins++
			continue
		}
		i := slices.IndexFunc(p.Apps, func(a confluencetest.InstalledApp) bool { return a.ID == row.Key })
		if i < 0 || p.Apps[i].Name != row.Name || p.Apps[i].Version != row.Version || !row.UserInstalled {
			in.t.Errorf("the plugin manager has %+v, the gateway does not", row)
			continue
		}
		p.Apps[i].Enabled = row.Enabled
		if want := ""; row.Vendor != nil {
			want = row.Vendor.Name
			if want != p.Apps[i].Vendor {
				in.t.Errorf("vendor of %s: %q and %q", row.Key, want, p.Apps[i].Vendor)
			}
		}
	}
}

// visible blanks what no endpoint shows.
func visible(p confluencetest.Posture) confluencetest.Posture {
	p.Activity = nil
	for i := range p.Apps {
		if a := &p.Apps[i]; a.Kind == "connect" {
			a.Installation, a.InstalledBy, a.InstalledAt, a.Environment, a.Latest, a.Egress = "", "", time.Time{}, "", false, nil
		}
	}
	return p
}

// fieldNames reads the fields of a type through introspection.
func (in *insider) fieldNames(typ string) []string {
	in.t.Helper()
	var answer struct {
		Type *struct{ Fields []struct{ Name string } } `json:"__type"`
	}
	in.data(&answer, fmt.Sprintf(`{ __type(name: %q) { name kind fields { name type { kind name ofType { name } } } } }`, typ), nil)
	if answer.Type == nil {
		return nil
	}
	var names []string
	for _, f := range answer.Type.Fields {
		names = append(names, f.Name)
	}
	return names
}
