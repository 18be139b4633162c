package exposition

import (
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
)

type block struct{}

// Serve answers a scrape with page (which may be nil) and the families that
// fresh (which may be nil) gathers now. Format and compression are what the
// request accepts: OpenMetrics 1.0.0 or text 0.0.4, gzip or none.
//
// What could be gathered is served even when an error is returned. The error is
// for the log: the answer has been written by then.
func Serve(w http.ResponseWriter, r *http.Request, page *Page, fresh prometheus.Gatherer) error {
	return nil
}
