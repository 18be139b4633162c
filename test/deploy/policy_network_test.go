package deploy_test

import (
	"cmp"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strconv"
	"strings"
)

// The network policies of a rendering, evaluated as a cluster does: which pod may speak to
// which port of which pod, and who outside may speak to them, or they to.

type networkPolicy struct {
	name, namespace string
	PodSelector     labelSelector `yaml:"podSelector"`
	PolicyTypes     []string      `yaml:"policyTypes"`
	Ingress         []networkRule `yaml:"ingress"`
	Egress          []networkRule `yaml:"egress"`
}

type networkRule struct {
	From  []networkPeer `yaml:"from"`
	To    []networkPeer `yaml:"to"`
	Ports []networkPort `yaml:"ports"`
}

type networkPeer struct {
	PodSelector       *labelSelector `yaml:"podSelector"`
	NamespaceSelector *labelSelector `yaml:"namespaceSelector"`
	IPBlock           *struct {
		CIDR   string   `yaml:"cidr"`
		Except []string `yaml:"except"`
	} `yaml:"ipBlock"`
}

type networkPort struct {
	Port     string `yaml:"port"` // a number or a name; every port when empty
	EndPort  int    `yaml:"endPort"`
	Protocol string `yaml:"protocol"`
}

type labelSelector struct {
	MatchLabels      map[string]string `yaml:"matchLabels"`
	MatchExpressions []struct {
		Key      string   `yaml:"key"`
		Operator string   `yaml:"operator"`
		Values   []string `yaml:"values"`
	} `yaml:"matchExpressions"`
}

func (s labelSelector) matches(labels map[string]string) bool {
	for key, value := range s.MatchLabels {
		if has, ok := labels[key]; !ok || has != value {
			return false
		}
	}
	for _, e := range s.MatchExpressions {
		value, ok := labels[e.Key]
		switch e.Operator {
		case "In":
			if !ok || !slices.Contains(e.Values, value) {
				return false
			}
		case "NotIn":
			if ok && slices.Contains(e.Values, value) {
				return false
			}
		case "Exists":
			if !ok {
				return false
			}
		case "DoesNotExist":
			if ok {
				return false
			}
		default:
			panic("a selector's operator " + e.Operator)
		}
	}
	return true
}

func (s labelSelector) String() string {
	var terms []string
	for _, key := range slices.Sorted(maps.Keys(s.MatchLabels)) {
		terms = append(terms, key+"="+s.MatchLabels[key])
	}
	for _, e := range s.MatchExpressions {
		terms = append(terms, strings.TrimSpace(fmt.Sprintf("%s %s %s", e.Key, e.Operator, strings.Join(e.Values, "|"))))
	}
	if len(terms) == 0 {
		return "any"
	}
	return strings.Join(terms, ",")
}

// outside describes a peer that is not, or not only, a pod of the policy's namespace.
// It is empty when the peer is.
func (p networkPeer) outside() string {
	switch {
	case p.IPBlock != nil:
		if len(p.IPBlock.Except) > 0 {
			return fmt.Sprintf("address %s but %s", p.IPBlock.CIDR, strings.Join(p.IPBlock.Except, ","))
		}
		return "address " + p.IPBlock.CIDR
	case p.NamespaceSelector != nil && p.PodSelector != nil:
		return fmt.Sprintf("pods(%s) in namespaces(%s)", p.PodSelector, p.NamespaceSelector)
	case p.NamespaceSelector != nil:
		return fmt.Sprintf("pods(any) in namespaces(%s)", p.NamespaceSelector)
	}
	return ""
}

// matches tells whether the peer of a policy in namespace may be the pod. Addresses of
// pods are not known, so a block of addresses may be any pod unless it leaves out all
// private networks.
func (p networkPeer) matches(namespace string, other endpoint) bool {
	switch {
	case p.IPBlock != nil:
		return !p.leavesOutPrivate()
	case p.NamespaceSelector != nil:
		return p.NamespaceSelector.matches(other.namespaceLabels) && (p.PodSelector == nil || p.PodSelector.matches(other.labels))
	case p.PodSelector != nil:
		return namespace == other.namespace && p.PodSelector.matches(other.labels)
	}
	return false
}

func (p networkPeer) leavesOutPrivate() bool {
	block, err := netip.ParsePrefix(p.IPBlock.CIDR)
	if err != nil {
		return false
	}
	if block.IsSingleIP() && !block.Addr().IsPrivate() {
		return true
	}
	for _, private := range []string{"10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7"} {
		network := netip.MustParsePrefix(private)
		if block.Overlaps(network) && !slices.Contains(p.IPBlock.Except, private) {
			return false
		}
	}
	return true
}

