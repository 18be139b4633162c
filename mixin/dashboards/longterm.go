package dashboards

import (
	"fmt"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// longTerm is the dashboard of days and months, read from the views of the rollup
// receiver's database. See Views for what their columns mean.
func longTerm(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{
		slug: mixin.LongTermDashboard,
		description: "Days and months of effectiveness, balance, income and proposals, by group and by validator, from the rollup receiver's database. " +
			"It needs a PostgreSQL data source; without one everything here is empty.",
		variables: s.history(),
		sections:  []section{groupsInAll(c), groupDays(c), groupMonths(c), validatorHistory(c), validatorsInAll(c), networkDays(c)},
		history:   true,
	}
}

// history are the variables of a dashboard that reads the database. They are called
// like those of the other dashboards, so that links between them keep what is chosen.
func (s selectors) history() []variable {
	return []variable{
		s.rollupDatasource(),
		{
			name: "network", label: "Network", source: Postgres,
			query:       "SELECT DISTINCT network FROM network_daily ORDER BY network",
			description: "Chain, by its CONFIG_NAME.",
		},
		{
			name: "group_by", label: "Group by", source: Postgres, chosen: "all",
			query:       "SELECT DISTINCT group_by FROM group_daily WHERE " + inTime("day", is("network", "network")) + " ORDER BY group_by",
			description: "Label of the watch list that makes the groups; all is the one group of every watched validator.",
		},
		{
			name: "group", label: "Group", source: Postgres, multi: true,
			query:       "SELECT DISTINCT group_name FROM group_daily WHERE " + inTime("day", is("network", "network"), is("group_by", "group_by")) + " ORDER BY group_name",
			description: "Values of that label.",
		},
		{
			name: "validator", label: "Validator", source: Postgres,
			query: fmt.Sprintf("SELECT DISTINCT validator_index FROM validator_monthly WHERE %s AND month BETWEEN %s AND $__timeTo()::date ORDER BY validator_index LIMIT %d",
				is("network", "network"), "(date_trunc('month', $__timeTo()::timestamp) - interval '1 month')::date", validatorsOffered),
			description: fmt.Sprintf("Index of one watched validator, of those with a rollup in the last two months shown. The first %d are offered; any other can be typed.", validatorsOffered),
		},
	}
}

const (
	// validatorsOffered bounds the list to choose a validator from.
	validatorsOffered = 5000
	// validatorsShown is how many rows the tables of validators have at most.
	validatorsShown = 100
)

// is compares a column with a variable that has one value. Grafana doubles single
// quotes in it, and so the text stays inside the literal.
func is(column, variable string) string { return fmt.Sprintf("%s = '${%s}'", column, variable) }

// isNumber is the same for a number; no value chosen finds nothing.
func isNumber(column, variable string) string {
	return fmt.Sprintf("%s = NULLIF('${%s}', '')::bigint", column, variable)
}

// isOneOf compares a column with a variable that may have several values. The format
// sqlstring quotes each, in every version of Grafana; but it also writes " as \", which
// is undone here.
func isOneOf(column, variable string) string {
	return fmt.Sprintf(`%s IN (SELECT replace(chosen, '\"', '"') FROM unnest(ARRAY[${%s:sqlstring}]::text[]) AS chosen)`, column, variable)
}

// inTime adds that a date lies in the time range shown.
func inTime(date string, conditions ...string) string {
	return strings.Join(append(conditions, "$__timeFilter("+date+")"), " AND ")
}

// inMonths adds that a date lies in the months that the time range touches.
func inMonths(date string, conditions ...string) string {
	return strings.Join(append(conditions, date+" BETWEEN date_trunc('month', $__timeFrom()::timestamp)::date AND $__timeTo()::date"), " AND ")
}

func ofGroups() []string {
	return []string{is("network", "network"), is("group_by", "group_by"), isOneOf("group_name", "group")}
}

func ofValidator() []string {
	return []string{is("network", "network"), isNumber("validator_index", "validator")}
}

// moment is a date as Grafana wants the time of a series: midnight UTC, whatever the
// time zone of the session.
func moment(date string) string { return date + "::timestamp AT TIME ZONE 'UTC' AS \"time\"" }

// What rows add up to: sums first, then divided. Where there is nothing to divide by,
// it is null.
const (
	effectiveness    = "(sum(stake_earned_gwei) / NULLIF(sum(stake_possible_gwei), 0))::float8"
	ownEffectiveness = "(sum(stake_earned_gwei) / NULLIF(sum(stake_achievable_gwei), 0))::float8"
	participation    = "(sum(attestations_included) / NULLIF(sum(attestations_expected), 0))::float8"
	inclusionDelay   = "(sum(inclusion_delay_slots) / NULLIF(sum(attestations_included), 0))::float8"
	syncIncluded     = "(sum(sync_included) / NULLIF(sum(sync_expected), 0))::float8"
	blocksExpected   = "sum(blocks_expected)"
	blocksMissed     = "sum(blocks_expected - blocks_proposed)"
	income           = "sum(balance_change_gwei) / 1e9"
)

// newestBalance is the one at the end, in ETH.
func newestBalance(date string) string {
	return fmt.Sprintf("(array_agg(balance_gwei ORDER BY %s DESC) FILTER (WHERE balance_gwei IS NOT NULL))[1] / 1e9", date)
}

// lostBy is the share of all votes that was lost to a cause.
func lostBy(cause string) string {
	return fmt.Sprintf("(sum(source_lost_%[1]s + target_lost_%[1]s + head_lost_%[1]s) / NULLIF(3 * sum(attestations_expected), 0))::float8", cause)
}

// lostVotesByCause has a column for each cause.
func lostVotesByCause() string {
	var out []string
	for _, cause := range []string{"missing", "late", "wrong", "network"} {
		out = append(out, lostBy(cause)+fmt.Sprintf(" AS %q", cause))
	}
	return strings.Join(out, ", ")
}

// incomeNote stands under everything that is made of balances.
const incomeNote = " It is the change of the balance and nothing else: deposits add to it, withdrawals (also the automatic ones, every few days) take from it, " +
	"and of a group so do validators that join or leave."

func byGroup(value string) string {
	return fmt.Sprintf("SELECT %s, group_name AS metric, %s AS value FROM group_daily WHERE %s GROUP BY day, group_name ORDER BY day, group_name",
		moment("day"), value, inTime("day", ofGroups()...))
}

// networkByDay is a line beside those of groups and validators.
func networkByDay(column string) string {
	return fmt.Sprintf("SELECT %s, 'network' AS metric, %s AS value FROM network_daily WHERE %s ORDER BY day",
		moment("day"), column, inTime("day", is("network", "network")))
}

// windowsPerDay is how many whole windows a day of the chain has.
func windowsPerDay(c mixin.Config) int { return max(1, int(24*time.Hour/window(c))) }

// yield colours a ratio as on the other dashboards.
func (c column) yield(of mixin.Config) column {
	return c.digits(2).coloured(red, at(of.Dashboards.EffectivenessWarn, yellow), at(of.Dashboards.EffectivenessGood, green))
}

func groupsInAll(c mixin.Config) section {
	statement := fmt.Sprintf(`SELECT group_name, %s AS effectiveness, %s AS own_effectiveness, %s AS participation, %s AS delay, %s AS blocks_expected, %s AS blocks_missed, %s AS sync, %s AS balance, %s AS income, (sum(attestations_expected) / NULLIF(sum(windows) * %d, 0))::float8 AS validators, count(*) AS days FROM group_daily WHERE %s GROUP BY group_name ORDER BY own_effectiveness NULLS LAST`,
		effectiveness, ownEffectiveness, participation, inclusionDelay, blocksExpected, blocksMissed, syncIncluded, newestBalance("day"), income,
		c.Chain.WindowEpochs, inTime("day", ofGroups()...))
	about := newText("About these figures", "Everything here is read from the database of `validator-rollup`, which keeps completed windows for years. "+
		"It is optional: without a receiver, or without a PostgreSQL data source, this dashboard is empty and the others are not. "+
		fmt.Sprintf("A day is the beacon chain's day of %d windows, named by the UTC date on which it begins; the newest is not over yet. ", windowsPerDay(c))+
		"Sums come first, ratios last: a month's effectiveness is not the average of its days'. "+
		"The database knows balances, not their reasons: what is called income has deposits and withdrawals in it.")
	about.model.Description = ptr("Where the figures come from and what they leave out.")
	return newSection("Groups, over the time shown",
		line(3, about),
		line(9, newSQLTable("Groups",
			"The chosen groups over the days shown, worst own-fault effectiveness first. Validators is the mean number with an attestation due in each epoch; balance is the one at the end."+incomeNote,
			statement,
			label("group_name", "Group"),
			field("effectiveness", "Effectiveness", unitRatio).yield(c),
			field("own_effectiveness", "Own-fault effectiveness", unitRatio).yield(c),
			field("participation", "Included", unitRatio).digits(2),
			field("delay", "Inclusion delay", unitSlots).digits(3),
			field("blocks_expected", "Blocks expected", unitCount),
			field("blocks_missed", "Blocks missed", unitCount).coloured(green, at(1, red)),
			field("sync", "Sync votes included", unitRatio).digits(2),
			field("balance", "Balance", unitETH).digits(3),
			field("income", "Income", unitETH).digits(4),
			field("validators", "Validators", unitCount).digits(1),
			field("days", "Days", unitNumber),
		)))
}

func groupDays(c mixin.Config) section {
	good := []step{at(c.Dashboards.EffectivenessWarn, red), at(c.Dashboards.EffectivenessGood, yellow)}
	where := inTime("day", ofGroups()...)
	return newSection("Groups, by day",
		line(9,
			newGraph("Effectiveness by day",
				"Share earned of what each group's attestations could have earned, weighted by stake, beside the whole network.",
				unitRatio, sqlSeries(byGroup(effectiveness)), sqlSeries(networkByDay("effectiveness"))).digits(2).marks(good...),
			newGraph("Own-fault effectiveness by day",
				"The same without what the network made impossible: what is missing here is the group's own doing.",
				unitRatio, sqlSeries(byGroup(ownEffectiveness)), sqlSeries(networkByDay("own_effectiveness"))).digits(2).marks(good...)),
		line(8,
			lostVotes(sqlSeries(fmt.Sprintf("SELECT %s, %s FROM group_daily WHERE %s GROUP BY day ORDER BY day", moment("day"), lostVotesByCause(), where)),
				"Votes lost by day", "Share of the source, target and head votes of the chosen groups together that earned nothing, by cause. Missing, late and wrong are their own."),
			newGraph("Inclusion delay by day",
				"Mean number of slots from the duty to the inclusion of an attestation. 1 is the least.",
				unitSlots, sqlSeries(byGroup(inclusionDelay))).digits(3)),
		line(8,
			newGraph("Balance by day", "Sum of the group's balances at the end of each day. A group that gains or loses validators jumps.",
				unitETH, sqlSeries(byGroup("sum(balance_gwei) / 1e9"))).digits(3),
			newGraph("Income by day", "Change of the group's balance over each day."+incomeNote,
				unitETH, sqlSeries(byGroup(income))).digits(4).bars()),
		line(8,
			newGraph("Proposals by day", "Blocks of the chosen groups together: on the canonical chain, and missed.",
				unitCount, sqlSeries(fmt.Sprintf("SELECT %s, sum(blocks_proposed) AS \"proposed\", %s AS \"missed\" FROM group_daily WHERE %s GROUP BY day ORDER BY day",
					moment("day"), blocksMissed, where))).
				from(0).bars().stacked().colorSeries("proposed", green).colorSeries("missed", red),
			newGraph("Sync votes included by day", "Share of each group's sync committee votes that were included; nothing on days without one.",
				unitRatio, sqlSeries(byGroup(syncIncluded))).digits(2),
			newGraph("Windows stored by day",
				fmt.Sprintf("Whole windows of the day that are in the database: %d make a day. Fewer are missing for good once remote-write has given up on them, and every sum of that day is too small.", windowsPerDay(c)),
				unitNumber, sqlSeries(byGroup("sum(windows)"))).from(0).steps().marks(at(float64(windowsPerDay(c)), green))))
}

func groupMonths(c mixin.Config) section {
	const month = "date_trunc('month', day)::date"
	where := inMonths("day", ofGroups()...)
	table := fmt.Sprintf(`SELECT to_char(%[1]s, 'YYYY-MM') AS month, group_name, %[2]s AS effectiveness, %[3]s AS own_effectiveness, %[4]s AS participation, %[5]s AS blocks_expected, %[6]s AS blocks_missed, %[7]s AS sync, %[8]s AS balance, %[9]s AS income, count(*) AS days FROM group_daily WHERE %[10]s GROUP BY %[1]s, group_name ORDER BY %[1]s DESC, group_name`,
		month, effectiveness, ownEffectiveness, participation, blocksExpected, blocksMissed, syncIncluded, newestBalance("day"), income, where)
	series := func(value string) query {
		return sqlSeries(fmt.Sprintf("SELECT %[1]s, group_name AS metric, %[2]s AS value FROM group_daily WHERE %[3]s GROUP BY %[4]s, group_name ORDER BY %[4]s, group_name",
			moment(month), value, where, month))
	}
	return newSection("Groups, by month",
		line(10, newSQLTable("Months of groups",
			"The chosen groups in each calendar month (UTC) that the time range touches, whole months. The newest is not over."+incomeNote,
			table,
			label("month", "Month").wide(90),
			label("group_name", "Group"),
			field("effectiveness", "Effectiveness", unitRatio).yield(c),
			field("own_effectiveness", "Own-fault effectiveness", unitRatio).yield(c),
			field("participation", "Included", unitRatio).digits(2),
			field("blocks_expected", "Blocks expected", unitCount),
			field("blocks_missed", "Blocks missed", unitCount).coloured(green, at(1, red)),
			field("sync", "Sync votes included", unitRatio).digits(2),
			field("balance", "Balance at the end", unitETH).digits(3),
			field("income", "Income", unitETH).digits(4),
			field("days", "Days", unitNumber),
		)),
		line(8,
			newGraph("Effectiveness by month", "Share earned of what each group's attestations could have earned, in whole months.",
				unitRatio, series(effectiveness)).digits(2).steps(),
			newGraph("Income by month", "Change of the group's balance over each month."+incomeNote,
				unitETH, series(income)).digits(4).bars()))
}

func validatorHistory(c mixin.Config) section {
	daily := func(columns string) query {
		return sqlSeries(fmt.Sprintf("SELECT %s, %s FROM validator_daily WHERE %s ORDER BY day", moment("day"), columns, inTime("day", ofValidator()...)))
	}
	grouped := func(columns string) query {
		return sqlSeries(fmt.Sprintf("SELECT %s, %s FROM validator_daily WHERE %s GROUP BY day ORDER BY day", moment("day"), columns, inTime("day", ofValidator()...)))
	}
	months := fmt.Sprintf(`SELECT to_char(month, 'YYYY-MM') AS month_name, effectiveness, own_effectiveness, (attestations_included / NULLIF(attestations_expected, 0)::float8) AS participation, (inclusion_delay_slots / NULLIF(attestations_included, 0)::float8) AS delay, blocks_expected, blocks_expected - blocks_proposed AS blocks_missed, sync_expected, sync_expected - sync_included AS sync_missed, balance_gwei / 1e9 AS balance, balance_change_gwei / 1e9 AS income, windows FROM validator_monthly WHERE %s ORDER BY month DESC`,
		inMonths("month", ofValidator()...))
	good := []step{at(c.Dashboards.EffectivenessWarn, red), at(c.Dashboards.EffectivenessGood, yellow)}
	return newSection("Validator $validator",
		line(8,
			newGraph("Effectiveness of the validator by day",
				"Share earned of what the validator's attestations could have earned, with and without what the network made impossible, beside the whole network.",
				unitRatio, daily(`effectiveness AS "effectiveness", own_effectiveness AS "own fault only"`), sqlSeries(networkByDay("effectiveness"))).digits(2).marks(good...),
			lostVotes(grouped(lostVotesByCause()), "Votes lost by the validator by day",
				"Share of the validator's source, target and head votes that earned nothing, by cause.")),
		line(8,
			newGraph("Balance of the validator by day", "Balance at the end of each day.",
				unitETH, daily(`balance_gwei / 1e9 AS "balance"`)).digits(4),
			newGraph("Income of the validator by day", "Change of the validator's balance over each day."+incomeNote,
				unitETH, daily(`balance_change_gwei / 1e9 AS "income"`)).digits(5).bars(),
			newGraph("Proposals of the validator by day", "Blocks of the validator: on the canonical chain, and missed.",
				unitCount, daily(`blocks_proposed AS "proposed", blocks_expected - blocks_proposed AS "missed"`)).
				from(0).bars().stacked().colorSeries("proposed", green).colorSeries("missed", red)),
		line(9, newSQLTable("Months of the validator",
			fmt.Sprintf("Each month that the time range touches, whole months. The newest is not over; a month of 30 days has %d windows.", 30*windowsPerDay(c))+incomeNote,
			months,
			label("month_name", "Month").wide(90),
			field("effectiveness", "Effectiveness", unitRatio).yield(c),
			field("own_effectiveness", "Own-fault effectiveness", unitRatio).yield(c),
			field("participation", "Included", unitRatio).digits(2),
			field("delay", "Inclusion delay", unitSlots).digits(3),
			field("blocks_expected", "Blocks expected", unitCount),
			field("blocks_missed", "Blocks missed", unitCount).coloured(green, at(1, red)),
			field("sync_expected", "Sync votes expected", unitCount),
			field("sync_missed", "Sync votes missed", unitCount),
			field("balance", "Balance at the end", unitETH).digits(4),
			field("income", "Income", unitETH).digits(5),
			field("windows", "Windows", unitNumber),
		)))
}

func validatorsInAll(c mixin.Config) section {
	where := inMonths("month", is("network", "network"))
	worstOnes := fmt.Sprintf(`SELECT validator_index, %s AS effectiveness, %s AS own_effectiveness, %s AS participation, %s AS balance, %s AS income FROM validator_monthly WHERE %s GROUP BY validator_index ORDER BY own_effectiveness NULLS LAST, validator_index LIMIT %d`,
		effectiveness, ownEffectiveness, participation, newestBalance("month"), income, where, validatorsShown)
	proposers := fmt.Sprintf(`SELECT validator_index, %s AS blocks_expected, %s AS blocks_missed FROM validator_monthly WHERE %s AND blocks_expected > 0 GROUP BY validator_index ORDER BY blocks_missed DESC, blocks_expected DESC, validator_index LIMIT %d`,
		blocksExpected, blocksMissed, where, validatorsShown)
	self := "/d/" + c.UID(mixin.LongTermDashboard) + "?var-validator=${__value.raw}&${network:queryparam}&${" + rollupDatasourceName + ":queryparam}&${__url_time_range}"
	return newSection("Validators, over the months shown",
		line(10,
			newSQLTable("Least effective validators",
				fmt.Sprintf("The %d watched validators of the network, of any group, with the lowest own-fault effectiveness over the months that the time range touches.", validatorsShown)+incomeNote,
				worstOnes,
				label("validator_index", "Validator").linked("Look at this validator", self),
				field("effectiveness", "Effectiveness", unitRatio).yield(c),
				field("own_effectiveness", "Own-fault effectiveness", unitRatio).yield(c),
				field("participation", "Included", unitRatio).digits(2),
				field("balance", "Balance at the end", unitETH).digits(4),
				field("income", "Income", unitETH).digits(5),
			).wide(15),
			newSQLTable("Proposals of validators",
				fmt.Sprintf("Watched validators of the network with a block to propose in the months that the time range touches, most missed first, at most %d.", validatorsShown),
				proposers,
				label("validator_index", "Validator").linked("Look at this validator", self),
				field("blocks_expected", "Expected", unitCount),
				field("blocks_missed", "Missed", unitCount).coloured(green, at(1, red)),
			)))
}

func networkDays(c mixin.Config) section {
	network := func(columns string) query {
		return sqlSeries(fmt.Sprintf("SELECT %s, %s FROM network_daily WHERE %s ORDER BY day", moment("day"), columns, inTime("day", is("network", "network"))))
	}
	return newSection("Network, by day",
		line(8,
			newGraph("Network's participation by day",
				"Share of all validators' attestations that were included, and of slots' proposals that became blocks.",
				unitRatio, network(`(attestations_included / NULLIF(attestations_expected, 0)::float8) AS "attestations", (blocks_proposed / NULLIF(blocks_expected, 0)::float8) AS "blocks"`)).digits(2),
			newGraph("Slashings by day", "Slashing operations in the network's blocks, by kind. One operation may slash many.",
				unitCount, network(`proposer_slashings AS "proposer", attester_slashings AS "attester"`)).from(0).bars().stacked(),
			newGraph("Windows of the network stored by day",
				fmt.Sprintf("Whole windows of the day that are in the database: %d make a day.", windowsPerDay(c)),
				unitNumber, network(`windows AS "windows"`)).from(0).steps().marks(at(float64(windowsPerDay(c)), green))))
}
