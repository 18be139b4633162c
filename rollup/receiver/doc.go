// Package receiver is the HTTP side of the rollup receiver: remote-write requests in,
// rows for the store out, and the status that tells the sender what to do.
//
// It must not know SQL.
package receiver

import (
	_ "github.com/prometheus/client_golang/exp/api/remote" // pins the module until the first request is here
)
