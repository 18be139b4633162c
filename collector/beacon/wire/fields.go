package wire

import "errors"

// fields remembers which fields of a row were read, so that a missing one is
// never taken for zero and a doubled one never counted twice.
type fields uint32

// add notes that field i was read, and fails s when it was read before.
func (f *fields) add(s *scanner, i int) {
	if *f&(1<<i) != 0 {
		s.fail(errors.New("a field twice in one row"))
	}
	*f |= 1 << i
}

// all tells whether fields 0 to n-1 were read.
func (f fields) all(n int) bool { return f == 1<<n-1 }
