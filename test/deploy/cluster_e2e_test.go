//go:build e2e

package deploy_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/kubernetes"
)

// cluster starts an API server that knows the kinds of the Prometheus Operator and of
// External Secrets.
func cluster(t *testing.T) *kubernetes.Cluster {
	t.Helper()
	began := time.Now()
	c := kubernetes.New(t, kubernetes.Options{})
	// By the server: applied by kubectl they would have to fit into an annotation.
	if _, err := c.Kubectl(t.Context(), "apply", "--server-side", "-f", definitions(t)); err != nil {
		t.Fatal(err)
	}
	if _, err := c.Kubectl(t.Context(), "wait", "--for=condition=Established", "--timeout=60s", "customresourcedefinitions", "--all"); err != nil {
		t.Fatal(err)
	}
	t.Logf("an API server with all kinds after %.1f s", time.Since(began).Seconds())
	return c
}

// restricted makes a namespace whose pods have to be hardened.
func restricted(t *testing.T, c *kubernetes.Cluster, name string) {
	t.Helper()
	labels := map[string]string{"kubernetes.io/metadata.name": name}
	for _, mode := range []string{"enforce", "warn", "audit"} {
		labels["pod-security.kubernetes.io/"+mode] = "restricted"
		labels["pod-security.kubernetes.io/"+mode+"-version"] = "latest"
	}
	namespace, err := json.Marshal(map[string]any{
		"apiVersion": "v1", "kind": "Namespace", "metadata": map[string]any{"name": name, "labels": labels},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.KubectlInput(t.Context(), namespace, "create", "-f", "-"); err != nil {
		t.Fatal(err)
	}
}

// apply applies objects as strictly as kubectl can, and returns a line for each.
func apply(t *testing.T, c *kubernetes.Cluster, objects string, more ...string) ([]string, error) {
	t.Helper()
	args := append([]string{"apply", "--validate=strict", "--warnings-as-errors"}, more...)
	if objects != "" {
		args = append(args, "-f", "-")
	}
	out, err := c.KubectlInput(t.Context(), []byte(objects), args...)
	return strings.Split(strings.TrimSpace(out), "\n"), err
}

// stored is an object as the server has it.
type stored struct {
	uid        string
	generation int64
	spec       string
}

// inNamespace are the objects of a namespace, of every kind that a rendering has.
func inNamespace(t *testing.T, c *kubernetes.Cluster, namespace string, objects []object) map[string]stored {
	t.Helper()
	kinds := map[string]bool{}
	for _, o := range objects {
		if group, _, ok := strings.Cut(o.APIVersion, "/"); ok {
			kinds[strings.ToLower(o.Kind)+"."+group] = true
		} else if o.Kind != "Namespace" {
			kinds[strings.ToLower(o.Kind)] = true
		}
	}
	out, err := c.Kubectl(t.Context(), "get", strings.Join(slices.Sorted(maps.Keys(kinds)), ","), "--namespace", namespace, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var list struct {
		Items []map[string]any
	}
	if err := json.Unmarshal([]byte(out), &list); err != nil {
		t.Fatal(err)
	}
	found := map[string]stored{}
	for _, item := range list.Items {
		metadata := item["metadata"].(map[string]any)
		generation, _ := metadata["generation"].(float64)
		name := fmt.Sprintf("%s/%s", item["kind"], metadata["name"])
		one := stored{uid: metadata["uid"].(string), generation: int64(generation)}
		// All but what the server notes about the object, to see changes of kinds that have no generation.
		delete(item, "metadata")
		delete(item, "status")
		text, err := json.MarshalIndent(item, "", " ")
		if err != nil {
			t.Fatal(err)
		}
		one.spec = string(text)
		found[name] = one
	}
	return found
}

// same fails for each object that is not as it was.
func same(t *testing.T, what string, before, after map[string]stored) {
	t.Helper()
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if after[name] != before[name] {
			t.Errorf("%s changes %s, generation %d to %d:\n\t- %s\n\t+ %s", what, name, before[name].generation, after[name].generation,
				strings.Join(difference(before[name].spec, after[name].spec), "\n\t- "), strings.Join(difference(after[name].spec, before[name].spec), "\n\t+ "))
		}
	}
	for name := range after {
		if _, ok := before[name]; !ok {
			t.Errorf("%s makes %s", what, name)
		}
	}
}

// anyGeneration leaves out which generation objects are.
func anyGeneration(objects map[string]stored) map[string]stored {
	left := map[string]stored{}
	for name, one := range objects {
		one.generation = 0
		left[name] = one
	}
	return left
}

// admitsPods makes a pod of each template: no controller does that here, and what is
// only a warning for a workload is a refusal for its pods.
func admitsPods(t *testing.T, c *kubernetes.Cluster, namespace string, objects []object) {
	t.Helper()
	found, err := pods(objects)
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Error("the objects lead to no pods")
	}
	for i, p := range found {
		keys, _, _ := podTemplate(p.owner.Kind)
		text, err := json.Marshal(map[string]any{
			"apiVersion": "v1", "kind": "Pod",
			"metadata": map[string]any{"name": fmt.Sprintf("pod-of-template-%d", i), "namespace": namespace, "labels": p.labels},
			"spec":     p.owner.at(append(keys, "spec")...),
		})
		if err != nil {
			t.Fatal(err)
		}
		if _, err := c.KubectlInput(t.Context(), text, "create", "--validate=strict", "--warnings-as-errors", "-f", "-"); err != nil {
			t.Errorf("a pod of %s: %v", p, err)
		}
	}
}

// isTaken applies objects twice and by the server, makes their pods, and returns what is
// stored.
func isTaken(t *testing.T, c *kubernetes.Cluster, namespace string, objects []object, apply func(more ...string) ([]string, error)) {
	t.Helper()
	lines, err := apply()
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if !strings.HasSuffix(line, " created") {
			t.Errorf("applied to nothing: %s", line)
		}
	}
	if len(lines) != len(objects) {
		t.Errorf("%d objects were made of %d:\n\t%s", len(lines), len(objects), strings.Join(lines, "\n\t"))
	}
	before := inNamespace(t, c, namespace, objects)
	if lines, err = apply(); err != nil {
		t.Fatalf("applied a second time: %v", err)
	}
	for _, line := range lines {
		// kubectl always sends the selector of a PodDisruptionBudget, whose strategy is to replace it, and calls that
		// configured; that nothing changes is seen below.
		if !strings.HasSuffix(line, " unchanged") && !strings.HasPrefix(line, "poddisruptionbudget.policy/") {
			t.Errorf("applied a second time: %s", line)
		}
	}
	same(t, "the second time", before, inNamespace(t, c, namespace, objects))
	// Without conflicts: what the server fills in into lists and the like must stand in the objects, or it belongs to
	// somebody else from then on, and tools that compare find a difference for ever.
	if _, err := apply("--server-side"); err != nil {
		t.Errorf("applied by the server: %v", err)
	}
	// A Deployment's generation counts changes of annotations too, and kubectl has one of its own.
	same(t, "server-side apply", anyGeneration(before), anyGeneration(inNamespace(t, c, namespace, objects)))
	admitsPods(t, c, namespace, objects)
}

