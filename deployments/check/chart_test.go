package check

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/sitedrift/sitedrift/config"
	"helm.sh/helm/v4/pkg/chart/common"
	"helm.sh/helm/v4/pkg/chart/common/util"
	v2 "helm.sh/helm/v4/pkg/chart/v2"
	"helm.sh/helm/v4/pkg/chart/v2/lint"
	"helm.sh/helm/v4/pkg/chart/v2/lint/support"
	"helm.sh/helm/v4/pkg/chart/v2/loader"
	"helm.sh/helm/v4/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = "../helm/sitedrift"

// monitor is what the chart uses of the Prometheus Operator's ServiceMonitor.
type monitor struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Metadata   struct {
		Name   string            `json:"name"`
		Labels map[string]string `json:"labels"`
	} `json:"metadata"`
	Spec struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Endpoints []struct {
			Port        string              `json:"port"`
			Interval    string              `json:"interval"`
			Relabelings []map[string]string `json:"relabelings"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// release is what the chart makes, decoded by the types of the API server with
// every unknown field refused.
type release struct {
	deployment *appsv1.Deployment
	config     *corev1.ConfigMap
	account    *corev1.ServiceAccount
	service    *corev1.Service
	budget     *policyv1.PodDisruptionBudget
	network    *networkingv1.NetworkPolicy
	monitor    *monitor
}

// values parses what a user writes into a values file.
func values(t *testing.T, text string) map[string]any {
	t.Helper()
	v := map[string]any{}
	if err := yaml.UnmarshalStrict([]byte(text), &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// template renders the chart as `helm template` does, for a recent Kubernetes.
func template(t *testing.T, user map[string]any) (map[string]string, error) {
	t.Helper()
	chart, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	return templateFor(t, chart, user, "v1.31.0")
}

func templateFor(t *testing.T, chart *v2.Chart, user map[string]any, kubernetes string) (map[string]string, error) {
	t.Helper()
	version, err := common.ParseKubeVersion(kubernetes)
	if err != nil {
		t.Fatal(err)
	}
	able := *common.DefaultCapabilities
	able.KubeVersion = *version
	v, err := util.ToRenderValues(chart, user, common.ReleaseOptions{Name: "watch", Namespace: "security", Revision: 1, IsInstall: true}, &able)
	if err != nil {
		return nil, err
	}
	return engine.Engine{Strict: true}.Render(chart, v)
}

func render(t *testing.T, text string) release {
	t.Helper()
	files, err := template(t, values(t, text))
	if err != nil {
		t.Fatal(err)
	}
	var r release
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !strings.HasSuffix(name, ".yaml") || strings.TrimSpace(files[name]) == "" {
			continue
		}
		var head struct {
			Kind string `json:"kind"`
		}
		if err := yaml.Unmarshal([]byte(files[name]), &head); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, files[name])
		}
		var into any
		switch head.Kind {
		case "Deployment":
			r.deployment = &appsv1.Deployment{}
			into = r.deployment
		case "ConfigMap":
			r.config = &corev1.ConfigMap{}
			into = r.config
		case "ServiceAccount":
			r.account = &corev1.ServiceAccount{}
			into = r.account
		case "Service":
			r.service = &corev1.Service{}
			into = r.service
		case "PodDisruptionBudget":
			r.budget = &policyv1.PodDisruptionBudget{}
			into = r.budget
		case "NetworkPolicy":
			r.network = &networkingv1.NetworkPolicy{}
			into = r.network
		case "ServiceMonitor":
			r.monitor = &monitor{}
			into = r.monitor
		default:
			t.Fatalf("%s makes a %q: secrets come by reference, and nothing else is needed", name, head.Kind)
		}
		if err := yaml.UnmarshalStrict([]byte(files[name]), into); err != nil {
			t.Errorf("%s: %v\n%s", name, err, files[name])
		}
	}
	if r.deployment == nil || r.config == nil || r.service == nil {
		t.Fatal("the chart makes no Deployment, ConfigMap or Service")
	}
	return r
}

// everything sets what has no default.
const everything = `
replicas: 3
image: {repository: registry.example.com/sitedrift, tag: 1.2.3}
imagePullSecrets: [{name: pull}]
secrets:
  oauth: {name: app}
config:
  warehouse: {cluster: main}
  oauth: {client_id: abc}
  tenants:
    - {id: acme, site: https://acme.atlassian.net, schedules: {audit: "off"}}
  limits: {concurrency: 8}
extraEnv:
  - {name: TOKEN, valueFrom: {secretKeyRef: {name: x, key: token}}}
metrics: {serviceMonitor: {enabled: true, labels: {team: security}}}
networkPolicy:
  state: {to: [{podSelector: {matchLabels: {app: postgres}}}]}
  warehouse: {to: [{podSelector: {matchLabels: {app: clickhouse}}}], ports: [8443]}
  extraEgress: [{ports: [{protocol: TCP, port: 8090}], to: [{ipBlock: {cidr: 10.0.0.7/32}}]}]
serviceAccount: {annotations: {a: b}}
podAnnotations: {a: b}
podLabels: {c: d}
nodeSelector: {kubernetes.io/arch: amd64}
tolerations: [{key: a, operator: Exists}]
affinity: {nodeAffinity: {}}
`

func TestChartLints(t *testing.T) {
	for _, text := range []string{"{}", everything} {
		result := lint.RunAll(chartDir, values(t, text), "security")
		for _, m := range result.Messages {
			if m.Severity > support.InfoSev {
				t.Errorf("%v", m)
			}
		}
	}
}

func TestChart(t *testing.T) {
	for name, text := range map[string]string{"defaults": "{}", "everything": everything} {
		t.Run(name, func(t *testing.T) {
			r := render(t, text)
			pod := r.deployment.Spec.Template
			selects := func(what string, selector map[string]string) {
				t.Helper()
				if len(selector) == 0 {
					t.Errorf("the %s selects everything", what)
				}
				for k, v := range selector {
					if pod.Labels[k] != v {
						t.Errorf("the %s selects %s=%s, pods have %q", what, k, v, pod.Labels[k])
					}
				}
			}
			selects("Deployment", r.deployment.Spec.Selector.MatchLabels)
			selects("Service", r.service.Spec.Selector)
			selects("PodDisruptionBudget", r.budget.Spec.Selector.MatchLabels)
			selects("NetworkPolicy", r.network.Spec.PodSelector.MatchLabels)
			for _, s := range pod.Spec.TopologySpreadConstraints {
				selects("spread over "+s.TopologyKey, s.LabelSelector.MatchLabels)
			}
			if r.account.Name != pod.Spec.ServiceAccountName || *pod.Spec.AutomountServiceAccountToken || *r.account.AutomountServiceAccountToken {
				t.Error("pods run under another account than the chart's, or get its token, which nothing needs")
			}
			if *r.deployment.Spec.Replicas < 2 || r.budget.Spec.MaxUnavailable.IntValue() != 1 {
				t.Error("one node can take all replicas down")
			}
			if p := r.budget.Spec.UnhealthyPodEvictionPolicy; p == nil || *p != policyv1.AlwaysAllow {
				t.Error("a database that is away keeps nodes from being drained")
			}
			if u := r.deployment.Spec.Strategy.RollingUpdate; u.MaxUnavailable.IntValue() != 0 || u.MaxSurge.IntValue() != 1 {
				t.Errorf("an update takes replicas away before new ones are ready: %+v", u)
			}
			checkNetwork(t, r.network.Spec)
			checkHardening(t, pod.Spec)
			checkProbes(t, pod.Spec.Containers[0])
			checkMounts(t, r)
			checkConfig(t, r)
		})
	}
	r := render(t, everything)
	if r.monitor == nil || r.monitor.Spec.Endpoints[0].Port != r.service.Spec.Ports[0].Name || r.monitor.Spec.Endpoints[0].Relabelings[0]["replacement"] != "sitedrift" {
		t.Errorf("the ServiceMonitor does not scrape the Service under the job of the alert rules: %+v", r.monitor)
	}
	if image := r.deployment.Spec.Template.Spec.Containers[0].Image; image != "registry.example.com/sitedrift:1.2.3" {
		t.Errorf("image %s", image)
	}
	off := render(t, "{podDisruptionBudget: {enabled: false}, networkPolicy: {enabled: false}, serviceAccount: {create: false, name: mine}, topologySpreadConstraints: []}")
	if off.budget != nil || off.network != nil || off.account != nil || off.deployment.Spec.Template.Spec.ServiceAccountName != "mine" {
		t.Error("what is switched off is there all the same")
	}
	chart, err := loader.LoadDir(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	old, err := templateFor(t, chart, values(t, "{}"), "v1.25.0")
	if err != nil || strings.Contains(old["sitedrift/templates/poddisruptionbudget.yaml"], "unhealthyPodEvictionPolicy") {
		t.Errorf("an older Kubernetes is given a field that it does not know: %v", err)
	}
	if a, b := checksum(render(t, "{}")), checksum(render(t, "{config: {log: {level: debug}}}")); a == b || a == "" {
		t.Error("a change of the configuration does not replace the pods")
	}
}

func checksum(r release) string { return r.deployment.Spec.Template.Annotations["checksum/config"] }

// checkHardening asks for what the "restricted" Pod Security Standard does, and
// a root file system that cannot be written.
func checkHardening(t *testing.T, pod corev1.PodSpec) {
	t.Helper()
	p, c := pod.SecurityContext, pod.Containers[0].SecurityContext
	if !*p.RunAsNonRoot || *p.RunAsUser == 0 || p.SeccompProfile.Type != corev1.SeccompProfileTypeRuntimeDefault {
		t.Error("the pod may run as root, or any system call")
	}
	if *c.AllowPrivilegeEscalation || !*c.ReadOnlyRootFilesystem || !cmp.Equal(c.Capabilities.Drop, []corev1.Capability{"ALL"}) {
		t.Error("the container may gain privileges or write into its image")
	}
	if pod.HostNetwork || pod.HostPID || pod.HostIPC || len(pod.Containers) != 1 {
		t.Error("the pod shares the host's namespaces, or holds more than the daemon")
	}
	if r := pod.Containers[0].Resources; r.Requests.Cpu().IsZero() || r.Requests.Memory().IsZero() || r.Limits.Memory().IsZero() {
		t.Error("resources are not bounded")
	}
	if *pod.TerminationGracePeriodSeconds < 45 {
		t.Error("pods are killed before their runs may end")
	}
}

// checkNetwork: addresses where clouds hand out credentials are not reached as sites,
// by neither family of addresses, and somebody certain may scrape.
func checkNetwork(t *testing.T, n networkingv1.NetworkPolicySpec) {
	t.Helper()
	if len(n.Ingress) != 1 || len(n.Ingress[0].From) == 0 {
		t.Errorf("everybody may scrape: %+v", n.Ingress)
	}
	except := map[string]string{"0.0.0.0/0": "169.254.0.0/16", "::/0": "fd00:ec2::254/128"}
	for _, rule := range n.Egress {
		for _, to := range rule.To {
			if to.IPBlock == nil || except[to.IPBlock.CIDR] == "" {
				continue
			}
			if !slices.Contains(to.IPBlock.Except, except[to.IPBlock.CIDR]) {
				t.Errorf("%s is reached but for %v", to.IPBlock.CIDR, to.IPBlock.Except)
			}
			for _, e := range to.IPBlock.Except {
				if strings.Contains(e, ":") != strings.Contains(to.IPBlock.CIDR, ":") {
					t.Errorf("%s is no part of %s, which Kubernetes refuses", e, to.IPBlock.CIDR)
				}
			}
			delete(except, to.IPBlock.CIDR)
		}
	}
	if len(except) > 0 {
		t.Errorf("sites are not reached by %v", except)
	}
}

func checkProbes(t *testing.T, c corev1.Container) {
	t.Helper()
	for path, p := range map[string]*corev1.Probe{"/healthz": c.LivenessProbe, "/readyz": c.ReadinessProbe} {
		if p == nil || p.HTTPGet == nil || p.HTTPGet.Path != path || p.HTTPGet.Port.StrVal != c.Ports[0].Name {
			t.Errorf("no probe of %s on the metrics port: %+v", path, p)
		}
	}
	if p := c.StartupProbe; p == nil || p.HTTPGet == nil || p.HTTPGet.Path != "/healthz" {
		t.Errorf("a start that takes its time is killed: %+v", p)
	}
	if c.ReadinessProbe.TimeoutSeconds <= 5 {
		t.Error("the kubelet does not wait for the answer of /readyz, which asks the stores for up to 5 s")
	}
}

// checkMounts follows each file that the configuration names to the Secret that
// it comes from.
func checkMounts(t *testing.T, r release) {
	t.Helper()
	pod := r.deployment.Spec.Template.Spec
	volumes := map[string]corev1.Volume{}
	for _, v := range pod.Volumes {
		volumes[v.Name] = v
	}
	mounted := map[string]bool{}
	for _, m := range pod.Containers[0].VolumeMounts {
		v, ok := volumes[m.Name]
		if !ok {
			t.Errorf("mount of a volume %s that there is not", m.Name)
		}
		if v.EmptyDir == nil && !m.ReadOnly {
			t.Errorf("%s can be written", m.MountPath)
		}
		if v.Projected == nil {
			continue
		}
		if mode := *v.Projected.DefaultMode; mode != 0o440 {
			t.Errorf("secrets have mode %o", mode)
		}
		for _, s := range v.Projected.Sources {
			for _, item := range s.Secret.Items {
				mounted[filepath.Join(m.MountPath, item.Path)] = s.Secret.Name != "" && item.Key != ""
			}
		}
	}
	text := r.config.Data["sitedrift.yml"]
	for _, file := range []string{"state", "warehouse", "vault.key"} {
		path := "/run/secrets/sitedrift/" + file
		if !mounted[path] || !strings.Contains(text, path) {
			t.Errorf("%s is not mounted from a Secret, or not configured:\n%s", path, text)
		}
	}
	if strings.Contains(text, "/oauth") != mounted["/run/secrets/sitedrift/oauth"] {
		t.Errorf("the app's secret is mounted or configured, and not both")
	}
}

// checkConfig loads the file as the daemon does.
func checkConfig(t *testing.T, r release) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "sitedrift.yml")
	if err := os.WriteFile(file, []byte(r.config.Data["sitedrift.yml"]), 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := config.Load(file, config.Checks{})
	if err != nil {
		t.Fatalf("%v\n%s", err, r.config.Data["sitedrift.yml"])
	}
	if c.State.Driver != config.DriverPostgres || c.Warehouse.Mode != config.ModeClickHouse {
		t.Errorf("replicas share no state: %+v %+v", c.State, c.Warehouse)
	}
	port := r.deployment.Spec.Template.Spec.Containers[0].Ports[0].ContainerPort
	if c.Server.Metrics != fmt.Sprintf("0.0.0.0:%d", port) || r.service.Spec.Ports[0].TargetPort.StrVal != "metrics" {
		t.Errorf("the daemon listens on %s, the container's port is %d", c.Server.Metrics, port)
	}
}

// TestChartRefuses: what cannot work is refused before anything is installed.
func TestChartRefuses(t *testing.T) {
	for text, want := range map[string]string{
		"{replica: 3}":                                  "replica",
		"{replicas: 0}":                                 "replicas",
		"{replicas: two}":                               "replicas",
		"{secrets: {state: {name: ''}}}":                "secrets/state/name",
		"{secrets: {password: {name: x, key: y}}}":      "password",
		"{config: {state: sqlite}}":                     "config",
		"{config: {warehouse: {mode: embedded}}}":       "config/warehouse",
		"{config: {oauth: {client_secret: 'file:/x'}}}": "config/oauth",
		"{metrics: {port: 70000}}":                      "metrics/port",
		"{terminationGracePeriodSeconds: 5}":            "terminationGracePeriodSeconds",
		"{networkPolicy: {warehouse: {ports: []}}}":     "networkPolicy/warehouse/ports",
		"{networkPolicy: {scrapers: []}}":               "networkPolicy/scrapers",
	} {
		if _, err := template(t, values(t, text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want an error that names %s", text, err, want)
		}
	}
}
