package receiver_test

import (
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"

	exporter "github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/receiver"
)

// The section that is shipped sends what the receiver keeps, stripped as it strips.
func TestShippedRemoteWriteFitsTheReceiver(t *testing.T) {
	text, err := os.ReadFile("../../deploy/prometheus/remote-write.yml")
	if err != nil {
		t.Fatal(err)
	}
	var config struct {
		RemoteWrite []struct {
			URL     string            `yaml:"url"`
			Relabel []*relabel.Config `yaml:"write_relabel_configs"`
		} `yaml:"remote_write"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		t.Fatal(err)
	}
	if len(config.RemoteWrite) != 1 {
		t.Fatalf("%d queues, want 1", len(config.RemoteWrite))
	}
	queue := config.RemoteWrite[0]
	if address, err := url.Parse(queue.URL); err != nil || address.Path != receiver.WritePath || address.Port() != "8090" {
		t.Errorf("url %s, error %v", queue.URL, err)
	}
	for _, rule := range queue.Relabel {
		rule.NameValidationScheme = model.UTF8Validation
		if err := rule.Validate(model.UTF8Validation); err != nil {
			t.Fatal(err)
		}
	}
	for _, family := range exporter.All() {
		own := map[string]string{"__name__": family.Name}
		for _, label := range family.Labels {
			own[label] = "x"
		}
		sent := map[string]string{}
		for name, value := range own {
			sent[name] = value
		}
		for _, label := range receiver.DefaultDropLabels() {
			sent[label] = "target"
		}
		builder := labels.NewBuilder(labels.FromMap(sent))
		kept := relabel.ProcessBuilder(builder, queue.Relabel...)
		after := builder.Labels()
		window := strings.Contains(family.Name, "_window_") && slices.Contains(family.Labels, "window")
		if kept != window {
			t.Errorf("%s is sent: %t, want %t", family.Name, kept, window)
		}
		if kept && !labels.Equal(after, labels.FromMap(own)) {
			t.Errorf("%s is sent as %s, want %s", family.Name, after, labels.FromMap(own))
		}
	}
}
