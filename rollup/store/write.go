package store

import (
	"bytes"
	"cmp"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5"
)

// Write stores a batch in one transaction and returns when it is committed. What cannot
// be stored is said in the result and the rest is stored. An error means that the sender
// must repeat the batch, of which nothing or, when the connection broke during the
// commit, everything is stored; either way it does no harm.
//
// Deadlocks, lost connections and the like are tried again until ctx is done, or for
// 30 s when it has no deadline. A row that an earlier try did commit, unknown to us, then
// counts as a duplicate.
func (s *Store) Write(ctx context.Context, rows []Row) (Result, error) {
	if _, limited := ctx.Deadline(); !limited {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, 30*time.Second)
		defer cancel()
	}
	b := s.prepare(rows)
	for try := 1; ; try++ {
		err := s.attempt(ctx, b)
		if err == nil {
			return b.result(), nil
		}
		s.lost(ctx, err)
		if !transient(err) || !pause(ctx, try) {
			if ctx.Err() != nil {
				err = fmt.Errorf("%w; then %w", err, ctx.Err())
			}
			return Result{}, fmt.Errorf("write %d samples, tried %d times: %w", len(rows), try, unavailable(err))
		}
	}
}

// fate is what becomes of a sample.
type fate int

const (
	undecided fate = iota
	written
	duplicate
	conflict
	rejected
)

// sample is a row on its way into the database.
type sample struct {
	row    int // place in the batch
	labels []Label
	hash   hash
	window int64 // Unix seconds
	value  float64

	// leader has the same key and stands before it in the batch: it alone is written, and
	// what is then stored under the key decides.
	leader *sample

	series int64 // id, 0 while unknown
	fate   fate
	stored uint64 // bits of what is stored under the key, once that is known
	reason string // when rejected
	err    error
}

func (s *sample) key() key { return key{s.series, s.window} }

func (s *sample) reject(reason string, err error) { s.fate, s.reason, s.err = rejected, reason, err }

// settle decides a sample by the value that is stored under its key.
func (s *sample) settle(stored uint64) {
	s.fate, s.stored = conflict, stored
	if math.Float64bits(s.value) == stored {
		s.fate = duplicate
	}
}

func (s *sample) wrote() { s.fate, s.stored = written, math.Float64bits(s.value) }

// batch is what a call of Write stores.
type batch struct {
	samples []*sample // in the order of the rows
	asked   bool      // a partition was missing once, and has been asked for
}

// prepare rejects what needs no database for that, and finds repeated keys.
func (s *Store) prepare(rows []Row) *batch {
	type rowKey struct {
		hash   hash
		window int64
	}
	b := &batch{samples: make([]*sample, len(rows))}
	backing := make([]sample, len(rows))
	first := make(map[rowKey]*sample, len(rows))
	now := s.options.Now()
	oldest, newest := now.Add(-s.options.Retention), now.Add(time.Hour)
	var buffer []byte
	for i, row := range rows {
		sample := &backing[i]
		sample.row, sample.labels, sample.window, sample.value = i, row.Labels, row.Window.Unix(), row.Value
		b.samples[i] = sample
		if reason, err := refuse(row, oldest, newest); err != nil {
			sample.reject(reason, err)
			continue
		}
		sample.hash, buffer = hashLabels(row.Labels, buffer)
		k := rowKey{sample.hash, sample.window}
		if leader, repeated := first[k]; repeated {
			sample.leader = leader
		} else {
			first[k] = sample
		}
	}
	return b
}

