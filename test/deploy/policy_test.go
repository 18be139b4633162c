package deploy_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestManifestsObeyTheRules(t *testing.T) {
	objects := manifests(t)
	obeys(t, objects, "Secret/validator-monitor-secrets")
	checkEdges(t, objects, "exporter -> anyone:5052", "alertmanager -> anyone:443")
}

// People fill in a copy of the template. It has each key that a pod mounts, and no value.
func TestManifestsLeaveSecretsToTheirUsers(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(manifestsDir, secretTemplate))
	if err != nil {
		t.Fatal(err)
	}
	template := mustDecode(t, string(text))
	if len(template) != 1 || template[0].Kind != "Secret" {
		t.Fatalf("%s has %v", secretTemplate, template)
	}
	for key, value := range template[0].StringData {
		if value != "" {
			t.Errorf("%s has a value for %s", secretTemplate, key)
		}
	}
	objects := manifests(t)
	all, err := pods(objects)
	if err != nil {
		t.Fatal(err)
	}
	mounted := map[string]string{}
	for _, p := range all {
		for _, m := range p.mounts() {
			if m.kind != "Secret" {
				continue
			}
			if m.name != template[0].Metadata.Name || p.owner.Metadata.Namespace != template[0].Metadata.Namespace || len(m.keys) == 0 {
				t.Errorf("%s mounts %+v, not keys of %s", p, m, template[0])
			}
			for _, key := range m.keys {
				mounted[key] = ""
			}
		}
	}
	if !maps.Equal(mounted, template[0].StringData) || len(template[0].Data) > 0 {
		t.Errorf("the template has %v, and pods mount %v", template[0].StringData, mounted)
	}
	for _, o := range objects {
		if o.Kind == "Secret" {
			t.Errorf("%s is applied over what people filled in", o)
		}
	}
}

func TestManifestsClaimWhatTheDocumentationSays(t *testing.T) {
	if sizes, want := claimSizes(manifests(t)), defaultSizes(); !maps.Equal(sizes, want) {
		t.Errorf("claims are of %v, want %v", sizes, want)
	}
}

// claimSizes are the sizes of claims by component.
func claimSizes(objects []object) map[string]any {
	sizes := map[string]any{}
	for _, o := range objects {
		if o.Kind == "PersistentVolumeClaim" {
			sizes[o.Metadata.Labels["app.kubernetes.io/component"]] = o.at("spec", "resources", "requests", "storage")
		}
	}
	return sizes
}

func defaultSizes() map[string]any {
	return map[string]any{"postgres": "10Gi", "prometheus": "20Gi", "grafana": "5Gi", "alertmanager": "1Gi"}
}

// obeys fails for each rule that the objects break. Objects that users make themselves are
// named as Kind/name.
func obeys(t *testing.T, objects []object, users ...string) {
	t.Helper()
	for _, c := range allChecks(users...) {
		found, err := c.find(objects)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
		}
		if len(found) > 0 {
			t.Errorf("%s:\n\t%s", c.name, strings.Join(found, "\n\t"))
		}
	}
}

// allChecks are all rules, for a rendering beside which users make some objects.
func allChecks(users ...string) []check {
	return append(
		checks(),
		check{"what is configured is reachable", wires},
		check{"services lead somewhere", servicesLead},
		check{"what is mounted is there", func(objects []object) ([]string, error) { return mountsExist(objects, users...) }},
	)
}

