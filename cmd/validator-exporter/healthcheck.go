package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

// healthcheck asks a running exporter whether it is alive, for containers that
// have no shell.
type healthcheck struct {
	url      string
	timeout  time.Duration
	insecure bool
}

func parseHealthcheck(args []string, stdout io.Writer) (h healthcheck, done bool, err error) {
	app := kingpin.New(program+" healthcheck", "Asks a running exporter whether it is alive: the exit code is 0 when it is, else 1.")
	app.Flag("url", "What to ask.").Default("http://127.0.0.1:8080/-/healthy").StringVar(&h.url)
	durationFlag(app, "timeout", "Longest wait for the answer.", "5s", aboveZero, &h.timeout)
	app.Flag("insecure", "With https, accept any certificate.").BoolVar(&h.insecure)
	done, err = parse(app, args, stdout)
	return h, done, err
}

func (h *healthcheck) run(stdout io.Writer) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: h.insecure}}
	defer transport.CloseIdleConnections()
	client := http.Client{Transport: transport, Timeout: h.timeout}
	response, err := client.Get(h.url)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	response.Body.Close()
	// An exporter that asks for a password is alive.
	if response.StatusCode != http.StatusOK && response.StatusCode != http.StatusUnauthorized {
		return fmt.Errorf("not healthy: %s answered %s", h.url, response.Status)
	}
	fmt.Fprintln(stdout, "healthy")
	return nil
}