// refuse says why a row can never be stored.
func refuse(row Row, oldest, newest time.Time) (reason string, err error) {
	var before string
	named := false
	indexed := 0 // bytes that must fit into a page of an index
	for i, label := range row.Labels {
		for _, text := range []string{label.Name, label.Value} {
			if !utf8.ValidString(text) {
				return ReasonText, fmt.Errorf("label %.100q is not UTF-8", label.Name)
			}
			if strings.IndexByte(text, 0) >= 0 {
				return ReasonText, fmt.Errorf("label %.100q has a NUL byte", label.Name)
			}
		}
		switch {
		case label.Name == "" || label.Value == "":
			return ReasonLabels, fmt.Errorf("label %.100q is empty", label.Name)
		case i > 0 && label.Name <= before:
			return ReasonLabels, fmt.Errorf("label %.100q is repeated or not sorted", label.Name)
		}
		before = label.Name
		switch label.Name {
		case nameLabel:
			named = true
		case "network", "group_by", "group":
			indexed += len(label.Value)
		}
	}
	const mostIndexed = 2048
	switch {
	case !named:
		return ReasonLabels, errors.New("no label __name__")
	case indexed > mostIndexed:
		return ReasonLength, fmt.Errorf("labels network, group_by and group have %d bytes, more than %d", indexed, mostIndexed)
	case math.IsNaN(row.Value) || math.IsInf(row.Value, 0):
		return ReasonValue, fmt.Errorf("value %v is not finite", row.Value)
	case row.Window.Nanosecond() != 0:
		return ReasonWindow, fmt.Errorf("window %s does not begin at a whole second", row.Window.UTC().Format(time.RFC3339Nano))
	case row.Window.Before(oldest):
		return ReasonTooOld, fmt.Errorf("window %s is older than %s, what is retained", row.Window.UTC().Format(time.RFC3339), oldest.UTC().Format(time.RFC3339))
	case row.Window.After(newest):
		return ReasonTooNew, fmt.Errorf("window %s is in the future", row.Window.UTC().Format(time.RFC3339))
	}
	return "", nil
}

// result counts each row once.
func (b *batch) result() (r Result) {
	for _, sample := range b.samples {
		decided, reason, err := sample.fate, sample.reason, sample.err
		if leader := sample.leader; leader != nil {
			decided, reason, err = leader.fate, leader.reason, leader.err
			if decided != rejected {
				sample.settle(leader.stored)
				decided = sample.fate
			}
		}
		switch decided {
		case written:
			r.Written++
		case duplicate:
			r.Duplicates++
		case conflict:
			r.Conflicts = append(r.Conflicts, sample.row)
		case rejected:
			r.Rejected = append(r.Rejected, Rejection{Row: sample.row, Reason: reason, Err: err})
		}
	}
	return r
}

// readCommitted is what the conflict path relies on: each statement sees what others
// have committed until it began. A user's default may be another.
var readCommitted = pgx.TxOptions{IsoLevel: pgx.ReadCommitted, AccessMode: pgx.ReadWrite}

// attempt decides every sample of the batch, or fails as a whole.
func (s *Store) attempt(ctx context.Context, b *batch) error {
	m := s.memory.Load()
	if !m.checked.Load() {
		if err := s.check(ctx, m); err != nil {
			return err
		}
		if s.memory.Load() != m {
			return errRepeat
		}
	}
	todo := b.begin(m)
	if len(todo) == 0 {
		return nil
	}
	if err := s.ensurePartitions(ctx, m, monthsOf(todo)); err != nil {
		return err
	}

	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("wait for a database connection: %w", err)
	}
	defer conn.Release()
	tx, err := conn.BeginTx(ctx, readCommitted)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // of what was not committed; when it fails the connection is gone
	}()
	if err := s.recognise(ctx, tx); err != nil {
		return err
	}
	if s.memory.Load() != m {
		return errRepeat // this may be another database than what m tells of
	}
	made, err := s.resolve(ctx, tx, m, todo)
	if err != nil {
		return err
	}
	todo = slices.DeleteFunc(todo, func(sample *sample) bool { return sample.fate == rejected })
	slices.SortFunc(todo, func(a, b *sample) int {
		return cmp.Or(cmp.Compare(a.series, b.series), cmp.Compare(a.window, b.window))
	})
	if err := s.insert(ctx, tx, b, todo); err != nil {
		if errors.Is(err, errNoPartition) {
			m.setMonths(nil)
			b.asked = true
			return errRepeat
		}
		return err
	}
	if err := noteWritten(ctx, tx, todo); err != nil {
		return err
	}
	if err := tx.Commit(ctx); err != nil {
		return fmt.Errorf("commit: %w", err)
	}
	s.learn(m, made, todo)
	return nil
}

