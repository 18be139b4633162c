package dashboards

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/bargauge"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/gauge"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/text"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Units, as Grafana names them.
const (
	unitRatio    = "percentunit" // from 0 to 1
	unitETH      = "suffix: ETH"
	unitGwei     = "suffix: gwei"
	unitSlots    = "suffix: slots"
	unitEpochs   = "suffix: epochs"
	unitCount    = "short"  // 1.2 K
	unitNumber   = "none"   // 1234, such as a slot
	unitString   = "string" // as it is, such as an index
	unitSeconds  = "s"
	unitDuration = "dtdurations"     // seconds, as 3 hours, 5 minutes
	unitMoment   = "dateTimeAsIso"   // Unix time in milliseconds
	unitFromNow  = "dateTimeFromNow" // Unix time in milliseconds
	unitBytes    = "bytes"
	unitRequests = "reqps"
)

// Colours of thresholds and states.
const (
	green  = "green"
	yellow = "yellow"
	orange = "orange"
	red    = "red"
	blue   = "blue"
	plain  = "text" // no judgement
)

// panel is a panel in the making. Its methods change it and return it.
type panel struct {
	model dashboard.Panel
	width uint32 // in columns of the grid; 0 shares what is left of the line
}

// query is one question of a panel.
type query struct {
	expr, legend string
	instant      bool
	table        bool
	sql          bool
}

// over asks for values over the time range. legend names each series: {{label}}.
func over(expr, legend string) query { return query{expr: expr, legend: legend} }

// now asks for the newest value only.
func now(expr, legend string) query { return query{expr: expr, legend: legend, instant: true} }

// sqlTable and sqlSeries ask Postgres. A series needs a column "time" and is named by
// its columns of text.
func sqlTable(statement string) query  { return query{expr: statement, sql: true, table: true} }
func sqlSeries(statement string) query { return query{expr: statement, sql: true} }

// newStat shows the newest value of each query in large.
func newStat(title, description, unit string, queries ...query) *panel {
	o := stat.NewOptions()
	o.GraphMode = common.BigValueGraphModeNone
	o.ReduceOptions = newest()
	o.Orientation = common.VizOrientationAuto
	return newPanel("stat", title, description, unit, o, queries).base(plain).noValue("unknown")
}

// newGauge shows the newest value of each query as a dial from low to high.
func newGauge(title, description, unit string, low, high float64, queries ...query) *panel {
	o := gauge.NewOptions()
	o.ReduceOptions = newest()
	o.Orientation = common.VizOrientationAuto
	return newPanel("gauge", title, description, unit, o, queries).bounds(low, high).base(plain).noValue("unknown")
}

// newBars shows the newest value of each series as a horizontal bar.
func newBars(title, description, unit string, queries ...query) *panel {
	o := bargauge.NewOptions()
	o.DisplayMode = common.BarGaugeDisplayModeBasic
	o.Orientation = common.VizOrientationHorizontal
	o.ReduceOptions = newest()
	return newPanel("bargauge", title, description, unit, o, queries).base(blue)
}

// newGraph shows values over time as lines.
func newGraph(title, description, unit string, queries ...query) *panel {
	o := timeseries.NewOptions()
	o.Legend.ShowLegend = true
	o.Tooltip = common.VizTooltipOptions{Mode: common.TooltipDisplayModeMulti, Sort: common.SortOrderDescending}
	p := newPanel("timeseries", title, description, unit, o, queries).base(green)
	p.model.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdPaletteClassic}
	p.model.FieldConfig.Defaults.Custom = &common.GraphFieldConfig{
		DrawStyle: ptr(common.GraphDrawStyleLine), LineWidth: ptr(1.0), FillOpacity: ptr(10.0),
		ShowPoints: ptr(common.VisibilityModeAuto),
	}
	return p
}

// newTimeline shows states over time, a line for each series.
func newTimeline(title, description, unit string, queries ...query) *panel {
	o := statetimeline.NewOptions()
	o.Legend = common.VizLegendOptions{
		DisplayMode: common.LegendDisplayModeList, Placement: common.LegendPlacementBottom, ShowLegend: true, Calcs: []string{},
	}
	o.Tooltip = common.VizTooltipOptions{Mode: common.TooltipDisplayModeSingle, Sort: common.SortOrderNone}
	p := newPanel("state-timeline", title, description, unit, o, queries).base(green)
	p.model.FieldConfig.Defaults.Custom = &statetimeline.FieldConfig{LineWidth: ptr(uint32(0)), FillOpacity: ptr(uint32(80))}
	return p
}