// admits tells whether the rule's ports have the port of a pod.
func (r networkRule) admits(port portOf) bool {
	if len(r.Ports) == 0 {
		return true
	}
	for _, p := range r.Ports {
		if protocol(p.Protocol) != port.protocol {
			continue
		}
		number, err := strconv.Atoi(p.Port)
		switch {
		case p.Port == "":
			return true
		case err != nil: // a name
			if p.Port == port.name {
				return true
			}
		case number == port.number || p.EndPort > 0 && number <= port.number && port.number <= p.EndPort:
			return true
		}
	}
	return false
}

// describe lists the ports of a rule as it says them.
func (r networkRule) describe() []string {
	if len(r.Ports) == 0 {
		return []string{"any"}
	}
	var ports []string
	for _, p := range r.Ports {
		text := cmp.Or(p.Port, "any")
		if p.EndPort > 0 {
			text += "-" + strconv.Itoa(p.EndPort)
		}
		if protocol(p.Protocol) != "TCP" {
			text += "/" + p.Protocol
		}
		ports = append(ports, text)
	}
	return ports
}

func protocol(name string) string { return cmp.Or(name, "TCP") }

// endpoint is a pod as network policies see it.
type endpoint struct {
	pod
	namespace       string
	namespaceLabels map[string]string
	policies        []networkPolicy // that select it
}

type portOf struct {
	name     string
	number   int
	protocol string
}

func (p portOf) String() string {
	text := strconv.Itoa(p.number)
	if p.number == anyOther.number {
		text = "any other port"
	}
	if p.protocol != "TCP" {
		text += "/" + p.protocol
	}
	return text
}

// anyOther stands for the ports that nobody names: only a rule without ports admits it.
var anyOther = portOf{number: -1, protocol: "TCP"}

// network is everything of a rendering that decides who may speak to whom.
type network struct {
	endpoints []endpoint
	policies  []networkPolicy
}

func newNetwork(objects []object) (*network, error) {
	n := &network{}
	namespaces := map[string]map[string]string{}
	for _, o := range objects {
		switch o.Kind {
		case "Namespace":
			namespaces[o.Metadata.Name] = o.Metadata.Labels
		case "NetworkPolicy":
			var policy struct {
				Spec networkPolicy `yaml:"spec"`
			}
			if err := o.node.Decode(&policy); err != nil {
				return nil, fmt.Errorf("%s: %w", o, err)
			}
			policy.Spec.name, policy.Spec.namespace = o.Metadata.Name, o.Metadata.Namespace
			n.policies = append(n.policies, policy.Spec)
		}
	}
	found, err := pods(objects)
	if err != nil {
		return nil, err
	}
	for _, p := range found {
		e := endpoint{pod: p, namespace: p.owner.Metadata.Namespace}
		// What every namespace has, and what the rendering gives it.
		e.namespaceLabels = map[string]string{"kubernetes.io/metadata.name": e.namespace}
		maps.Copy(e.namespaceLabels, namespaces[e.namespace])
		for _, policy := range n.policies {
			if policy.namespace == e.namespace && policy.PodSelector.matches(e.labels) {
				e.policies = append(e.policies, policy)
			}
		}
		n.endpoints = append(n.endpoints, e)
	}
	return n, nil
}

// ports are those of the pod's containers, those that rules name, and one that nobody names.
func (n *network) ports(of endpoint) []portOf {
	ports := []portOf{anyOther}
	add := func(port portOf) {
		if !slices.ContainsFunc(ports, func(p portOf) bool { return p.number == port.number && p.protocol == port.protocol }) {
			ports = append(ports, port)
		}
	}
	for _, c := range of.containers() {
		for _, p := range c.Ports {
			add(portOf{p.Name, p.ContainerPort, protocol(p.Protocol)})
		}
	}
	for _, policy := range n.policies {
		for _, rule := range slices.Concat(policy.Ingress, policy.Egress) {
			for _, p := range rule.Ports {
				if number, err := strconv.Atoi(p.Port); err == nil {
					add(portOf{number: number, protocol: protocol(p.Protocol)})
				}
			}
		}
	}
	return ports
}

// receives tells whether the policies of to admit from at the port.
func (to endpoint) receives(from endpoint, port portOf) bool {
	isolated := false
	for _, policy := range to.policies {
		if !policy.isolates("Ingress") {
			continue
		}
		isolated = true
		for _, rule := range policy.Ingress {
			if rule.admits(port) && (len(rule.From) == 0 || slices.ContainsFunc(rule.From, func(p networkPeer) bool { return p.matches(policy.namespace, from) })) {
				return true
			}
		}
	}
	return !isolated
}

// sends tells whether the policies of from let it speak to the port of to.
func (from endpoint) sends(to endpoint, port portOf) bool {
	isolated := false
	for _, policy := range from.policies {
		if !policy.isolates("Egress") {
			continue
		}
		isolated = true
		for _, rule := range policy.Egress {
			if rule.admits(port) && (len(rule.To) == 0 || slices.ContainsFunc(rule.To, func(p networkPeer) bool { return p.matches(policy.namespace, to) })) {
				return true
			}
		}
	}
	return !isolated
}

