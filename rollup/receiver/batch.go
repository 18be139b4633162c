package receiver

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/prometheus/prometheus/model/value"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// Why a sample can never be stored, beside the store's own reasons.
const (
	reasonHistogram = "histogram" // a window's total is a number
	reasonTimestamp = "timestamp" // in the future, or before the window it tells of
)

// reasons lists all reasons.
func reasons() []string {
	return append(store.Reasons(), reasonHistogram, reasonTimestamp)
}

const (
	nameLabel   = "__name__"
	windowLabel = "window"
)

// batch sorts the samples of a request: into rows for the store, and the others by what
// becomes of them.
type batch struct {
	rows   []store.Row
	places []int // of each row's sample in the request

	received int // all samples, histograms included
	dropped  int // accepted and not stored
	refused  refused

	limits   Limits
	series   *regexp.Regexp
	drop     map[string]bool
	greatest map[string]float64 // value, by family
	newest   int64              // latest time of a sample, Unix milliseconds

	kept  map[string]bool   // by name: is it a rollup
	at    map[span]bool     // the same by where the name stands
	texts map[string]string // one string for each text, whatever refers to it
	spare []store.Label     // cut up for rows

	// Bytes of labels that may still be looked at, and that rows may still take.
	readable, keepable int
}

// span is where a text stands in the message.
type span struct {
	first *byte
	size  int
}

// refused are samples that can never be stored.
type refused struct {
	reasons map[string]int
	count   int
	place   int    // of the first in the request
	first   string // what is wrong with it
}

// add counts samples from place on. describe names their series.
func (r *refused) add(place, samples int, reason string, err error, describe func() string) {
	if samples == 0 {
		return
	}
	if r.count == 0 || place < r.place {
		r.place, r.first = place, describe()+": "+err.Error()
	}
	r.count += samples
	if reason == "" {
		return
	}
	if r.reasons == nil {
		r.reasons = map[string]int{}
	}
	r.reasons[reason] += samples
}

func (r *Receiver) newBatch() *batch {
	return &batch{
		limits:   r.options.Limits,
		series:   r.series,
		drop:     r.drop,
		greatest: r.greatest,
		newest:   r.options.Now().Add(r.options.Limits.Future).UnixMilli(),
		kept:     map[string]bool{},
		at:       map[span]bool{},
		texts:    map[string]string{},

		readable: r.options.Limits.Decoded,
		keepable: r.options.Limits.Decoded,
	}
}

// read says that so many bytes of labels are about to be looked at, each a few times:
// whether they are UTF-8, whether their name is a rollup's, what their hash is.
// Remote-Write 2.0 may refer to one text a million times: what counts is its size where
// it stands, which a message of 1.0 would have too. Else a request of a megabyte could
// keep a processor busy for an hour.
func (b *batch) read(size int) error {
	if b.readable -= size; b.readable < 0 {
		return b.tooManyLabels()
	}
	return nil
}

func (b *batch) tooManyLabels() error {
	return tooLarge("the labels of all series need more than %d bytes (--receive.max-decoded-bytes is to be about max_samples_per_send times the bytes of one series' labels)", b.limits.Decoded)
}

// add takes a series as the decoder gives it. The error refuses the whole request.
func (b *batch) add(s *wireSeries) error {
	place, samples := b.received, len(s.samples)+s.histograms
	b.received += samples
	refuse := func(reason string, err error) error {
		b.refused.add(place, samples, reason, err, s.describe)
		return nil
	}

	// What no sender may send is refused of whatever family.
	if s.unreadable != nil {
		return refuse(store.ReasonLabels, s.unreadable)
	}
	size := 0
	for _, label := range s.labels {
		size += len(label.name) + len(label.value)
	}
	if err := b.read(size); err != nil {
		return err
	}
	slices.SortFunc(s.labels, func(a, b wireLabel) int { return bytes.Compare(a.name, b.name) })
	var name, window []byte
	for i, label := range s.labels {
		switch {
		case !utf8.Valid(label.name) || !utf8.Valid(label.value):
			return refuse(store.ReasonText, fmt.Errorf("label %s is not UTF-8", shown(label.name)))
		case len(label.name) == 0:
			return refuse(store.ReasonLabels, errors.New("a label has no name"))
		case len(label.value) == 0:
			return refuse(store.ReasonLabels, fmt.Errorf("label %s is empty", shown(label.name)))
		case i > 0 && bytes.Equal(label.name, s.labels[i-1].name):
			return refuse(store.ReasonLabels, fmt.Errorf("label %s is there twice", shown(label.name)))
		}
		switch string(label.name) {
		case nameLabel:
			name = label.value
		case windowLabel:
			window = label.value
		}
	}
	if name == nil {
		return refuse(store.ReasonLabels, errors.New("no label __name__"))
	}

	if !b.isRollup(name) {
		b.dropped += samples
		return nil
	}
	for _, label := range s.labels {
		for _, text := range [][]byte{label.name, label.value} {
			if len(text) > b.limits.LabelBytes {
				return refuse(store.ReasonLength, fmt.Errorf("label %s has a text of %d bytes, more than %d", shown(label.name), len(text), b.limits.LabelBytes))
			}
		}
	}
	start, err := readWindow(window)
	if err != nil {
		return refuse(store.ReasonWindow, err)
	}
	if s.histograms > 0 {
		b.refused.add(place+len(s.samples), s.histograms, reasonHistogram, errors.New("histograms are not stored"), s.describe)
	}
	greatest, limited := b.greatest[string(name)]
	var labels []store.Label // once for all samples
	for i, sample := range s.samples {
		place := place + i
		switch {
		case value.IsStaleNaN(sample.value):
			b.dropped++ // says only that the exporter shows the window no longer
			continue
		case math.IsNaN(sample.value) || math.IsInf(sample.value, 0):
			b.refused.add(place, 1, store.ReasonValue, fmt.Errorf("value %v is not finite", sample.value), s.describe)
			continue
		case limited && math.Abs(sample.value) > greatest:
			b.refused.add(place, 1, store.ReasonValue, fmt.Errorf("value %v is more than any window has, %v", sample.value, greatest), s.describe)
			continue
		case sample.timestamp > b.newest:
			b.refused.add(place, 1, reasonTimestamp, fmt.Errorf("timestamp %d ms is in the future", sample.timestamp), s.describe)
			continue
		case sample.timestamp < 1000*start:
			b.refused.add(place, 1, reasonTimestamp, fmt.Errorf("timestamp %d ms is before the window", sample.timestamp), s.describe)
			continue
		}
		if labels == nil {
			if labels, err = b.labelsOf(s.labels); err != nil {
				return err
			}
		} else if err := b.read(size); err != nil { // the store reads the labels of each row
			return err
		}
		b.rows = append(b.rows, store.Row{Labels: labels, Window: time.Unix(start, 0), Value: sample.value})
		b.places = append(b.places, place)
	}
	return nil
}

