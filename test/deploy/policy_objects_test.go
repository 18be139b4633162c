package deploy_test

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"go.yaml.in/yaml/v3"
)

// object is a Kubernetes object: what every kind has, what policies look at, and all of
// it, in doc.
type object struct {
	APIVersion string `yaml:"apiVersion"`
	Kind       string `yaml:"kind"`
	Metadata   struct {
		Name        string            `yaml:"name"`
		Namespace   string            `yaml:"namespace"`
		Labels      map[string]string `yaml:"labels"`
		Annotations map[string]string `yaml:"annotations"`
	} `yaml:"metadata"`
	Data                         map[string]string `yaml:"data"`
	StringData                   map[string]string `yaml:"stringData"`
	AutomountServiceAccountToken *bool             `yaml:"automountServiceAccountToken"`

	doc  map[string]any
	node *yaml.Node
}

func (o object) String() string { return o.Kind + "/" + o.Metadata.Name }

// hook tells whether the object belongs to a helm test, which is there while it runs.
func (o object) hook() bool { return o.Metadata.Annotations["helm.sh/hook"] != "" }

// at is what stands in the object under the keys, or nil.
func (o object) at(keys ...string) any {
	var value any = o.doc
	for _, key := range keys {
		within, ok := value.(map[string]any)
		if !ok {
			return nil
		}
		value = within[key]
	}
	return value
}

// decodeObjects reads a stream of YAML documents. A document without content is left out.
func decodeObjects(text []byte) ([]object, error) {
	var objects []object
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	for {
		var node yaml.Node
		if err := decoder.Decode(&node); errors.Is(err, io.EOF) {
			return objects, nil
		} else if err != nil {
			return nil, err
		}
		var o object
		if err := errors.Join(node.Decode(&o.doc), node.Decode(&o)); err != nil {
			return nil, fmt.Errorf("line %d: %w", node.Line, err)
		}
		if len(o.doc) == 0 {
			continue
		}
		if o.APIVersion == "" || o.Kind == "" || o.Metadata.Name == "" {
			return nil, fmt.Errorf("line %d: an object without apiVersion, kind or name", node.Line)
		}
		o.node = &node
		objects = append(objects, o)
	}
}

// mustDecode is decodeObjects for objects that a test wrote itself.
func mustDecode(t *testing.T, text string) []object {
	t.Helper()
	objects, err := decodeObjects([]byte(text))
	if err != nil {
		t.Fatalf("%v in the test's own objects", err)
	}
	return objects
}

const (
	// manifestsDir has the committed manifests.
	manifestsDir   = "../../deploy/kubernetes"
	secretTemplate = "secret-template.yaml"
)

// manifests reads the objects that the kustomization of deploy/kubernetes lists, as
// kubectl apply -k does, and fails when a file of the folder is not listed.
func manifests(t *testing.T) []object {
	t.Helper()
	objects, err := readManifests(manifestsDir)
	if err != nil {
		t.Fatal(err)
	}
	if len(objects) == 0 {
		t.Fatalf("%s has no objects", manifestsDir)
	}
	return objects
}

