package wire

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"strings"
)

// readDocument reads one JSON answer of the Beacon API, {"data": …} with any other
// keys around it, and lets data read the value under that key. The answer must end
// with the document, so that a truncated one is noticed and r is read to its end.
func readDocument(r io.Reader, window []byte, data func(*scanner)) error {
	s := &scanner{r: r, buf: window}
	found := false
	s.object(func(key []byte) {
		switch {
		case string(key) != "data":
			s.skip()
		case found:
			s.fail(errors.New(`"data" twice`))
		default:
			found = true
			data(s)
		}
	})
	if s.err == nil && !found {
		s.fail(errors.New(`no "data" in the answer`))
	}
	if s.err == nil && !s.atEnd() {
		s.fail(errors.New("something follows the document"))
	}
	return s.err
}

// scanner pulls tokens out of a JSON document of which only a window is in memory.
//
// The first error sticks, in err: from then on every method does nothing and
// returns zero values, so callers may check once per row.
type scanner struct {
	r        io.Reader
	buf      []byte
	pos, end int // buf[pos:end] is read from r but not yet consumed
	base     int64
	depth    int
	eof      bool
	err      error
	key      [32]byte
}

// object reads an object and calls field for each of its keys; field must read or
// skip the value. key is valid until then. A null counts as an empty object, and
// a key too long for any we know as an empty key.
func (s *scanner) object(field func(key []byte)) {
	s.sequence('{', '}', func() {
		key := s.string()
		// A copy, because finding the colon may move the window. No key we know is longer.
		n := copy(s.key[:], key)
		if n < len(key) {
			n = 0
		}
		if s.consume(':') {
			field(s.key[:n])
		}
	})
}

// array reads an array and calls element for each of its elements, which must read
// or skip it. A null counts as an empty array: some nodes write that.
func (s *scanner) array(element func()) { s.sequence('[', ']', element) }

func (s *scanner) sequence(open, closing byte, element func()) {
	if s.peek() == 'n' {
		s.literal("null")
		return
	}
	if !s.consume(open) {
		return
	}
	if s.depth++; s.depth > maxDepth {
		s.fail(errors.New("nested too deep"))
		return
	}
	defer func() { s.depth-- }()
	if s.peek() == closing {
		s.pos++
		return
	}
	for s.err == nil {
		element()
		switch s.peek() {
		case ',':
			s.pos++
		case closing:
			s.pos++
			return
		default:
			s.unexpected()
		}
	}
}

// uint32s reads an array of numbers and appends them to dst, which may grow to
// limit elements. A null counts as an empty array.
func (s *scanner) uint32s(dst []uint32, limit int) []uint32 {
	if s.peek() == 'n' {
		s.literal("null")
		return dst
	}
	if !s.consume('[') {
		return dst
	}
	if s.peek() == ']' {
		s.pos++
		return dst
	}
	for s.err == nil {
		dst = s.quotedRun(dst)
		n := s.uint()
		if n > math.MaxUint32 {
			s.fail(fmt.Errorf("%d does not fit 32 bits", n))
		}
		dst = append(dst, uint32(n))
		if len(dst) > limit {
			s.fail(fmt.Errorf("more than %d numbers", limit))
		}
		switch s.peek() {
		case ',':
			s.pos++
		case ']':
			s.pos++
			return dst
		default:
			s.unexpected()
		}
	}
	return dst
}

// quotedRun is the fast path of uint32s: it takes numbers as long as they are
// quoted, followed by a comma, and nothing else is between them. It leaves the
// next number, of whatever form, to its caller.
func (s *scanner) quotedRun(dst []uint32) []uint32 {
	const longest = len(`"4294967295",`)
	b := s.buf[s.pos:s.end]
	for len(b) > longest {
		if b[0] != '"' {
			break
		}
		var n uint64
		i := 1
		for ; i < longest-2; i++ {
			digit := b[i] - '0'
			if digit > 9 {
				break
			}
			n = 10*n + uint64(digit)
		}
		if i == 1 || b[i] != '"' || b[i+1] != ',' || n > math.MaxUint32 {
			break
		}
		dst = append(dst, uint32(n))
		b = b[i+2:]
	}
	s.pos = s.end - len(b)
	return dst
}