// good is a rendering that obeys every rule: front speaks to back, a scraper of another
// namespace to front, and back to the name service.
const good = `
apiVersion: apps/v1
kind: Deployment
metadata: {name: front}
spec:
  selector: {matchLabels: {app.kubernetes.io/component: front}}
  template:
    metadata: {labels: {app.kubernetes.io/component: front}}
    spec:
      serviceAccountName: front
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
      initContainers:
        - name: init
          image: registry.example:5000/tools/init:v1.2@sha256:0000000000000000000000000000000000000000000000000000000000000000
          resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 1, memory: 32Mi}}
          securityContext: &none {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}
      containers:
        - name: main
          image: front:1.2.3
          args: [--web.listen-address=:8080, --back=http://back:80/api]
          env: [{name: PASSWORD_FILE, value: /run/secrets/password}]
          ports: [{name: http, containerPort: 8080}]
          resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 1, memory: 32Mi}}
          livenessProbe: {httpGet: {path: /, port: http}}
          readinessProbe: {httpGet: {path: /, port: http}}
          securityContext: *none
      volumes: [{name: config, configMap: {name: front}}, {name: secret, secret: {secretName: front}}]
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: back}
spec:
  serviceName: back
  selector: {matchLabels: {app.kubernetes.io/component: back}}
  template:
    metadata: {labels: {app.kubernetes.io/component: back}}
    spec:
      serviceAccountName: back
      automountServiceAccountToken: false
      securityContext: {runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, seccompProfile: {type: RuntimeDefault}}
      containers:
        - name: main
          image: back:4.5
          ports: [{name: http, containerPort: 9000}]
          resources: {requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 1, memory: 32Mi}}
          livenessProbe: {httpGet: {path: /, port: http}}
          readinessProbe: {httpGet: {path: /, port: http}}
          securityContext: *none2
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: front}, automountServiceAccountToken: false}
---
{apiVersion: v1, kind: ServiceAccount, metadata: {name: back}, automountServiceAccountToken: false}
---
{apiVersion: v1, kind: Service, metadata: {name: front}, spec: {selector: {app.kubernetes.io/component: front}, ports: [{port: 8080, targetPort: http}]}}
---
{apiVersion: v1, kind: Service, metadata: {name: back}, spec: {selector: {app.kubernetes.io/component: back}, ports: [{port: 80, targetPort: http}]}}
---
apiVersion: v1
kind: ConfigMap
metadata: {name: front}
data:
  config.yml: |
    targets: ["back:80"]
    elsewhere: https://peer.example/api
    password_file: /run/secrets/password
  config.ini: |
    password = $__file{/run/secrets/password}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: deny}
spec: {podSelector: {}, policyTypes: [Ingress, Egress]}
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: front}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/component: front}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from: [{namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: monitoring}}, podSelector: {matchLabels: {app: scraper}}}]
      ports: [{port: http}]
  egress:
    - to: [{podSelector: {matchLabels: {app.kubernetes.io/component: back}}}]
      ports: [{port: 9000}]
    - to: [{ipBlock: {cidr: 0.0.0.0/0, except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}}]
      ports: [{port: 443}]
---
apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata: {name: back}
spec:
  podSelector: {matchLabels: {app.kubernetes.io/component: back}}
  policyTypes: [Ingress, Egress]
  ingress:
    - from: [{podSelector: {matchExpressions: [{key: app.kubernetes.io/component, operator: In, values: [front]}]}}]
      ports: [{port: http}]
  egress:
    - to: [{namespaceSelector: {}}]
      ports: [{port: 53, protocol: UDP}]
`

// goodObjects is good with some texts replaced, the first time they stand there.
func goodObjects(t *testing.T, replacements ...string) []object {
	t.Helper()
	text := strings.ReplaceAll(good, "*none2", "{readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}")
	for i := 0; i < len(replacements); i += 2 {
		if !strings.Contains(text, replacements[i]) {
			t.Fatalf("%q is not there", replacements[i])
		}
		text = strings.Replace(text, replacements[i], replacements[i+1], 1)
	}
	return mustDecode(t, text)
}

