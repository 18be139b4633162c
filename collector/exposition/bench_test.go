package exposition_test

import (
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition/expositiontest"
)

// discard is an answer that nobody reads, to measure without a network.
type discard struct{ header http.Header }

func (d discard) Header() http.Header       { return d.header }
func (discard) Write(p []byte) (int, error) { return len(p), nil }
func (discard) WriteHeader(int)             {}

// The comparison with other handlers, over HTTP, is test/bench/exposition.

func BenchmarkServeUnchanged(b *testing.B) {
	page := expositiontest.NewFleet(1000, 1).Page(nil)
	for _, encoding := range []string{"identity", "gzip"} {
		for name, fresh := range map[string]prometheus.Gatherer{"page": nil, "page and self metrics": expositiontest.SelfMetrics()} {
			b.Run(encoding+"/"+name, func(b *testing.B) { serveAgain(b, encoding, fresh, func() *exposition.Page { return page }) })
		}
	}
}

func BenchmarkServeAfterSlot(b *testing.B) {
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run(encoding, func(b *testing.B) {
			fleet := expositiontest.NewFleet(1000, 1)
			page := fleet.Page(nil)
			serveAgain(b, encoding, nil, func() *exposition.Page {
				b.StopTimer()
				fleet.NextSlot()
				b.StartTimer()
				page = fleet.Page(page)
				return page
			})
		})
	}
}

func BenchmarkServeNew(b *testing.B) {
	for _, encoding := range []string{"identity", "gzip"} {
		b.Run(encoding, func(b *testing.B) {
			fleet := expositiontest.NewFleet(1000, 1)
			serveAgain(b, encoding, nil, func() *exposition.Page { return fleet.Page(nil) })
		})
	}
}

func serveAgain(b *testing.B, encoding string, fresh prometheus.Gatherer, page func() *exposition.Page) {
	request := httptest.NewRequest(http.MethodGet, "/metrics", nil)
	request.Header.Set("Accept-Encoding", encoding)
	b.ReportAllocs()
	for b.Loop() {
		if err := exposition.Serve(discard{http.Header{}}, request, page(), fresh); err != nil {
			b.Fatal(err)
		}
	}
}
