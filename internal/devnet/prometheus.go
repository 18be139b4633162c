package devnet

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// PrometheusOptions of a Prometheus server. Targets and Interval are required.
type PrometheusOptions struct {
	// Targets are host:port, each scraped at /metrics as a job of its own.
	Targets []Target
	// Interval between scrapes, which is also their time-out.
	Interval time.Duration
	// BinDir and WorkDir as in Options; the directory is removed by Stop.
	BinDir, WorkDir string
}

// Target is what is scraped, under the label job.
type Target struct{ Job, Address string }

// Prometheus is a running Prometheus server.
type Prometheus struct {
	process *process
	dir     string
	url     string
}

// Series is one series of a query's result.
type Series struct {
	Labels  map[string]string
	Samples []Sample
}

// Sample is a value and the time of the scrape that it is from (of a range selector),
// or of the query (of any other expression).
type Sample struct {
	Time  time.Time
	Value float64
}

// StartPrometheus starts a server and returns when it is ready. ctx bounds the start.
func StartPrometheus(ctx context.Context, options PrometheusOptions) (*Prometheus, error) {
	programs, err := Binaries(options.BinDir)
	if err != nil {
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	dir := options.WorkDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "prometheus-"); err != nil {
			return nil, fmt.Errorf("start Prometheus: %w", err)
		}
	} else if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	free, err := freePorts(1)
	if err != nil {
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	config := filepath.Join(dir, "prometheus.json")
	if err := os.WriteFile(config, prometheusConfig(options), 0o600); err != nil {
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	address := fmt.Sprintf("127.0.0.1:%d", free[0])
	process, err := startProcess(dir, "prometheus", programs.Prometheus,
		"--config.file", config, "--storage.tsdb.path", filepath.Join(dir, "data"), "--web.listen-address", address)
	if err != nil {
		return nil, err
	}
	p := &Prometheus{process: process, dir: dir, url: "http://" + address}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	err = process.waitReady(ctx, func(ctx context.Context) error {
		_, err := p.Query(ctx, "vector(1)", time.Time{})
		return err
	})
	if err != nil {
		p.Stop()
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	return p, nil
}

// prometheusConfig is YAML by way of JSON, which is a part of it.
func prometheusConfig(options PrometheusOptions) []byte {
	type (
		static struct {
			Targets []string `json:"targets"`
		}
		job struct {
			Name   string   `json:"job_name"`
			Static []static `json:"static_configs"`
		}
		global struct {
			Interval string `json:"scrape_interval"`
			Timeout  string `json:"scrape_timeout"`
		}
	)
	var config struct {
		Global global `json:"global"`
		Jobs   []job  `json:"scrape_configs"`
	}
	interval := fmt.Sprintf("%dms", options.Interval.Milliseconds())
	config.Global = global{Interval: interval, Timeout: interval}
	for _, target := range options.Targets {
		config.Jobs = append(config.Jobs, job{Name: target.Job, Static: []static{{Targets: []string{target.Address}}}})
	}
	text, err := json.Marshal(config)
	if err != nil {
		panic(err) // strings only
	}
	return text
}

// URL is the root of the server.
func (p *Prometheus) URL() string { return p.url }

// Stop ends the server and removes its data. It may be called more than once.
func (p *Prometheus) Stop() {
	p.process.stop(0)
	_ = os.RemoveAll(p.dir) // what is left is in a directory for temporary files
}

// Query evaluates an expression at a time; the zero time is now. A range selector such
// as metric[1h] gives the samples as they were scraped.
func (p *Prometheus) Query(ctx context.Context, expression string, at time.Time) ([]Series, error) {
	form := url.Values{"query": {expression}}
	if !at.IsZero() {
		form.Set("time", strconv.FormatFloat(float64(at.UnixMilli())/1000, 'f', 3, 64))
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+"/api/v1/query", strings.NewReader(form.Encode()))
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expression, err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, fmt.Errorf("query %s: %w", expression, err)
	}
	defer response.Body.Close()
	var answer struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   struct {
			Type   string          `json:"resultType"`
			Result json.RawMessage `json:"result"`
		} `json:"data"`
	}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return nil, fmt.Errorf("query %s: %s: %w", expression, response.Status, err)
	}
	if answer.Status != "success" {
		return nil, fmt.Errorf("query %s: %s: %s", expression, response.Status, answer.Error)
	}
	if answer.Data.Type == "scalar" {
		var value Sample
		if err := json.Unmarshal(answer.Data.Result, &value); err != nil {
			return nil, fmt.Errorf("query %s: %w", expression, err)
		}
		return []Series{{Samples: []Sample{value}}}, nil
	}
	var rows []struct {
		Metric map[string]string `json:"metric"`
		Value  *Sample           `json:"value"`
		Values []Sample          `json:"values"`
	}
	if err := json.Unmarshal(answer.Data.Result, &rows); err != nil {
		return nil, fmt.Errorf("query %s: %w", expression, err)
	}
	result := make([]Series, len(rows))
	for i, row := range rows {
		result[i] = Series{Labels: row.Metric, Samples: row.Values}
		if row.Value != nil {
			result[i].Samples = []Sample{*row.Value}
		}
	}
	return result, nil
}

// UnmarshalJSON reads a sample as Prometheus writes it: [seconds,"value"]. A test reads
// millions of them, so it does without reflection.
func (s *Sample) UnmarshalJSON(text []byte) error {
	stamp, quoted, _ := strings.Cut(strings.Trim(string(text), "[]"), ",")
	seconds, err := strconv.ParseFloat(stamp, 64)
	if err != nil {
		return fmt.Errorf("sample %s: %w", text, err)
	}
	value, err := strconv.ParseFloat(strings.Trim(quoted, `"`), 64)
	if err != nil {
		return fmt.Errorf("sample %s: %w", text, err)
	}
	*s = Sample{Time: time.UnixMilli(int64(seconds*1000 + 0.5)), Value: value}
	return nil
}

// CheckMetrics runs `promtool check metrics` on an exposition in the text format. The
// error holds what promtool found.
func CheckMetrics(ctx context.Context, binDir string, exposition []byte) error {
	programs, err := Binaries(binDir)
	if err != nil {
		return fmt.Errorf("check metrics: %w", err)
	}
	command := exec.CommandContext(ctx, programs.Promtool, "check", "metrics")
	command.Stdin = bytes.NewReader(exposition)
	if output, err := command.CombinedOutput(); err != nil {
		return fmt.Errorf("check metrics: %w: %s", err, bytes.TrimSpace(output))
	}
	return nil
}
