package store

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

// hash identifies a series: SHA-256 over its sorted labels, each name and each value
// after its length, so that no two lists of labels run into one.
type hash [sha256.Size]byte

// hashLabels uses buffer as its scratch space and returns it.
func hashLabels(labels []Label, buffer []byte) (hash, []byte) {
	buffer = buffer[:0]
	for _, label := range labels {
		for _, text := range []string{label.Name, label.Value} {
			buffer = binary.BigEndian.AppendUint64(buffer, uint64(len(text)))
			buffer = append(buffer, text...)
		}
	}
	return sha256.Sum256(buffer), buffer
}

const nameLabel = "__name__"

func nameOf(labels []Label) string {
	for _, label := range labels {
		if label.Name == nameLabel {
			return label.Value
		}
	}
	return ""
}

// subject is whom a series is about. It is comparable.
type subject struct {
	kind       string // validator, group or network
	network    string
	index      int64  // of the validator
	by, member string // the group's group_by and group
}

const (
	kindValidator = "validator"
	kindGroup     = "group"
	kindNetwork   = "network"
)

// longestDetail bounds the value of a label that is part of a measure, in bytes.
const longestDetail = 100

// classify says whom labels are about and what they count: the family's name and the
// values of its further labels. ok is false for what no view can show: a family that is
// no completed window's, or not exactly the labels of that family. With a label more,
// two series would tell the same, and sums would count it twice; extra has the names of
// such labels.
func classify(labels []Label) (who subject, measure string, extra []string, ok bool) {
	name := nameOf(labels)
	family, known := catalog.Get(name)
	prefix, measure, windowed := strings.Cut(name, "_window_")
	kind, native := strings.CutPrefix(prefix, "ethereum_")
	if !known || !windowed || !native || family.Origin != catalog.Chain {
		return subject{}, "", nil, false
	}
	who.kind = kind
	values := map[string]string{}
	for _, label := range labels {
		switch {
		case label.Name == nameLabel:
		case slices.Contains(family.Labels, label.Name) && label.Name != "window":
			values[label.Name] = label.Value
		default:
			extra = append(extra, label.Name)
		}
	}
	if len(extra) > 0 {
		return subject{}, "", extra, false
	}
	for _, name := range family.Labels {
		value, given := values[name]
		switch {
		case name == "window":
			continue
		case !given:
			return subject{}, "", nil, false
		}
		switch name {
		case "network":
			who.network = value
		case "validator_index":
			index, err := strconv.ParseInt(value, 10, 64)
			// 007 would be another series of the same validator.
			if err != nil || index < 0 || strconv.FormatInt(index, 10) != value {
				return subject{}, "", nil, false
			}
			who.index = index
		case "group_by":
			who.by = value
		case "group":
			who.member = value
		default:
			// No exporter sends such a text. With it two series could be one measure, or a
			// measure be too long for its index.
			if strings.Contains(value, "/") || len(value) > longestDetail {
				return subject{}, "", nil, false
			}
			measure += "/" + value
		}
	}
	return who, measure, nil, true
}

// resolve sets the id of each sample's series, and makes the series that are missing.
// made are those that m does not know yet: it may learn them once they are committed.
func (s *Store) resolve(ctx context.Context, tx pgx.Tx, m *memory, samples []*sample) (made map[hash]int64, err error) {
	made = map[hash]int64{}
	var unknown []*sample // the first of each series
	m.mu.Lock()
	for _, sample := range samples {
		if id, ok := m.series.get(sample.hash); ok {
			sample.series = id
		} else if _, seen := made[sample.hash]; !seen {
			made[sample.hash] = 0
			unknown = append(unknown, sample)
		}
	}
	m.mu.Unlock()
	if len(unknown) == 0 {
		return nil, nil
	}
	slices.SortFunc(unknown, func(a, b *sample) int { return bytes.Compare(a.hash[:], b.hash[:]) })

	missing, err := s.lookUpSeries(ctx, tx, unknown, made)
	if err != nil {
		return nil, err
	}
	if len(missing) > 0 {
		// One writer makes series at a time: nobody waits for half of another's and no id is
		// burnt on one that is there. The lock is taken before any sample is written, and
		// whoever holds it waits for samples only, so it is part of no deadlock.
		if err := lockForSeries(ctx, tx); err != nil {
			return nil, err
		}
		if missing, err = s.lookUpSeries(ctx, tx, missing, made); err != nil {
			return nil, err
		}
		for _, part := range byLabels(missing, labelsAtOnce) {
			err := isolate(part, func(part []*sample) error {
				return pgx.BeginFunc(ctx, tx, func(tx pgx.Tx) error { return s.makeSeries(ctx, tx, part, made) })
			}, func(refused *sample, err error) {
				delete(made, refused.hash)
				for _, sample := range samples {
					if sample.hash == refused.hash {
						sample.reject(ReasonDatabase, fmt.Errorf("series %s: %w", nameOf(sample.labels), err))
					}
				}
			})
			if err != nil {
				return nil, err
			}
		}
	}
	for _, sample := range samples {
		if id := made[sample.hash]; id != 0 {
			sample.series = id
		}
	}
	return made, nil
}