// newText shows Markdown.
func newText(title, markdown string) *panel {
	return &panel{model: dashboard.Panel{
		Type: "text", Title: &title, Options: &text.Options{Mode: text.TextModeMarkdown, Content: markdown},
	}}
}

// column is one column of a table: a label of the series, or the value of a query.
type column struct {
	field, title, unit string
	query              *query
	number             bool // although a label is text
	properties         []dashboard.DynamicConfigValue
}

// label is a column of a label's values, or of a SQL statement's text column.
func label(name, title string) column { return column{field: name, title: title, unit: unitString} }

// index is the column of validators' indices: numbers, so that 9 comes before 10.
func index() column {
	return column{field: "validator_index", title: "Index", unit: unitNumber, number: true}.wide(110)
}

// value is a column of the values of expr, which must have the same labels as the
// other values' and keep no more than the table's label columns.
func value(title, unit, expr string) column {
	return column{title: title, unit: unit, query: &query{expr: expr, instant: true, table: true}}
}

// field is a column of a SQL statement.
func field(name, title, unit string) column { return column{field: name, title: title, unit: unit} }

// keys gives a table label columns without a column of its own: the labels of expr's
// series.
func keys(expr string) column {
	return column{query: &query{expr: expr, instant: true, table: true}}
}

// wide sets the column's width in pixels.
func (c column) wide(pixels int) column { return c.property("custom.width", pixels) }

// digits sets how many decimals are shown.
func (c column) digits(n int) column { return c.property("decimals", n) }

// coloured paints the cell by thresholds.
func (c column) coloured(base string, steps ...step) column {
	return c.property("custom.cellOptions", map[string]any{"type": "color-text"}).
		property("color", dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}).
		property("thresholds", thresholds(base, steps))
}

// mapped shows states instead of values.
func (c column) mapped(states ...state) column {
	return c.property("mappings", mappings(states)).
		property("custom.cellOptions", map[string]any{"type": "color-text"})
}

// linked makes the cell lead to url, in which ${__value.raw} is the cell's value.
func (c column) linked(title, url string) column {
	return c.property("links", []map[string]any{{"title": title, "url": url, "targetBlank": false}})
}

func (c column) property(id string, v any) column {
	c.properties = append(c.properties[:len(c.properties):len(c.properties)], dashboard.DynamicConfigValue{Id: id, Value: v})
	return c
}

// newTable joins the columns' queries by their labels, one row for each set of labels.
// Only the columns named are shown, in their order.
func newTable(title, description string, columns ...column) *panel {
	var queries []query
	for _, c := range columns {
		if c.query != nil {
			queries = append(queries, *c.query)
		}
	}
	p := newPanel("table", title, description, unitString, tableOptions(), queries)
	p.model.FieldConfig.Defaults.Custom = &common.TableFieldOptions{Align: common.FieldTextAlignmentAuto, Filterable: ptr(true)}
	var names []string
	n := 0
	for i := range columns {
		c := &columns[i]
		if c.query != nil {
			c.field = "Value"
			if len(queries) > 1 {
				c.field = "Value #" + refID(n)
			}
			n++
		}
		if c.title != "" {
			names = append(names, c.field)
		}
	}
	if len(queries) > 1 {
		p.transform("merge", map[string]any{})
	}
	p.transform("filterFieldsByName", map[string]any{"include": map[string]any{"names": names}})
	var numbers []any
	for _, c := range columns {
		if c.number {
			numbers = append(numbers, map[string]any{"targetField": c.field, "destinationType": "number"})
		}
	}
	if numbers != nil {
		p.transform("convertFieldType", map[string]any{"fields": map[string]any{}, "conversions": numbers})
	}
	p.columns(columns)
	return p
}

// newSQLTable shows the rows of one SQL statement.
func newSQLTable(title, description, statement string, columns ...column) *panel {
	p := newPanel("table", title, description, unitString, tableOptions(), []query{sqlTable(statement)})
	p.model.FieldConfig.Defaults.Custom = &common.TableFieldOptions{Align: common.FieldTextAlignmentAuto, Filterable: ptr(true)}
	p.columns(columns)
	return p
}

