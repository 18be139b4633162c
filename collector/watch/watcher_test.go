package watch

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
)

// disk is a directory with a watch list, and a clock.
type disk struct {
	*testing.T
	dir string
	log bytes.Buffer
	now time.Time
}

func newDisk(t *testing.T) *disk {
	return &disk{T: t, dir: t.TempDir(), now: time.Unix(1_700_000_000, 0)}
}

func (d *disk) path(name string) string { return filepath.Join(d.dir, name) }

// replace puts a new file in place of name, the way an atomic writer does.
func (d *disk) replace(name, text string) {
	d.Helper()
	if err := os.WriteFile(d.path("new"), []byte(text), 0o600); err != nil {
		d.Fatal(err)
	}
	if err := os.Rename(d.path("new"), d.path(name)); err != nil {
		d.Fatal(err)
	}
}

func (d *disk) watch(name string, flags ...string) *Watcher {
	d.Helper()
	w, err := New(d.path(name), flags, slog.New(slog.NewTextHandler(&d.log, nil)), Options{Now: func() time.Time { return d.now }})
	if err != nil {
		d.Fatal(err)
	}
	return w
}

func (d *disk) expect(w *Watcher, list string, generation uint64) {
	d.Helper()
	if got := render(w.Current()); got != list {
		d.Errorf("list\n%s\nwant\n%s", got, list)
	}
	if got := w.Generation(); got != generation {
		d.Errorf("generation %d, want %d", got, generation)
	}
}

func (d *disk) expectSuccess(w *Watcher, success string) {
	d.Helper()
	want := `# HELP validator_exporter_config_reload_success 1 when the watch list was last loaded successfully, 0 when a bad file keeps the old list.
# TYPE validator_exporter_config_reload_success gauge
validator_exporter_config_reload_success ` + success + "\n"
	if err := testutil.CollectAndCompare(w, strings.NewReader(want), "validator_exporter_config_reload_success"); err != nil {
		d.Error(err)
	}
}

func TestFirstLoadMustSucceed(t *testing.T) {
	d := newDisk(t)
	_, err := New(d.path("watch.yaml"), nil, slog.New(slog.DiscardHandler), Options{})
	want := fmt.Sprintf("cannot read the watch list: open %s: no such file or directory", d.path("watch.yaml"))
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
	d.replace("watch.yaml", "validators: [1]")
	if _, err := New(d.path("watch.yaml"), nil, slog.New(slog.DiscardHandler), Options{}); err == nil {
		t.Error("a bad file was accepted")
	}
	if _, err := New("", []string{"x"}, slog.New(slog.DiscardHandler), Options{}); err == nil {
		t.Error("a bad flag was accepted")
	}
}

