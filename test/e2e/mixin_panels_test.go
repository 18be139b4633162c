//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/dashboards"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
)

// empty are queries that show nothing on the devnet, and why.
type empty struct {
	dashboard mixin.Dashboard
	panel     string // its title; every panel when ""
	expr      string // a part of the query; every query of the panel when ""
	why       string
	// may is true where it depends on the run.
	may bool
}

func emptyPanels(c mixin.Config) []empty {
	return []empty{
		{dashboard: mixin.RollupDashboard, expr: c.Select.Rollup, why: "no rollup receiver runs"},
		{
			dashboard: mixin.ValidatorsDashboard, panel: "Worst validators above the individual limit",
			why: "so few validators have series of their own, and then there are no offenders",
		},
		{dashboard: mixin.ValidatorsDashboard, panel: "Life of the validator", expr: "exit_epoch", why: "nobody exits"},
		{dashboard: mixin.ValidatorsDashboard, panel: "Life of the validator", expr: "withdrawable_epoch", why: "nobody exits"},
		{
			dashboard: mixin.BeaconDashboard, panel: "Failovers and operations given up", expr: "retries_exhausted",
			why: "an operation is given up only when the node takes long to restart", may: true,
		},
		{dashboard: mixin.BeaconDashboard, panel: "Depth of the last reorg", why: "one node alone hardly ever sees a reorg", may: true},
		{dashboard: mixin.AlertsDashboard, panel: "Deepest reorg", why: "one node alone hardly ever sees a reorg", may: true},
		{dashboard: mixin.BeaconDashboard, panel: "Hit rate", why: "nothing is looked up without a reorg", may: true},
		{
			dashboard: mixin.ProposalsDashboard, panel: "Validators that missed a proposal, last 7 days",
			why: "when an hour ends before the first epochs have settled, nothing more recent is shown until the next one ends", may: true,
		},
	}
}

func (e empty) matches(q dashboards.Query) bool {
	return e.dashboard == q.Dashboard && (e.panel == "" || e.panel == q.Panel) && strings.Contains(q.Expr, e.expr)
}

// checkPanels asks every query of every dashboard as Grafana would, with the choices of
// somebody who looks at everything, and at one validator after the other until there is
// something to see. It must be answered without complaint for the whole run, and with
// data at its end.
func (p *proof) checkPanels(ctx context.Context, t *testing.T, at time.Time, shape devnet.Shape) {
	boards, err := dashboards.All(p.config)
	if err != nil {
		t.Fatal(err)
	}
	proposer, err := p.nextProposer(ctx, at)
	if err != nil {
		t.Fatal(err)
	}
	validators := []string{"0", strconv.Itoa(shape.Validators - 1), proposer} // the second is dead
	nothing := emptyPanels(p.config)
	used := make([]bool, len(nothing))
	asked, shown := 0, 0
	for _, board := range boards {
		for _, q := range board.Queries() {
			if q.Datasource != dashboards.Prometheus {
				continue
			}
			asked++
			data := false
			for _, validator := range validators {
				if data {
					break
				}
				if data, err = p.ask(ctx, t, q, validator, at); err != nil {
					t.Errorf("%s / %s: %v", q.Dashboard, q.Panel, err)
				}
			}
			if data {
				shown++
			}
			i := slices.IndexFunc(nothing, func(e empty) bool { return e.matches(q) })
			switch {
			case i < 0 && !data:
				t.Errorf("%s / %s shows nothing:\n%s", q.Dashboard, q.Panel, q.Expr)
			case i >= 0 && data && !nothing[i].may:
				t.Errorf("%s / %s shows something, though %s:\n%s", q.Dashboard, q.Panel, nothing[i].why, q.Expr)
			}
			if i >= 0 {
				used[i] = true
			}
		}
	}
	for i, e := range nothing {
		if !used[i] {
			t.Errorf("no query is %s / %s with %q: %s", e.dashboard, e.panel, e.expr, e.why)
		}
	}
	if 2*shown <= asked {
		t.Errorf("only %d of %d queries show something", shown, asked)
	}
	t.Logf("%d queries of %d dashboards asked, %d show data", asked, len(boards), shown)
}

// nextProposer returns a validator that is known to propose soon.
func (p *proof) nextProposer(ctx context.Context, at time.Time) (string, error) {
	series, err := p.prometheus.Query(ctx, fmt.Sprintf(
		"max by (validator_index) (ethereum_validator_next_proposal_timestamp_seconds{job=%q})", exporterJob), at)
	if err != nil {
		return "", err
	}
	if len(series) == 0 {
		return "", errors.New("nobody is known to propose soon")
	}
	return series[0].Labels["validator_index"], nil
}

// ask asks one query, and tells whether it shows data at the end.
func (p *proof) ask(ctx context.Context, t *testing.T, q dashboards.Query, validator string, at time.Time) (data bool, err error) {
	filled, err := expr.Fill(q.Expr, map[string]string{
		"network": network, "job": exporterJob, p.config.Select.ClusterLabel: ".*",
		"group_by": "all", "group": "all", "validator": validator,
	})
	if err != nil {
		return false, err
	}
	const step = 10 * time.Second
	from := at.Add(-at.Sub(p.from).Truncate(step))
	series, notes, err := p.prometheus.QueryRange(ctx, filled, from, at, step)
	if err != nil {
		return false, err
	}
	for _, note := range notes {
		if strings.Contains(note, "fixed for monotonicity") {
			continue // Prometheus puts right what the kills of b do to histograms
		}
		t.Errorf("%s / %s: %s\n%s", q.Dashboard, q.Panel, note, filled)
	}
	for _, s := range series {
		last := s.Samples[len(s.Samples)-1]
		if last.Time.Equal(at.Truncate(time.Millisecond)) && !math.IsNaN(last.Value) {
			return true, nil
		}
	}
	return false, nil
}