func tableOptions() *table.Options {
	return &table.Options{ShowHeader: true, CellHeight: ptr(common.TableCellHeightSm)}
}

// columns orders and names the fields, and gives each its unit.
func (p *panel) columns(columns []column) {
	order, names := map[string]any{}, map[string]any{}
	for i, c := range columns {
		if c.title == "" {
			continue
		}
		order[c.field], names[c.field] = i, c.title
		p.override(c.title, append([]dashboard.DynamicConfigValue{{Id: "unit", Value: c.unit}}, c.properties...)...)
	}
	p.transform("organize", map[string]any{"excludeByName": map[string]any{}, "indexByName": order, "renameByName": names})
}

func newPanel(kind, title, description, unit string, options any, queries []query) *panel {
	fields := dashboard.NewFieldConfigSource()
	fields.Defaults.Unit = &unit
	p := &panel{model: dashboard.Panel{
		Type: kind, Title: &title, Description: &description, Options: options, FieldConfig: fields,
		Datasource: ptr(prometheusRef()),
	}}
	for i, q := range queries {
		if q.sql {
			p.model.Datasource = ptr(postgresRef())
		}
		p.model.Targets = append(p.model.Targets, q.target(refID(i)))
	}
	return p
}

func (q query) target(refID string) variants.Dataquery {
	if q.sql {
		format := "time_series"
		if q.table {
			format = "table"
		}
		return variants.UnknownDataquery{
			"refId": refID, "datasource": postgresRef(), "rawSql": q.expr, "rawQuery": true, "editorMode": "code", "format": format,
		}
	}
	format := prometheus.PromQueryFormatTimeSeries
	if q.table {
		format = prometheus.PromQueryFormatTable
	}
	t := prometheus.Dataquery{
		RefId: &refID, Datasource: ptr(prometheusRef()), Expr: q.expr, EditorMode: ptr(prometheus.QueryEditorModeCode),
		Format: &format, Instant: ptr(q.instant), Range: ptr(!q.instant),
	}
	if q.legend != "" {
		t.LegendFormat = &q.legend
	}
	return t
}

// refID is the n-th name of a query: A to Z, then AA, AB and so on.
func refID(n int) string {
	if n < 26 {
		return string(rune('A' + n))
	}
	return refID(n/26-1) + refID(n%26)
}

func newest() common.ReduceDataOptions {
	return common.ReduceDataOptions{Calcs: []string{"lastNotNull"}, Values: ptr(false), Fields: ptr("")}
}

func (p *panel) wide(columns uint32) *panel {
	p.width = columns
	return p
}

// step is where a colour begins.
type step struct {
	from  float64
	color string
}

func at(from float64, color string) step { return step{from, color} }

// base colours everything below the first step; the steps rise.
func (p *panel) base(color string, steps ...step) *panel {
	p.model.FieldConfig.Defaults.Thresholds = ptr(thresholds(color, steps))
	p.model.FieldConfig.Defaults.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdThresholds}
	return p
}

// marks draws thresholds as dashed lines into a graph, and leaves its colours alone.
func (p *panel) marks(steps ...step) *panel {
	p.model.FieldConfig.Defaults.Thresholds = ptr(thresholds("transparent", steps))
	p.graph().ThresholdsStyle = &common.GraphThresholdsStyleConfig{Mode: common.GraphThresholdsStyleModeDashed}
	return p
}

// thresholds begins with a step from minus infinity, which JSON has as null.
func thresholds(base string, steps []step) dashboard.ThresholdsConfig {
	out := dashboard.ThresholdsConfig{Mode: dashboard.ThresholdsModeAbsolute, Steps: []dashboard.Threshold{{Color: base}}}
	for _, s := range steps {
		out.Steps = append(out.Steps, dashboard.Threshold{Value: ptr(s.from), Color: s.color})
	}
	return out
}

// state is what a value is shown as.
type state struct{ value, text, color string }

func (p *panel) states(states ...state) *panel {
	p.model.FieldConfig.Defaults.Mappings = mappings(states)
	return p
}

