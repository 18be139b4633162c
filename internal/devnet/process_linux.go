package devnet

import "syscall"

// ownGroup makes a child lead a process group, and has the kernel kill it when the
// thread that started it dies, whatever that thread died of.
func ownGroup() *syscall.SysProcAttr {
	return &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
