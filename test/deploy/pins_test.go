package deploy_test

import (
	"cmp"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

var updatePins = flag.Bool("update", false, "rewrite testdata/pins*.golden")

// pinsComment is at the head of each golden file.
const pinsComment = `# What an upgrade cannot change. A line that changes or goes breaks the upgrade of everybody who has it installed:
#   selectors, serviceName, volumeClaimTemplates, Job templates  the API server refuses the new object, and helm upgrade or
#                                                                kubectl apply stops half way
#   claims                                                       a new name is a new and empty volume; a size can only grow, and
#                                                                access modes and class never change
#   Services                                                     whoever scrapes or writes to the old name finds nobody; clusterIP
#                                                                cannot become None, or the other way round
#   ServiceAccounts                                              what others bound to the old name (image pull secrets, policies)
#                                                                is lost
# If it must change all the same: a major version, and a way for users to get there, in CHANGELOG.md. New lines are fine.
# go test ./test/deploy -update rewrites this file; -tags e2e for those of the chart.
`

// pins are the parts of objects that an upgrade cannot change, a line each.
func pins(objects []object) (string, error) {
	var lines []string
	for _, o := range objects {
		if o.hook() {
			continue // it is made anew each time
		}
		pin := func(what string, value any) error {
			text, err := flow(value)
			lines = append(lines, fmt.Sprintf("%s: %s %s", o, what, text))
			return err
		}
		var err error
		switch o.Kind {
		case "Deployment", "ReplicaSet", "DaemonSet":
			err = pin("selector", o.at("spec", "selector"))
		case "StatefulSet":
			for _, field := range []string{"selector", "serviceName", "podManagementPolicy", "volumeClaimTemplates"} {
				err = cmp.Or(err, pin(field, o.at("spec", field)))
			}
		case "Job":
			for _, field := range []string{"selector", "completionMode", "template"} {
				err = cmp.Or(err, pin(field, o.at("spec", field)))
			}
		case "PersistentVolumeClaim":
			for _, field := range []string{"accessModes", "storageClassName", "volumeMode", "selector"} {
				err = cmp.Or(err, pin(field, o.at("spec", field)))
			}
			err = cmp.Or(err, pin("size", o.at("spec", "resources", "requests", "storage")))
		case "Service":
			kind := o.at("spec", "type")
			if kind == nil {
				kind = "ClusterIP"
			}
			if ip := o.at("spec", "clusterIP"); ip != nil {
				kind = fmt.Sprintf("%v, clusterIP %v", kind, ip)
			}
			lines = append(lines, fmt.Sprintf("%s: %v", o, kind))
		case "ServiceAccount":
			lines = append(lines, o.String())
		}
		if err != nil {
			return "", fmt.Errorf("%s: %w", o, err)
		}
	}
	slices.Sort(lines)
	return strings.Join(lines, "\n") + "\n", nil
}

// flow is a value on one line, its keys in order.
func flow(value any) (string, error) {
	if value == nil {
		return "unset", nil
	}
	var node yaml.Node
	if err := node.Encode(value); err != nil {
		return "", err
	}
	node.Style |= yaml.FlowStyle
	text, err := yaml.Marshal(&node)
	// Long ones are wrapped by the encoder.
	return strings.Join(strings.Fields(string(text)), " "), err
}

// checkPins compares the pins with those of testdata/pins-NAME.golden.
func checkPins(t *testing.T, name string, objects []object) {
	t.Helper()
	got, err := pins(objects)
	if err != nil {
		t.Fatal(err)
	}
	got = pinsComment + got
	golden := filepath.Join("testdata", "pins-"+name+".golden")
	if *updatePins {
		if err := os.WriteFile(golden, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatalf("%v; go test -update writes it", err)
	}
	if lost, added := difference(string(want), got), difference(got, string(want)); len(lost)+len(added) > 0 {
		t.Errorf("%s says what a change of these breaks:\n\t- %s\n\t+ %s", golden, strings.Join(lost, "\n\t- "), strings.Join(added, "\n\t+ "))
	}
}

// difference are the lines of a that b lacks.
func difference(a, b string) []string {
	lines := strings.Split(b, "\n")
	return slices.DeleteFunc(strings.Split(a, "\n"), func(line string) bool { return slices.Contains(lines, line) })
}

func TestManifestsKeepWhatUpgradesCannotChange(t *testing.T) {
	checkPins(t, "kubernetes", manifests(t))
}

func TestPinsHoldWhatTheAPIServerRefusesToChange(t *testing.T) {
	before := `
{apiVersion: apps/v1, kind: Deployment, metadata: {name: a}, spec: {replicas: 1, selector: {matchLabels: {app: a}}}}
---
{apiVersion: apps/v1, kind: StatefulSet, metadata: {name: b}, spec: {serviceName: b, selector: {matchLabels: {app: b}}, volumeClaimTemplates: [{metadata: {name: data}}]}}
---
{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: c}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 10Gi}}}}
---
{apiVersion: v1, kind: Service, metadata: {name: d}, spec: {clusterIP: None}}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: e}}
---
{apiVersion: batch/v1, kind: Job, metadata: {name: f}, spec: {template: {spec: {containers: [{name: g}]}}}}
`
	want, err := pins(mustDecode(t, before))
	if err != nil {
		t.Fatal(err)
	}
	for _, change := range []struct{ old, new string }{
		{"{app: a}", "{app: z}"},
		{"kind: Deployment, metadata: {name: a}", "kind: Deployment, metadata: {name: z}"},
		{"serviceName: b", "serviceName: z"},
		{"{app: b}", "{app: b, version: \"2\"}"},
		{"{name: data}", "{name: store}"},
		{"metadata: {name: c}", "metadata: {name: z}"},
		{"10Gi", "5Gi"},
		{"[ReadWriteOnce]", "[ReadWriteMany]"},
		{"{accessModes", "{storageClassName: fast, accessModes"},
		{"metadata: {name: d}", "metadata: {name: z}"},
		{"{clusterIP: None}", "{}"},
		{"metadata: {name: e}", "metadata: {name: z}"},
		{"{name: g}", "{name: z}"},
	} {
		after := strings.Replace(before, change.old, change.new, 1)
		if after == before {
			t.Fatalf("%q is not there", change.old)
		}
		if got, err := pins(mustDecode(t, after)); err != nil || got == want {
			t.Errorf("%s instead of %s is not seen: %v", change.new, change.old, err)
		}
	}
	// What may change.
	after := strings.Replace(before, "replicas: 1", "replicas: 2", 1)
	if got, err := pins(mustDecode(t, after)); err != nil || got != want {
		t.Errorf("another number of replicas changes the pins: %v\n%s", err, got)
	}
}