// isRollup tells whether a family is kept. Matching is the slowest of all that is done to
// a text, by far: the same text is matched once, however many series refer to it.
func (b *batch) isRollup(name []byte) bool {
	kept, known := b.kept[string(name)]
	if known {
		return kept
	}
	here := span{&name[0], len(name)}
	if kept, known = b.at[here]; known {
		return kept
	}
	kept = b.series.Match(name)
	b.at[here] = kept
	// Names of other families are not ours to bound.
	if len(b.kept) < 1000 && len(name) < 1000 {
		b.kept[string(name)] = kept
	}
	return kept
}

// labelsOf returns what identifies a series: its labels without the window and those that
// are dropped.
func (b *batch) labelsOf(wire []wireLabel) ([]store.Label, error) {
	if len(b.spare) < len(wire) {
		b.spare = make([]store.Label, max(1024, len(wire)))
	}
	labels := b.spare[:0]
	for _, label := range wire {
		if string(label.name) == windowLabel || b.drop[string(label.name)] {
			continue
		}
		const overhead = 32 // of a store.Label
		if b.keepable -= overhead + len(label.name) + len(label.value); b.keepable < 0 {
			return nil, b.tooManyLabels()
		}
		labels = append(labels, store.Label{Name: b.text(label.name), Value: b.text(label.value)})
	}
	b.spare = b.spare[len(labels):]
	return labels[:len(labels):len(labels)], nil
}

func (b *batch) text(wire []byte) string {
	text, known := b.texts[string(wire)]
	if !known {
		text = string(wire)
		b.texts[text] = text
	}
	return text
}

// lastWindow is the last second of the year 9999.
const lastWindow = 253_402_300_799

// readWindow reads the label window, the Unix time of the window's first slot. What time
// it may be is the store's to say.
func readWindow(text []byte) (int64, error) {
	if text == nil {
		return 0, errors.New("no label window")
	}
	unix, err := strconv.ParseInt(string(text), 10, 64)
	// 007 would be another series of the same window.
	if err != nil || unix < 0 || unix > lastWindow || strconv.FormatInt(unix, 10) != string(text) {
		return 0, fmt.Errorf("window %s is no Unix time in whole seconds", shown(text))
	}
	return unix, nil
}

// describe names a series to people, in bounded length.
func (s *wireSeries) describe() string {
	labels := make([]store.Label, 0, describedLabels+1)
	for _, label := range s.labels {
		if string(label.name) == nameLabel {
			labels = append(labels, store.Label{Name: nameLabel, Value: clip(label.value)})
		}
	}
	for _, label := range s.labels {
		if string(label.name) != nameLabel && len(labels) <= describedLabels {
			labels = append(labels, store.Label{Name: clip(label.name), Value: clip(label.value)})
		}
	}
	return describe(labels)
}

const (
	describedLabels = 10 // how many are shown
	describedBytes  = 80 // how much of each text
)

func describe(labels []store.Label) string {
	var name string
	var others []string
	for _, label := range labels {
		if label.Name == nameLabel {
			name = strings.Trim(strconv.Quote(clip(label.Value)), `"`)
		} else if len(others) < describedLabels {
			others = append(others, strings.Trim(strconv.Quote(clip(label.Name)), `"`)+"="+strconv.Quote(clip(label.Value)))
		}
	}
	return name + "{" + strings.Join(others, ",") + "}"
}

func shown(text []byte) string { return strconv.Quote(clip(text)) }

// clip shortens a text for people.
func clip[T string | []byte](text T) string {
	if len(text) > describedBytes {
		return string(text[:describedBytes]) + "…"
	}
	return string(text)
}