func TestFlagsAloneAreAList(t *testing.T) {
	d := newDisk(t)
	w, err := New("", []string{"3"}, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	w.CheckFile()
	if err := w.Reload(); err != nil {
		t.Fatal(err)
	}
	d.expect(w, "3", 1)
}

func TestChangedFileIsReadAgain(t *testing.T) {
	d := newDisk(t)
	d.replace("watch.yaml", "validators: [{index: 1}]")
	w := d.watch("watch.yaml", "9")
	d.expect(w, "1\n9", 1)

	w.CheckFile()
	if d.log.Len() > 0 {
		t.Errorf("an unchanged file was read again: %s", &d.log)
	}
	d.replace("watch.yaml", "validators: [{index: 2}]")
	w.CheckFile()
	d.expect(w, "2\n9", 2)

	// The same content in a new file is no new list.
	d.replace("watch.yaml", "validators: [{index: 2}] # same")
	w.CheckFile()
	d.expect(w, "2\n9", 2)
}

func TestChangedPubkeysFileIsReadAgain(t *testing.T) {
	d := newDisk(t)
	d.replace("keys.txt", pubkeyA)
	d.replace("watch.yaml", "validators: [{pubkeys_file: keys.txt}]")
	w := d.watch("watch.yaml")
	d.replace("keys.txt", pubkeyB)
	w.CheckFile()
	d.expect(w, pubkeyB, 2)
}

// Kubernetes mounts a ConfigMap as watch.yaml → ..data/watch.yaml, and swaps the
// link ..data.
func TestConfigMapSwapIsSeen(t *testing.T) {
	d := newDisk(t)
	for version, text := range map[string]string{"v1": "validators: [{index: 1}]", "v2": "validators: [{index: 2}]"} {
		if err := os.Mkdir(d.path(version), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(d.path(version), "watch.yaml"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		// Same size and same time: only the file itself differs.
		when := time.Unix(1_600_000_000, 0)
		if err := os.Chtimes(filepath.Join(d.path(version), "watch.yaml"), when, when); err != nil {
			t.Fatal(err)
		}
	}
	link := func(target, name string) {
		if err := os.Symlink(target, d.path("tmp")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(d.path("tmp"), d.path(name)); err != nil {
			t.Fatal(err)
		}
	}
	link("v1", "..data")
	link("..data/watch.yaml", "watch.yaml")
	w := d.watch("watch.yaml")
	d.expect(w, "1", 1)
	link("v2", "..data")
	w.CheckFile()
	d.expect(w, "2", 2)
}

func TestBadFileKeepsTheOldListAndSaysSoOnce(t *testing.T) {
	d := newDisk(t)
	d.replace("watch.yaml", "validators: [{index: 1}]")
	w := d.watch("watch.yaml")
	metrics := func(success int, loaded int64) {
		t.Helper()
		want := fmt.Sprintf(`# HELP validator_exporter_config_reload_success 1 when the watch list was last loaded successfully, 0 when a bad file keeps the old list.
# TYPE validator_exporter_config_reload_success gauge
validator_exporter_config_reload_success %d
# HELP validator_exporter_config_reload_timestamp_seconds Unix time at which the watch list was last loaded successfully.
# TYPE validator_exporter_config_reload_timestamp_seconds gauge
validator_exporter_config_reload_timestamp_seconds %d
`, success, loaded)
		if err := testutil.CollectAndCompare(w, strings.NewReader(want)); err != nil {
			t.Error(err)
		}
	}
	metrics(1, 1_700_000_000)

	d.now = d.now.Add(time.Minute)
	d.replace("watch.yaml", "validators:\n  - index: x\n")
	w.CheckFile()
	w.CheckFile()
	d.expect(w, "1", 1)
	metrics(0, 1_700_000_000)
	if got := strings.Count(d.log.String(), "watch.yaml:2:12: "); got != 1 {
		t.Errorf("the error was logged %d times: %s", got, &d.log)
	}
	if err := w.Reload(); err == nil {
		t.Error("Reload accepted a bad file")
	}

	d.replace("watch.yaml", "validators: [{index: 2}]")
	w.CheckFile()
	d.expect(w, "2", 2)
	metrics(1, 1_700_000_060)
}

func TestMissingFileKeepsTheOldListUntilItIsBack(t *testing.T) {
	d := newDisk(t)
	d.replace("watch.yaml", "validators: [{index: 1}]")
	w := d.watch("watch.yaml")
	if err := os.Remove(d.path("watch.yaml")); err != nil {
		t.Fatal(err)
	}
	w.CheckFile()
	w.CheckFile()
	d.expect(w, "1", 1)
	if got := strings.Count(d.log.String(), "level=ERROR"); got != 1 {
		t.Errorf("the error was logged %d times: %s", got, &d.log)
	}
	d.replace("watch.yaml", "validators: [{index: 2}]")
	w.CheckFile()
	d.expect(w, "2", 2)
}

func TestWatcherIsSafeForConcurrentUse(t *testing.T) {
	d := newDisk(t)
	d.replace("watch.yaml", "validators: [{index: 1}]")
	w, err := New(d.path("watch.yaml"), nil, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	var users sync.WaitGroup
	for range 4 {
		users.Go(func() {
			for range 50 {
				w.CheckFile()
				if len(w.Current().Entries) != 1 || w.Generation() == 0 {
					t.Error("no list")
				}
				testutil.CollectAndCount(w)
			}
		})
	}
	for i := range 20 {
		d.replace("watch.yaml", fmt.Sprintf("validators: [{index: %d}]", i))
		if err := w.Reload(); err != nil {
			t.Error(err)
		}
	}
	users.Wait()
}

// A mistake of this program is told to more than the one who happens to wait for the
// list: a scrape tells it to nobody.
func TestPanicWhileTheListIsReadIsTold(t *testing.T) {
	d := newDisk(t)
	d.replace("watch.yaml", "validators: [{index: 1}]")
	w := d.watch("watch.yaml")
	flags := w.flags
	w.flags = nil // which no code expects
	d.replace("watch.yaml", "validators: [{index: 2}]")
	w.CheckFile()
	d.expect(w, "1", 1)
	d.expectSuccess(w, "0")
	for _, part := range []string{"level=ERROR", "please report it", "nil pointer", "watch.Merge"} {
		if !strings.Contains(d.log.String(), part) {
			t.Errorf("the log does not say %q: %s", part, &d.log)
		}
	}

	// It was no end.
	w.flags = flags
	d.replace("watch.yaml", "validators: [{index: 3}]")
	w.CheckFile()
	d.expect(w, "3", 2)
	d.expectSuccess(w, "1")
}

// Whoever reloads and then asks whether a file has changed is not told that somebody else
// is looking.
func TestTurnIsFreeOnceAReadingHasEnded(t *testing.T) {
	w, err := New("", []string{"1"}, slog.New(slog.DiscardHandler), Options{})
	if err != nil {
		t.Fatal(err)
	}
	for range 50_000 {
		if err := w.Reload(); err != nil {
			t.Fatal(err)
		}
		if len(w.turn) > 0 {
			t.Fatal("the turn is still taken")
		}
	}
}

// Over HTTP an answer may take 30 s, whoever was first to read.
func TestReloadTakesNoLongerThanItsLimit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow := make(blocking)
		w, err := New("", []string{"1"}, slog.New(slow), Options{})
		if err != nil {
			t.Fatal(err)
		}
		w.turn <- struct{}{} // somebody reads
		begun := time.Now()
		reloaded := make(chan error)
		go func() { reloaded <- w.Reload() }()
		time.Sleep(15 * time.Second)
		<-w.turn
		if err := <-reloaded; err == nil || !strings.Contains(err.Error(), "within 20s") {
			t.Errorf("error %v", err)
		}
		if took := time.Since(begun); took != 20*time.Second {
			t.Errorf("it took %s", took)
		}
		close(slow)
	})
}

// blocking is a log that takes no good news until it is closed, so that what writes them
// does not end.
type blocking chan struct{}

func (b blocking) Enabled(context.Context, slog.Level) bool { return true }
func (b blocking) WithAttrs([]slog.Attr) slog.Handler       { return b }
func (b blocking) WithGroup(string) slog.Handler            { return b }

func (b blocking) Handle(_ context.Context, r slog.Record) error {
	if r.Level < slog.LevelWarn {
		<-b
	}
	return nil
}
