package output

import (
	"regexp"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

type (
	dashboardProviders struct {
		APIVersion int                 `yaml:"apiVersion"`
		Providers  []dashboardProvider `yaml:"providers"`
	}
	dashboardProvider struct {
		Name                  string            `yaml:"name"`
		Folder                string            `yaml:"folder"`
		Type                  string            `yaml:"type"`
		AllowUIUpdates        bool              `yaml:"allowUiUpdates"`
		DisableDeletion       bool              `yaml:"disableDeletion"`
		UpdateIntervalSeconds int               `yaml:"updateIntervalSeconds"`
		Options               map[string]string `yaml:"options"`
	}
	datasources struct {
		APIVersion  int                     `yaml:"apiVersion"`
		Datasources []commented[datasource] `yaml:"datasources"`
	}
	datasource struct {
		Name           string            `yaml:"name"`
		Type           string            `yaml:"type"`
		Access         string            `yaml:"access"`
		URL            string            `yaml:"url"`
		User           string            `yaml:"user,omitempty"`
		JSONData       map[string]any    `yaml:"jsonData"`
		SecureJSONData map[string]string `yaml:"secureJsonData,omitempty"`
	}
)

// grafana returns the provisioning files of Grafana: where the dashboards are, and an
// example of the two data sources that they read.
func grafana(c mixin.Config) (map[string][]byte, error) {
	provider, err := encode(header(c)+`
Copy the files of dashboards/ to the path below, and this one to Grafana's provisioning/dashboards/.`,
		dashboardProviders{1, []dashboardProvider{{
			Name: c.Dashboards.TitlePrefix, Folder: c.Dashboards.Folder, Type: "file", UpdateIntervalSeconds: 60,
			Options: map[string]string{"path": "/var/lib/grafana/dashboards/" + c.Dashboards.UIDPrefix},
		}}})
	if err != nil {
		return nil, err
	}
	sources, err := encode(header(c)+`
An example: fit it to your servers and copy it to Grafana's provisioning/datasources/. Grafana fills in
$__env{…} from its environment and $__file{…} from files; no password belongs here.`,
		datasources{1, []commented[datasource]{
			{sourceComment("The Prometheus that has the recording rules.", "dashboards.datasource", c.Dashboards.Datasource), datasource{
				Name: sourceName("Prometheus", c.Dashboards.Datasource), Type: "prometheus", Access: "proxy", URL: "http://prometheus:9090",
				JSONData: map[string]any{"httpMethod": "POST", "timeInterval": mixin.Duration(c.Chain.ScrapeInterval)},
			}},
			{sourceComment("The database of validator-rollup, for the long-term dashboard. The user needs to read and nothing else.", "dashboards.rollup_datasource", c.Dashboards.RollupDatasource), datasource{
				Name: sourceName("Validator rollup", c.Dashboards.RollupDatasource), Type: "postgres", Access: "proxy",
				URL: "$__env{ROLLUP_DATABASE_ADDRESS}", User: "$__env{ROLLUP_DATABASE_USER}",
				JSONData:       map[string]any{"database": "$__env{ROLLUP_DATABASE_NAME}", "sslmode": "verify-full", "maxOpenConns": 5},
				SecureJSONData: map[string]string{"password": "$__file{/run/secrets/rollup-database-password}"},
			}},
		}})
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"dashboards/validator-monitor.yaml": provider, "datasources/validator-monitor.yaml": sources}, nil
}

func sourceComment(what, knob, pattern string) string {
	if pattern == "" {
		return what
	}
	return what + " Its name must match the knob " + knob + ": " + pattern
}

// sourceName is the usual name of a data source, unless the dashboards would not offer
// it: pattern is then taken as a name.
func sourceName(usual, pattern string) string {
	allowed, err := regexp.Compile("^(?:" + pattern + ")$")
	if pattern == "" || err != nil || allowed.MatchString(usual) || !allowed.MatchString(pattern) {
		return usual
	}
	return pattern
}
