package store

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
)

// What is stored is found by this hash for ever: it must not change.
func TestHashOfASeries(t *testing.T) {
	got, _ := hashLabels([]Label{{"__name__", "up"}, {"job", "é"}}, nil)
	want := sha256.Sum256([]byte("\x00\x00\x00\x00\x00\x00\x00\x08__name__\x00\x00\x00\x00\x00\x00\x00\x02up" +
		"\x00\x00\x00\x00\x00\x00\x00\x03job\x00\x00\x00\x00\x00\x00\x00\x02\xc3\xa9"))
	if got != want {
		t.Errorf("got %x, want %x", got, want)
	}
	// The scratch space has no say, nor does the place where one label ends and the next begins.
	again, buffer := hashLabels([]Label{{"__name__", "up"}, {"job", "é"}}, []byte("left over from before"))
	if again != want {
		t.Errorf("with a used buffer: got %x, want %x", again, want)
	}
	seen := map[hash][]Label{}
	for _, labels := range [][]Label{{{"a", "bc"}}, {{"ab", "c"}}, {{"a", "b"}, {"c", ""}}, {{"a", ""}, {"b", "c"}}, {{"abc", ""}}, {{"", "abc"}}, {}} {
		var h hash
		h, buffer = hashLabels(labels, buffer)
		if other, ok := seen[h]; ok {
			t.Errorf("%v and %v have the same hash", labels, other)
		}
		seen[h] = labels
	}
}

func TestErrorsAreClassed(t *testing.T) {
	code := func(code string) error { return fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: code}) }
	tests := []struct {
		what                  string
		err                   error
		data, transient, lost bool
	}{
		{what: "NUL byte", err: code("22021"), data: true},
		{what: "value out of range", err: code("22003"), data: true},
		{what: "broken check or no partition", err: code("23514"), data: true},
		{what: "index row too large", err: code("54000"), data: true},
		{what: "key that is there", err: code("23505")},
		{what: "deadlock", err: code("40P01"), transient: true},
		{what: "serialization failure", err: code("40001"), transient: true},
		{what: "lock not available", err: code("55P03"), transient: true},
		{what: "too many connections", err: code("53300"), transient: true},
		{what: "plan of a table that changed", err: fmt.Errorf("wrapped: %w", &pgconn.PgError{Code: "0A000", Routine: "RevalidateCachedQuery"}), transient: true},
		{what: "writing transaction on a standby", err: code("0A000")},
		{what: "disk full", err: code("53100")},
		{what: "out of memory", err: code("53200")},
		{what: "wrong password", err: code("28P01")},
		{what: "no such database", err: code("3D000")},
		{what: "no such table", err: code("42P01")},
		{what: "no privilege", err: code("42501")},
		{what: "read-only standby", err: code("25006")},
		{what: "administrator ends the connection", err: code("57P01"), transient: true, lost: true},
		{what: "crash of another backend", err: code("57P02"), transient: true, lost: true},
		{what: "server starts", err: code("57P03"), transient: true, lost: true},
		{what: "statement timeout", err: code("57014")},
		{what: "connection failure", err: code("08006"), transient: true, lost: true},
		{what: "broken connection", err: io.ErrUnexpectedEOF, transient: true, lost: true},
		{what: "time is up", err: context.DeadlineExceeded, transient: true, lost: true},
		{what: "wrong schema", err: ErrMismatch},
		{what: "changed in between", err: errRepeat, transient: true},
	}
	for _, test := range tests {
		if got := dataError(test.err); got != test.data {
			t.Errorf("%s: is the data's: %t", test.what, got)
		}
		if got := transient(test.err); got != test.transient {
			t.Errorf("%s: is transient: %t", test.what, got)
		}
		if got := connectionLost(test.err); got != test.lost {
			t.Errorf("%s: lost the connection: %t", test.what, got)
		}
		if err := unavailable(test.err); !errors.Is(err, ErrUnavailable) || !errors.Is(err, test.err) {
			t.Errorf("%s: %v", test.what, err)
		}
	}
}

