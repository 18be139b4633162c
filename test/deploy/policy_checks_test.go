package deploy_test

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// The rules that every rendering of the chart, and the committed manifests, obey. Each is a
// function from objects to what breaks it; policy_test.go shows for each that it finds that.

// check is a rule.
type check struct {
	name string
	find func(objects []object) ([]string, error)
}

func checks() []check {
	return []check{
		{"containers have no rights", eachContainer(hardened)},
		{"containers ask for what they need and get no more", eachContainer(bounded)},
		{"images have a version", eachContainer(pinned)},
		{"containers that last are probed", eachPod(probed)},
		{"pods are apart from their node", eachPod(apart)},
		{"no token, and an account for each component", accounts},
		{"secrets are mounted files", eachPod(secretsAreFiles)},
		{"no secret in plain sight", noSecrets},
	}
}

func eachPod(find func(pod) []string) func([]object) ([]string, error) {
	return func(objects []object) (found []string, _ error) {
		all, err := pods(objects)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			for _, what := range find(p) {
				found = append(found, fmt.Sprintf("%s: %s", p, what))
			}
		}
		return found, nil
	}
}

func eachContainer(find func(pod, container) []string) func([]object) ([]string, error) {
	return eachPod(func(p pod) (found []string) {
		for _, c := range p.containers() {
			for _, what := range find(p, c) {
				found = append(found, fmt.Sprintf("container %s: %s", c.Name, what))
			}
		}
		return found
	})
}

func is(value *bool, want bool) bool { return value != nil && *value == want }

func hardened(p pod, c container) (found []string) {
	own, all := c.SecurityContext, p.spec.SecurityContext
	if own == nil {
		own = &securityContext{}
	}
	nonRoot, user, group, seccomp := own.RunAsNonRoot, own.RunAsUser, own.RunAsGroup, own.SeccompProfile.Type
	if nonRoot == nil {
		nonRoot = all.RunAsNonRoot
	}
	if user == nil {
		user = all.RunAsUser
	}
	if group == nil {
		group = all.RunAsGroup
	}
	if seccomp == "" {
		seccomp = all.SeccompProfile.Type
	}
	for _, rule := range []struct {
		broken bool
		text   string
	}{
		{!is(nonRoot, true), "runAsNonRoot is not true"},
		{user == nil || *user < 1, "runAsUser is not a number above 0"},
		{group == nil || *group < 1, "runAsGroup is not a number above 0"},
		{!is(own.ReadOnlyRootFilesystem, true), "readOnlyRootFilesystem is not true"},
		{!is(own.AllowPrivilegeEscalation, false), "allowPrivilegeEscalation is not false"},
		{is(own.Privileged, true), "privileged"},
		{!slices.Contains(own.Capabilities.Drop, "ALL"), "capabilities.drop has no ALL"},
		{len(own.Capabilities.Add) > 0, fmt.Sprintf("adds capabilities %v", own.Capabilities.Add)},
		{seccomp != "RuntimeDefault", fmt.Sprintf("seccompProfile is %q, not RuntimeDefault", seccomp)},
		{own.ProcMount != "" && own.ProcMount != "Default", "procMount " + own.ProcMount},
		{len(all.Sysctls) > 0, "sets sysctls"},
	} {
		if rule.broken {
			found = append(found, rule.text)
		}
	}
	return found
}

func bounded(_ pod, c container) (found []string) {
	for _, resource := range []string{"cpu", "memory"} {
		if c.Resources.Requests[resource] == "" {
			found = append(found, "no request for "+resource)
		}
		if c.Resources.Limits[resource] == "" {
			found = append(found, "no limit for "+resource)
		}
	}
	return found
}

// version is a tag that stays what it is, as far as a tag can, or a digest.
var imageVersion = regexp.MustCompile(`^[^@:]+(:[0-9]+/[^@:]+)?(:v?[0-9]+(\.[0-9]+)+[a-z0-9._-]*)?(@sha256:[0-9a-f]{64})?$`)

func pinned(_ pod, c container) []string {
	if parts := imageVersion.FindStringSubmatch(c.Image); parts == nil || parts[2]+parts[3] == "" {
		return []string{fmt.Sprintf("image %q has no version", c.Image)}
	}
	return nil
}

func probed(p pod) (found []string) {
	if !p.lasting {
		return nil
	}
	for _, c := range p.spec.Containers {
		if len(c.LivenessProbe) == 0 {
			found = append(found, fmt.Sprintf("container %s: no livenessProbe", c.Name))
		}
		if len(c.ReadinessProbe) == 0 {
			found = append(found, fmt.Sprintf("container %s: no readinessProbe", c.Name))
		}
	}
	for _, c := range p.spec.InitContainers {
		if c.RestartPolicy == "Always" && len(c.LivenessProbe) == 0 {
			found = append(found, fmt.Sprintf("container %s runs beside the others: no livenessProbe", c.Name))
		}
	}
	return found
}

func apart(p pod) (found []string) {
	for what, set := range map[string]bool{"hostNetwork": p.spec.HostNetwork, "hostPID": p.spec.HostPID, "hostIPC": p.spec.HostIPC} {
		if set {
			found = append(found, what)
		}
	}
	for _, v := range p.spec.Volumes {
		name, kind, _ := volume(v)
		switch kind {
		case "configMap", "secret", "projected", "emptyDir", "persistentVolumeClaim", "ephemeral", "downwardAPI":
		default:
			found = append(found, fmt.Sprintf("volume %s is a %s", name, kind))
		}
	}
	for _, c := range p.containers() {
		for _, port := range c.Ports {
			if port.HostPort != 0 {
				found = append(found, fmt.Sprintf("container %s: hostPort %d", c.Name, port.HostPort))
			}
		}
	}
	slices.Sort(found)
	return found
}

