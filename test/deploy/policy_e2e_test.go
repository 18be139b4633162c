//go:build e2e

package deploy_test

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"testing"
)

// around is what is there beside a rendering.
type around struct {
	users []string // objects that users make themselves
	edges []string // who outside may speak to a pod, or a pod to
	// what of the mixin it has: its preset, dashboards, rules as an object, rules as files
	preset                   string
	dashboards, rules, files int
	// where names are looked up, when not where the values say
	names string
}

func surroundings() map[string]around {
	const secret = "Secret/validator-monitor-secrets"
	scraped := []string{operatorsPrometheus + " -> exporter:9090"}
	received := []string{operatorsPrometheus + " -> rollup:8090"}
	beacon := []string{"exporter -> anyone:5052"}
	database := []string{"rollup -> anyone:5432"}
	notified := []string{"alertmanager -> anyone:443"}
	return map[string]around{
		"elsewhere": {users: []string{secret, "ConfigMap/database-authority", "Secret/beacon-authority"}, edges: slices.Concat(scraped, received, beacon, database, []string{
			"exporter -> anyone:443", "exporter -> anyone:8443",
			"grafana -> anyone:5432", "grafana -> anyone:80", "grafana -> anyone:9090",
		}), preset: "operator", dashboards: 7, rules: 1, names: "pods(any) in namespaces(kubernetes.io/metadata.name=openshift-dns):5353"},
		"default":         {nil, slices.Concat(scraped, beacon), "operator", 7, 1, 0, ""},
		"development":     {nil, beacon, "solo", 7, 0, 2, ""},
		"production":      {[]string{secret}, slices.Concat(scraped, received, beacon, database), "operator", 7, 1, 0, ""},
		"standalone":      {[]string{secret}, slices.Concat(beacon, notified), "operator", 7, 0, 2, ""},
		"external-secret": {nil, slices.Concat(scraped, received, beacon, notified), "operator", 7, 1, 2, ""},
		"secret-values":   {nil, slices.Concat(scraped, received, beacon, notified), "operator", 7, 1, 2, ""},
		"shards": {[]string{secret, "ConfigMap/keys-c"}, slices.Concat(scraped, received, []string{
			"exporter -> pods(any) in namespaces(kubernetes.io/metadata.name=ethereum):5052",
			"exporter -> pods(any) in namespaces(kubernetes.io/metadata.name=ethereum):443",
			"exporter -> address 203.0.113.7/32:5052",
			"exporter -> address 203.0.113.7/32:443",
			"rollup -> address 198.51.100.0/24:5432",
		}), "operator", 7, 1, 0, ""},
		"solo": {[]string{secret, "PersistentVolumeClaim/old-grafana"}, slices.Concat(scraped, beacon, []string{
			"pods(any) in namespaces(kubernetes.io/metadata.name=ingress) -> grafana:3000",
			"grafana -> anyone:9090",
		}), "solo", 7, 1, 0, ""},
	}
}

func TestChartObeysTheRules(t *testing.T) {
	all, known := renderings(t), surroundings()
	for _, r := range all {
		t.Run(r.name, func(t *testing.T) {
			with, ok := known[r.name]
			if !ok {
				t.Fatal("nobody has said what is around it")
			}
			objects := mustTemplate(t, r)
			obeys(t, objects, with.users...)
			checkEdgesWith(t, objects, cmp.Or(with.names, nameServers), with.edges...)
			g := generatedMixin(t, with.preset)
			if found := g.differs(objects); len(found) > 0 {
				t.Error(strings.Join(found, "\n\t"))
			}
			if dashboards, rules, files := g.uses(objects); dashboards != with.dashboards || rules != with.rules || files != with.files {
				t.Errorf("%d dashboards, %d PrometheusRules and %d files of rules; want %d, %d and %d", dashboards, rules, files, with.dashboards, with.rules, with.files)
			}
		})
	}
	for name := range known {
		if !slices.ContainsFunc(all, func(r rendering) bool { return r.name == name }) {
			t.Errorf("there are no values called %s", name)
		}
	}
}

func TestChartClaimsWhatTheDocumentationSays(t *testing.T) {
	if sizes, want := claimSizes(mustTemplate(t, named(t, "standalone"))), defaultSizes(); !maps.Equal(sizes, want) {
		t.Errorf("claims are of %v, want %v", sizes, want)
	}
}
