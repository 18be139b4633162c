package dashboards

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"

	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// Board is one dashboard.
type Board struct {
	Slug mixin.Dashboard
	// UID is the same for ever; Title has the prefix of Config.Dashboards.
	UID, Title string
	// JSON is indented and ends with a newline. It is the same for the same Config.
	JSON []byte

	queries []Query
}

// Query is one question that a dashboard asks.
type Query struct {
	Dashboard mixin.Dashboard
	// Panel is the panel's title, or "variable " and the variable's name.
	Panel string
	// Datasource is Prometheus or Postgres.
	Datasource string
	// Expr is PromQL or SQL. Of a variable made by label_values it is the selector.
	Expr string
}

// The types of data sources, as Grafana calls their plugins.
const (
	Prometheus = "prometheus"
	Postgres   = "postgres"
)

// Queries lists what the dashboard asks, variables first, in the order of the JSON.
func (b Board) Queries() []Query { return append([]Query(nil), b.queries...) }

// All makes every dashboard, in the order of mixin.AllDashboards.
func All(c mixin.Config) ([]Board, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("dashboards of preset %q: %w", c.Preset, err)
	}
	var (
		boards   []Board
		problems []error
	)
	for _, d := range []definition{
		overview(c), validators(c), proposals(c), beaconNodes(c), rollup(c), longTerm(c), recentAlerts(c),
	} {
		b, err := d.build(c)
		if err != nil {
			problems = append(problems, fmt.Errorf("dashboard %s: %w", d.slug, err))
			continue
		}
		boards = append(boards, b)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return boards, nil
}

// definition is what a dashboard's file says.
type definition struct {
	slug        mixin.Dashboard
	description string
	variables   []variable
	sections    []section
	// history is of a dashboard that shows days and months.
	history bool
}

// title is what a dashboard is called, without Config's prefix.
func title(d mixin.Dashboard) string {
	switch d {
	case mixin.OverviewDashboard:
		return "Overview"
	case mixin.ValidatorsDashboard:
		return "Validators"
	case mixin.ProposalsDashboard:
		return "Proposals and sync"
	case mixin.BeaconDashboard:
		return "Beacon nodes and exporter"
	case mixin.RollupDashboard:
		return "Rollup and database"
	case mixin.LongTermDashboard:
		return "Long-term"
	case mixin.AlertsDashboard:
		return "Alerts and recent issues"
	}
	return string(d)
}

// schemaVersion is that of Grafana 10.3. Newer ones migrate it when they load it.
const schemaVersion = 39

func (d definition) build(c mixin.Config) (Board, error) {
	b := Board{Slug: d.slug, UID: c.UID(d.slug), Title: c.Dashboards.TitlePrefix + " / " + title(d.slug)}
	panels, err := place(d.sections)
	if err != nil {
		return Board{}, err
	}
	pace(c, panels)
	variables, err := models(d.variables)
	if err != nil {
		return Board{}, err
	}
	shown, refresh := c.Dashboards.Range, c.Dashboards.Refresh
	if d.history {
		shown, refresh = c.Dashboards.LongTermRange, c.Dashboards.LongTermRefresh
	}
	//lint:ignore SA1019 every Grafana from 10 on reads the classic format, and not all read its successor
	model := dashboard.Dashboard{
		Uid: &b.UID, Title: &b.Title, Description: &d.description,
		Tags: c.Dashboards.Tags, Timezone: &c.Dashboards.Timezone,
		Editable:      ptr(false),
		GraphTooltip:  ptr(dashboard.DashboardCursorSyncCrosshair),
		Time:          &dashboard.DashboardDashboardTime{From: "now-" + oneUnit(shown), To: "now"},
		Refresh:       ptr(oneUnit(refresh)),
		SchemaVersion: schemaVersion,
		Panels:        panels,
		Templating:    dashboard.DashboardDashboardTemplating{List: variables},
		Annotations:   dashboard.AnnotationContainer{List: []dashboard.AnnotationQuery{}},
		Links:         links(c, d.slug),
	}
	if err := model.Validate(); err != nil {
		return Board{}, fmt.Errorf("validate: %w", err)
	}
	if b.queries, err = queries(d, panels); err != nil {
		return Board{}, err
	}
	var out bytes.Buffer
	e := json.NewEncoder(&out)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	if err := e.Encode(model); err != nil {
		return Board{}, fmt.Errorf("encode: %w", err)
	}
	b.JSON = readable(out.Bytes())
	return b, nil
}

// escaped is what encoding/json writes for <, > and & inside of types that encode
// themselves, and, to step over it, an escaped backslash.
var escaped = regexp.MustCompile(`\\\\|\\u003c|\\u003e|\\u0026`)

// readable undoes escapes that only HTML needs: PromQL compares and SQL does too.
func readable(text []byte) []byte {
	return escaped.ReplaceAllFunc(text, func(found []byte) []byte {
		switch string(found[1:]) {
		case "u003c":
			return []byte("<")
		case "u003e":
			return []byte(">")
		case "u0026":
			return []byte("&")
		}
		return found
	})
}

// links leads to the other dashboards, and takes the values of variables and the time
// range along.
func links(c mixin.Config, self mixin.Dashboard) []dashboard.DashboardLink {
	var out []dashboard.DashboardLink
	for _, d := range mixin.AllDashboards() {
		if d == self {
			continue
		}
		url := "/d/" + c.UID(d)
		out = append(out, dashboard.DashboardLink{
			Title: title(d), Type: dashboard.DashboardLinkTypeLink, Icon: "dashboard", Url: &url,
			Tags: []string{}, IncludeVars: true, KeepTime: true,
		})
	}
	return out
}

func queries(d definition, panels []dashboard.PanelOrRowPanel) ([]Query, error) {
	var out []Query
	for _, v := range d.variables {
		if v.query != "" {
			out = append(out, Query{Dashboard: d.slug, Panel: "variable " + v.name, Datasource: v.source, Expr: v.selects()})
		}
	}
	for _, p := range panels {
		if p.Panel == nil {
			continue
		}
		for _, t := range p.Panel.Targets {
			q := Query{Dashboard: d.slug, Panel: *p.Panel.Title}
			switch t := t.(type) {
			case prometheus.Dataquery:
				q.Datasource, q.Expr = Prometheus, t.Expr
			case variants.UnknownDataquery:
				q.Datasource, q.Expr = Postgres, t["rawSql"].(string)
			default:
				return nil, fmt.Errorf("panel %q: query of type %T", q.Panel, t)
			}
			out = append(out, q)
		}
	}
	return out, nil
}

func ptr[T any](v T) *T { return &v }
