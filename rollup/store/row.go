package store

import "time"

// Label is one label of a series.
type Label struct{ Name, Value string }

// Row is the final total of one series in one completed window.
type Row struct {
	// Labels of the series, sorted by name, each name once, with __name__ and without
	// window and without labels that are dropped. They are what identifies the series.
	Labels []Label
	// Window is the time at which the window's first slot begins, in whole seconds.
	Window time.Time
	// Value is finite.
	Value float64
}

// Result says what became of the rows of a batch: each is counted once.
type Result struct {
	// Written rows are new; duplicates were there with the same value.
	Written, Duplicates int
	// Conflicts are rows whose key is there with another value, by their place in the
	// batch. The stored value stays.
	Conflicts []int
	// Rejected rows can never be stored.
	Rejected []Rejection
}

// Rejection is a row that can never be stored, and why.
type Rejection struct {
	Row    int    // place in the batch
	Reason string // one of Reasons, for a metric's label
	Err    error
}

// Why a row can never be stored.
const (
	ReasonLabels    = "labels"    // not sorted, repeated, empty, or without __name__
	ReasonText      = "text"      // not UTF-8, or with a NUL byte
	ReasonLength    = "length"    // network or group too long to be indexed
	ReasonValue     = "value"     // not finite
	ReasonWindow    = "window"    // does not begin at a whole second
	ReasonTooOld    = "too_old"   // begins before what is retained
	ReasonTooNew    = "too_new"   // begins in the future
	ReasonPartition = "partition" // no partition takes it
	ReasonDatabase  = "database"  // Postgres refuses the data
)

// Reasons lists all reasons.
func Reasons() []string {
	return []string{
		ReasonLabels, ReasonText, ReasonLength, ReasonValue, ReasonWindow,
		ReasonTooOld, ReasonTooNew, ReasonPartition, ReasonDatabase,
	}
}
