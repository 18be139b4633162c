package expr_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
)

func TestParseErrorNamesTheQuery(t *testing.T) {
	if _, err := expr.Parse("sum(a) by"); err == nil || !strings.Contains(err.Error(), "sum(a) by") {
		t.Errorf("error is %v", err)
	}
	if _, err := expr.Pretty("sum("); err == nil {
		t.Error("half a query was pretty-printed")
	}
	if _, err := expr.Uses("sum("); err == nil {
		t.Error("half a query was read")
	}
}

func TestPrettyBreaksLongQueries(t *testing.T) {
	for _, tc := range []struct{ name, query, want string }{
		{"short", `sum(a)by(b)`, `sum by (b) (a)`},
		{
			"long",
			`max without (instance, pod) (increase(ethereum_group_attestations_expected_total{job="validator-exporter"}[1h]))`,
			"max without (instance, pod) (\n  increase(ethereum_group_attestations_expected_total{job=\"validator-exporter\"}[1h])\n)",
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got, err := expr.Pretty(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got\n%s\nwant\n%s", got, tc.want)
			}
		})
	}
}

func TestVariables(t *testing.T) {
	for _, tc := range []struct {
		query string
		want  []string
	}{
		{`up`, nil},
		{`up{job=~"$job"}`, []string{"job"}},
		{`up{job=~"${job}"}`, []string{"job"}},
		{`up{job=~"${job:regex}",group=~"[[group]]",pod=~"[[pod:pipe]]"}`, []string{"group", "job", "pod"}},
		{`rate(x[$__rate_interval]) > $network and rate(x[$__rate_interval])`, []string{"__rate_interval", "network"}},
		{`x * $__range_s / ${__from:date:seconds}`, []string{"__from", "__range_s"}},
		{`label_replace(x, "a", "$1-${2}", "b", "(.*)-(.*)")`, nil},
		{`x{a=~"^b$"}`, nil},
		{`x{a=~"b$|c$"}`, nil},
		{`x{a=~"[[:alpha:]]+"}`, nil},
		{`{{ $labels.group }} in $network`, []string{"network"}},
	} {
		t.Run(tc.query, func(t *testing.T) {
			if got := expr.Variables(tc.query); !slices.Equal(got, tc.want) {
				t.Errorf("got %q, want %q", got, tc.want)
			}
		})
	}
}

func TestFill(t *testing.T) {
	values := map[string]string{"job": "a|b", "network": "mainnet", "__range": "1h"}
	for _, tc := range []struct{ query, want string }{
		{`up`, `up`},
		{`up{job=~"$job",network="${network}"}`, `up{job=~"a|b",network="mainnet"}`},
		{`up{job=~"${job:regex}",network="[[network]]"}`, `up{job=~"a|b",network="mainnet"}`},
		{`rate(x[$__rate_interval])`, `rate(x[2m])`},
		{`increase(x[$__range])`, `increase(x[1h])`},
		{`label_replace(x, "a", "$1", "b", "(.*)$")`, `label_replace(x, "a", "$1", "b", "(.*)$")`},
		{`{{ $labels.job }} of $job`, `{{ $labels.job }} of a|b`},
	} {
		t.Run(tc.query, func(t *testing.T) {
			got, err := expr.Fill(tc.query, values)
			if err != nil {
				t.Fatal(err)
			}
			if got != tc.want {
				t.Errorf("got %s, want %s", got, tc.want)
			}
		})
	}
	for _, query := range []string{`$nonsense`, `${nonsense}`, `$jobs`, `$__nonsense`} {
		if got, err := expr.Fill(query, values); err == nil || !strings.Contains(err.Error(), query) {
			t.Errorf("%s became %q, error %v", query, got, err)
		}
	}
}

func TestBuiltinsMakeValidQueries(t *testing.T) {
	for name, q := range map[string]string{
		"__interval": `rate(x[$__interval])`, "__interval_ms": `x * $__interval_ms`, "__rate_interval": `rate(x[$__rate_interval])`,
		"__range": `rate(x[$__range])`, "__range_s": `rate(x[${__range_s}s])`, "__range_ms": `x > $__range_ms`,
		"__from": `x > $__from`, "__to": `x > $__to`,
	} {
		filled, err := expr.Fill(q, nil)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := expr.Parse(filled); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := slices.Sorted(maps.Keys(expr.Builtins())); len(got) != 8 {
		t.Errorf("builtins without a query here: %q", got)
	}
}

func TestUses(t *testing.T) {
	for _, tc := range []struct {
		query string
		want  string
	}{
		{`1 + vector(2)`, `[]`},
		{`sum by (a) (rate(x{b="c",d!~"e"}[5m])) / on (a) y`, `[x[b="c" d!~"e"] y[]]`},
		{`max_over_time(sum(x)[1h:5m] offset 1d)`, `[x[]]`},
		{`{__name__="x",a="b"}`, `[x[a="b"]]`},
		{`topk(scalar(n), x)`, `[x[] n[]]`},
	} {
		t.Run(tc.query, func(t *testing.T) {
			uses, err := expr.Uses(tc.query)
			if err != nil {
				t.Fatal(err)
			}
			got := []string{}
			for _, u := range uses {
				got = append(got, fmt.Sprintf("%s%v", u.Metric, u.Matchers))
			}
			if fmt.Sprint(got) != tc.want {
				t.Errorf("got %v, want %s", got, tc.want)
			}
		})
	}
	for _, query := range []string{`{__name__=~"x.*"}`, `{job="a"}`, `sum({__name__!="x",job="a"})`} {
		if uses, err := expr.Uses(query); err == nil || !strings.Contains(err.Error(), "a metric must be named") && !strings.Contains(err.Error(), "names no metric") {
			t.Errorf("%s: uses %v, error %v", query, uses, err)
		}
	}
}

func TestSeriesLabels(t *testing.T) {
	for matchers, want := range map[string]string{
		`job="a"`:                        `job="a"`,
		`job="a",env=~"prod|test"`:       `env="prod",job="a"`,
		`job="a",env!="test",zone=~".*"`: `job="a"`,
		`job=~"a"`:                       `job="a"`,
	} {
		got, err := expr.SeriesLabels(matchers)
		if err != nil || got != want {
			t.Errorf("%s: got %s, error %v, want %s", matchers, got, err, want)
		}
	}
	for _, matchers := range []string{`job=~"a.+"`, `job!=""`, `job=`} {
		if got, err := expr.SeriesLabels(matchers); err == nil {
			t.Errorf("%s: got %s", matchers, got)
		}
	}
}
