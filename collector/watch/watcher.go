package watch

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"runtime/debug"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Watcher holds the current watch list and replaces it when its file changes.
// Nothing runs by itself: whoever uses the list asks with CheckFile.
//
// The files may lie where nobody answers any more, such as on a mount of a server that
// is gone: then even to look at them never ends. So they are read by a goroutine, one at
// a time, for which nobody waits beyond a limit; whatever else a Watcher is asked, it
// answers without waiting for them.
//
// It is a prometheus.Collector for the success and time of the last reload.
type Watcher struct {
	path    string
	flags   *List
	logger  *slog.Logger
	options Options

	current    atomic.Pointer[List]
	generation atomic.Uint64

	// turn is held by the one who reads files.
	turn chan struct{}
	// read holds what the last attempt read, so that a change of any file is seen,
	// also of one that made the attempt fail. It belongs to the holder of the turn.
	read []stamp

	// mu is never held while a file is looked at.
	mu         sync.Mutex
	lastFailed bool
	lastLoaded time.Time
	// overdue tells that the reading that goes on has taken longer than anybody waits.
	overdue bool
}

// Options of a Watcher. The zero value is for production.
type Options struct {
	// Now is the clock; nil means time.Now.
	Now func() time.Time
	// CheckTime is how long CheckFile waits for the files, LoadTime how long New and
	// Reload do; 0 means 5 s and 20 s.
	CheckTime, LoadTime time.Duration
}

// New loads the watch list of the file at path (none when empty) and of the
// values of --validator. It fails when that does not give a whole, valid list.
func New(path string, flags []string, logger *slog.Logger, options Options) (*Watcher, error) {
	if options.Now == nil {
		options.Now = time.Now
	}
	if options.CheckTime == 0 {
		// Less than scrapes usually wait, so that the first that meets such a mount is
		// answered in full, too.
		options.CheckTime = 5 * time.Second
	}
	if options.LoadTime == 0 {
		// Less than the answer to a reload over HTTP may take.
		options.LoadTime = 20 * time.Second
	}
	fromFlags, err := FromFlags(flags)
	if err != nil {
		return nil, err
	}
	w := &Watcher{path: path, flags: fromFlags, logger: logger, options: options, turn: make(chan struct{}, 1)}
	w.turn <- struct{}{}
	if err := w.inTurn(options.LoadTime, time.After(options.LoadTime), func() error { _, err := w.load(); return err }); err != nil {
		return nil, err
	}
	return w, nil
}

// Current returns the newest valid list.
func (w *Watcher) Current() *List { return w.current.Load() }

// Generation grows after each change of Current. It starts at 1. Whoever remembers
// it for a list must read it before that list.
func (w *Watcher) Generation() uint64 { return w.generation.Load() }

// Reload reads the list again. When that fails or takes too long, the previous list
// stays in use, and the error is logged and returned.
func (w *Watcher) Reload() error {
	over := time.After(w.options.LoadTime) // of waiting for the turn and for the files together
	select {
	case w.turn <- struct{}{}:
	case <-over:
		return w.notReloaded(w.overdueError(w.options.LoadTime))
	}
	err := w.inTurn(w.options.LoadTime, over, w.reload)
	if errors.Is(err, errOverdue) {
		return w.notReloaded(err)
	}
	return err
}

// CheckFile reloads the list when one of its files has changed since it was last
// read. It costs a stat of each file, so a scrape can afford it. While the files are
// being read already, it leaves that to the one who does.
//
// A file is best replaced by renaming a new one over it, or by a symbolic link,
// as Kubernetes does: one that is written in place may be seen half written.
func (w *Watcher) CheckFile() {
	if w.path == "" {
		return
	}
	select {
	case w.turn <- struct{}{}:
	default:
		return
	}
	err := w.inTurn(w.options.CheckTime, time.After(w.options.CheckTime), func() error {
		if slices.ContainsFunc(w.read, stamp.changed) {
			return w.reload()
		}
		return nil
	})
	if errors.Is(err, errOverdue) {
		_ = w.notReloaded(err) // logged there
	}
}

// errOverdue matches the error of a reading for which nobody waits any longer.
var errOverdue = errors.New("the watch list could not be read")

func (w *Watcher) overdueError(limit time.Duration) error {
	return fmt.Errorf("%w within %s: %s, or a pubkeys_file that it names, does not answer; check the mount that it lies on, and that it is a regular file", errOverdue, limit, w.path)
}

// inTurn runs what looks at files, for which the caller has taken the turn, and gives the
// turn back when that has ended. It returns the error of run, or one that matches
// errOverdue and tells the limit when run has not ended at over; what run finds then still
// counts.
func (w *Watcher) inTurn(limit time.Duration, over <-chan time.Time, run func() error) (err error) {
	ended := make(chan struct{})
	var result error
	go func() {
		defer func() {
			if p := recover(); p != nil {
				// Nobody may be waiting for result, and who is may tell nobody.
				result = fmt.Errorf("reading the watch list: a mistake of this program, please report it: %v", p)
				w.noteLoad(result)
				w.logger.Error("The watch list was not read", "err", result, "stack", string(debug.Stack()))
			}
			w.mu.Lock()
			late := w.overdue
			w.overdue = false
			if !late {
				<-w.turn // so that whoever has waited for the end finds it free
			}
			close(ended)
			w.mu.Unlock()
			if late { // nobody waits; the next reading is not to say something before this
				w.logger.Info("The files of the watch list answer again")
				<-w.turn
			}
		}()
		result = run()
	}()
	select {
	case <-ended:
		return result
	case <-over:
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	select {
	case <-ended: // at the last moment
		return result
	default:
		w.overdue = true
		return w.overdueError(limit)
	}
}

func (w *Watcher) reload() error {
	changed, err := w.load()
	if err != nil {
		return w.notReloaded(err)
	}
	w.logger.Info("Watch list reloaded", "validators", len(w.Current().Entries), "changed", changed)
	return nil
}

func (w *Watcher) notReloaded(err error) error {
	w.logger.Error("Watch list not reloaded; the previous one stays in use", "err", err)
	return err
}

func (w *Watcher) load() (changed bool, err error) {
	w.read = nil
	list, err := w.parse()
	w.noteLoad(err)
	if err != nil {
		return false, err
	}
	if before := w.Current(); before != nil && before.equal(list) {
		return false, nil
	}
	w.current.Store(list)
	w.generation.Add(1)
	return true, nil
}

func (w *Watcher) noteLoad(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.lastFailed = err != nil
	if err == nil {
		w.lastLoaded = w.options.Now()
	}
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
	if w.lastFailed || w.overdue {
		success = 0
	}
	w.mu.Unlock()
	metrics <- prometheus.MustNewConstMetric(reloadSuccess, prometheus.GaugeValue, success)
	metrics <- prometheus.MustNewConstMetric(reloadTimestamp, prometheus.GaugeValue, loaded)
}
