package devnet

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// PrometheusOptions of a Prometheus server. Targets and Interval are required.
type PrometheusOptions struct {
	// Targets are scraped at /metrics.
	Targets []Target
	// Interval between scrapes, which is also their time-out.
	Interval time.Duration
	// RuleFiles are paths of recording and alerting rules; a bad one keeps the server
	// from starting.
	RuleFiles []string
	// EvaluationInterval of rule groups without one of their own; Interval when 0.
	EvaluationInterval time.Duration
	// ExternalLabels are put on everything that is sent elsewhere.
	ExternalLabels map[string]string
	// RemoteWrite are sections of remote_write, under the names of Prometheus' own
	// configuration. The protocol is chosen by protobuf_message.
	RemoteWrite []map[string]any
	// BinDir and WorkDir as in Options; the directory is removed by Stop.
	BinDir, WorkDir string
}

// Target is what is scraped at Address, host:port, under the label job, and with more
// labels when there are any.
type Target struct {
	Job, Address string
	Labels       map[string]string
}

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

// RuleGroup is one group of rules, as the server last evaluated it.
type RuleGroup struct {
	Name  string `json:"name"`
	Rules []Rule `json:"rules"`
}

// Rule is a recording or an alerting rule.
type Rule struct {
	Name string `json:"name"`
	Type string `json:"type"` // recording or alerting
	// Health is ok, err, or unknown before the first evaluation; LastError says why.
	Health    string `json:"health"`
	LastError string `json:"lastError"`
	// Alerts are pending or firing.
	Alerts []Alert `json:"alerts"`
}

// Alert is one instance of an alerting rule.
type Alert struct {
	Labels      map[string]string `json:"labels"`
	Annotations map[string]string `json:"annotations"`
	State       string            `json:"state"` // pending or firing
	ActiveAt    time.Time         `json:"activeAt"`
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
	text, err := prometheusConfig(options)
	if err != nil {
		return nil, fmt.Errorf("start Prometheus: %w", err)
	}
	if err := os.WriteFile(config, text, 0o600); err != nil {
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
func prometheusConfig(options PrometheusOptions) ([]byte, error) {
	type (
		static struct {
			Targets []string          `json:"targets"`
			Labels  map[string]string `json:"labels,omitempty"`
		}
		job struct {
			Name   string   `json:"job_name"`
			Static []static `json:"static_configs"`
		}
		global struct {
			Interval   string            `json:"scrape_interval"`
			Timeout    string            `json:"scrape_timeout"`
			Evaluation string            `json:"evaluation_interval"`
			External   map[string]string `json:"external_labels,omitempty"`
		}
	)
	var config struct {
		Global global           `json:"global"`
		Rules  []string         `json:"rule_files,omitempty"`
		Jobs   []job            `json:"scrape_configs"`
		Write  []map[string]any `json:"remote_write,omitempty"`
	}
	milliseconds := func(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }
	config.Global = global{
		Interval: milliseconds(options.Interval), Timeout: milliseconds(options.Interval),
		Evaluation: milliseconds(cmp.Or(options.EvaluationInterval, options.Interval)),
		External:   options.ExternalLabels,
	}
	config.Write = options.RemoteWrite
	for _, path := range options.RuleFiles {
		absolute, err := filepath.Abs(path) // the server reads them relative to its configuration
		if err != nil {
			return nil, fmt.Errorf("find rule file %s: %w", path, err)
		}
		config.Rules = append(config.Rules, absolute)
	}
	for _, target := range options.Targets {
		at := slices.IndexFunc(config.Jobs, func(j job) bool { return j.Name == target.Job })
		if at < 0 {
			at = len(config.Jobs)
			config.Jobs = append(config.Jobs, job{Name: target.Job})
		}
		config.Jobs[at].Static = append(config.Jobs[at].Static, static{[]string{target.Address}, target.Labels})
	}
	return json.Marshal(config)
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
		form.Set("time", unixSeconds(at))
	}
	result, _, err := p.query(ctx, "/api/v1/query", form)
	return result, err
}

// QueryRange evaluates an expression at each step from a time to another, both
// included. Notes are the warnings and infos that people see beside the result.
func (p *Prometheus) QueryRange(ctx context.Context, expression string, from, to time.Time, step time.Duration) (series []Series, notes []string, err error) {
	return p.query(ctx, "/api/v1/query_range", url.Values{
		"query": {expression}, "start": {unixSeconds(from)}, "end": {unixSeconds(to)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', 3, 64)},
	})
}

func unixSeconds(t time.Time) string {
	return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64)
}

func (p *Prometheus) query(ctx context.Context, path string, form url.Values) (series []Series, notes []string, err error) {
	expression := form.Get("query")
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, p.url+path, strings.NewReader(form.Encode()))
	if err != nil {
		return nil, nil, fmt.Errorf("query %s: %w", expression, err)
	}
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := ask(request)
	if err != nil {
		return nil, nil, fmt.Errorf("query %s: %w", expression, err)
	}
	if series, err = readSeries(answer.Data); err != nil {
		return nil, nil, fmt.Errorf("query %s: %w", expression, err)
	}
	return series, append(answer.Warnings, answer.Infos...), nil
}

// Rules returns the loaded rules with their state.
func (p *Prometheus) Rules(ctx context.Context) ([]RuleGroup, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.url+"/api/v1/rules", nil)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	answer, err := ask(request)
	if err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	var data struct {
		Groups []RuleGroup `json:"groups"`
	}
	if err := json.Unmarshal(answer.Data, &data); err != nil {
		return nil, fmt.Errorf("read rules: %w", err)
	}
	return data.Groups, nil
}

// answer is what wraps all that Prometheus answers.
type answer struct {
	Status   string          `json:"status"`
	Error    string          `json:"error"`
	Data     json.RawMessage `json:"data"`
	Warnings []string        `json:"warnings"`
	Infos    []string        `json:"infos"`
}

func ask(request *http.Request) (answer, error) {
	var a answer
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return a, err
	}
	defer response.Body.Close()
	if err := json.NewDecoder(response.Body).Decode(&a); err != nil {
		return a, fmt.Errorf("%s: %w", response.Status, err)
	}
	if a.Status != "success" {
		return a, fmt.Errorf("%s: %s", response.Status, a.Error)
	}
	return a, nil
}

// readSeries reads a scalar, a vector or a matrix.
func readSeries(data []byte) ([]Series, error) {
	var of struct {
		Type   string          `json:"resultType"`
		Result json.RawMessage `json:"result"`
	}
	if err := json.Unmarshal(data, &of); err != nil {
		return nil, err
	}
	if of.Type == "scalar" {
		var value Sample
		if err := json.Unmarshal(of.Result, &value); err != nil {
			return nil, err
		}
		return []Series{{Samples: []Sample{value}}}, nil
	}
	var rows []struct {
		Metric map[string]string `json:"metric"`
		Value  *Sample           `json:"value"`
		Values []Sample          `json:"values"`
	}
	if err := json.Unmarshal(of.Result, &rows); err != nil {
		return nil, err
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
