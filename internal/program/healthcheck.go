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
	url      string
	timeout  time.Duration
	insecure bool
}

// Register declares the flags. address is the port that the program listens on.
func (h *Healthcheck) Register(flags Flags, address string) {
	flags.Flag("url", "What to ask.").Default("http://127.0.0.1" + address + "/-/healthy").StringVar(&h.url)
	Duration(flags, "timeout", "Longest wait for the answer.", "5s", time.Millisecond, &h.timeout)
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
