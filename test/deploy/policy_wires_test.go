package deploy_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
)

// address is where some configuration leads.
type address struct {
	host string
	port int
}

func (a address) String() string { return fmt.Sprintf("%s:%d", a.host, a.port) }

var hostAndPort = regexp.MustCompile(`^([a-z0-9]([a-z0-9.-]*[a-z0-9])?):([0-9]{2,5})$`)

// addressOf reads a URL or host:port; ok is false for any other text.
func addressOf(text string) (a address, ok bool) {
	if parts := hostAndPort.FindStringSubmatch(text); parts != nil {
		port, err := strconv.Atoi(parts[3])
		return address{parts[1], port}, err == nil
	}
	u, err := url.Parse(text)
	if err != nil || u.Hostname() == "" || !slices.Contains([]string{"http", "https", "postgres"}, u.Scheme) {
		return a, false
	}
	port, err := strconv.Atoi(cmp.Or(u.Port(), map[string]string{"http": "80", "https": "443", "postgres": "5432"}[u.Scheme]))
	return address{u.Hostname(), port}, err == nil
}

// addressesIn are those to which the pod's arguments, environment and mounted
// configuration make it speak.
func addressesIn(p pod, configMaps map[string]object) ([]address, error) {
	found := map[address]bool{}
	for _, c := range p.containers() {
		for _, argument := range slices.Concat(c.Command, c.Args) {
			// What is said with "listen" or "external" is where it is spoken to itself.
			if _, value, ok := strings.Cut(argument, "="); ok && !strings.Contains(argument, "listen") && !strings.Contains(argument, "external-url") {
				if a, ok := addressOf(value); ok {
					found[a] = true
				}
			}
		}
		for _, e := range c.Env {
			if a, ok := addressOf(e.Value); ok && !strings.Contains(e.Name, "ROOT_URL") {
				found[a] = true
			}
		}
	}
	for _, m := range p.mounts() {
		config, ok := configMaps[m.name]
		if !ok || m.kind != "ConfigMap" {
			continue // mountsExist finds it
		}
		for key, text := range config.Data {
			if !strings.HasSuffix(key, ".yml") && !strings.HasSuffix(key, ".yaml") {
				continue
			}
			var value any
			if err := yaml.Unmarshal([]byte(text), &value); err != nil {
				return nil, fmt.Errorf("%s: %s: %w", config, key, err)
			}
			if top, ok := value.(map[string]any); ok && top["groups"] != nil {
				continue // rules, whose addresses are for people
			}
			walkAddresses(value, found)
		}
	}
	sorted := slices.Collect(maps.Keys(found))
	slices.SortFunc(sorted, func(a, b address) int { return cmp.Compare(a.String(), b.String()) })
	return sorted, nil
}

func walkAddresses(value any, found map[address]bool) {
	switch v := value.(type) {
	case string:
		if a, ok := addressOf(v); ok {
			found[a] = true
		}
	case []any:
		for _, one := range v {
			walkAddresses(one, found)
		}
	case map[string]any:
		// Discovery by DNS says names and port apart.
		if port, ok := v["port"].(int); ok {
			names, _ := v["names"].([]any)
			for _, name := range names {
				host, _ := name.(string)
				found[address{host, port}] = true
			}
		}
		for _, one := range v {
			walkAddresses(one, found)
		}
	}
}

// wires checks that whatever pods are told to speak to, they may: a service of the
// rendering must exist, have the port, lead to a pod that listens there, and the policies
// must admit it. For other hosts some rule must let the pod out at that port.
func wires(objects []object) (found []string, _ error) {
	n, err := newNetwork(objects)
	if err != nil {
		return nil, err
	}
	configMaps, services := map[string]object{}, map[string]object{}
	for _, o := range objects {
		switch o.Kind {
		case "ConfigMap":
			configMaps[o.Metadata.Name] = o
		case "Service":
			services[o.Metadata.Name] = o
		}
	}
	for _, from := range n.endpoints {
		addresses, err := addressesIn(from.pod, configMaps)
		if err != nil {
			return nil, err
		}
		for _, a := range addresses {
			problem := func(format string, args ...any) {
				found = append(found, fmt.Sprintf("%s speaks to %s: ", from, a)+fmt.Sprintf(format, args...))
			}
			if a.host == "localhost" || a.host == "127.0.0.1" {
				if !slices.ContainsFunc(n.ports(from), func(p portOf) bool { return p.number == a.port }) {
					problem("nothing of its pod listens there")
				}
				continue
			}
			name, rest, _ := strings.Cut(a.host, ".")
			namespace, _, _ := strings.Cut(rest, ".")
			service, ours := services[name]
			if ours && (namespace == "" || namespace == from.namespace) {
				targets, err := n.targets(service, a.port)
				if err != nil {
					problem("%v", err)
				}
				for _, t := range targets {
					if !from.sends(t.endpoint, t.port) || !t.receives(from, t.port) {
						problem("no policy admits %s -> %s:%s", from.component(), t.component(), t.port)
					}
				}
				continue
			}
			if !strings.Contains(a.host, ".") {
				problem("there is no such service")
				continue
			}
			port := portOf{number: a.port, protocol: "TCP"}
			if !slices.ContainsFunc(from.policies, func(p networkPolicy) bool {
				return slices.ContainsFunc(p.Egress, func(r networkRule) bool {
					return r.admits(port) && (len(r.To) == 0 || slices.ContainsFunc(r.To, func(p networkPeer) bool { return p.outside() != "" }))
				})
			}) {
				problem("no policy lets it out at that port")
			}
		}
	}
	return found, nil
}

