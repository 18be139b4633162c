package beacon

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

const (
	contentJSON = "application/json"
	contentSSZ  = "application/octet-stream"
)

// transport is the one way to a node, for the requests of the client library and
// for our own: it adds headers, takes the figures, and bounds what comes back.
type transport struct {
	wrapped http.RoundTripper
	headers http.Header
	series  *nodeSeries
}

func newHTTPTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSHandshakeTimeout: 10 * time.Second,
		ForceAttemptHTTP2:   true,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     90 * time.Second,
		// The node is mostly near: compressing costs both sides more than it saves.
		// Compressed answers that come all the same are unpacked below, within the limit.
		DisableCompression: true,
	}
}

// RoundTrip implements http.RoundTripper.
func (t *transport) RoundTrip(req *http.Request) (*http.Response, error) {
	// The client library probes in its constructor, which is called with an ended context.
	if err := req.Context().Err(); err != nil {
		return nil, err
	}
	op := operationOf(req.URL.Path)
	req = req.Clone(req.Context())
	req.Header.Set("User-Agent", "ethereum-validator-monitor")
	req.Header.Set("Accept-Encoding", "identity")
	// Every request only reads. The empty key tells net/http so, which may then repeat
	// a POST on a fresh connection when an idle one turns out closed; it is not sent.
	req.Header["Idempotency-Key"] = nil
	for name, values := range t.headers {
		req.Header[name] = values
	}

	series := t.series.of(op)
	series.requests.Inc()
	// Latencies are always real time, whatever clock the pool was given.
	start := time.Now()
	resp, err := t.wrapped.RoundTrip(req)
	if err != nil {
		series.duration.Observe(time.Since(start).Seconds())
		return nil, &transportError{err}
	}
	body := &answerBody{network: countingReader{ReadCloser: resp.Body}, left: op.limit(), onClose: func(read int64) {
		series.duration.Observe(time.Since(start).Seconds())
		series.bytes.Add(float64(read))
	}}
	body.decoded = &body.network
	if resp.ContentLength > op.limit() {
		body.err = errTooLarge
	}
	switch encoding := strings.ToLower(resp.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip", "x-gzip":
		body.decoded = &gunzip{source: &body.network}
		resp.Header.Del("Content-Encoding")
		resp.ContentLength, resp.Uncompressed = -1, true
	default:
		body.err = &bodyError{fmt.Errorf("it is encoded as %q, which nobody asked for", encoding)}
	}
	resp.Body = body
	// The client library refuses an answer whose fork it does not know, even where the
	// fork does not matter, and searches the body when there is no such header. Our
	// own readers do not look at it.
	resp.Header.Set("Eth-Consensus-Version", "electra")
	return resp, nil
}

// answerBody is the body of an answer: unpacked, bounded, counted, its errors told
// apart from those of whoever decodes it.
type answerBody struct {
	network countingReader
	decoded io.Reader
	left    int64
	err     error
	onClose func(read int64)
}

func (b *answerBody) Read(into []byte) (int, error) {
	if b.err != nil {
		return 0, b.err
	}
	// One byte more than is left shows an answer that is too large.
	if int64(len(into)) > b.left+1 {
		into = into[:b.left+1]
	}
	n, err := b.decoded.Read(into)
	b.left -= int64(n)
	switch {
	case b.left < 0:
		n, b.err = 0, errTooLarge
	case err == io.EOF:
		b.err = io.EOF
	case err != nil:
		b.err = &bodyError{err}
	}
	return n, b.err
}

// Close reads what a decoder may have left behind the last brace, so that the
// connection can be used again.
func (b *answerBody) Close() error {
	if b.err == nil {
		_, _ = io.CopyN(io.Discard, b, 4096)
	}
	err := b.network.Close()
	if b.onClose != nil {
		b.onClose(b.network.read)
		b.onClose = nil
	}
	return err
}

type countingReader struct {
	io.ReadCloser
	read int64
}

func (r *countingReader) Read(into []byte) (int, error) {
	n, err := r.ReadCloser.Read(into)
	r.read += int64(n)
	return n, err
}

// gunzip reads the gzip header only when it is asked to read.
type gunzip struct {
	source io.Reader
	reader *gzip.Reader
}

func (g *gunzip) Read(into []byte) (int, error) {
	if g.reader == nil {
		reader, err := gzip.NewReader(g.source)
		if errors.Is(err, io.EOF) {
			err = io.ErrUnexpectedEOF
		}
		if err != nil {
			return 0, err
		}
		g.reader = reader
	}
	return g.reader.Read(into)
}

// get asks for path (with any query) and calls read with the body of a 200.
func (n *node) get(ctx context.Context, path, accept string, read func(*http.Response) error) error {
	return n.do(ctx, http.MethodGet, path, accept, nil, read)
}

// post does the same with a JSON body.
func (n *node) post(ctx context.Context, path string, body []byte, read func(*http.Response) error) error {
	return n.do(ctx, http.MethodPost, path, contentJSON, body, read)
}

// getJSON reads a small answer into into.
func (n *node) getJSON(ctx context.Context, path string, into any) error {
	return n.get(ctx, path, contentJSON, func(resp *http.Response) error {
		return json.NewDecoder(resp.Body).Decode(into)
	})
}

func (n *node) do(ctx context.Context, method, path, accept string, body []byte, read func(*http.Response) error) error {
	target := *n.base
	path, query, _ := strings.Cut(path, "?")
	target = *target.JoinPath(path)
	target.RawQuery = joinQuery(n.base.RawQuery, query)
	req, err := http.NewRequestWithContext(ctx, method, target.String(), bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Accept", accept)
	if body != nil {
		req.Header.Set("Content-Type", contentJSON)
	}
	resp, err := n.client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		message, _ := io.ReadAll(io.LimitReader(resp.Body, 1024))
		after, _ := strconv.ParseUint(resp.Header.Get("Retry-After"), 10, 16)
		return &statusError{resp.StatusCode, string(message), time.Duration(after) * time.Second}
	}
	return read(resp)
}

func joinQuery(one, other string) string {
	if one == "" || other == "" {
		return one + other
	}
	return one + "&" + other
}

// redactor removes from text whatever of a node's address or headers may be a secret.
func redactor(base *url.URL, headers http.Header) *strings.Replacer {
	const shortest = 6 // shorter pieces are words like v1
	var pairs []string
	hide := func(secrets ...string) {
		for _, secret := range secrets {
			if len(secret) >= shortest {
				pairs = append(pairs, secret, "<hidden>")
			}
		}
	}
	hide(base.Path, base.EscapedPath(), base.RawQuery, base.User.String())
	hide(strings.Split(base.Path, "/")...)
	for _, values := range base.Query() {
		hide(values...)
	}
	if password, ok := base.User.Password(); ok {
		hide(password)
	}
	hide(base.User.Username())
	for _, values := range headers {
		for _, value := range values {
			hide(value)
			hide(strings.Fields(value)...)
		}
	}
	return strings.NewReplacer(pairs...)
}
