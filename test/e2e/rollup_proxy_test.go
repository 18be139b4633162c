//go:build e2e

package e2e

import (
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// cutter is a TCP proxy that cuts its connections at random, mostly in the middle of a
// message: each lasts for some number of bytes, in both directions together.
type cutter struct {
	target   string
	listener net.Listener
	cutting  atomic.Bool
	accepted atomic.Int32
	cuts     atomic.Int32

	least, most float64 // bytes of a connection

	mu     sync.Mutex // guards random
	random *rand.Rand
}

// startCutter starts a proxy that ends with the test. It cuts nothing before cutting is set.
func startCutter(t *testing.T, target string, random *rand.Rand, least, most float64) (*cutter, error) {
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("start a proxy for %s: %w", target, err)
	}
	c := &cutter{target: target, listener: listener, least: least, most: most, random: random}
	t.Cleanup(func() { listener.Close() })
	go c.serve()
	return c, nil
}

func (c *cutter) address() string { return c.listener.Addr().String() }

func (c *cutter) serve() {
	for {
		client, err := c.listener.Accept()
		if err != nil {
			return // closed
		}
		c.accepted.Add(1)
		go c.connect(client.(*net.TCPConn))
	}
}

func (c *cutter) connect(client *net.TCPConn) {
	conn, err := net.DialTimeout("tcp4", c.target, 5*time.Second)
	if err != nil {
		reset(client)
		return
	}
	server := conn.(*net.TCPConn)
	life := &atomic.Int64{}
	life.Store(c.lifetime())
	var both sync.WaitGroup
	for _, way := range [][2]*net.TCPConn{{client, server}, {server, client}} {
		both.Go(func() {
			c.copy(way[1], way[0], life)
			// One way is never left open without the other: nobody here needs that.
			reset(client)
			reset(server)
		})
	}
	both.Wait()
}

// lifetime is how many bytes a connection lasts: each order of magnitude is as likely.
func (c *cutter) lifetime() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return int64(c.least * math.Pow(c.most/c.least, c.random.Float64()))
}

// copy passes bytes on until the connection ends, or its life is over.
func (c *cutter) copy(to io.Writer, from io.Reader, life *atomic.Int64) {
	buffer := make([]byte, 4096)
	for {
		n, err := from.Read(buffer)
		last := false
		if c.cutting.Load() {
			if left := life.Add(-int64(n)); left < 0 {
				last = true
				if n = n + int(left); n >= 0 { // else the other way has used the life up
					c.cuts.Add(1)
				}
			}
		}
		if n > 0 {
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
		if last || err != nil {
			return
		}
	}
}

// reset closes a connection as one that breaks: what was not sent is lost.
func reset(conn *net.TCPConn) {
	_ = conn.SetLinger(0) // fails only when it is closed already
	_ = conn.Close()
}
