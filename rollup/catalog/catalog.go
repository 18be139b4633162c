package catalog

import "github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"

// All returns every family of the receiver, sorted by name. The caller owns the slice.
func All() []catalog.Family {
	return []catalog.Family{
		family(catalog.Gauge, "build_info", "Always 1; names the version, revision and branch of the receiver and how it was built.",
			"branch", "goarch", "goos", "goversion", "revision", "tags", "version"),
		family(catalog.Counter, "conflicts_total", "Samples that differ from the value already stored under their key. They are never written; one is proof that two exporters disagree about the chain."),
		family(catalog.Gauge, "newest_window_timestamp_seconds", "Unix time at which the newest stored window begins."),
		family(catalog.Gauge, "partition_horizon_timestamp_seconds", "Unix time up to which partitions for new windows exist."),
		family(catalog.Gauge, "pool_acquired", "Database connections in use."),
		family(catalog.Gauge, "pool_idle", "Database connections open and not in use."),
		family(catalog.Gauge, "pool_max", "Most database connections that may be open."),
		family(catalog.Counter, "pool_waits_total", "Times that a database connection was waited for, because all were in use."),
		family(catalog.Counter, "requests_total", "Remote-write requests answered, by HTTP status code.", "code"),
		family(catalog.Counter, "samples_dropped_total", "Samples accepted and not stored: of series that are not rollups, and staleness markers."),
		family(catalog.Counter, "samples_duplicate_total", "Samples that were stored already with the same value."),
		family(catalog.Counter, "samples_rejected_total", "Samples that can never be stored, by reason.", "reason"),
		family(catalog.Counter, "samples_total", "Samples received."),
		family(catalog.Counter, "samples_written_total", "Samples stored for the first time."),
		family(catalog.Gauge, "schema_version", "Version of the database schema."),
		family(catalog.Histogram, "write_duration_seconds", "Duration in seconds of writing one request to the database."),
		family(catalog.Counter, "write_failures_total", "Requests that the database did not take and that the sender must repeat."),
	}
}

// MustGet returns the family called name. Names are written in code: an unknown one is a
// mistake of the programmer and panics.
func MustGet(name string) catalog.Family {
	for _, f := range All() {
		if f.Name == name {
			return f
		}
	}
	panic("catalog: no family " + name + ": add it to the table")
}

func family(typ catalog.Type, name, help string, labels ...string) catalog.Family {
	return catalog.Family{Name: "validator_rollup_" + name, Type: typ, Origin: catalog.Exporter, Labels: labels, Help: help}
}