// accounts: every pod has a service account of the rendering's, which is no other
// component's, and neither mounts a token, in whatever way.
func accounts(objects []object) (found []string, _ error) {
	all, err := pods(objects)
	if err != nil {
		return nil, err
	}
	exists := map[string]bool{}
	for _, o := range objects {
		switch o.Kind {
		case "ServiceAccount":
			exists[o.Metadata.Name] = true
			if !is(o.AutomountServiceAccountToken, false) {
				found = append(found, fmt.Sprintf("%s: automountServiceAccountToken is not false", o))
			}
		case "Role", "ClusterRole", "RoleBinding", "ClusterRoleBinding":
			found = append(found, fmt.Sprintf("%s: nothing here has to ask the API server", o))
		}
	}
	users := map[string]string{}
	for _, p := range all {
		name := p.spec.ServiceAccountName
		if name == "" || !exists[name] {
			found = append(found, fmt.Sprintf("%s: its service account %q is not in the rendering", p, name))
		} else if other, taken := users[name]; taken && other != p.component() {
			found = append(found, fmt.Sprintf("%s: its service account %s is that of component %s too", p, name, other))
		}
		users[name] = p.component()
		if !is(p.spec.AutomountServiceAccountToken, false) {
			found = append(found, fmt.Sprintf("%s: automountServiceAccountToken is not false", p))
		}
		for _, v := range p.spec.Volumes {
			name, kind, source := volume(v)
			sources, _ := source["sources"].([]any)
			for _, s := range sources {
				if _, has := s.(map[string]any)["serviceAccountToken"]; has && kind == "projected" {
					found = append(found, fmt.Sprintf("%s: volume %s has a token", p, name))
				}
			}
		}
	}
	return found, nil
}

// secretName is a name of a variable or a flag whose value would be a secret.
var secretName = regexp.MustCompile(`(?i)(password|passwd|secret|token|credential|api_?key|private_?key|db_url|database_url|dsn)`)

func secretsAreFiles(p pod) (found []string) {
	for _, c := range p.containers() {
		if len(c.EnvFrom) > 0 {
			found = append(found, fmt.Sprintf("container %s: envFrom", c.Name))
		}
		for _, e := range c.Env {
			if e.ValueFrom["secretKeyRef"] != nil {
				found = append(found, fmt.Sprintf("container %s: %s is a secret in the environment", c.Name, e.Name))
			}
			// A name that ends so has the path of a file: …_FILE (Postgres and others), …__FILE (Grafana).
			if secretName.MatchString(e.Name) && !strings.HasSuffix(e.Name, "_FILE") {
				found = append(found, fmt.Sprintf("container %s: %s has a value", c.Name, e.Name))
			}
		}
	}
	return found
}

// secretValues are what secrets look like in a text, with words of which a text that has
// one has one: dashboards are long, and expressions slow.
func secretValues() []secretValue {
	return []secretValue{
		{"a URL with a password", []string{"://"}, regexp.MustCompile(`://[^\s:/@"']+:[^\s/@"'$]+@`)},
		{"a private key", []string{"private key-----"}, regexp.MustCompile(`-----BEGIN [A-Z ]*PRIVATE KEY-----`)},
		{"a bearer token", []string{"bearer "}, regexp.MustCompile(`(?i)\bbearer\s+[a-z0-9._~+/-]{8,}`)},
		// Not a path, not a reference such as $__file{…}, ${…} or {{ … }}, nor nothing.
		{"a secret's value", []string{"password", "passwd", "secret", "token", "apikey", "api_key"}, regexp.MustCompile(`(?im)^[\s-]*["']?[a-z0-9_.-]*(password|passwd|secret|token|api_?key)["']?[ \t]*[:=][ \t]*["']?[^\s"'$/{\[|>]`)},
	}
}

type secretValue struct {
	what    string
	words   []string
	pattern *regexp.Regexp
}

// noSecrets: neither ConfigMaps nor arguments nor the environment have one, and the
// Secrets that are committed for people to fill in are empty.
func noSecrets(objects []object) (found []string, _ error) {
	values := secretValues()
	look := func(where, text string) {
		lower := strings.ToLower(text)
		for _, v := range values {
			named := slices.ContainsFunc(v.words, func(word string) bool { return strings.Contains(lower, word) })
			if named && v.pattern.MatchString(text) {
				found = append(found, fmt.Sprintf("%s: %s", where, v.what)) // which is not repeated here
			}
		}
	}
	for _, o := range objects {
		if o.Kind != "ConfigMap" {
			continue
		}
		for _, key := range slices.Sorted(maps.Keys(o.Data)) {
			look(fmt.Sprintf("%s: %s", o, key), o.Data[key])
		}
	}
	all, err := pods(objects)
	if err != nil {
		return nil, err
	}
	for _, p := range all {
		for _, c := range p.containers() {
			for _, argument := range slices.Concat(c.Command, c.Args) {
				look(fmt.Sprintf("%s: container %s: an argument", p, c.Name), argument)
			}
			for _, e := range c.Env {
				look(fmt.Sprintf("%s: container %s: %s", p, c.Name, e.Name), e.Value)
			}
		}
	}
	return found, nil
}