// uint reads a number, quoted or bare, of digits only.
func (s *scanner) uint() uint64 {
	n, negative := s.number()
	if negative && n != 0 {
		s.fail(errors.New("negative number"))
	}
	return n
}

// int reads a number, quoted or bare, of digits and perhaps a minus.
func (s *scanner) int() int64 {
	n, negative := s.number()
	switch {
	case negative && n <= 1<<63:
		return -int64(n)
	case n > math.MaxInt64:
		s.fail(errors.New("number does not fit 64 bits"))
		return 0
	}
	return int64(n)
}

func (s *scanner) number() (n uint64, negative bool) {
	quoted := s.peek() == '"'
	if quoted {
		s.pos++
	}
	b := s.ahead()
	i := 0
	if i < len(b) && b[i] == '-' {
		negative = true
		i++
	}
	first := i
	for ; i < len(b); i++ {
		digit := b[i] - '0'
		if digit > 9 {
			break
		}
		if n > (math.MaxUint64-uint64(digit))/10 {
			s.fail(errors.New("number does not fit 64 bits"))
			return 0, false
		}
		n = 10*n + uint64(digit)
	}
	s.pos += i
	if i == first {
		s.unexpected()
		return 0, false
	}
	if quoted {
		s.exactly('"')
	}
	return n, negative // whatever follows a bare number, its caller refuses
}

// bool reads true or false.
func (s *scanner) bool() bool {
	if s.peek() == 't' {
		s.literal("true")
		return s.err == nil
	}
	s.literal("false")
	return false
}

// hex reads a string of 0x and the hexadecimal digits of exactly len(dst) bytes.
func (s *scanner) hex(dst []byte) {
	text := s.string()
	if s.err != nil {
		return
	}
	if len(text) != 2+2*len(dst) || text[0] != '0' || text[1]|0x20 != 'x' {
		s.fail(fmt.Errorf("want 0x and %d bytes in hexadecimal", len(dst)))
		return
	}
	if _, err := hex.Decode(dst, text[2:]); err != nil {
		s.fail(err)
	}
}

// string reads a string of at most maxToken bytes. It is valid until the next call.
func (s *scanner) string() []byte {
	if !s.consume('"') {
		return nil
	}
	b := s.ahead()
	n := bytes.IndexByte(b, '"')
	if n >= 0 && bytes.IndexByte(b[:n], '\\') < 0 {
		s.pos += n + 1
		return b[:n]
	}
	return s.escapedString(b)
}

// escapedString is the rare path of string: b holds an escape, or no end.
func (s *scanner) escapedString(b []byte) []byte {
	for i := 0; i < len(b); i++ {
		switch b[i] {
		case '\\':
			i++
		case '"':
			s.pos += i + 1
			var text string
			quoted := append(append([]byte{'"'}, b[:i]...), '"')
			if err := json.Unmarshal(quoted, &text); err != nil {
				s.fail(err)
			}
			return []byte(text)
		}
	}
	if len(b) < maxToken {
		s.fail(io.ErrUnexpectedEOF)
	} else {
		s.fail(fmt.Errorf("string of more than %d bytes", maxToken))
	}
	return nil
}

// skip reads over one value of any kind.
func (s *scanner) skip() {
	switch s.peek() {
	case '{':
		s.object(func([]byte) { s.skip() })
	case '[':
		s.array(s.skip)
	case '"':
		s.skipString()
	default:
		s.skipBare()
	}
}