func mappings(states []state) []dashboard.ValueMapping {
	options := map[string]dashboard.ValueMappingResult{}
	for i, s := range states {
		options[s.value] = dashboard.ValueMappingResult{Text: ptr(s.text), Color: ptr(s.color), Index: ptr(int32(i))}
	}
	return []dashboard.ValueMapping{{ValueMap: &dashboard.ValueMap{Type: dashboard.MappingTypeValueToText, Options: options}}}
}

// noValue is shown when there is no series.
func (p *panel) noValue(text string) *panel {
	p.model.FieldConfig.Defaults.NoValue = &text
	return p
}

func (p *panel) digits(n int) *panel {
	p.model.FieldConfig.Defaults.Decimals = ptr(float64(n))
	return p
}

// bounds are where the scale begins and ends.
func (p *panel) bounds(low, high float64) *panel {
	p.model.FieldConfig.Defaults.Min, p.model.FieldConfig.Defaults.Max = &low, &high
	return p
}

// from sets where the scale begins; it ends with the largest value.
func (p *panel) from(low float64) *panel {
	p.model.FieldConfig.Defaults.Min = &low
	return p
}

// stacked piles up a graph's series.
func (p *panel) stacked() *panel {
	g := p.graph()
	g.Stacking = &common.StackingConfig{Mode: ptr(common.StackingModeNormal), Group: ptr("A")}
	g.FillOpacity = ptr(40.0)
	return p
}

// bars draws a graph's values as bars.
func (p *panel) bars() *panel {
	g := p.graph()
	g.DrawStyle, g.FillOpacity = ptr(common.GraphDrawStyleBars), ptr(60.0)
	return p
}

// steps draws a graph's lines as steps, for values that hold until they change.
func (p *panel) steps() *panel {
	p.graph().LineInterpolation = ptr(common.LineInterpolationStepAfter)
	return p
}

func (p *panel) graph() *common.GraphFieldConfig {
	return p.model.FieldConfig.Defaults.Custom.(*common.GraphFieldConfig)
}

// named shows the series' names beside a stat's values.
func (p *panel) named() *panel {
	p.model.Options.(*stat.Options).TextMode = common.BigValueTextModeValueAndName
	return p
}

// showing shows a label's text instead of a stat's value.
func (p *panel) showing() *panel {
	p.model.Options.(*stat.Options).TextMode = common.BigValueTextModeName
	return p
}

// colorSeries gives a series of a graph, by its legend, a colour.
func (p *panel) colorSeries(legend, color string) *panel {
	return p.override(legend, dashboard.DynamicConfigValue{
		Id: "color", Value: dashboard.FieldColor{Mode: dashboard.FieldColorModeIdFixed, FixedColor: &color},
	})
}

// override sets properties of one field, by its name as displayed.
func (p *panel) override(name string, properties ...dashboard.DynamicConfigValue) *panel {
	p.model.FieldConfig.Overrides = append(p.model.FieldConfig.Overrides, dashboard.DashboardFieldConfigSourceOverrides{
		Matcher: dashboard.MatcherConfig{Id: "byName", Options: name}, Properties: properties,
	})
	return p
}

// thresholdsOf colours the n-th query's values by steps of its own.
func (p *panel) thresholdsOf(n int, base string, steps ...step) *panel {
	p.model.FieldConfig.Overrides = append(p.model.FieldConfig.Overrides, dashboard.DashboardFieldConfigSourceOverrides{
		Matcher:    dashboard.MatcherConfig{Id: "byFrameRefID", Options: refID(n)},
		Properties: []dashboard.DynamicConfigValue{{Id: "thresholds", Value: thresholds(base, steps)}},
	})
	return p
}

// sorted sorts a table by the column of that title.
func (p *panel) sorted(title string, descending bool) *panel {
	p.model.Options.(*table.Options).SortBy = []common.TableSortByFieldState{{DisplayName: title, Desc: &descending}}
	return p
}

func (p *panel) transform(id string, options any) *panel {
	p.model.Transformations = append(p.model.Transformations, dashboard.DataTransformerConfig{Id: id, Options: options})
	return p
}

// percent writes a share in text: 0.95 as 95 %.
func percent(x float64) string { return fmt.Sprintf("%.4g %%", x*100) }
