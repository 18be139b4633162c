//go:build !unix

package program

import "io/fs"

// Exposed tells whether every user of the machine can read a file.
func Exposed(file fs.FileInfo) bool { return file.Mode().Perm()&0o004 != 0 }
