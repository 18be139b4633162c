package dashboards

import (
	"cmp"
	"fmt"
	"strings"
	"sync"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// variable is one choice at a dashboard's top.
type variable struct {
	name, label, description string
	// source is the type of data source that query is asked of, or, without a query,
	// that is chosen.
	source string
	// query is label_values(<selector>, <label>), or SQL.
	query string
	// pattern narrows down the data sources by name.
	pattern string
	// chosen is what is chosen at first; empty is the first of the list.
	chosen string
	// multi lets several be chosen; all of them at first. Where all are, Prometheus is
	// asked for what matches the regular expression all, by default .+
	multi bool
	all   string
}

// The names of variables that data sources are chosen by.
const (
	datasourceName       = "datasource"
	rollupDatasourceName = "rollup_datasource"
)

func (s selectors) datasource() variable {
	return variable{
		name: datasourceName, label: "Data source", source: Prometheus, pattern: s.c.Dashboards.Datasource,
		description: "Prometheus that scrapes the exporter and evaluates the recording rules.",
	}
}

func (s selectors) rollupDatasource() variable {
	return variable{
		name: rollupDatasourceName, label: "Database", source: Postgres, pattern: s.c.Dashboards.RollupDatasource,
		description: "PostgreSQL that the rollup receiver writes to.",
	}
}

// common are the variables that every dashboard of exporters begins with. The variable
// of the cluster is called like its label.
func (s selectors) common() []variable {
	out := []variable{s.datasource()}
	if l := s.c.Select.ClusterLabel; l != "" {
		out = append(out, variable{
			// A Prometheus adds its external labels only to what it sends away: asked
			// directly, it knows no such label.
			name: l, label: l, source: Prometheus, multi: true, all: ".*",
			query:       labelValues(s.scraped("validator_exporter_watched_validators"), l),
			description: "Where the series come from.",
		})
	}
	return append(out,
		variable{
			name: "job", label: "Job", source: Prometheus, multi: true,
			query:       labelValues(s.scraped("validator_exporter_watched_validators"), "job"),
			description: "Scrape job of the exporters.",
		},
		variable{
			name: "network", label: "Network", source: Prometheus,
			query:       labelValues(s.exporter("ethereum_network_info"), "network"),
			description: "Chain, by its CONFIG_NAME.",
		})
}

// groups are the variables that choose a group: the label of the watch list, and one
// of its values. Everything is in group all of all.
func (s selectors) groups() []variable {
	return []variable{
		{
			name: "group_by", label: "Group by", source: Prometheus, chosen: "all",
			query:       labelValues(s.chain("ethereum_group_attestations_overdue"), "group_by"),
			description: "Label of the watch list that makes the groups; all is the one group of every watched validator.",
		},
		{
			name: "group", label: "Group", source: Prometheus, chosen: "all",
			query:       labelValues(s.chain("ethereum_group_attestations_overdue", `group_by="$group_by"`), "group"),
			description: "Value of that label.",
		},
	}
}

func (s selectors) validator() variable {
	return variable{
		name: "validator", label: "Validator", source: Prometheus,
		query:       labelValues(s.chain("ethereum_validator_info"), "validator_index"),
		description: "Index of one watched validator. Empty above the exporter's limit of individual series.",
	}
}

func labelValues(selector, label string) string {
	return "label_values(" + selector + ", " + label + ")"
}

// link leads to a dashboard with other values of some variables, such as
// var-group=${__value.raw}, and keeps the data source, network and time range.
func (s selectors) link(d mixin.Dashboard, values ...string) string {
	kept := []string{"${" + datasourceName + ":queryparam}", "${job:queryparam}", "${network:queryparam}", "${__url_time_range}"}
	if l := s.c.Select.ClusterLabel; l != "" {
		kept = append(kept, "${"+l+":queryparam}")
	}
	return "/d/" + s.c.UID(d) + "?" + strings.Join(append(values, kept...), "&")
}

// selects is the query's part that the data source's own language has: of
// label_values the selector.
func (v variable) selects() string {
	inner, ok := strings.CutPrefix(v.query, "label_values(")
	if !ok {
		return v.query
	}
	return inner[:strings.LastIndex(inner, ",")]
}

// prometheusRef and postgresRef are the data sources that the variables choose.
func prometheusRef() common.DataSourceRef { return ref(Prometheus, datasourceName) }
func postgresRef() common.DataSourceRef   { return ref(Postgres, rollupDatasourceName) }

func ref(plugin, name string) common.DataSourceRef {
	return common.DataSourceRef{Type: ptr(plugin), Uid: ptr("${" + name + "}")}
}

func models(variables []variable) ([]dashboard.VariableModel, error) {
	var out []dashboard.VariableModel
	seen := map[string]bool{}
	for _, v := range variables {
		if seen[v.name] {
			return nil, fmt.Errorf("two variables are called %q; select.cluster_label must be another name", v.name)
		}
		seen[v.name] = true
		out = append(out, v.model())
	}
	return out, nil
}

func (v variable) model() dashboard.VariableModel {
	m := dashboard.VariableModel{
		Name: v.name, Label: &v.label, Description: &v.description, Hide: ptr(dashboard.VariableHideDontHide),
		SkipUrlSync: ptr(false), Multi: ptr(v.multi), IncludeAll: ptr(v.multi), Options: []dashboard.VariableOption{},
	}
	if v.query == "" {
		m.Type = dashboard.VariableTypeDatasource
		m.Query = &dashboard.StringOrMap{String: &v.source}
		m.Regex = &v.pattern
		m.Refresh = ptr(dashboard.VariableRefreshOnDashboardLoad)
		return m
	}
	m.Type = dashboard.VariableTypeQuery
	m.Definition = &v.query
	m.Refresh = ptr(dashboard.VariableRefreshOnTimeRangeChanged)
	m.Sort = ptr(dashboard.VariableSortNaturalAsc)
	switch v.source {
	case Postgres:
		m.Datasource = ptr(postgresRef())
		m.Query = &dashboard.StringOrMap{String: &v.query}
	default:
		m.Datasource = ptr(prometheusRef())
		m.Query = &dashboard.StringOrMap{Map: map[string]any{
			"query": v.query, "refId": "PrometheusVariableQueryEditor-VariableQuery",
		}}
	}
	switch {
	case v.multi && v.source == Prometheus:
		m.AllValue = ptr(cmp.Or(v.all, ".+"))
		m.Current = option("All", "$__all")
	case v.multi:
		m.Current = option("All", "$__all")
	case v.chosen != "":
		m.Current = option(v.chosen, v.chosen)
	}
	return m
}

func option(text, value string) *dashboard.VariableOption {
	return &dashboard.VariableOption{
		Selected: ptr(true),
		Text:     dashboard.StringOrArrayOfString{String: &text},
		Value:    dashboard.StringOrArrayOfString{String: &value},
	}
}

// newSelectors is what a dashboard's file begins with.
func newSelectors(c mixin.Config) selectors {
	return selectors{c, sync.OnceValue(func() []string { return alertNames(c) })}
}
