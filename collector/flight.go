package collector

import "sync"

// flight lets concurrent scrapes share one run. A scrape that comes in while a run
// is past its look at the head joins it and makes it look again.
type flight struct {
	mu      sync.Mutex
	running bool
	waiting []chan struct{}
	fresh   bool // someone joined since joined() was last asked
	idle    sync.WaitGroup
}

// join starts run unless one is under way, and returns a channel that is closed
// when the run is over. run asks joined whether a new scrape has come in.
func (f *flight) join(run func(joined func() bool)) <-chan struct{} {
	f.mu.Lock()
	defer f.mu.Unlock()
	done := make(chan struct{})
	f.waiting = append(f.waiting, done)
	f.fresh = true
	if !f.running {
		f.running = true
		f.fresh = false
		f.idle.Add(1)
		go f.fly(run)
	}
	return done
}

func (f *flight) fly(run func(joined func() bool)) {
	defer f.idle.Done()
	// A panic must not leave scrapes waiting and the next flight locked out.
	defer f.land()
	run(f.joined)
}

func (f *flight) joined() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.fresh
	f.fresh = false
	return was
}

func (f *flight) land() {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, w := range f.waiting {
		close(w)
	}
	f.waiting, f.running = nil, false
}

// wait returns once no run is under way.
func (f *flight) wait() { f.idle.Wait() }