func TestRulesFindWhatBreaksThem(t *testing.T) {
	obeys(t, goodObjects(t), "Secret/front")
	hard := "{runAsNonRoot: true, runAsUser: 10001, runAsGroup: 10001, seccompProfile: {type: RuntimeDefault}}"
	none := "&none {readOnlyRootFilesystem: true, allowPrivilegeEscalation: false, capabilities: {drop: [ALL]}}"
	resources := "{requests: {cpu: 10m, memory: 16Mi}, limits: {cpu: 1, memory: 32Mi}}"
	for _, c := range []struct{ old, new, want string }{
		// Rights. The anchor stands in an init container, which is looked at as the others are.
		{hard, strings.Replace(hard, "runAsNonRoot: true, ", "", 1), "Deployment/front: container init: runAsNonRoot is not true"},
		{hard, strings.Replace(hard, "runAsUser: 10001", "runAsUser: 0", 1), "container main: runAsUser is not a number above 0"},
		{hard, strings.Replace(hard, "runAsUser: 10001, ", "", 1), "container main: runAsUser is not a number above 0"},
		{hard, strings.Replace(hard, "runAsGroup: 10001, ", "", 1), "container main: runAsGroup is not a number above 0"},
		{hard, strings.Replace(hard, "RuntimeDefault", "Unconfined", 1), `seccompProfile is "Unconfined"`},
		{hard, strings.Replace(hard, ", seccompProfile: {type: RuntimeDefault}", "", 1), `seccompProfile is ""`},
		{hard, strings.Replace(hard, "{run", "{sysctls: [{name: a, value: b}], run", 1), "sets sysctls"},
		{none, strings.Replace(none, "{read", "{runAsUser: 0, read", 1), "container init: runAsUser is not a number above 0"},
		{none, strings.Replace(none, "{read", "{privileged: true, read", 1), "privileged"},
		{none, strings.Replace(none, "{read", "{procMount: Unmasked, read", 1), "procMount Unmasked"},
		{none, strings.Replace(none, "readOnlyRootFilesystem: true, ", "", 1), "container init: readOnlyRootFilesystem is not true"},
		{none, strings.Replace(none, "allowPrivilegeEscalation: false, ", "", 1), "allowPrivilegeEscalation is not false"},
		{none, strings.Replace(none, "drop: [ALL]", "drop: [NET_RAW]", 1), "capabilities.drop has no ALL"},
		{none, strings.Replace(none, "drop: [ALL]", "drop: [ALL], add: [NET_BIND_SERVICE]", 1), "adds capabilities [NET_BIND_SERVICE]"},
		{none, "&none {}", "container main: readOnlyRootFilesystem is not true"},
		// Resources.
		{resources, strings.Replace(resources, "cpu: 10m, ", "", 1), "container init: no request for cpu"},
		{resources, strings.Replace(resources, ", memory: 16Mi", "", 1), "no request for memory"},
		{resources, strings.Replace(resources, "cpu: 1, ", "", 1), "no limit for cpu"},
		{resources, strings.Replace(resources, ", memory: 32Mi", "", 1), "no limit for memory"},
		// Images.
		{"front:1.2.3", "front", `image "front" has no version`},
		{"front:1.2.3", "front:latest", `image "front:latest" has no version`},
		{"front:1.2.3", "front:1", `image "front:1" has no version`},
		{"front:1.2.3", "registry:5000/front", `image "registry:5000/front" has no version`},
		{"front:1.2.3", `""`, `image "" has no version`},
		// Probes.
		{"livenessProbe: {httpGet: {path: /, port: http}}", "workingDir: /", "container main: no livenessProbe"},
		{"readinessProbe: {httpGet: {path: /, port: http}}", "workingDir: /", "container main: no readinessProbe"},
		{"- name: init", "- name: init\n          restartPolicy: Always", "container init runs beside the others: no livenessProbe"},
		// Apart from the node.
		{"serviceAccountName: front", "serviceAccountName: front\n      hostNetwork: true", "Deployment/front: hostNetwork"},
		{"serviceAccountName: front", "serviceAccountName: front\n      hostPID: true", "hostPID"},
		{"serviceAccountName: front", "serviceAccountName: front\n      hostIPC: true", "hostIPC"},
		{"configMap: {name: front}", "hostPath: {path: /}", "volume config is a hostPath"},
		{"containerPort: 8080", "containerPort: 8080, hostPort: 80", "hostPort 80"},
		// Accounts.
		{"serviceAccountName: front", "dnsPolicy: Default", `its service account "" is not in the rendering`},
		{"serviceAccountName: front", "serviceAccountName: default", `its service account "default" is not in the rendering`},
		{"serviceAccountName: front", "serviceAccountName: back", "StatefulSet/back: its service account back is that of component front too"},
		{"      automountServiceAccountToken: false\n", "", "Deployment/front: automountServiceAccountToken is not false"},
		{"{name: front}, automountServiceAccountToken: false}", "{name: front}}", "ServiceAccount/front: automountServiceAccountToken is not false"},
		{"configMap: {name: front}", "projected: {sources: [{configMap: {name: front}}, {serviceAccountToken: {path: token}}]}", "volume config has a token"},
		{"kind: ServiceAccount, metadata: {name: back}", "kind: Role, metadata: {name: back}", "Role/back: nothing here has to ask"},
		// Secrets.
		{"{name: PASSWORD_FILE, value: /run/secrets/password}", "{name: WORD, valueFrom: {secretKeyRef: {name: front, key: word}}}", "WORD is a secret in the environment"},
		{"PASSWORD_FILE, value: /run/secrets/password", "PASSWORD, value: x", "PASSWORD has a value"},
		{"env: [{", "envFrom: [{secretRef: {name: front}}]\n          env: [{", "container main: envFrom"},
		{"--back=http://back:80/api", "--back=http://back:80/api, --db=postgres://me:word@back/db", "an argument: a URL with a password"},
		{"--back=http://back:80/api", "--back=http://back:80/api, --back.token=abc", "an argument: a secret's value"},
		{"PASSWORD_FILE, value: /run/secrets/password", "URL, value: 'postgres://me:word@back/db'", "URL: a URL with a password"},
		{"password_file: /run/secrets/password", "password: secret", "ConfigMap/front: config.yml: a secret's value"},
		{"password = $__file{/run/secrets/password}", "- bearer_token: 'secret'", "ConfigMap/front: config.ini: a secret's value"},
		{"password = $__file{/run/secrets/password}", "admin_password = secret", "ConfigMap/front: config.ini: a secret's value"},
		{"password_file: /run/secrets/password", "header: Bearer 0123456789", "a bearer token"},
		{"password_file: /run/secrets/password", "-----BEGIN RSA PRIVATE KEY-----", "a private key"},
		// Wires.
		{"http://back:80/api", "http://back:81/api", "Deployment/front speaks to back:81: Service/back has no port 81"},
		{`targets: ["back:80"]`, `targets: ["bakc:80"]`, "speaks to bakc:80: there is no such service"},
		{`targets: ["back:80"]`, `dns_sd_configs: [{names: [back], port: 82}]`, "speaks to back:82: Service/back has no port 82"},
		{"https://peer.example/api", "http://peer.example/api", "speaks to peer.example:80: no policy lets it out"},
		{"elsewhere: https://peer.example/api", `elsewhere: "localhost:1234"`, "speaks to localhost:1234: nothing of its pod listens there"},
		{"ports: [{port: 9000}]", "ports: [{port: 9001}]", "speaks to back:80: no policy admits front -> back:9000"},
		{"values: [front]", "values: [other]", "speaks to back:80: no policy admits front -> back:9000"},
		{"{port: 80, targetPort: http}", "{port: 80, targetPort: web}", "Service/back leads to port web of StatefulSet/back, which has none"},
		{"spec: {selector: {app.kubernetes.io/component: front}, ports", "spec: {selector: {app.kubernetes.io/component: none}, ports", "Service/front leads to no pod"},
		// Mounts.
		{"configMap: {name: front}", "configMap: {name: other}", "Deployment/front mounts ConfigMap/other, which is not there"},
		{"configMap: {name: front}", "configMap: {name: front, items: [{key: none.yml, path: a}]}", "Deployment/front mounts none.yml of ConfigMap/front, which has no such key"},
		{"configMap: {name: front}", "persistentVolumeClaim: {claimName: front}", "Deployment/front mounts PersistentVolumeClaim/front, which is not there"},
		{"secret: {secretName: front}", "emptyDir: {}", "nothing mounts Secret/front"},
	} {
		objects := goodObjects(t, c.old, c.new)
		var found []string
		for _, rule := range allChecks("Secret/front") {
			these, err := rule.find(objects)
			if err != nil {
				these = []string{err.Error()}
			}
			found = append(found, these...)
		}
		if !slices.ContainsFunc(found, func(what string) bool { return strings.Contains(what, c.want) }) {
			t.Errorf("%s\n\tinstead of %s\n\tfinds %q, not %q", c.new, c.old, found, c.want)
		}
	}
}

