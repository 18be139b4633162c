package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/rulefmt"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/dashboards"
)

type (
	object struct {
		APIVersion string            `yaml:"apiVersion"`
		Kind       string            `yaml:"kind"`
		Metadata   metadata          `yaml:"metadata"`
		Spec       *ruleSpec         `yaml:"spec,omitempty"`
		Data       map[string]string `yaml:"data,omitempty"`
	}
	metadata struct {
		Name        string            `yaml:"name"`
		Namespace   string            `yaml:"namespace"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations,omitempty"`
	}
	// ruleSpec is of monitoring.coreos.com/v1, whose groups are those of a rule file.
	ruleSpec struct {
		Groups []rulefmt.RuleGroup `yaml:"groups"`
	}
	kustomization struct {
		APIVersion string   `yaml:"apiVersion"`
		Kind       string   `yaml:"kind"`
		Resources  []string `yaml:"resources"`
	}
)

// kubernetes returns the objects for kube-prometheus-stack: one PrometheusRule with all
// rules, one ConfigMap for each dashboard, and a kustomization of them all.
func kubernetes(c mixin.Config, groups []rulefmt.RuleGroup, boards []dashboards.Board) (map[string][]byte, error) {
	objects := map[string]object{"prometheus-rule.yaml": prometheusRule(c, groups)}
	for _, board := range boards {
		configMap, err := dashboardConfigMap(c, board)
		if err != nil {
			return nil, err
		}
		objects["dashboard-"+string(board.Slug)+".yaml"] = configMap
	}
	names := slices.Sorted(maps.Keys(objects))
	files := map[string][]byte{}
	var err error
	for _, name := range names {
		if files[name], err = encode(header(c), objects[name]); err != nil {
			return nil, err
		}
	}
	files["kustomization.yaml"], err = encode(header(c), kustomization{"kustomize.config.k8s.io/v1beta1", "Kustomization", names})
	return files, err
}

func prometheusRule(c mixin.Config, groups []rulefmt.RuleGroup) object {
	return object{
		APIVersion: "monitoring.coreos.com/v1", Kind: "PrometheusRule",
		Metadata: meta(c, "rules", c.Kubernetes.RuleLabels),
		Spec:     &ruleSpec{groups},
	}
}

func dashboardConfigMap(c mixin.Config, board dashboards.Board) (object, error) {
	var small bytes.Buffer
	if err := json.Compact(&small, board.JSON); err != nil {
		return object{}, fmt.Errorf("dashboard %s: %w", board.Slug, err)
	}
	configMap := object{
		APIVersion: "v1", Kind: "ConfigMap",
		Metadata: meta(c, "dashboard-"+string(board.Slug), map[string]string{c.Kubernetes.DashboardLabel: "1"}),
		Data:     map[string]string{board.UID + ".json": small.String()},
	}
	if c.Kubernetes.FolderAnnotation != "" {
		configMap.Metadata.Annotations = map[string]string{c.Kubernetes.FolderAnnotation: c.Dashboards.Folder}
	}
	return configMap, nil
}

// meta names an object after the dashboards' prefix, so that two renderings can live
// in one namespace if their dashboards can live in one Grafana.
func meta(c mixin.Config, name string, labels map[string]string) metadata {
	all := map[string]string{
		"app.kubernetes.io/name":      "validator-monitor-mixin",
		"app.kubernetes.io/version":   mixin.Version(),
		"app.kubernetes.io/component": strings.SplitN(name, "-", 2)[0],
	}
	maps.Copy(all, labels)
	return metadata{Name: c.Dashboards.UIDPrefix + "-" + name, Namespace: c.Kubernetes.Namespace, Labels: all}
}

// objectLimit is what the annotations of a Kubernetes object may hold together, in
// bytes. kubectl apply keeps the whole object, as JSON, in one of them.
const objectLimit = 256 << 10

// appliedSize is how many bytes an object takes in the annotation that kubectl apply
// keeps it in.
func appliedSize(object []byte) (int, error) {
	var value any
	if err := yaml.Unmarshal(object, &value); err != nil {
		return 0, err
	}
	text, err := json.Marshal(value)
	return len(text), err
}
