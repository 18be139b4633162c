//go:build unix && !linux

package devnet

import "syscall"

// ownGroup makes a child lead a process group. Only Linux can also tie its life to
// ours: elsewhere a killed test leaves its programs running.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true}
}