// labelsAtOnce bounds the bytes of the labels of series that one statement makes: as JSON
// they can be six times as long, and they are copied on their way to Postgres.
const labelsAtOnce = 256 << 10

// byLabels divides samples, in their order, into parts whose labels have so many bytes at
// most, or which are a single sample.
func byLabels(samples []*sample, most int) (parts [][]*sample) {
	begin, bytes := 0, 0
	for i, sample := range samples {
		size := 0
		for _, label := range sample.labels {
			size += len(label.Name) + len(label.Value)
		}
		if bytes += size; bytes > most && i > begin {
			parts = append(parts, samples[begin:i])
			begin, bytes = i, size
		}
	}
	return append(parts, samples[begin:])
}

func lockForSeries(ctx context.Context, tx pgx.Tx) error {
	if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockSeries)); err != nil {
		return fmt.Errorf("wait for others that make series: %w", err)
	}
	return nil
}

// lookUpSeries puts the ids of those that exist into ids, and returns the others. A series
// of a family that this program has learnt to know since gets its subject.
func (s *Store) lookUpSeries(ctx context.Context, tx pgx.Tx, wanted []*sample, ids map[hash]int64) (missing []*sample, err error) {
	hashes := make([][]byte, len(wanted))
	for i, sample := range wanted {
		hashes[i] = sample.hash[:]
	}
	rows, err := tx.Query(ctx, `SELECT hash, id, subject_id IS NULL FROM series WHERE hash = ANY($1)`, hashes)
	if err != nil {
		return nil, fmt.Errorf("look up series: %w", err)
	}
	nameless := map[hash]bool{}
	for rows.Next() {
		var raw []byte
		var id int64
		var noSubject bool
		if err := rows.Scan(&raw, &id, &noSubject); err != nil {
			rows.Close()
			return nil, fmt.Errorf("look up series: %w", err)
		}
		ids[hash(raw)] = id
		nameless[hash(raw)] = noSubject
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look up series: %w", err)
	}
	for _, sample := range wanted {
		if ids[sample.hash] == 0 {
			missing = append(missing, sample)
			continue
		}
		if who, measure, _, ok := classify(sample.labels); ok && nameless[sample.hash] {
			if err := lockForSeries(ctx, tx); err != nil {
				return nil, err
			}
			subjects, err := s.subjects(ctx, tx, []subject{who})
			if err != nil {
				return nil, err
			}
			if _, err := tx.Exec(ctx, `UPDATE series SET subject_id = $1, measure = $2 WHERE id = $3`,
				subjects[who], measure, ids[sample.hash]); err != nil {
				return nil, fmt.Errorf("give series %s its subject: %w", nameOf(sample.labels), err)
			}
		}
	}
	return missing, nil
}

// makeSeries inserts series in the order given and puts their ids into ids.
func (s *Store) makeSeries(ctx context.Context, tx pgx.Tx, missing []*sample, ids map[hash]int64) error {
	var (
		hashes        [][]byte
		names, labels []string
		who           []subject
		measures      []*string
		subjectOf     = make([]*subject, len(missing))
	)
	for i, sample := range missing {
		hashes = append(hashes, sample.hash[:])
		names = append(names, nameOf(sample.labels))
		others := map[string]string{}
		for _, label := range sample.labels {
			if label.Name != nameLabel {
				others[label.Name] = label.Value
			}
		}
		encoded, err := json.Marshal(others)
		if err != nil {
			return fmt.Errorf("labels of series %s: %w", nameOf(sample.labels), err)
		}
		labels = append(labels, string(encoded))
		about, measure, extra, ok := classify(sample.labels)
		if !ok {
			s.warnUnseen(sample.labels, extra)
			measures = append(measures, nil)
			continue
		}
		who = append(who, about)
		subjectOf[i] = &about
		measures = append(measures, &measure)
	}
	idOf, err := s.subjects(ctx, tx, who)
	if err != nil {
		return err
	}
	subjectIDs := make([]*int64, len(missing))
	for i, about := range subjectOf {
		if about != nil {
			id := idOf[*about]
			subjectIDs[i] = &id
		}
	}
	rows, err := tx.Query(ctx, `
		INSERT INTO series (hash, name, labels, subject_id, measure)
		SELECT hash, name, labels::jsonb, subject_id, measure
		FROM unnest($1::bytea[], $2::text[], $3::text[], $4::bigint[], $5::text[])
			WITH ORDINALITY AS new (hash, name, labels, subject_id, measure, place)
		ORDER BY place
		RETURNING hash, id`, hashes, names, labels, subjectIDs, measures)
	if err != nil {
		return fmt.Errorf("make series: %w", err)
	}
	var raw []byte
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&raw, &id}, func() error {
		ids[hash(raw)] = id
		return nil
	}); err != nil {
		return fmt.Errorf("make series: %w", err)
	}
	return nil
}

