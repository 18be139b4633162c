//go:build unix

package program

import (
	"io/fs"
	"os"
	"slices"
	"syscall"
)

// Exposed tells whether every user of the machine can read a file that this program could
// read all the same if they could not. Where it is itself one of these others, as in a
// container that gets a file of the machine's user, that right is how the file reaches it:
// to take it away would not protect the file but stop the program.
func Exposed(file fs.FileInfo) bool {
	if file.Mode().Perm()&0o004 == 0 {
		return false
	}
	owner, ok := file.Sys().(*syscall.Stat_t)
	if !ok {
		return true
	}
	me := os.Geteuid()
	if me == 0 || me == int(owner.Uid) {
		return true
	}
	groups, err := os.Getgroups()
	return err != nil || file.Mode().Perm()&0o040 != 0 && slices.Contains(append(groups, os.Getegid()), int(owner.Gid))
}
