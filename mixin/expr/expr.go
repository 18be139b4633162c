package expr

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
)

// Parse reads PromQL without Grafana's variables and without experimental syntax.
func Parse(q string) (parser.Expr, error) {
	e, err := parser.NewParser(parser.Options{}).ParseExpr(q)
	if err != nil {
		return nil, fmt.Errorf("parse query %q: %w", q, err)
	}
	return e, nil
}

// Pretty formats PromQL as promtool does, a long query on several lines.
func Pretty(q string) (string, error) {
	e, err := Parse(q)
	if err != nil {
		return "", err
	}
	return parser.Prettify(e), nil
}

// Use is one vector selector of a query.
type Use struct {
	Metric string
	// Matchers other than the one of the metric's name, in the order in which they are
	// written.
	Matchers []*labels.Matcher
}

// Uses lists the vector selectors of a query, in the order of the syntax tree. One that
// does not name its metric is an error: nobody can tell what it stands for.
func Uses(q string) ([]Use, error) {
	e, err := Parse(q)
	if err != nil {
		return nil, err
	}
	var uses []Use
	parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
		s, ok := n.(*parser.VectorSelector)
		if !ok || err != nil {
			return nil
		}
		var u Use
		if u, err = use(s); err == nil {
			uses = append(uses, u)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("query %q: %w", q, err)
	}
	return uses, nil
}

func use(s *parser.VectorSelector) (Use, error) {
	u := Use{}
	for _, m := range s.LabelMatchers {
		switch {
		case m.Name != model.MetricNameLabel:
			u.Matchers = append(u.Matchers, m)
		case m.Type == labels.MatchEqual && m.Value != "":
			u.Metric = m.Value
		default:
			return Use{}, fmt.Errorf("%s: a metric must be named, not matched by %s", s, m)
		}
	}
	if u.Metric == "" {
		return Use{}, fmt.Errorf("%s: names no metric", s)
	}
	return u, nil
}

// SeriesLabels returns labels, without braces, of a series that the matchers select,
// for tests that need one: what they ask for where they ask for something, and nothing
// where they only forbid.
func SeriesLabels(matchers string) (string, error) {
	list, err := parser.NewParser(parser.Options{}).ParseMetricSelector("{" + matchers + "}")
	if err != nil {
		return "", fmt.Errorf("parse matchers %q: %w", matchers, err)
	}
	values := map[string]string{}
	for _, m := range list {
		if set := m.SetMatches(); len(set) > 0 {
			values[m.Name] = set[0]
		} else if m.Type == labels.MatchEqual {
			values[m.Name] = m.Value
		}
	}
	var out []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		out = append(out, fmt.Sprintf("%s=%q", name, values[name]))
	}
	for _, m := range list {
		if !m.Matches(values[m.Name]) {
			return "", fmt.Errorf("matchers %q: cannot think of a label %s that %s selects", matchers, m.Name, m)
		}
	}
	return strings.Join(out, ","), nil
}
