package deploy_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
)

// innerEdges are all ways from one component to another. A rendering has those whose two
// ends it has.
func innerEdges() []edge {
	return []edge{
		{"prometheus", "exporter", 9090},
		{"prometheus", "rollup", 8090},
		{"prometheus", "alertmanager", 9093},
		{"exporter", "chainsim", 5052},
		{"rollup", "postgres", 5432},
		{"grafana", "prometheus", 9090},
		{"grafana", "postgres", 5432},
		{"test", "exporter", 8080},
		{"test", "rollup", 8090},
	}
}

type edge struct {
	from, to string
	port     int
}

func (e edge) String() string { return fmt.Sprintf("%s -> %s:%d", e.from, e.to, e.port) }

// Those outside, in the words of the policies.
const (
	operatorsPrometheus = "pods(app.kubernetes.io/name=prometheus) in namespaces(kubernetes.io/metadata.name=monitoring)"
	nameServers         = "pods(any) in namespaces(kubernetes.io/metadata.name=kube-system):53"
)

// askNames tells which components look up names.
func asksNames(component string) bool {
	return slices.Contains([]string{"exporter", "rollup", "prometheus", "alertmanager", "grafana", "test"}, component)
}

// checkEdges fails for each edge that the policies admit and nobody needs, and for each
// that is needed and not admitted. outer are those with the outside.
func checkEdges(t *testing.T, objects []object, outer ...string) {
	t.Helper()
	checkEdgesWith(t, objects, nameServers, outer...)
}

// checkEdgesWith is checkEdges where names are looked up elsewhere.
func checkEdgesWith(t *testing.T, objects []object, names string, outer ...string) {
	t.Helper()
	n, err := newNetwork(objects)
	if err != nil {
		t.Fatal(err)
	}
	want := slices.Clone(outer)
	members := map[string][]endpoint{}
	for _, e := range n.endpoints {
		if e.component() == "" {
			t.Errorf("%s has no component", e)
		}
		members[e.component()] = append(members[e.component()], e)
	}
	for component := range members {
		if asksNames(component) {
			want = append(want, fmt.Sprintf("%s -> %s", component, names), fmt.Sprintf("%s -> %s/UDP", component, names))
		}
	}
	for _, edge := range innerEdges() {
		if len(members[edge.from]) == 0 || len(members[edge.to]) == 0 {
			continue
		}
		want = append(want, edge.String())
		// There is somebody at its end.
		for _, e := range members[edge.to] {
			if !slices.ContainsFunc(e.containers(), func(c container) bool {
				return slices.ContainsFunc(c.Ports, func(p containerPort) bool { return p.ContainerPort == edge.port })
			}) {
				t.Errorf("%s: %s has no such port", edge, e)
			}
		}
	}
	slices.Sort(want)
	got := n.edges()
	if missing := without(want, got); len(missing) > 0 {
		t.Errorf("needed and not admitted:\n\t%s", strings.Join(missing, "\n\t"))
	}
	if more := without(got, want); len(more) > 0 {
		t.Errorf("admitted and not needed:\n\t%s", strings.Join(more, "\n\t"))
	}
	if half := n.halfOpen(); len(half) > 0 {
		t.Errorf("wires that end nowhere:\n\t%s", strings.Join(half, "\n\t"))
	}
}

// without are those of a that b lacks.
func without(a, b []string) []string {
	return slices.DeleteFunc(slices.Clone(a), func(one string) bool { return slices.Contains(b, one) })
}