// One server for all of them: it takes longer to start than most need it. Each has a namespace.
func TestCluster(t *testing.T) {
	c := cluster(t)
	t.Run("takes", func(t *testing.T) { takesManifestsAndChart(t, c) })
	t.Run("takes upgrades", func(t *testing.T) { takesUpgrades(t, c) })
	t.Run("refuses what is wrong", func(t *testing.T) { refusesWhatIsWrong(t, c) })
}

func takesManifestsAndChart(t *testing.T, c *kubernetes.Cluster) {
	t.Run("manifests", func(t *testing.T) {
		t.Parallel()
		objects := manifests(t)
		i := slices.IndexFunc(objects, func(o object) bool { return o.Kind == "Namespace" })
		if i < 0 {
			t.Fatal("the manifests have no namespace")
		}
		namespace := objects[i]
		if level := namespace.Metadata.Labels["pod-security.kubernetes.io/enforce"]; level != "restricted" {
			t.Errorf("%s enforces %q", namespace, level)
		}
		isTaken(t, c, namespace.Metadata.Name, objects, func(more ...string) ([]string, error) {
			return apply(t, c, "", append([]string{"-k", manifestsDir}, more...)...)
		})
	})
	for i, r := range renderings(t) {
		t.Run("chart with values "+r.name, func(t *testing.T) {
			t.Parallel()
			namespace := fmt.Sprintf("chart-%d", i)
			restricted(t, c, namespace)
			text, err := template(t, r, serverVersion, "--namespace", namespace)
			if err != nil {
				t.Fatal(err)
			}
			objects, err := decodeObjects([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			isTaken(t, c, namespace, objects, func(more ...string) ([]string, error) {
				return apply(t, c, text, append([]string{"--namespace", namespace}, more...)...)
			})
		})
	}
}

// Not with kubectl: helm makes its own patches, and asks the server which kinds it has.
func takesUpgrades(t *testing.T, c *kubernetes.Cluster) {
	const namespace = "upgrades"
	restricted(t, c, namespace)
	run := func(args ...string) {
		t.Helper()
		if out, err := c.Run(t.Context(), nil, program(t, "helm"), append(args, "--namespace", namespace)...); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	uids := map[string]string{}
	// to goes to the values called name, or back to a revision that had them, and sees that everything is there, and that
	// nothing was removed and made anew on the way.
	to := func(name string, args ...string) map[string]stored {
		t.Helper()
		r := named(t, name)
		if len(args) == 0 {
			args = append([]string{"upgrade", release, chartDir, "--install"}, r.flags()...)
		}
		run(args...)
		objects := slices.DeleteFunc(mustTemplate(t, r, "--namespace", namespace), object.hook)
		there := inNamespace(t, c, namespace, objects)
		wanted := map[string]bool{}
		for _, o := range objects {
			wanted[o.String()] = true
			one, ok := there[o.String()]
			if !ok {
				t.Errorf("%s: %s is not there", name, o)
			}
			if before, ok := uids[o.String()]; ok && before != one.uid {
				t.Errorf("%s: %s was removed and made anew", name, o)
			}
			uids[o.String()] = one.uid
		}
		// What these values do not have is gone, and may come back as another; but claims stay.
		for key := range uids {
			if !wanted[key] && !strings.HasPrefix(key, "PersistentVolumeClaim/") {
				delete(uids, key)
			}
		}
		return there
	}
	before := to("default")
	to("production")
	after := to("default")
	for _, key := range slices.Sorted(maps.Keys(before)) {
		if after[key].spec != before[key].spec {
			t.Errorf("after production and back, %s is not as before:\n\t- %s\n\t+ %s", key,
				strings.Join(difference(before[key].spec, after[key].spec), "\n\t- "), strings.Join(difference(after[key].spec, before[key].spec), "\n\t+ "))
		}
	}
	to("production", "rollback", release, "2")
	to("standalone")
	to("default")
	to("standalone")
	run("uninstall", release)
	if out, err := c.Kubectl(t.Context(), "get", "persistentvolumeclaims", "--namespace", namespace, "-o", "name"); err != nil || strings.Count(out, "\n") != len(defaultSizes()) {
		t.Errorf("after uninstall the claims are %q, %v; want all", out, err)
	}
}

// What the tests above find nothing of is found when it is there.
func refusesWhatIsWrong(t *testing.T, c *kubernetes.Cluster) {
	restricted(t, c, "wrong")
	const pod = `containers: [{name: main, image: main:1.0}]`
	const hardened = `securityContext: {runAsNonRoot: true, runAsUser: 10001, seccompProfile: {type: RuntimeDefault}}, ` +
		`containers: [{name: main, image: main:1.0, securityContext: {allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}}]`
	deployment := func(name, spec string) string {
		return fmt.Sprintf(`{apiVersion: apps/v1, kind: Deployment, metadata: {name: %s}, spec: {selector: {matchLabels: {app: %s}}, template: {metadata: {labels: {app: %s}}, spec: {%s}}}}`, name, name, name, spec)
	}
	for _, w := range []struct{ name, object, want string }{
		{"a hardened Deployment", deployment("good", hardened), ""},
		{"a Deployment that is not hardened", deployment("soft", pod), `would violate PodSecurity "restricted:latest"`},
		{"an account", `{apiVersion: v1, kind: ServiceAccount, metadata: {name: soft}}`, ""},
		{"a Pod that is not hardened", `{apiVersion: v1, kind: Pod, metadata: {name: soft}, spec: {serviceAccountName: soft, ` + pod + `}}`, `is forbidden: violates PodSecurity "restricted:latest"`},
		{"a Pod whose service account is not there", `{apiVersion: v1, kind: Pod, metadata: {name: lost}, spec: {serviceAccountName: lost, ` + hardened + `}}`, `serviceaccount "lost" not found`},
		{"a misspelt field", strings.Replace(deployment("typo", hardened), "spec: {", "spec: {replcias: 2, ", 1), `unknown field "spec.replcias"`},
		{"another selector", strings.Replace(deployment("good", hardened), "app: good}}, template: {metadata: {labels: {app: good", "app: better}}, template: {metadata: {labels: {app: better", 1), "field is immutable"},
		{"a ServiceMonitor", `{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: good}, spec: {selector: {}, endpoints: [{port: http}]}}`, ""},
		{"a ServiceMonitor with a misspelt field", `{apiVersion: monitoring.coreos.com/v1, kind: ServiceMonitor, metadata: {name: bad}, spec: {selector: {}, endpoints: [{prot: http}]}}`, `unknown field "spec.endpoints[0].prot"`},
		{"a PodMonitor with a misspelt field", `{apiVersion: monitoring.coreos.com/v1, kind: PodMonitor, metadata: {name: bad}, spec: {selectr: {}, podMetricsEndpoints: []}}`, `unknown field "spec.selectr"`},
		{"a PrometheusRule with a wrong duration", `{apiVersion: monitoring.coreos.com/v1, kind: PrometheusRule, metadata: {name: bad}, spec: {groups: [{name: a, interval: often, rules: []}]}}`, "spec.groups[0].interval: Invalid value"},
		{"an ExternalSecret with a misspelt field", `{apiVersion: external-secrets.io/v1, kind: ExternalSecret, metadata: {name: bad}, spec: {secretStroeRef: {}}}`, `unknown field "spec.secretStroeRef"`},
		{"an old version of a kind", `{apiVersion: policy/v1beta1, kind: PodDisruptionBudget, metadata: {name: old}, spec: {}}`, "no matches for kind"},
		{"a claim that shrinks", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: claim}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 2Gi}}}}`, ""},
		{"a claim that shrinks", `{apiVersion: v1, kind: PersistentVolumeClaim, metadata: {name: claim}, spec: {accessModes: [ReadWriteOnce], resources: {requests: {storage: 1Gi}}}}`, "spec is immutable after creation"},
	} {
		_, err := apply(t, c, w.object, "--namespace", "wrong")
		if w.want == "" && err != nil || w.want != "" && (err == nil || !strings.Contains(err.Error(), w.want)) {
			t.Errorf("%s: %v, want %q", w.name, err, w.want)
		}
	}
}