func readManifests(dir string) ([]object, error) {
	text, err := os.ReadFile(filepath.Join(dir, "kustomization.yaml"))
	if err != nil {
		return nil, err
	}
	var kustomization map[string]any
	if err := yaml.Unmarshal(text, &kustomization); err != nil {
		return nil, fmt.Errorf("%s/kustomization.yaml: %w", dir, err)
	}
	listed := map[string]bool{"kustomization.yaml": true}
	var objects []object
	for key, value := range kustomization {
		switch key {
		case "apiVersion", "kind", "namespace": // read below, or of no effect on objects
		case "resources":
			for _, resource := range value.([]any) {
				name := resource.(string)
				listed[name] = true
				text, err := os.ReadFile(filepath.Join(dir, name))
				if err != nil {
					return nil, err
				}
				these, err := decodeObjects(text)
				if err != nil {
					return nil, fmt.Errorf("%s/%s: %w", dir, name, err)
				}
				objects = append(objects, these...)
			}
		default:
			// A transformation would make other objects than the files show; what is checked here would not be what is applied.
			return nil, fmt.Errorf("%s/kustomization.yaml: %s is not expected", dir, key)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, file := range files {
		// The template is to be copied and filled in, the values are what the rest is rendered from.
		if name := file.Name(); filepath.Ext(name) == ".yaml" && !listed[name] && name != secretTemplate && name != "values.yaml" {
			return nil, fmt.Errorf("%s/%s is not in the kustomization", dir, file.Name())
		}
	}
	return objects, nil
}

// pod is a pod that some object leads to, or is.
type pod struct {
	owner  object
	labels map[string]string
	spec   podSpec
	// lasting pods run until somebody ends them.
	lasting bool
}

type podSpec struct {
	ServiceAccountName           string           `yaml:"serviceAccountName"`
	AutomountServiceAccountToken *bool            `yaml:"automountServiceAccountToken"`
	HostNetwork                  bool             `yaml:"hostNetwork"`
	HostPID                      bool             `yaml:"hostPID"`
	HostIPC                      bool             `yaml:"hostIPC"`
	SecurityContext              securityContext  `yaml:"securityContext"`
	InitContainers               []container      `yaml:"initContainers"`
	Containers                   []container      `yaml:"containers"`
	EphemeralContainers          []container      `yaml:"ephemeralContainers"`
	Volumes                      []map[string]any `yaml:"volumes"`
}

type container struct {
	Name            string           `yaml:"name"`
	Image           string           `yaml:"image"`
	Command         []string         `yaml:"command"`
	Args            []string         `yaml:"args"`
	RestartPolicy   string           `yaml:"restartPolicy"`
	EnvFrom         []any            `yaml:"envFrom"`
	SecurityContext *securityContext `yaml:"securityContext"`
	LivenessProbe   map[string]any   `yaml:"livenessProbe"`
	ReadinessProbe  map[string]any   `yaml:"readinessProbe"`
	Env             []struct {
		Name      string         `yaml:"name"`
		Value     string         `yaml:"value"`
		ValueFrom map[string]any `yaml:"valueFrom"`
	} `yaml:"env"`
	VolumeMounts []struct {
		MountPath string `yaml:"mountPath"`
	} `yaml:"volumeMounts"`
	Ports     []containerPort `yaml:"ports"`
	Resources struct {
		Requests map[string]string `yaml:"requests"`
		Limits   map[string]string `yaml:"limits"`
	} `yaml:"resources"`
}

type containerPort struct {
	Name          string `yaml:"name"`
	ContainerPort int    `yaml:"containerPort"`
	HostPort      int    `yaml:"hostPort"`
	Protocol      string `yaml:"protocol"`
}

type securityContext struct {
	RunAsNonRoot             *bool  `yaml:"runAsNonRoot"`
	RunAsUser                *int64 `yaml:"runAsUser"`
	RunAsGroup               *int64 `yaml:"runAsGroup"`
	ReadOnlyRootFilesystem   *bool  `yaml:"readOnlyRootFilesystem"`
	AllowPrivilegeEscalation *bool  `yaml:"allowPrivilegeEscalation"`
	Privileged               *bool  `yaml:"privileged"`
	ProcMount                string `yaml:"procMount"`
	Sysctls                  []any  `yaml:"sysctls"`
	Capabilities             struct {
		Drop []string `yaml:"drop"`
		Add  []string `yaml:"add"`
	} `yaml:"capabilities"`
	SeccompProfile struct {
		Type string `yaml:"type"`
	} `yaml:"seccompProfile"`
}

func (p pod) String() string { return p.owner.String() }

// component is what the pod is, in the words of the table of edges.
func (p pod) component() string { return p.labels["app.kubernetes.io/component"] }

// containers are all containers of the pod, those that run before the others first.
func (p pod) containers() []container {
	return slices.Concat(p.spec.InitContainers, p.spec.Containers, p.spec.EphemeralContainers)
}

// podTemplate is where kinds that lead to pods keep the pod's metadata and spec.
func podTemplate(kind string) (keys []string, lasting, known bool) {
	switch kind {
	case "Deployment", "StatefulSet", "DaemonSet", "ReplicaSet", "ReplicationController":
		return []string{"spec", "template"}, true, true
	case "Job":
		return []string{"spec", "template"}, false, true
	case "CronJob":
		return []string{"spec", "jobTemplate", "spec", "template"}, false, true
	case "Pod":
		return nil, true, true
	}
	return nil, false, false
}

// pods are the pods that objects lead to. A kind that this does not know and that has a
// pod's template is an error: its pods would go unchecked.
func pods(objects []object) ([]pod, error) {
	var found []pod
	for _, o := range objects {
		keys, lasting, known := podTemplate(o.Kind)
		if !known {
			if o.at("spec", "template", "spec", "containers") != nil {
				return nil, fmt.Errorf("%s leads to pods, and nothing here knows how", o)
			}
			continue
		}
		type podTemplate struct {
			Metadata struct {
				Labels map[string]string `yaml:"labels"`
			} `yaml:"metadata"`
			Spec podSpec `yaml:"spec"`
		}
		var outer struct {
			Spec struct {
				Template    podTemplate `yaml:"template"`
				JobTemplate struct {
					Spec struct {
						Template podTemplate `yaml:"template"`
					} `yaml:"spec"`
				} `yaml:"jobTemplate"`
			} `yaml:"spec"`
		}
		var template podTemplate
		var err error
		switch len(keys) {
		case 0:
			err = o.node.Decode(&template)
		case 2:
			err = o.node.Decode(&outer)
			template = outer.Spec.Template
		default:
			err = o.node.Decode(&outer)
			template = outer.Spec.JobTemplate.Spec.Template
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", o, err)
		}
		if len(template.Spec.Containers) == 0 {
			return nil, fmt.Errorf("%s has no containers", o)
		}
		found = append(found, pod{
			owner: o, labels: template.Metadata.Labels, spec: template.Spec, lasting: lasting && !o.hook(),
		})
	}
	slices.SortFunc(found, func(a, b pod) int { return cmp.Compare(a.String(), b.String()) })
	return found, nil
}

// volume is the name and the type of a volume, and what it says about it.
func volume(v map[string]any) (name, kind string, source map[string]any) {
	for key, value := range v {
		if key == "name" {
			name, _ = value.(string)
			continue
		}
		kind = key
		source, _ = value.(map[string]any)
	}
	return name, kind, source
}

// mount is an object that a pod mounts: a ConfigMap, Secret or PersistentVolumeClaim.
type mount struct {
	kind, name string
	keys       []string // those that it names, if it does
}

func (p pod) mounts() (mounts []mount) {
	add := func(kind string, source map[string]any) {
		m := mount{}
		switch kind {
		case "configMap":
			m.kind = "ConfigMap"
			m.name, _ = source["name"].(string)
		case "secret":
			m.kind = "Secret"
			if m.name, _ = source["secretName"].(string); m.name == "" {
				m.name, _ = source["name"].(string) // so it is called in projected volumes
			}
		case "persistentVolumeClaim":
			m.kind = "PersistentVolumeClaim"
			m.name, _ = source["claimName"].(string)
		default:
			return
		}
		items, _ := source["items"].([]any)
		for _, item := range items {
			one, _ := item.(map[string]any)
			key, _ := one["key"].(string)
			m.keys = append(m.keys, key)
		}
		mounts = append(mounts, m)
	}
	for _, v := range p.spec.Volumes {
		_, kind, source := volume(v)
		add(kind, source)
		sources, _ := source["sources"].([]any)
		for _, s := range sources {
			one, _ := s.(map[string]any)
			for kind, source := range one {
				within, _ := source.(map[string]any)
				add(kind, within)
			}
		}
	}
	return mounts
}
