package dashboards

// View is one of the SQL views of validator-rollup's database that the Long-term
// dashboard reads. A row sums the whole windows of one day or month; a day is the
// beacon chain's day, named by the UTC date on which it begins.
//
// This table is the contract between the two: the dashboard uses no other column, and
// the receiver must have these, with these types.
type View struct {
	Name    string
	Meaning string
	// Key are the columns that no two rows share.
	Key     []string
	Columns []Column
}

// Column is one column of a view.
type Column struct {
	Name string
	// Type in Postgres. Sums of gwei are numeric: those of a network outgrow bigint.
	Type string
	// Null is true when the value may be unknown. Unknown is null, never 0.
	Null bool
	// Meaning with unit and range.
	Meaning string
}

// Views lists the views.
func Views() []View {
	day := Column{Name: "day", Type: "date", Meaning: "The beacon chain's day: the UTC date on which it begins. A day begins at the time of day of the genesis."}
	month := Column{Name: "month", Type: "date", Meaning: "First date of the calendar month; its days are those of the view of days."}
	network := Column{Name: "network", Type: "text", Meaning: "Name of the network."}
	validator := Column{Name: "validator_index", Type: "bigint", Meaning: "Index of the validator, from 0 on."}
	groupBy := Column{Name: "group_by", Type: "text", Meaning: "Label of the watch list that makes the groups, or all."}
	group := Column{Name: "group_name", Type: "text", Meaning: "Value of that label, or all. Not named group, which SQL reserves."}

	daily, monthly := outcomes("day", false), outcomes("month", false)
	return []View{
		{
			Name: "validator_daily", Meaning: "One watched validator's day.",
			Key: []string{"network", "validator_index", "day"}, Columns: columns(daily, day, network, validator),
		},
		{
			Name: "validator_monthly", Meaning: "One watched validator's month: the sums of its days.",
			Key: []string{"network", "validator_index", "month"}, Columns: columns(monthly, month, network, validator),
		},
		{
			Name: "group_daily", Meaning: "One group's day. Groups of different group_by overlap: never sum over group_by.",
			Key: []string{"network", "group_by", "group_name", "day"}, Columns: columns(daily, day, network, groupBy, group),
		},
		{
			Name: "network_daily", Meaning: "The day of all validators of the network.",
			Key: []string{"network", "day"},
			Columns: append(columns(outcomes("day", true), day, network),
				Column{Name: "proposer_slashings", Type: "bigint", Meaning: "Proposer slashings in canonical blocks."},
				Column{Name: "attester_slashings", Type: "bigint", Meaning: "Attester slashings in canonical blocks."}),
		},
	}
}

func columns(outcomes []Column, key ...Column) []Column { return append(key, outcomes...) }

// outcomes are the columns that every view has. Those of stake and balance may be
// unknown for a network, whose effective balances are not always read.
func outcomes(period string, network bool) []Column {
	count := func(name, meaning string) Column { return Column{Name: name, Type: "bigint", Meaning: meaning} }
	stake := func(name, meaning string) Column {
		return Column{Name: name, Type: "numeric", Null: network, Meaning: meaning}
	}
	ratio := func(name, meaning string) Column {
		if network {
			meaning += " Where stake is not known, the same of vote counts, with source weighing 14, target 26, head 14 of 54."
		}
		return Column{Name: name, Type: "double precision", Null: true, Meaning: meaning}
	}
	out := []Column{
		{Name: "windows", Type: "integer", Meaning: "Whole windows that are stored of the " + period + ". Fewer than it has windows: the " + period + " is not over, or the rest was never received."},
		count("attestations_expected", "Attestations that were due."),
		count("attestations_included", "Attestations that were included."),
		count("source_votes", "Timely and correct source votes."),
		count("target_votes", "Timely and correct target votes."),
		count("head_votes", "Timely and correct head votes."),
	}
	for _, vote := range []string{"source", "target", "head"} {
		out = append(out,
			count(vote+"_lost_missing", "Lost "+vote+" votes whose attestation was never included, by own fault."),
			count(vote+"_lost_late", "Lost "+vote+" votes that were included too late, by own fault."),
			count(vote+"_lost_wrong", "Lost "+vote+" votes that voted for something else, by own fault."),
			count(vote+"_lost_network", "Lost "+vote+" votes that nobody could have earned, or that most others of the slot lost too."))
	}
	return append(out,
		count("inclusion_delay_slots", "Slots from duty to inclusion, at least 1 each, summed over attestations_included."),
		stake("stake_possible_gwei", "Effective balance behind the attestations that were due, in gwei."),
		stake("stake_achievable_gwei", "The same, weighted by the votes not lost to the network."),
		stake("stake_earned_gwei", "The same, weighted by the votes earned."),
		ratio("effectiveness", "stake_earned_gwei / stake_possible_gwei, 0 to 1; null when nothing was possible."),
		ratio("own_effectiveness", "stake_earned_gwei / stake_achievable_gwei, 0 to 1: the network's faults left out; null when nothing was achievable."),
		count("blocks_expected", "Block proposals that were due."),
		count("blocks_proposed", "Block proposals that are on the canonical chain."),
		count("sync_expected", "Sync committee votes that were due."),
		count("sync_included", "Sync committee votes that were included."),
		Column{
			Name: "balance_gwei", Type: "numeric", Null: true,
			Meaning: "Balance in gwei at the end of the newest stored window of the " + period + "; null where no window told it.",
		},
		Column{
			Name: "balance_change_gwei", Type: "numeric", Null: true,
			Meaning: "balance_gwei less the one of the " + period + " before, in gwei; null where that is not known. Deposits, withdrawals and validators that joined or left are in it.",
		})
}
