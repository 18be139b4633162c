package alerts

import (
	"fmt"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// objective are the two alerts on the error budget. Each looks at pairs of ranges: the
// long one says that it matters, the short one that it still goes on.
func objective(c mixin.Config) Section {
	b := budget{queries{c}}
	return Section{
		Name: "validator-objective", Title: "Service level", About: "How fast the error budget burns.",
		Alerts: []Alert{b.burnFast(), b.burnSlow()},
	}
}

type budget struct{ queries }

func (b budget) burnFast() Alert {
	a := b.burn(b.c.Objective.Fast)
	a.Name, a.Severity, a.For = "ValidatorEffectivenessBudgetBurnFast", mixin.Critical, b.wait()
	a.Summary = "The error budget of attestations burns fast."
	a.Action = "Act as if the group was down: see which validators lose votes, and by what cause."
	a.Runbook = burnFastRunbook()
	a.Cases = burnCases(b.c, a, b.c.Objective.Fast)
	return a
}

func (b budget) burnSlow() Alert {
	a := b.burn(b.c.Objective.Slow)
	a.Name, a.Severity, a.For = "ValidatorEffectivenessBudgetBurnSlow", mixin.Warning, b.c.Alerts.Validators.For
	a.Summary = "The error budget of attestations burns faster than planned."
	a.Action = "Look for a small loss that lasts: single validators that are down, or votes that are late or wrong again and again."
	a.Runbook = burnSlowRunbook()
	a.Cases = burnCases(b.c, a, b.c.Objective.Slow)
	return a
}

func (b budget) burn(pairs []mixin.Burn) Alert {
	var conditions, thresholds []string
	for _, p := range pairs {
		lost := fmt.Sprintf("%s * (1 - %v)", b.rate(p.Long), b.c.Objective.Effectiveness)
		conditions = append(conditions, fmt.Sprintf("%s > %v and %s > %v and %s",
			b.rate(p.Long), p.Factor, b.rate(p.Short), p.Factor, b.enough(mixin.Group, lost, p.Long)))
		thresholds = append(thresholds, burnThreshold(p))
	}
	return Alert{
		Expr: strings.Join(conditions, " or "),
		Description: subject(mixin.Group) + ` burns its error budget {{ $value | printf "%.1f" }} times as fast as the objective of ` +
			percent(b.c.Objective.Effectiveness) + " over " + mixin.Duration(b.c.Objective.Period) + " allows" +
			" (threshold " + strings.Join(thresholds, ", or ") + ").",
		Dashboard: mixin.OverviewDashboard,
		Blames:    true,
	}
}

// rate selects how fast the groups that alerts look at burn their budgets.
func (b budget) rate(over time.Duration) string {
	return rules.BurnRate(over) + "{" + b.groups() + "}"
}

func burnThreshold(p mixin.Burn) string {
	return fmt.Sprintf("%v over both %s and %s", p.Factor, mixin.Duration(p.Long), mixin.Duration(p.Short))
}
