package pgtest

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// process is a running program of Postgres.
type process struct {
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended, after err is set
	err  error
}

// run starts a program of the installation, as the server's user, its output appended
// to the log. It dies with the process that started it.
func (s *Server) run(program string, args ...string) (*process, error) {
	log, err := os.OpenFile(s.logFile(), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	defer log.Close()
	p := &process{cmd: exec.Command(filepath.Join(s.bin, program), args...), done: make(chan struct{})}
	p.cmd.Dir = s.dir
	p.cmd.Stdout, p.cmd.Stderr = log, log
	// Nothing of the caller's PG* variables: they could point at another server.
	p.cmd.Env = []string{"PATH=" + s.bin + string(os.PathListSeparator) + os.Getenv("PATH"), "LC_ALL=C", "HOME=" + s.dir}
	p.cmd.SysProcAttr = attributes(s.as)

	started := make(chan error)
	go func() {
		// The kernel's "tell me when my parent dies" means the parent thread, so that
		// thread must live for as long as the program does.
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		err := p.cmd.Start()
		started <- err
		if err == nil {
			p.err = p.cmd.Wait()
			close(p.done)
		}
	}()
	if err := <-started; err != nil {
		return nil, fmt.Errorf("start %s: %w", program, err)
	}
	return p, nil
}

func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// stop asks the server to shut down.
func (p *process) stop(mode StopMode, patience time.Duration) error {
	signal := syscall.SIGINT
	if mode == StopImmediate {
		signal = syscall.SIGQUIT
	}
	_ = p.cmd.Process.Signal(signal) // fails only when it has ended already
	select {
	case <-p.done:
		return nil
	case <-time.After(patience):
		return fmt.Errorf("it has not ended within %s", patience)
	}
}

// kill kills the server, then what it started: the other way round it would repair
// itself in between.
func (p *process) kill() {
	if p.ended() {
		return
	}
	children := childrenOf(p.cmd.Process.Pid)
	_ = p.cmd.Process.Kill() // fails only when it has ended already
	<-p.done
	for _, pid := range children {
		_ = syscall.Kill(pid, syscall.SIGKILL) // most have noticed and are gone
	}
}
