package exposition

import (
	"bytes"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
)

// Serve answers a scrape with page (which may be nil) and the families that
// fresh (which may be nil) gathers now. Format and compression are what the
// request accepts: OpenMetrics 1.0.0 or text 0.0.4, gzip or none.
//
// What could be gathered is served even when an error is returned. The error is
// for the log: the answer has been written by then.
func Serve(w http.ResponseWriter, r *http.Request, page *Page, fresh prometheus.Gatherer) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "metrics are read with GET", http.StatusMethodNotAllowed)
		return nil
	}
	if page == nil {
		page = &Page{}
	}
	contentType := expfmt.NegotiateAccept(r.Header, expfmt.FmtOpenMetrics_1_0_0, expfmt.FmtText)
	w.Header().Set("Content-Type", string(contentType))
	w.Header().Set("Vary", "Accept, Accept-Encoding")

	s := scratches.Get().(*scratch)
	defer scratches.Put(s)
	s.fresh.Reset()
	incomplete := encodeFresh(&s.fresh, contentType, page, fresh)

	format := Text
	if contentType.FormatType() == expfmt.TypeOpenMetrics {
		format = OpenMetrics
	}
	send := s.sendPlain
	if acceptsGzip(r.Header) {
		w.Header().Set("Content-Encoding", "gzip")
		send = s.sendGzip
	}
	return errors.Join(send(w, page, format), incomplete)
}

// scratch is memory of one answer: the text of the fresh families, and what is
// about to be written.
type scratch struct {
	fresh bytes.Buffer
	buf   []byte
}

var scratches = sync.Pool{New: func() any { return new(scratch) }}

// encodeFresh gathers and writes what follows the page, up to the end of the
// exposition. A family that the page has as well is left out: twice the same
// name would make Prometheus drop the whole scrape.
func encodeFresh(text *bytes.Buffer, contentType expfmt.Format, page *Page, fresh prometheus.Gatherer) error {
	var failed error
	encoder := expfmt.NewEncoder(text, contentType)
	if fresh != nil {
		families, err := fresh.Gather()
		if err != nil {
			failed = fmt.Errorf("gather the exporter's own metrics: %w", err)
		}
		for _, family := range families {
			if page.has(family.GetName()) {
				failed = errors.Join(failed, fmt.Errorf("metric family %s is both on the page and freshly gathered: not served twice, register it once", family.GetName()))
				continue
			}
			if err := encoder.Encode(family); err != nil {
				failed = errors.Join(failed, fmt.Errorf("encode metric family %s: %w", family.GetName(), err))
			}
		}
	}
	if closer, ok := encoder.(expfmt.Closer); ok {
		failed = errors.Join(failed, closer.Close())
	}
	return failed
}

// sendPlain sends a page that was read before in one piece, since few large
// writes cost far less than many: each wakes the reader. Memory for that is not
// spent on a page that is read once.
func (s *scratch) sendPlain(w http.ResponseWriter, page *Page, format Format) error {
	w.Header().Set("Content-Length", strconv.Itoa(page.size(format)+s.fresh.Len()))
	if page.read[format].Swap(true) {
		return write(w, page.plain(format), s.fresh.Bytes())
	}
	s.buf = s.buf[:0]
	for _, f := range page.families {
		if len(s.buf) > 0 && len(s.buf)+len(f.metadata[format])+len(f.samples()) > writeSize {
			if err := write(w, s.buf); err != nil {
				return err
			}
			s.buf = s.buf[:0]
		}
		s.buf = append(append(s.buf, f.metadata[format]...), f.samples()...)
	}
	return write(w, s.buf, s.fresh.Bytes())
}

const writeSize = 1 << 20

func (s *scratch) sendGzip(w http.ResponseWriter, page *Page, format Format) error {
	start := page.compressed(format)
	end := deflate(s.buf[:0], s.fresh.Bytes())
	s.buf = start.followedBy(end).appendTrailer(end.data)
	w.Header().Set("Content-Length", strconv.Itoa(len(start.data)+len(s.buf)))
	return write(w, start.data, s.buf)
}

func write(w http.ResponseWriter, parts ...[]byte) error {
	for _, part := range parts {
		if _, err := w.Write(part); err != nil {
			return fmt.Errorf("write the answer to a scrape: %w", err)
		}
	}
	return nil
}

// acceptsGzip tells whether the request takes gzip, by name or by wildcard, with
// a weight above 0.
func acceptsGzip(h http.Header) bool {
	wildcard := false
	for _, values := range h.Values("Accept-Encoding") {
		for value := range strings.SplitSeq(values, ",") {
			coding, parameters, _ := strings.Cut(value, ";")
			_, weight, weighted := strings.Cut(parameters, "=")
			q, err := strconv.ParseFloat(strings.TrimSpace(weight), 64)
			accepted := !weighted || err == nil && q > 0
			switch strings.ToLower(strings.TrimSpace(coding)) {
			case "gzip":
				return accepted
			case "*":
				wildcard = accepted
			}
		}
	}
	return wildcard
}
