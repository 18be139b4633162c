package expr_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
)

func schema(metric string) ([]string, bool) {
	names, ok := map[string][]string{
		"x": {"a", "b", "job"}, "y": {"a", "c", "job"}, "bare": {}, "h_bucket": {"a", "le"},
	}[metric]
	return names, ok
}

func TestLabelsOfTheResult(t *testing.T) {
	for _, tc := range []struct {
		query string
		want  string
	}{
		{`1 + 2`, ``},
		{`vector(time())`, ``},
		{`x{a="1"}`, `a b job`},
		{`-(x > 1) * 2`, `a b job`},
		{`2 - x`, `a b job`},
		{`max_over_time(rate(x[5m])[1h:])`, `a b job`},
		{`sum(x)`, ``},
		{`sum by (a, b) (x)`, `a b`},
		{`sum without (job) (x)`, `a b`},
		{`topk by (a) (3, x)`, `a b job`},
		{`count_values by (a) ("version", x)`, `a version`},
		{`x / on (a, job) y`, `a job`},
		{`x / ignoring (b, c) y`, `a job`},
		{`x * on (a) group_left (c) y`, `a b c job`},
		{`x * on (a) group_right (b) y`, `a b c job`},
		{`x * ignoring (b, c) group_left y`, `a b job`},
		{`x and on (a) y`, `a b job`},
		{`x unless y`, `a b job`},
		{`x or y`, `a b c job`},
		{`absent(x{a="1",b=~"2"})`, `a`},
		{`absent_over_time(x{a="1"}[5m])`, `a`},
		{`absent(sum(x))`, ``},
		{`scalar(sum(x)) * y`, `a c job`},
		{`histogram_quantile(0.9, sum by (a, le) (rate(h_bucket[5m])))`, `a`},
		{`label_replace(x, "new", "$1", "a", "(.*)")`, `a b job new`},
		{`label_replace(x, "new", "constant", "", "")`, `a b job new`},
		{`label_join(x, "new", "-", "a", "b")`, `a b job new`},
		{`count by (__name__) (x)`, `__name__`},
		{`clamp_max(x, 1)`, `a b job`},
	} {
		t.Run(tc.query, func(t *testing.T) {
			got, err := expr.Labels(tc.query, schema)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(got, strings.Fields(tc.want)) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestLabelsFindsWhatDoesNotExist(t *testing.T) {
	for _, tc := range []struct{ query, want string }{
		{`z`, `no metric z`},
		{`sum by (a) (z) + x{q="1"}`, `no metric z`},
		{`x{q="1"}`, `label "q"`},
		{`x{q!~"1"}`, `label "q"`},
		{`sum by (q) (x)`, `sum by: no series here has the label "q"`},
		{`sum without (q) (x)`, `sum without: no series here has the label "q"`},
		{`sum by (b) (sum by (a) (x))`, `label "b"`},
		{`x / on (c) y`, `left side: no series here has the label "c"`},
		{`x / on (b) y`, `right side: no series here has the label "b"`},
		{`x / ignoring (q) y`, `label "q"`},
		{`x * on (a) group_left (b) y`, `label "b"`},
		{`x * on (a) group_right (c) y`, `label "c"`},
		{`histogram_quantile(0.9, sum by (a) (h_bucket))`, `label "le"`},
		{`label_replace(x, "new", "$1", "q", "(.*)")`, `label "q"`},
		{`label_join(x, "new", "-", "a", "q")`, `label "q"`},
		{`topk(scalar(z), x)`, `no metric z`},
		{`{__name__=~"x.*"}`, `must be named`},
		{`sum(`, `parse`},
	} {
		t.Run(tc.query, func(t *testing.T) {
			got, err := expr.Labels(tc.query, schema)
			if err == nil || !strings.Contains(err.Error(), tc.want) {
				t.Errorf("got %q, error %v, want %s", got, err, tc.want)
			}
		})
	}
}

func TestAnUnknownMetricIsOneMistake(t *testing.T) {
	_, err := expr.Labels(`sum by (a, q) (rate(z{r="1"}[5m]))`, schema)
	if err == nil || strings.Count(err.Error(), "\n") != 0 || !strings.Contains(err.Error(), "no metric z") {
		t.Errorf("error is %v", err)
	}
}

func TestCountsOnce(t *testing.T) {
	const g = `ethereum_group_validators`
	for _, query := range []string{
		g,
		`sum by (group_by, group) (` + g + `)`,
		`sum by (group_by) (` + g + `)`,
		`sum without (status) (` + g + `)`,
		`sum(` + g + `{group_by="all"})`,
		`sum(group:x:ratio1h{group_by="client"} > 0)`,
		`max(` + g + `)`,
		`sum(max by (network) (` + g + `))`,
		`topk(3, ` + g + `)`,
		`sum by (status) (ethereum_validator_status)`,
		`sum(` + g + `{group_by="all"} * on (network) group_left ethereum_network_info)`,
		`sum(up unless on (job) ` + g + `)`,
		`sum(absent(` + g + `))`,
		`sum(x / on (network) ` + g + `)`,
		`sum_over_time(` + g + `[1h])`,
	} {
		t.Run(query, func(t *testing.T) {
			if err := expr.CountsOnce(query); err != nil {
				t.Error(err)
			}
		})
	}
	for _, query := range []string{
		`sum(` + g + `)`,
		`avg(` + g + `)`,
		`count(` + g + ` > 0)`,
		`quantile(0.5, ` + g + `)`,
		`sum by (status) (` + g + `)`,
		`sum by (group) (` + g + `)`,
		`sum without (group_by, group) (` + g + `)`,
		`sum(` + g + `{group_by=~"all"})`,
		`sum(` + g + `{group="all"})`,
		`sum({__name__="` + g + `"})`,
		`sum(group:x:ratio1h)`,
		`sum(rate(ethereum_group_blocks_expected_total[1h]))`,
		`sum_over_time(sum(` + g + `)[1h:5m])`,
		`1 - (sum(topk(3, -` + g + `)))`,
		`sum(vector(1) or ` + g + `)`,
		`sum(x * on (network) group_right ` + g + `)`,
		`sum(x * on (network) group_left (group_by) ` + g + `)`,
		`sum(` + g + ` / ` + g + `)`,
		`sum(` + g + ` / on (network, group_by) ` + g + `)`,
		`sum(` + g + ` and on (network) x)`,
		`sum(`,
	} {
		t.Run(query, func(t *testing.T) {
			if err := expr.CountsOnce(query); err == nil {
				t.Error("not found")
			}
		})
	}
}
