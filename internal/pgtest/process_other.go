//go:build unix && !linux

package pgtest

import "syscall"

// attributes makes a program run as the account. Only Linux can also tie its life to
// ours: elsewhere a killed test leaves its server running.
func attributes(as *account) *syscall.SysProcAttr {
	attr := &syscall.SysProcAttr{Setpgid: true}
	if as != nil {
		attr.Credential = as.credential()
	}
	return attr
}

// childrenOf lists nothing: the server's children notice by themselves that it is gone.
func childrenOf(int) []int { return nil }