// skipString reads over a string of any length.
func (s *scanner) skipString() {
	s.pos++
	for s.ensure(1); s.err == nil; s.ensure(1) {
		n := bytes.IndexAny(s.buf[s.pos:s.end], `"\`)
		switch {
		case s.pos == s.end:
			s.fail(io.ErrUnexpectedEOF)
		case n < 0:
			s.pos = s.end
		case s.buf[s.pos+n] == '"':
			s.pos += n + 1
			return
		default:
			s.pos += n
			if s.ensure(2); s.end-s.pos < 2 {
				s.fail(io.ErrUnexpectedEOF)
				return
			}
			s.pos += 2
		}
	}
}

// skipBare reads over a number, true, false or null. It does not check which.
func (s *scanner) skipBare() {
	b := s.ahead()
	i := 0
	for ; i < len(b); i++ {
		c := b[i]
		if lower := c | 0x20; (lower < 'a' || lower > 'z') && (c < '0' || c > '9') && c != '-' && c != '+' && c != '.' {
			break
		}
	}
	if i == 0 {
		s.unexpected()
	}
	s.pos += i
}

func (s *scanner) literal(word string) {
	if s.peek() == 0 {
		return
	}
	s.ensure(len(word))
	switch got := string(s.buf[s.pos:min(s.end, s.pos+len(word))]); {
	case got == word:
		s.pos += len(word)
	case strings.HasPrefix(word, got):
		s.fail(io.ErrUnexpectedEOF)
	default:
		s.unexpected()
	}
}

// peek skips white space and returns the byte behind it without consuming it; 0
// after an error.
func (s *scanner) peek() byte {
	for {
		if s.pos == s.end {
			if s.ensure(1); s.pos == s.end {
				s.fail(io.ErrUnexpectedEOF)
				return 0
			}
		}
		switch c := s.buf[s.pos]; c {
		case ' ', '\t', '\n', '\r':
			s.pos++
		case 0:
			s.unexpected()
			return 0
		default:
			return c
		}
	}
}

// consume takes want, with white space before it, or fails.
func (s *scanner) consume(want byte) bool {
	if s.peek() != want {
		s.unexpected()
		return false
	}
	s.pos++
	return true
}

// exactly takes want, without white space before it, or fails.
func (s *scanner) exactly(want byte) {
	if s.ensure(1); s.pos == s.end || s.buf[s.pos] != want {
		s.unexpected()
		return
	}
	s.pos++
}

// atEnd tells whether nothing but white space is left.
func (s *scanner) atEnd() bool {
	for s.ensure(1); s.pos < s.end; s.ensure(1) {
		switch s.buf[s.pos] {
		case ' ', '\t', '\n', '\r':
			s.pos++
		default:
			return false
		}
	}
	return s.err == nil
}

// ahead returns the next maxToken bytes without consuming them, fewer only where
// the document ends. What a token is must not depend on how much more has arrived.
func (s *scanner) ahead() []byte {
	s.ensure(maxToken)
	return s.buf[s.pos:min(s.end, s.pos+maxToken)]
}

// ensure makes n bytes available from pos, fewer only where the document ends.
func (s *scanner) ensure(n int) {
	if s.end-s.pos < n && !s.eof {
		s.refill(n)
	}
}

func (s *scanner) refill(n int) {
	s.base += int64(s.pos)
	s.end = copy(s.buf, s.buf[s.pos:s.end])
	s.pos = 0
	for idle := 0; s.end < n; {
		got, err := s.r.Read(s.buf[s.end:])
		s.end += got
		switch {
		case errors.Is(err, io.EOF):
			s.eof = true
			return
		case err != nil:
			s.fail(err)
			return
		case got > 0:
			idle = 0
		default:
			if idle++; idle > 100 {
				s.fail(io.ErrNoProgress)
				return
			}
		}
	}
}

// unexpected fails because of the byte at pos.
func (s *scanner) unexpected() {
	if s.pos >= s.end {
		s.fail(io.ErrUnexpectedEOF)
		return
	}
	s.fail(fmt.Errorf("unexpected %q", s.buf[s.pos]))
}

// failWith ends the document with a caller's error, if it is one.
func (s *scanner) failWith(err error) {
	if err != nil {
		s.fail(err)
	}
}

// fail keeps the first error, with its place, and ends the document.
func (s *scanner) fail(err error) {
	if s.err == nil {
		s.err = fmt.Errorf("byte %d: %w", s.base+int64(s.pos), err)
	}
	s.pos, s.end, s.eof = 0, 0, true
}
