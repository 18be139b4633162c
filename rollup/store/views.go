package store

// view is one of the views that people read. Migration 11 defines them and says in the
// database what their columns mean.
type view struct {
	name   string
	period string   // day or month: the column with its date
	key    []string // no two rows share these and the period
}

func views() []view {
	validator := []string{"network", "validator_index"}
	group := []string{"network", "group_by", "group_name"}
	network := []string{"network"}
	return []view{
		{"validator_daily", "day", validator},
		{"validator_monthly", "month", validator},
		{"group_daily", "day", group},
		{"group_monthly", "month", group},
		{"network_daily", "day", network},
		{"network_monthly", "month", network},
	}
}

// ViewNames lists the views that people read.
func ViewNames() []string {
	var names []string
	for _, v := range views() {
		names = append(names, v.name)
	}
	return names
}
