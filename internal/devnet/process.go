package devnet

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"syscall"
	"time"
)

// process is a running program, in a process group of its own, with its output in
// a log file. It dies with the process that started it.
type process struct {
	name string
	log  string
	cmd  *exec.Cmd
	done chan struct{} // closed when it has ended, after err is set
	err  error
}

// startProcess runs dir/name.log ← binary args. A log that exists is continued.
func startProcess(dir, name, binary string, args ...string) (*process, error) {
	p := &process{name: name, log: filepath.Join(dir, name+".log"), cmd: exec.Command(binary, args...), done: make(chan struct{})}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	defer log.Close()
	p.cmd.Stdout, p.cmd.Stderr = log, log
	p.cmd.Dir = dir
	p.cmd.SysProcAttr = ownGroup()

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
		return nil, fmt.Errorf("start %s: %w", name, err)
	}
	return p, nil
}

// runProcess runs a program to its end.
func runProcess(ctx context.Context, dir, name, binary string, args ...string) error {
	p, err := startProcess(dir, name, binary, args...)
	if err != nil {
		return err
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		p.stop(0)
		return p.failure(ctx.Err())
	}
	if p.err != nil {
		return p.failure(p.err)
	}
	return nil
}

// waitReady polls ready until it succeeds, the program ends, or ctx is done.
func (p *process) waitReady(ctx context.Context, ready func(context.Context) error) error {
	for {
		err := ready(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-p.done:
			return p.failure(errors.New("ended before it was ready"))
		case <-ctx.Done():
			return p.failure(fmt.Errorf("not ready in time: %w", err))
		}
	}
}

// stop asks the program to end, and kills it when it has not after grace.
func (p *process) stop(grace time.Duration) {
	if grace > 0 {
		p.signal(syscall.SIGTERM)
		select {
		case <-p.done:
		case <-time.After(grace):
		}
	}
	p.signal(syscall.SIGKILL)
	<-p.done
}

// signal sends sig to the program's whole group.
func (p *process) signal(sig syscall.Signal) {
	_ = syscall.Kill(-p.cmd.Process.Pid, sig) // fails only when it has ended already
}

// ended tells whether the program has ended.
func (p *process) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

// failure is err with the end of the program's log.
func (p *process) failure(err error) error {
	const lines, most = 15, 4096
	log, readErr := os.ReadFile(p.log)
	if readErr != nil {
		return fmt.Errorf("%s: %w (and its log cannot be read: %w)", p.name, err, readErr)
	}
	log = bytes.TrimSpace(log[max(0, len(log)-most):])
	split := bytes.Split(log, []byte("\n"))
	tail := bytes.Join(split[max(0, len(split)-lines):], []byte("\n\t"))
	return fmt.Errorf("%s: %w; the end of its log:\n\t%s", p.name, err, tail)
}
