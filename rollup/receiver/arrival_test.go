package receiver_test

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/receiver"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// slowSender has sent the headers of a request and a part of its body.
type slowSender struct {
	*testing.T
	conn net.Conn
	rest []byte
}

// begin claims that size bytes come, and sends the first of them.
func (f *fixture) begin(part, rest []byte) *slowSender {
	f.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(f.url, "http://"))
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { conn.Close() })
	headers := fmt.Sprintf("POST %s HTTP/1.1\r\nHost: receiver\r\nContent-Encoding: snappy\r\nContent-Type: %s\r\nContent-Length: %d\r\n\r\n",
		receiver.WritePath, v1.contentType(), len(part)+len(rest))
	if _, err := conn.Write(append([]byte(headers), part...)); err != nil {
		f.Fatal(err)
	}
	return &slowSender{f.T, conn, rest}
}

// end sends the rest of the body.
func (s *slowSender) end() *slowSender {
	s.Helper()
	if _, err := s.conn.Write(s.rest); err != nil {
		s.Fatal(err)
	}
	return s
}

func (s *slowSender) answer() response {
	s.Helper()
	if err := s.conn.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
		s.Fatal(err)
	}
	answer, err := http.ReadResponse(bufio.NewReader(s.conn), nil)
	if err != nil {
		s.Fatal(err)
	}
	return read(s.T, answer)
}

// Whether a network loses their bodies or they mean harm: those who send headers and not
// the rest keep nobody else from writing.
func TestBodiesThatDoNotComeKeepNobodyFromWriting(t *testing.T) {
	f := serve(t, takesAll(), func(o *receiver.Options) {
		o.Limits.Requests, o.Limits.Patience = 2, 300*time.Millisecond
		o.Now = func() time.Time { return now }
	})
	body := snappy.Encode(nil, message(v1, expected(1, 15)))
	var slow []*slowSender
	for i := range 20 {
		part := i * len(body) / 20
		slow = append(slow, f.begin(body[:part], body[part:]))
	}
	time.Sleep(100 * time.Millisecond)
	for range 3 {
		f.send(v1, expected(2, 15)).expect(t, 204)
	}
	for _, sender := range slow {
		sender.end().answer().expect(t, 204)
	}
	f.expectMetric(23, "requests_total", "code", "204")
}

// What comes of bodies takes memory, so there is room for so many bytes. A body for which
// none is left is read in its turn, which it may keep from others for a moment only.
func TestBodyWithoutRoomIsReadInItsTurn(t *testing.T) {
	f := serve(t, takesAll(), func(o *receiver.Options) {
		o.Limits.Requests, o.Limits.Body, o.Limits.Patience = 1, 4000, 3*time.Second
		o.Now = func() time.Time { return now }
	})
	await := func(room int64, places int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); ; time.Sleep(time.Millisecond) {
			gotRoom, gotPlaces := receiver.Arrivals(f.receiver)
			if gotRoom == room && gotPlaces == places {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("room for %d bytes and %d places taken, want %d and %d", gotRoom, gotPlaces, room, places)
			}
		}
	}
	body := snappy.Encode(nil, message(v1, expected(1, 15)))
	first := f.begin(body[:10], body[10:])
	second := f.begin(make([]byte, 1985), []byte("the rest"))
	await(5, 0)
	f.send(v1, expected(2, 15)).expect(t, 204) // has no room, but a place
	await(5, 0)
	third := f.begin(make([]byte, 1000), []byte("the rest"))
	await(5, 1)
	time.Sleep(time.Second) // so that the others' patience ends that much later
	first.end()             // has no room for the rest
	f.send(v1, expected(3, 15)).expect(t, 204)
	third.answer().expect(t, 503, "the body did not arrive")
	first.answer().expect(t, 204)
	second.end().answer().expect(t, 400, "the body is corrupt")
}

// The patience with a body that is read in its turn is none with the store.
func TestStoringMayTakeLongerThanTheRestOfTheBody(t *testing.T) {
	const patience = 200 * time.Millisecond
	body := snappy.Encode(nil, message(v1, expected(1, 15)))
	f := serve(t, &scripted{write: func(ctx context.Context, rows []store.Row) (store.Result, error) {
		select {
		case <-ctx.Done():
			return store.Result{}, ctx.Err()
		case <-time.After(2 * patience):
			return store.Result{Written: len(rows)}, nil
		}
	}}, func(o *receiver.Options) {
		o.Limits.Requests, o.Limits.Body, o.Limits.Patience = 1, len(body), patience // and room for half of it
		o.Now = func() time.Time { return now }
	})
	f.send(v1, expected(1, 15)).expect(t, 204)
	f.begin(body[:10], body[10:]).end().answer().expect(t, 204)
}

// takesAll is a store that stores nothing and says otherwise.
func takesAll() *scripted {
	return &scripted{write: func(_ context.Context, rows []store.Row) (store.Result, error) {
		return store.Result{Written: len(rows)}, nil
	}}
}