func TestKindsThatNobodyKnowsAreNotLeftOut(t *testing.T) {
	objects := mustDecode(t, `{apiVersion: example.com/v1, kind: Rollout, metadata: {name: a}, spec: {template: {spec: {containers: [{name: b}]}}}}`)
	if _, err := pods(objects); err == nil || !strings.Contains(err.Error(), "Rollout/a leads to pods") {
		t.Errorf("got %v", err)
	}
	for kind, spec := range map[string]string{
		"DaemonSet": "{template: POD}", "ReplicaSet": "{template: POD}", "Job": "{template: POD}", "CronJob": "{jobTemplate: {spec: {template: POD}}}",
	} {
		text := fmt.Sprintf("{apiVersion: x/v1, kind: %s, metadata: {name: a}, spec: %s}", kind, strings.Replace(spec, "POD", "{spec: {containers: [{name: b}]}}", 1))
		if found, err := pods(mustDecode(t, text)); err != nil || len(found) != 1 || found[0].spec.Containers[0].Name != "b" {
			t.Errorf("%s: %v, %v", kind, found, err)
		}
	}
	found, err := pods(mustDecode(t, "{apiVersion: v1, kind: Pod, metadata: {name: a}, spec: {containers: [{name: b}]}}"))
	if err != nil || len(found) != 1 || found[0].spec.Containers[0].Name != "b" {
		t.Errorf("Pod: %v, %v", found, err)
	}
}

