package receiver

import (
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
)

// Room that is not given back would be gone for good.
func TestRoomAndPlacesAreGivenBackHoweverARequestEnds(t *testing.T) {
	r, err := New(noStore{}, Options{Limits: Limits{Body: 1000, Requests: 1, Patience: 50 * time.Millisecond}})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	defer server.Close()
	send := func(body io.Reader) int {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, server.URL+WritePath, body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Encoding", "snappy")
		request.Header.Set("Content-Type", protobufType)
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	full := roomFor(r.options.Limits)
	expect := func(what string, got, want int) {
		t.Helper()
		if got != want {
			t.Errorf("%s: status %d, want %d", what, got, want)
		}
		for end := time.Now().Add(5 * time.Second); r.room.Load() != full || len(r.places) > 0; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%s: room for %d of %d bytes and %d places taken at the end", what, r.room.Load(), full, len(r.places))
			}
		}
	}
	hangUp := func() int {
		conn, err := net.Dial("tcp", server.Listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprintf(conn, "POST %s HTTP/1.1\r\nHost: receiver\r\nContent-Encoding: snappy\r\nContent-Type: %s\r\nContent-Length: 400\r\n\r\nxxx", WritePath, protobufType)
		for end := time.Now().Add(5 * time.Second); r.room.Load() != full-3; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("nothing came of the body")
			}
		}
		return http.StatusServiceUnavailable // which nobody reads
	}
	for range 3 {
		expect("nothing", send(bytes.NewReader(snappy.Encode(nil, nil))), 204)
		expect("no snappy", send(bytes.NewReader(make([]byte, 400))), 400)
		expect("no snappy, no room", send(bytes.NewReader(make([]byte, 900))), 400)
		expect("too large", send(struct{ io.Reader }{bytes.NewReader(make([]byte, 1001))}), 413)
		expect("hung up", hangUp(), 503)
		r.places <- struct{}{}
		status := send(bytes.NewReader(make([]byte, 400)))
		<-r.places
		expect("no place", status, 503)
	}
}