func TestMemoryIsBoundedAndKeepsWhatIsUsed(t *testing.T) {
	const limit = 100
	r := recent[int, int]{limit: limit}
	for i := range 10 * limit {
		r.put(i, -i)
		if _, ok := r.get(0); !ok {
			t.Fatalf("what is used all the time is gone after %d others", i)
		}
		if held := len(r.young) + len(r.old); held > limit {
			t.Fatalf("%d entries, more than %d", held, limit)
		}
	}
	if v, ok := r.get(10*limit - 1); !ok || v != 1-10*limit {
		t.Errorf("the newest is %d, %t", v, ok)
	}
	if _, ok := r.get(limit); ok {
		t.Error("what was not used for long is still there")
	}
	var none recent[int, int]
	none.put(1, 1)
	if _, ok := none.get(1); ok {
		t.Error("a memory of nothing remembers")
	}
}

func TestIsolateFindsEveryRowThatIsRefused(t *testing.T) {
	bad := map[int]bool{0: true, 41: true, 42: true, 99: true}
	samples := make([]*sample, 100)
	for i := range samples {
		samples[i] = &sample{row: i}
	}
	calls := 0
	err := isolate(samples, func(part []*sample) error {
		calls++
		for _, sample := range part {
			if bad[sample.row] {
				return &pgconn.PgError{Code: "22003"}
			}
		}
		for _, sample := range part {
			sample.fate = written
		}
		return nil
	}, func(sample *sample, err error) { sample.reject(ReasonDatabase, err) })
	if err != nil {
		t.Fatal(err)
	}
	for _, sample := range samples {
		if (sample.fate == rejected) != bad[sample.row] || (sample.fate == written) == bad[sample.row] {
			t.Errorf("row %d has fate %d", sample.row, sample.fate)
		}
	}
	if calls > 60 {
		t.Errorf("%d calls for 4 of 100 rows", calls)
	}

	down := errors.New("down")
	if err := isolate(samples, func([]*sample) error { return down }, func(*sample, error) { t.Error("rejected") }); !errors.Is(err, down) {
		t.Errorf("got %v, want %v", err, down)
	}
}

func TestNamesOfPartitions(t *testing.T) {
	if got, ok := monthOfTable("samples_2026_02"); !ok || got != (month{2026, 2}) {
		t.Errorf("got %v, %t", got, ok)
	}
	for _, name := range []string{"samples_2026_13", "samples_2026_00", "samples_2026_2", "samples_2026_02_old", "samples_", "series_2026_02", ""} {
		if got, ok := monthOfTable(name); ok {
			t.Errorf("%q is taken for %v", name, got)
		}
	}
	if got := (month{2026, 12}).next(); got != (month{2027, 1}) {
		t.Errorf("after December comes %v", got)
	}
}

func TestSeriesAreMadeInPartsOfBoundedLabels(t *testing.T) {
	of := func(bytes ...int) (samples []*sample) {
		for _, n := range bytes {
			samples = append(samples, &sample{labels: []Label{{"x", strings.Repeat("y", n-1)}}})
		}
		return samples
	}
	for _, tc := range []struct {
		bytes, want []int
	}{
		{nil, []int{0}},
		{[]int{5}, []int{1}},
		{[]int{50}, []int{1}},
		{[]int{5, 5}, []int{2}},
		{[]int{5, 5, 1, 9, 50, 1, 1, 50}, []int{2, 2, 1, 2, 1}},
	} {
		samples := of(tc.bytes...)
		var got []int
		var all []*sample
		for _, part := range byLabels(samples, 10) {
			got = append(got, len(part))
			all = append(all, part...)
		}
		if !slices.Equal(got, tc.want) || !slices.Equal(all, samples) {
			t.Errorf("%d: parts of %d, want %d", tc.bytes, got, tc.want)
		}
	}
}
