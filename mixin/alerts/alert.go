package alerts

import (
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// Alert is one alert with all that a person woken by it needs.
type Alert struct {
	Name string
	// Severity as usual; Config.Alerts.Severities may change it.
	Severity mixin.Severity
	// Expr is PromQL. Its value is what Description shows.
	Expr string
	// For and KeepFiringFor as in Prometheus.
	For, KeepFiringFor time.Duration
	// Summary is short and constant. Description is a Prometheus template: it names the
	// labels, the value and the threshold. Action says what to do first, in one or two
	// sentences, constant.
	Summary, Description, Action string
	// Dashboard to look at.
	Dashboard mixin.Dashboard
	// Blames is true when the alert says that a validator, its node or its operator did
	// not do its duty. Such an alert must not fire for a cause of the network.
	Blames  bool
	Runbook Runbook
	// Cases prove the alert: at least one in which it fires, and one in which it does not.
	Cases []Case
}

// Runbook is the Markdown of docs/runbooks/<Name>.md, without headings. It is the
// same for every preset: thresholds are told by a generated table.
type Runbook struct {
	// Meaning: what is measured and when it fires. Impact: what it costs whom if nothing
	// is done. Diagnosis: how to find the cause, with queries and panels. Mitigation:
	// what to do for each cause.
	Meaning, Impact, Diagnosis, Mitigation string
}

// Case is one scenario of promtool test rules.
type Case struct {
	// Name says what the scenario is, as the end of "it …": "fires at three missed in a
	// row", "is silent when the network is in trouble".
	Name string
	// Step is the interval of Input's samples, and of rule evaluation.
	Step time.Duration
	// Input are series in promtool's notation, values every Step from time 0 on.
	Input []Series
	// Silent are times at which the alert must not fire (pending is not firing).
	Silent []time.Duration
	// Firing are times at which exactly these instances fire.
	Firing []Firing
}

// Series is one line of a promtool test's input.
type Series struct {
	Series string // ethereum_beacon_up{job="validator-exporter",instance="a:8080",endpoint="n1"}
	Values string // 1x10 0x20
}

// Firing is what is expected at a time since the start.
type Firing struct {
	At        time.Duration
	Instances []Instance
}

// Instance is one expected firing alert. alertname, severity, Config.Alerts.Labels,
// summary, action and links are added when the case is rendered.
type Instance struct {
	Labels map[string]string
	// Description as people see it, with labels and value filled in.
	Description string
}

// Section is a set of alerts that become one rule group.
type Section struct {
	// Name of the rule group.
	Name string
	// Title and About head the section in the runbooks' index.
	Title, About string
	Alerts       []Alert
}

// Sections returns every alert. Config must be valid.
func Sections(c mixin.Config) []Section {
	return []Section{
		validatorHealth(c), proposals(c), objective(c), chain(c),
		beaconAPI(c), freshness(c), database(c), system(c), caches(c),
	}
}
