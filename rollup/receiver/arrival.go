package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/klauspost/compress/snappy"
)

// arrival is a request on its way to its turn.
//
// Its body is read before it has a place among those that are worked on. A body that does
// not come, because the network loses it or its sender means harm, then keeps nobody from
// writing: it takes as much memory as has come of it, and a connection. A deadline for
// bodies that have a place would not do, since whoever does not send them can come again
// at once.
//
// What has come of all bodies without a place takes bounded memory too. A body for which
// there is no room left takes a place and is read on there, but not for long. Nobody
// waits for room, so that bodies of which each has a part cannot wait for each other.
type arrival struct {
	r       *Receiver
	control *http.ResponseController
	request *http.Request
	body    io.Reader
	room    int64 // bytes that it takes
	placed  bool
}

// roomFor is how many bytes may have come of bodies without a place. Buffers that grow
// have up to twice as many, which is what the requests that are worked on have as well.
func roomFor(limits Limits) int64 { return int64(limits.Requests) * int64(limits.Body) / 2 }

// message reads the body, waits for a place and decompresses the body.
func (a *arrival) message(w http.ResponseWriter) ([]byte, error) {
	limits := a.r.options.Limits
	a.body = http.MaxBytesReader(w, a.request.Body, int64(limits.Body))
	var body bytes.Buffer // as large as what has come, whatever its Content-Length claims
	if _, err := body.ReadFrom(a); err != nil {
		refused, maxBytes := (*refusal)(nil), (*http.MaxBytesError)(nil)
		switch {
		case errors.As(err, &refused):
			return nil, refused
		case errors.As(err, &maxBytes):
			return nil, tooLarge("a body of more than %d bytes", limits.Body)
		}
		// The connection broke or was too slow, which says nothing about the data.
		return nil, &refusal{http.StatusServiceUnavailable, "the body did not arrive: " + err.Error()}
	}
	// The deadline, if one was set below, was for the body. Passing while the request is
	// worked on it would look like a sender that hung up.
	_ = a.control.SetReadDeadline(time.Time{})
	if err := a.takePlace(); err != nil {
		return nil, err
	}
	message, err := decompress(body.Bytes(), limits)
	a.leaveRoom() // nobody needs the body any more
	return message, err
}

// Read reads the body, and takes room or a place for what has come.
func (a *arrival) Read(p []byte) (int, error) {
	n, err := a.body.Read(p)
	if a.placed || n == 0 {
		return n, err
	}
	if a.r.room.Add(-int64(n)) >= 0 {
		a.room += int64(n)
		return n, err
	}
	a.r.room.Add(int64(n))
	if err := a.takePlace(); err != nil {
		return n, err
	}
	// Whoever waits for the place has as much patience. A writer that knows no deadline, as
	// in tests, goes without.
	_ = a.control.SetReadDeadline(time.Now().Add(a.r.options.Limits.Patience))
	return n, err
}

// takePlace waits until the request may be worked on.
func (a *arrival) takePlace() error {
	if a.placed {
		return nil
	}
	patience := time.NewTimer(a.r.options.Limits.Patience)
	defer patience.Stop()
	select {
	case a.r.places <- struct{}{}:
		a.placed = true
		return nil
	case <-patience.C:
		return &refusal{http.StatusServiceUnavailable, fmt.Sprintf("%d other requests are being stored; send it again", cap(a.r.places))}
	case <-a.request.Context().Done():
		return errNobodyWaits
	}
}

// leave gives back what the request has taken.
func (a *arrival) leave() {
	a.leaveRoom()
	if a.placed {
		<-a.r.places
	}
}

func (a *arrival) leaveRoom() {
	a.r.room.Add(a.room)
	a.room = 0
}

// errNobodyWaits is for senders that hung up.
var errNobodyWaits = &refusal{http.StatusServiceUnavailable, "nobody waits for the answer"}

func decompress(body []byte, limits Limits) ([]byte, error) {
	size, err := snappy.DecodedLen(body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "the body is not compressed with snappy: " + err.Error()}
	}
	if size > limits.Decoded {
		return nil, tooLarge("%d bytes when decompressed, more than %d", size, limits.Decoded)
	}
	// Three bytes of snappy stand for at most 64: a body that claims more does not hold it,
	// and gets no memory for it.
	if size/22 > len(body) {
		return nil, &refusal{http.StatusBadRequest, fmt.Sprintf("the body is corrupt: %d bytes cannot hold %d", len(body), size)}
	}
	message, err := snappy.Decode(nil, body)
	if err != nil {
		return nil, &refusal{http.StatusBadRequest, "the body is corrupt: " + err.Error()}
	}
	return message, nil
}
