package watch

import (
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Watcher holds the current watch list and replaces it when its file changes.
// It starts no goroutine: whoever uses the list asks with CheckFile.
//
// It is a prometheus.Collector for the success and time of the last reload.
type Watcher struct {
	path    string
	flags   *List
	logger  *slog.Logger
	options Options

	current    atomic.Pointer[List]
	generation atomic.Uint64

	mu sync.Mutex
	// read holds what the last attempt read, so that a change of any file is seen,
	// also of one that made the attempt fail.
	read       []stamp
	lastFailed bool
	lastLoaded time.Time
}

// Options of a Watcher. The zero value is for production.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
}

// New loads the watch list of the file at path (none when empty) and of the
// values of --validator. It fails when that does not give a whole, valid list.
func New(path string, flags []string, logger *slog.Logger, options Options) (*Watcher, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	fromFlags, err := FromFlags(flags)
	if err != nil {
		return nil, err
	}
	w := &Watcher{path: path, flags: fromFlags, logger: logger, options: options}
	if _, err := w.load(); err != nil {
		return nil, err
	}
	return w, nil
}

// Current returns the newest valid list.
func (w *Watcher) Current() *List { return w.current.Load() }

// Generation grows after each change of Current. It starts at 1. Whoever remembers
// it for a list must read it before that list.
func (w *Watcher) Generation() uint64 { return w.generation.Load() }

// Reload reads the list again. When that fails, the previous list stays in use,
// and the error is logged and returned.
func (w *Watcher) Reload() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.reload()
}

// CheckFile reloads the list when one of its files has changed since it was last
// read. It costs a stat of each file, so a scrape can afford it.
//
// A file is best replaced by renaming a new one over it, or by a symbolic link,
// as Kubernetes does: one that is written in place may be seen half written.
func (w *Watcher) CheckFile() {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.read {
		if s.changed() {
			_ = w.reload() // logged there
			return
		}
	}
}

func (w *Watcher) reload() error {
	changed, err := w.load()
	if err != nil {
		w.logger.Error("Watch list not reloaded; the previous one stays in use", "err", err)
		return err
	}
	w.logger.Info("Watch list reloaded", "validators", len(w.Current().Entries), "changed", changed)
	return nil
}

func (w *Watcher) load() (changed bool, err error) {
	w.read = nil
	list, err := w.parse()
	w.lastFailed = err != nil
	if err != nil {
		return false, err
	}
	w.lastLoaded = w.options.Now()
	if before := w.Current(); before != nil && before.equal(list) {
		return false, nil
	}
	w.current.Store(list)
	w.generation.Add(1)
	return true, nil
}

func (w *Watcher) parse() (*List, error) {
	if w.path == "" {
		return w.flags, nil
	}
	text, err := w.readFile(w.path)
	if err != nil {
		return nil, fmt.Errorf("cannot read the watch list: %w", err)
	}
	list, err := Parse(w.path, text, w.readFile)
	if err != nil {
		return nil, err
	}
	return Merge(list, w.flags)
}

func (w *Watcher) readFile(path string) ([]byte, error) {
	text, info, err := readFile(path)
	w.read = append(w.read, stamp{path, info})
	return text, err
}

func readFile(path string) ([]byte, fs.FileInfo, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close()
	// What is compared later is the file that was read, as it was before reading.
	info, err := f.Stat()
	if err != nil {
		return nil, nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, MaxFileSize+1))
	if err == nil && len(text) > MaxFileSize {
		err = fmt.Errorf("%s has more than %d MiB; split the watch list over several exporters", path, MaxFileSize>>20)
	}
	return text, info, err
}

// stamp identifies one version of a file; info is nil where it could not be read.
type stamp struct {
	path string
	info fs.FileInfo
}

func (s stamp) changed() bool {
	info, err := os.Stat(s.path)
	if err != nil {
		return s.info != nil
	}
	return s.info == nil || !os.SameFile(s.info, info) || s.info.Size() != info.Size() || !s.info.ModTime().Equal(info.ModTime())
}

var (
	reloadSuccess = prometheus.NewDesc("validator_exporter_config_reload_success",
		"1 when the watch list was last loaded successfully, 0 when a bad file keeps the old list.", nil, nil)
	reloadTimestamp = prometheus.NewDesc("validator_exporter_config_reload_timestamp_seconds",
		"Unix time at which the watch list was last loaded successfully.", nil, nil)
)

// Describe implements prometheus.Collector.
func (w *Watcher) Describe(descs chan<- *prometheus.Desc) {
	descs <- reloadSuccess
	descs <- reloadTimestamp
}

// Collect implements prometheus.Collector.
func (w *Watcher) Collect(metrics chan<- prometheus.Metric) {
	w.mu.Lock()
	success, loaded := 1.0, float64(w.lastLoaded.UnixMilli())/1e3
	if w.lastFailed {
		success = 0
	}
	w.mu.Unlock()
	metrics <- prometheus.MustNewConstMetric(reloadSuccess, prometheus.GaugeValue, success)
	metrics <- prometheus.MustNewConstMetric(reloadTimestamp, prometheus.GaugeValue, loaded)
}