// begin decides the samples that are known to be stored, and returns the others.
func (b *batch) begin(m *memory) []*sample {
	todo := make([]*sample, 0, len(b.samples))
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, sample := range b.samples {
		if sample.leader != nil || sample.fate == rejected && sample.reason != ReasonDatabase && sample.reason != ReasonPartition {
			continue
		}
		// What an earlier try decided was rolled back.
		sample.series, sample.fate, sample.reason, sample.err = 0, undecided, "", nil
		if id, ok := m.series.get(sample.hash); ok {
			sample.series = id
			if stored, ok := m.samples.get(sample.key()); ok {
				sample.settle(stored)
				continue
			}
		}
		todo = append(todo, sample)
	}
	return todo
}

// learn remembers what is committed.
func (s *Store) learn(m *memory, made map[hash]int64, committed []*sample) {
	var newest int64
	m.mu.Lock()
	for hash, id := range made {
		m.series.put(hash, id)
	}
	for _, sample := range committed {
		if sample.fate == written || sample.fate == duplicate {
			m.samples.put(sample.key(), math.Float64bits(sample.value))
			newest = max(newest, sample.window)
		}
	}
	m.mu.Unlock()
	s.sawWindow(newest)
}

func monthsOf(samples []*sample) (months []month) {
	windows := map[int64]bool{}
	for _, sample := range samples {
		if windows[sample.window] {
			continue
		}
		windows[sample.window] = true
		if month := monthOf(time.Unix(sample.window, 0)); !slices.Contains(months, month) {
			months = append(months, month)
		}
	}
	return months
}

// errNoPartition: no partition takes a sample. It may have been dropped by another
// program, so the partitions are looked at once more.
var errNoPartition = errors.New("no partition for a sample")

// insert stores samples in order of their keys, so that writers never wait for each
// other in a circle. Most batches are new as a whole or known as a whole: unless a few of
// the keys are there, a plain COPY is tried, and only when it meets one that is there the
// rows are compared. A COPY that fails costs time and leaves dead rows in the table.
func (s *Store) insert(ctx context.Context, tx pgx.Tx, b *batch, samples []*sample) error {
	return isolate(samples, func(part []*sample) error {
		there, err := probe(ctx, tx, part)
		if err != nil {
			return err
		}
		if !there {
			err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return copySamples(ctx, tx, part) })
		}
		if there || hasCode(err, codeUnique) {
			err = pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return mergeSamples(ctx, tx, part) })
		}
		if noPartition(err) && !b.asked {
			return errNoPartition
		}
		return err
	}, func(refused *sample, err error) {
		reason := ReasonDatabase
		if noPartition(err) {
			reason = ReasonPartition
		}
		refused.reject(reason, err)
	})
}

// isolate runs store, which leaves nothing behind when it fails, on samples. Where their
// data is refused it halves them until it has found which are, has those rejected, and
// stores the others.
func isolate(samples []*sample, store func([]*sample) error, reject func(*sample, error)) error {
	if len(samples) == 0 {
		return nil
	}
	err := store(samples)
	switch {
	case !dataError(err):
		return err
	case len(samples) == 1:
		reject(samples[0], err)
		return nil
	}
	half := len(samples) / 2
	if err := isolate(samples[:half], store, reject); err != nil {
		return err
	}
	return isolate(samples[half:], store, reject)
}

// copySamples writes samples that are all new, or fails with codeUnique.
func copySamples(ctx context.Context, tx pgx.Tx, samples []*sample) error {
	// The binary format of COPY: a header, for each row the number of columns and each
	// column after its size, and an end.
	const rowSize = 2 + 3*(4+8)
	buffer := make([]byte, 0, 19+len(samples)*rowSize+2)
	buffer = append(buffer, "PGCOPY\n\xff\r\n\x00"...)
	buffer = append(buffer, 0, 0, 0, 0, 0, 0, 0, 0)
	for _, sample := range samples {
		buffer = binary.BigEndian.AppendUint16(buffer, 3)
		for _, column := range [...]uint64{
			uint64(sample.series), uint64(postgresTime(sample.window)), math.Float64bits(sample.value),
		} {
			buffer = binary.BigEndian.AppendUint32(buffer, 8)
			buffer = binary.BigEndian.AppendUint64(buffer, column)
		}
	}
	buffer = binary.BigEndian.AppendUint16(buffer, math.MaxUint16)
	_, err := tx.Conn().PgConn().CopyFrom(ctx, bytes.NewReader(buffer), `COPY samples (series_id, window_start, value) FROM STDIN (FORMAT binary)`)
	if err != nil {
		return fmt.Errorf("copy samples: %w", err)
	}
	for _, sample := range samples {
		sample.wrote()
	}
	return nil
}

