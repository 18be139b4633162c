//go:build unix

package program_test

import (
	"io/fs"
	"os"
	"syscall"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
)

// file is what a file system says of a file.
type file struct {
	mode fs.FileMode
	stat syscall.Stat_t
}

func (f file) Name() string       { return "secret" }
func (f file) Size() int64        { return 0 }
func (f file) Mode() fs.FileMode  { return f.mode }
func (f file) ModTime() time.Time { return time.Time{} }
func (f file) IsDir() bool        { return false }
func (f file) Sys() any           { return &f.stat }

func TestFilesAreExposedWhenTheirModeCouldBeStricter(t *testing.T) {
	me, group := uint32(os.Geteuid()), uint32(os.Getegid())
	const stranger = 4_000_000_000
	// Root reads everything, so no right of others is ever how a file reaches it.
	root := me == 0
	for _, c := range []struct {
		name       string
		mode       fs.FileMode
		uid, gid   uint32
		wantIfUser bool
		wantIfRoot bool
	}{
		{"my own, for me", 0o600, me, group, false, false},
		{"my own, for everybody", 0o644, me, group, true, true},
		{"my group's, for everybody", 0o644, stranger, group, true, true},
		{"somebody else's, for everybody", 0o644, stranger, stranger, false, true},
		{"somebody else's, for them", 0o640, stranger, stranger, false, false},
	} {
		want := c.wantIfUser
		if root {
			want = c.wantIfRoot
		}
		if got := program.Exposed(file{c.mode, syscall.Stat_t{Uid: c.uid, Gid: c.gid}}); got != want {
			t.Errorf("%s: exposed %t, want %t", c.name, got, want)
		}
	}
}