// isolates tells whether the policy is of a type. One that names no type is of both
// where it has rules for egress, else for ingress only.
func (p networkPolicy) isolates(direction string) bool {
	if len(p.PolicyTypes) == 0 {
		return direction == "Ingress" || len(p.Egress) > 0
	}
	return slices.Contains(p.PolicyTypes, direction)
}

// edges are all that the policies admit, as "from -> to:port": between components, and
// with what is outside as the policies describe it. Edges that hold for some pods of a
// component only come with a note that equals no edge of a table.
func (n *network) edges() []string {
	type pairs struct{ admitted, all int }
	between := map[string]*pairs{}
	members := map[string]int{}
	for _, e := range n.endpoints {
		members[e.component()]++
	}
	found := map[string]bool{}
	for _, to := range n.endpoints {
		for _, port := range n.ports(to) {
			for _, from := range n.endpoints {
				key := fmt.Sprintf("%s -> %s:%s", from.component(), to.component(), port)
				if between[key] == nil {
					between[key] = &pairs{all: members[from.component()] * members[to.component()]}
				}
				if from.sends(to, port) && to.receives(from, port) {
					between[key].admitted++
				}
			}
		}
		for _, policy := range to.policies {
			for _, rule := range policy.Ingress {
				for _, port := range rule.describe() {
					if len(rule.From) == 0 {
						found[fmt.Sprintf("anyone -> %s:%s", to.component(), port)] = true
					}
					for _, peer := range rule.From {
						if outside := peer.outside(); outside != "" {
							found[fmt.Sprintf("%s -> %s:%s", outside, to.component(), port)] = true
						}
					}
				}
			}
			for _, rule := range policy.Egress {
				for _, port := range rule.describe() {
					if len(rule.To) == 0 {
						found[fmt.Sprintf("%s -> anyone:%s", to.component(), port)] = true
					}
					for _, peer := range rule.To {
						if outside := peer.outside(); outside != "" {
							found[fmt.Sprintf("%s -> %s:%s", to.component(), outside, port)] = true
						}
					}
				}
			}
		}
		for _, direction := range []string{"Ingress", "Egress"} {
			if !slices.ContainsFunc(to.policies, func(p networkPolicy) bool { return p.isolates(direction) }) {
				found[fmt.Sprintf("%s: no policy for %s", to.component(), direction)] = true
			}
		}
	}
	for key, count := range between {
		switch count.admitted {
		case 0:
		case count.all:
			found[key] = true
		default:
			found[fmt.Sprintf("%s (for %d of %d pairs of pods)", key, count.admitted, count.all)] = true
		}
	}
	return slices.Sorted(maps.Keys(found))
}

// halfOpen are the edges that one side's policies admit by naming the other's pods, and
// the other side's do not: a wire that ends nowhere.
func (n *network) halfOpen() []string {
	found := map[string]bool{}
	named := func(peers []networkPeer, namespace string, other endpoint) bool {
		return slices.ContainsFunc(peers, func(p networkPeer) bool {
			return p.IPBlock == nil && p.NamespaceSelector == nil && p.matches(namespace, other)
		})
	}
	for _, to := range n.endpoints {
		for _, port := range n.ports(to) {
			for _, from := range n.endpoints {
				for _, policy := range from.policies {
					for _, rule := range policy.Egress {
						if rule.admits(port) && named(rule.To, policy.namespace, to) && !to.receives(from, port) {
							found[fmt.Sprintf("%s may send to %s:%s, which does not admit it", from.component(), to.component(), port)] = true
						}
					}
				}
				for _, policy := range to.policies {
					for _, rule := range policy.Ingress {
						if rule.admits(port) && named(rule.From, policy.namespace, from) && !from.sends(to, port) {
							found[fmt.Sprintf("%s:%s admits %s, which may not send", to.component(), port, from.component())] = true
						}
					}
				}
			}
		}
	}
	// A selector of pods of the rendering's own that selects none is a slip of the pen.
	for _, policy := range n.policies {
		if !slices.ContainsFunc(n.endpoints, func(e endpoint) bool {
			return e.namespace == policy.namespace && policy.PodSelector.matches(e.labels)
		}) {
			found[fmt.Sprintf("NetworkPolicy/%s selects no pod", policy.name)] = true
		}
		for _, rule := range slices.Concat(policy.Ingress, policy.Egress) {
			for _, peer := range slices.Concat(rule.From, rule.To) {
				if peer.PodSelector != nil && peer.NamespaceSelector == nil &&
					!slices.ContainsFunc(n.endpoints, func(e endpoint) bool { return peer.matches(policy.namespace, e) }) {
					found[fmt.Sprintf("NetworkPolicy/%s names pods(%s), of which there are none", policy.name, peer.PodSelector)] = true
				}
			}
		}
	}
	return slices.Sorted(maps.Keys(found))
}