// warnUnseen says once for each set of labels that they keep series out of the views.
func (s *Store) warnUnseen(labels []Label, extra []string) {
	const most = 50 // whoever sends more sets than that is not helped by more lines
	names := strings.Join(extra, ",")
	s.warnedMu.Lock()
	defer s.warnedMu.Unlock()
	if len(extra) == 0 || s.warned[names] || len(s.warned) >= most {
		return
	}
	s.warned[names] = true
	s.log.Warn("Series have labels that the exporter does not give them: they are stored, but no view shows them; let the receiver drop these labels",
		"labels", names, "series", nameOf(labels))
}

// subjects returns the ids of all of who, and makes those that are missing. The caller
// holds lockSeries.
func (s *Store) subjects(ctx context.Context, tx pgx.Tx, who []subject) (map[subject]int64, error) {
	ids := map[subject]int64{}
	for _, kind := range []string{kindNetwork, kindGroup, kindValidator} {
		var networks, bys, members []string
		var indices []int64
		seen := map[subject]bool{}
		for _, one := range who {
			if one.kind != kind || seen[one] {
				continue
			}
			seen[one] = true
			networks = append(networks, one.network)
			bys = append(bys, one.by)
			members = append(members, one.member)
			indices = append(indices, one.index)
		}
		if len(networks) == 0 {
			continue
		}
		// Those of one kind leave the columns of the others null; here they are their Go zeros.
		var same, columns, values string
		switch kind {
		case kindNetwork:
		case kindGroup:
			same = ` AND subjects.group_by = wanted.group_by AND subjects.group_name = wanted.group_name`
			columns, values = `, group_by, group_name`, `, wanted.group_by, wanted.group_name`
		case kindValidator:
			same = ` AND subjects.validator_index = wanted.validator_index`
			columns, values = `, validator_index`, `, wanted.validator_index`
		}
		wanted := `unnest($1::text[], $2::text[], $3::text[], $4::bigint[])
			WITH ORDINALITY AS wanted (network, group_by, group_name, validator_index, place)`
		for _, statement := range []string{
			`SELECT wanted.network, wanted.group_by, wanted.group_name, wanted.validator_index, subjects.id
			FROM ` + wanted + ` JOIN subjects ON subjects.kind = '` + kind + `' AND subjects.network = wanted.network` + same,
			`INSERT INTO subjects (kind, network` + columns + `)
			SELECT '` + kind + `', wanted.network` + values + ` FROM ` + wanted + ` ORDER BY wanted.place
			RETURNING network, coalesce(group_by, ''), coalesce(group_name, ''), coalesce(validator_index, 0), id`,
		} {
			rows, err := tx.Query(ctx, statement, networks, bys, members, indices)
			if err != nil {
				return nil, fmt.Errorf("subjects of series: %w", err)
			}
			found := subject{kind: kind}
			var id int64
			if _, err := pgx.ForEachRow(rows, []any{&found.network, &found.by, &found.member, &found.index, &id}, func() error {
				ids[found] = id
				return nil
			}); err != nil {
				return nil, fmt.Errorf("subjects of series: %w", err)
			}
			// The second statement makes what the first has not found.
			var left int
			for i := range networks {
				if ids[subject{kind, networks[i], indices[i], bys[i], members[i]}] == 0 {
					networks[left], bys[left], members[left], indices[left] = networks[i], bys[i], members[i], indices[i]
					left++
				}
			}
			networks, bys, members, indices = networks[:left], bys[:left], members[:left], indices[:left]
			if left == 0 {
				break
			}
		}
	}
	return ids, nil
}