func TestEdgesAreThoseOfTheNetworkPolicies(t *testing.T) {
	edges := func(replacements ...string) []string {
		n, err := newNetwork(goodObjects(t, replacements...))
		if err != nil {
			t.Fatal(err)
		}
		return append(n.edges(), n.halfOpen()...)
	}
	const (
		scraper = "pods(app=scraper) in namespaces(kubernetes.io/metadata.name=monitoring) -> front:http"
		inner   = "front -> back:9000"
		web     = "front -> address 0.0.0.0/0 but 10.0.0.0/8,172.16.0.0/12,192.168.0.0/16:443"
		dns     = "back -> pods(any) in namespaces(any):53/UDP"
	)
	all := []string{dns, web, inner, scraper}
	if got := edges(); !slices.Equal(got, all) {
		t.Fatalf("edges are\n\t%s", strings.Join(got, "\n\t"))
	}
	backIn := "from: [{podSelector: {matchExpressions: [{key: app.kubernetes.io/component, operator: In, values: [front]}]}}]"
	for _, c := range []struct {
		name         string
		replacements []string
		more, less   []string
	}{
		{
			name:         "back admits every pod of the namespace, and only front may send",
			replacements: []string{backIn, "from: [{podSelector: {}}]"},
			more:         []string{"back:9000 admits back, which may not send"},
		},
		{
			name:         "back admits everybody",
			replacements: []string{backIn, "from: []"},
			more:         []string{"anyone -> back:http"},
		},
		{
			name:         "front may send to every port, and back does not admit it",
			replacements: []string{"      ports: [{port: 9000}]\n", ""},
			more:         []string{"front may send to back:443, which does not admit it", "front may send to back:any other port, which does not admit it", "front may send to back:53/UDP, which does not admit it"},
		},
		{
			name:         "both sides admit every port",
			replacements: []string{"      ports: [{port: 9000}]\n", "", "values: [front]}]}}]\n      ports: [{port: http}]", "values: [front]}]}}]"},
			more:         []string{"front -> back:443", "front -> back:any other port", "front -> back:53/UDP"},
		},
		{
			name:         "a range of ports",
			replacements: []string{"{port: 9000}", "{port: 8000, endPort: 9000}"},
			more:         []string{"front may send to back:8000, which does not admit it"},
		},
		{
			name:         "front sends to another port than back has",
			replacements: []string{"{port: 9000}", "{port: 9001}"},
			more:         []string{"back:9000 admits front, which may not send", "front may send to back:9001, which does not admit it"},
			less:         []string{inner},
		},
		{
			name:         "front sends by another protocol",
			replacements: []string{"{port: 9000}", "{port: 9000, protocol: UDP}"},
			more:         []string{"back:9000 admits front, which may not send", "front may send to back:9000/UDP, which does not admit it"},
			less:         []string{inner},
		},
		{
			name:         "addresses may be those of pods",
			replacements: []string{", except: [10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16]}}]\n      ports: [{port: 443}]", "}}]\n      ports: [{port: 9000}]", "to: [{podSelector: {matchLabels: {app.kubernetes.io/component: back}}}]", "to: [{podSelector: {matchLabels: {app.kubernetes.io/component: front}}}]"},
			more:         []string{"front -> address 0.0.0.0/0:9000", "front may send to front:9000, which does not admit it"},
			less:         []string{web},
		},
		{
			name:         "a policy of another namespace",
			replacements: []string{"kind: NetworkPolicy\nmetadata: {name: back}", "kind: NetworkPolicy\nmetadata: {name: back, namespace: other}"},
			more:         []string{"NetworkPolicy/back names pods(app.kubernetes.io/component In front), of which there are none", "NetworkPolicy/back selects no pod", "front may send to back:9000, which does not admit it"},
			less:         []string{dns, inner},
		},
		{
			name:         "no policy for what goes out of back",
			replacements: []string{"{name: deny}\nspec: {podSelector: {}, policyTypes: [Ingress, Egress]}", "{name: deny}\nspec: {podSelector: {}, policyTypes: [Ingress]}", "matchLabels: {app.kubernetes.io/component: back}}\n  policyTypes: [Ingress, Egress]", "matchLabels: {app.kubernetes.io/component: back}}\n  policyTypes: [Ingress]"},
			more:         []string{"back: no policy for Egress"},
		},
		{
			name:         "a policy that names no type and has rules for both is of both",
			replacements: []string{"matchLabels: {app.kubernetes.io/component: front}}\n  policyTypes: [Ingress, Egress]", "matchLabels: {app.kubernetes.io/component: front}}"},
		},
		{
			name:         "a slip in a selector",
			replacements: []string{"to: [{podSelector: {matchLabels: {app.kubernetes.io/component: back}}}]", "to: [{podSelector: {matchLabels: {app.kubernetes.io/component: bakc}}}]"},
			more:         []string{"NetworkPolicy/front names pods(app.kubernetes.io/component=bakc), of which there are none", "back:9000 admits front, which may not send"},
			less:         []string{inner},
		},
	} {
		got := edges(c.replacements...)
		want := append(slices.DeleteFunc(slices.Clone(all), func(edge string) bool { return slices.Contains(c.less, edge) }), c.more...)
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s:\n\t%s\nwant\n\t%s", c.name, strings.Join(got, "\n\t"), strings.Join(want, "\n\t"))
		}
	}
}

func TestEdgesOfSomePodsOfAComponentAreNotThoseOfAll(t *testing.T) {
	second := `
---
apiVersion: v1
kind: Pod
metadata: {name: back-2, labels: {app.kubernetes.io/component: back, shard: "2"}}
spec: {containers: [{name: main, ports: [{name: http, containerPort: 9000}]}]}
`
	objects := append(goodObjects(t, "component: back}}}]\n      ports: [{port: 9000}]", "component: back}, matchExpressions: [{key: shard, operator: DoesNotExist}]}}]\n      ports: [{port: 9000}]"), mustDecode(t, second)...)
	n, err := newNetwork(objects)
	if err != nil {
		t.Fatal(err)
	}
	if got := n.edges(); !slices.Contains(got, "front -> back:9000 (for 1 of 2 pairs of pods)") || slices.Contains(got, "front -> back:9000") {
		t.Errorf("edges are\n\t%s", strings.Join(got, "\n\t"))
	}
}
