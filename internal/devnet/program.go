package devnet

import (
	"context"
	"errors"
	"time"
)

// Program is a program under test, run as those of the chain are: in a process group
// of its own, with its output in a log file, and dead when the test is.
type Program struct{ process *process }

// StartProgram runs a program in dir, with its output in dir/name.log. A log that
// exists is continued.
func StartProgram(dir, name, binary string, args ...string) (*Program, error) {
	p, err := startProcess(dir, name, binary, args...)
	if err != nil {
		return nil, err
	}
	return &Program{p}, nil
}

// WaitReady polls ready until it succeeds. It fails, with the end of the program's
// log, when the program ends or ctx is done before that.
func (p *Program) WaitReady(ctx context.Context, ready func(context.Context) error) error {
	return p.process.waitReady(ctx, ready)
}

// Kill ends the program with SIGKILL.
func (p *Program) Kill() { p.process.stop(0) }

// Stop ends the program with SIGTERM. It fails when the program has to be killed
// after grace, or ends with another code than 0.
func (p *Program) Stop(grace time.Duration) error {
	began := time.Now()
	p.process.stop(grace)
	if p.process.err != nil {
		return p.process.failure(p.process.err)
	}
	if time.Since(began) >= grace {
		return p.process.failure(errors.New("did not end in time"))
	}
	return nil
}

// Log is the path of the program's log.
func (p *Program) Log() string { return p.process.log }

// FreePorts finds n ports of 127.0.0.1 that nobody listens on.
func FreePorts(n int) ([]int, error) { return freePorts(n) }
