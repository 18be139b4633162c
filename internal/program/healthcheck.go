package program

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Healthcheck asks a running program whether it is alive, for containers that have no
// shell.
type Healthcheck struct {
	// ShortTimeout makes --timeout a ShortDuration above 0. Without it, it is a Duration
	// of at least a millisecond.
	ShortTimeout bool

	url      string
	timeout  time.Duration
	insecure bool
}

// Register declares the flags. address is the port that the program listens on.
func (h *Healthcheck) Register(flags Flags, address string) {
	flags.Flag("url", "What to ask.").Default("http://127.0.0.1" + address + "/-/healthy").StringVar(&h.url)
	const timeout, help, fallback = "timeout", "Longest wait for the answer.", "5s"
	if h.ShortTimeout {
		ShortDuration(flags, timeout, help, fallback, AboveZero, &h.timeout)
	} else {
		Duration(flags, timeout, help, fallback, time.Millisecond, &h.timeout)
	}
	flags.Flag("insecure", "With https, accept any certificate.").BoolVar(&h.insecure)
}

// Run fails when the program is not alive.
func (h *Healthcheck) Run(stdout io.Writer) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: h.insecure}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: h.timeout}
	response, err := client.Get(h.url)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	response.Body.Close()
	// A program that asks for a password is alive.
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("not healthy: %s answered %s", h.url, response.Status)
	}
	fmt.Fprintln(stdout, "healthy")
	return nil
}