type target struct {
	endpoint
	port portOf
}

// targets are the pods, and their ports, to which a port of a service leads.
func (n *network) targets(service object, port int) (targets []target, _ error) {
	var spec struct {
		Spec struct {
			ClusterIP string            `yaml:"clusterIP"`
			Selector  map[string]string `yaml:"selector"`
			Ports     []struct {
				Port       int    `yaml:"port"`
				TargetPort string `yaml:"targetPort"`
			} `yaml:"ports"`
		} `yaml:"spec"`
	}
	if err := service.node.Decode(&spec); err != nil {
		return nil, err
	}
	to := strconv.Itoa(port)
	// A headless service is the addresses of its pods: its own ports are of no effect there.
	if spec.Spec.ClusterIP != "None" {
		to = ""
		for _, p := range spec.Spec.Ports {
			if p.Port == port {
				to = cmp.Or(p.TargetPort, strconv.Itoa(p.Port))
			}
		}
		if to == "" {
			return nil, fmt.Errorf("%s has no port %d", service, port)
		}
	}
	for _, e := range n.endpoints {
		if !e.lasting || e.namespace != service.Metadata.Namespace || len(spec.Spec.Selector) == 0 || !(labelSelector{MatchLabels: spec.Spec.Selector}).matches(e.labels) {
			continue
		}
		listens := false
		for _, c := range e.containers() {
			for _, p := range c.Ports {
				if p.Name == to || strconv.Itoa(p.ContainerPort) == to {
					targets = append(targets, target{e, portOf{p.Name, p.ContainerPort, protocol(p.Protocol)}})
					listens = true
				}
			}
		}
		if !listens {
			return nil, fmt.Errorf("%s leads to port %s of %s, which has none", service, to, e)
		}
	}
	if len(targets) == 0 {
		return nil, fmt.Errorf("%s leads to no pod", service)
	}
	return targets, nil
}

// services checks that every port of every service leads to a pod that listens there.
func servicesLead(objects []object) (found []string, _ error) {
	n, err := newNetwork(objects)
	if err != nil {
		return nil, err
	}
	for _, o := range objects {
		if o.Kind != "Service" {
			continue
		}
		ports, _ := o.at("spec", "ports").([]any)
		for _, p := range ports {
			one, _ := p.(map[string]any)
			port, _ := one["port"].(int)
			if _, err := n.targets(o, port); err != nil {
				found = append(found, err.Error())
			}
		}
	}
	return found, nil
}

// mountsExist checks that what pods mount is in the rendering, with the keys that they
// name, or is one of the objects, as Kind/name, that users make themselves.
func mountsExist(objects []object, users ...string) (found []string, _ error) {
	all, err := pods(objects)
	if err != nil {
		return nil, err
	}
	there := map[string]object{}
	for _, o := range objects {
		kind := o.Kind
		if kind == "ExternalSecret" {
			kind = "Secret"
		}
		there[kind+"/"+o.Metadata.Name] = o
	}
	unused := slices.Clone(users)
	for _, p := range all {
		for _, m := range p.mounts() {
			name := m.kind + "/" + m.name
			o, ok := there[name]
			switch {
			case ok && o.Kind == "ConfigMap":
				for _, key := range m.keys {
					if _, ok := o.Data[key]; !ok {
						found = append(found, fmt.Sprintf("%s mounts %s of %s, which has no such key", p, key, name))
					}
				}
			case !ok && !slices.Contains(users, name):
				found = append(found, fmt.Sprintf("%s mounts %s, which is not there", p, name))
			}
			unused = slices.DeleteFunc(unused, func(user string) bool { return user == name })
		}
	}
	for _, name := range unused {
		found = append(found, fmt.Sprintf("nothing mounts %s", name))
	}
	return found, nil
}
