//go:build unix

package watch

import (
	"log/slog"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"
)

// hang puts in place of name a file that never answers, as one on a mount whose server is
// gone: to open a pipe that nobody writes to does not return. answer ends that: who opens
// it then reads text.
func (d *disk) hang(name string) (answer func(text string)) {
	d.Helper()
	pipe := d.path(name + ".pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		d.Fatal(err)
	}
	if err := os.Rename(pipe, d.path(name)); err != nil {
		d.Fatal(err)
	}
	return func(text string) {
		d.Helper()
		w, err := os.OpenFile(d.path(name), os.O_WRONLY, 0)
		if err != nil {
			d.Fatal(err)
		}
		defer w.Close()
		if _, err := w.WriteString(text); err != nil {
			d.Fatal(err)
		}
	}
}

// soon fails the test unless do ends before a person would call it stuck.
func (d *disk) soon(what string, do func()) {
	d.Helper()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		do()
	}()
	select {
	case <-ended:
	case <-time.After(5 * time.Second):
		d.Fatalf("%s does not end", what)
	}
}

func TestFileThatDoesNotAnswerHoldsNobodyUp(t *testing.T) {
	d := newDisk(t)
	d.replace("watch.yaml", "validators: [{index: 1}]")
	w := d.watch("watch.yaml") // however long that takes
	w.options.CheckTime, w.options.LoadTime = 20*time.Millisecond, 30*time.Millisecond
	answer := d.hang("watch.yaml")

	d.soon("CheckFile", w.CheckFile)
	d.soon("another CheckFile", w.CheckFile)
	d.expect(w, "1", 1)
	d.soon("Collect", func() { d.expectSuccess(w, "0") })
	if got := strings.Count(d.log.String(), "could not be read within 20ms: "+d.path("watch.yaml")+", or"); got != 1 {
		t.Errorf("said %d times that the file does not answer: %s", got, &d.log)
	}
	d.soon("Reload", func() {
		if err := w.Reload(); err == nil || !strings.Contains(err.Error(), "within 30ms") {
			t.Errorf("Reload: %v", err)
		}
	})

	// What it says in the end counts.
	answer("validators: [{index: 2}]")
	w.turn <- struct{}{}
	<-w.turn
	d.expect(w, "2", 2)
	d.expectSuccess(w, "1")
	if !strings.Contains(d.log.String(), "answer again") {
		t.Errorf("log %s", &d.log)
	}
}

func TestFileThatDoesNotAnswerAtTheStartIsAnError(t *testing.T) {
	d := newDisk(t)
	answer := d.hang("watch.yaml")
	d.soon("New", func() {
		_, err := New(d.path("watch.yaml"), nil, slog.New(slog.DiscardHandler), Options{LoadTime: 20 * time.Millisecond})
		if err == nil || !strings.Contains(err.Error(), "check the mount that it lies on") {
			t.Errorf("error %v", err)
		}
	})
	answer("validators: []")
}

func TestReloadThatDoesNotEndIsWaitedForOnce(t *testing.T) {
	d := newDisk(t)
	d.replace("watch.yaml", "validators: [{index: 1}]")
	w := d.watch("watch.yaml")
	answer := d.hang("watch.yaml")
	reloaded := make(chan error, 1)
	go func() { reloaded <- w.Reload() }()
	for len(w.turn) == 0 {
		time.Sleep(time.Millisecond)
	}
	d.soon("CheckFile beside it", w.CheckFile)
	d.soon("Collect beside it", func() { d.expectSuccess(w, "1") })
	answer("validators: [{index: 2}]")
	if err := <-reloaded; err != nil {
		t.Error(err)
	}
	d.expect(w, "2", 2)
}