// postgresTime is a timestamptz: microseconds since 2000.
func postgresTime(unix int64) int64 {
	const epoch = 946_684_800
	return (unix - epoch) * 1_000_000
}

// lookUp finds the values that are stored under keys.
const lookUp = `
	SELECT wanted.series_id, wanted.window_start, stored.value
	FROM unnest($1::bigint[], $2::timestamptz[], $3::float8[]) AS wanted (series_id, window_start, value)
	CROSS JOIN LATERAL (
		SELECT value FROM samples
		WHERE series_id = wanted.series_id AND window_start = wanted.window_start
		LIMIT 1 -- keeps this a look-up of each key, whatever the planner thinks of the table
	) AS stored`

// probe tells whether one of a few samples, taken evenly from all, is there.
func probe(ctx context.Context, tx pgx.Tx, samples []*sample) (there bool, err error) {
	const most = 8
	var few []*sample
	open := map[key]*sample{}
	for i := range min(most, len(samples)) {
		one := samples[i*len(samples)/min(most, len(samples))]
		few = append(few, one)
		open[one.key()] = one
	}
	if err := queryKeys(ctx, tx, few, open, lookUp, func(*sample, float64) { there = true }); err != nil {
		return false, fmt.Errorf("look whether samples are there: %w", err)
	}
	return there, nil
}

// mergeSamples writes the samples that are new and compares the others with what is
// stored.
func mergeSamples(ctx context.Context, tx pgx.Tx, samples []*sample) error {
	open := map[key]*sample{}
	for _, sample := range samples {
		sample.fate = undecided
		open[sample.key()] = sample
	}
	// Between looking and inserting another writer may commit the same key: then look
	// again. What is there stays there, so that ends.
	const rounds = 5
	for range rounds {
		err := queryKeys(ctx, tx, samples, open, lookUp, func(sample *sample, value float64) { sample.settle(math.Float64bits(value)) })
		if err != nil {
			return fmt.Errorf("compare samples with what is stored: %w", err)
		}
		if len(open) == 0 {
			return nil
		}
		err = queryKeys(ctx, tx, samples, open, `
			INSERT INTO samples (series_id, window_start, value)
			SELECT series_id, window_start, value
			FROM unnest($1::bigint[], $2::timestamptz[], $3::float8[]) AS new (series_id, window_start, value)
			ON CONFLICT DO NOTHING
			RETURNING series_id, window_start, value`, func(sample *sample, _ float64) { sample.wrote() })
		if err != nil {
			return fmt.Errorf("insert samples: %w", err)
		}
		if len(open) == 0 {
			return nil
		}
	}
	return errRepeat
}

// queryKeys runs sql with the keys and values of the samples that are open, in order,
// and takes those that it returns off open.
func queryKeys(ctx context.Context, tx pgx.Tx, samples []*sample, open map[key]*sample, sql string, found func(*sample, float64)) error {
	var (
		series  []int64
		windows []time.Time
		values  []float64
	)
	for _, sample := range samples {
		if open[sample.key()] == nil {
			continue
		}
		series = append(series, sample.series)
		windows = append(windows, time.Unix(sample.window, 0))
		values = append(values, sample.value)
	}
	rows, err := tx.Query(ctx, sql, series, windows, values)
	if err != nil {
		return err
	}
	var (
		id     int64
		window time.Time
		value  float64
	)
	_, err = pgx.ForEachRow(rows, []any{&id, &window, &value}, func() error {
		k := key{id, window.Unix()}
		found(open[k], value)
		delete(open, k)
		return nil
	})
	return err
}
