//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
)

const day = 24 * time.Hour

// Protocols of remote-write, as Prometheus calls them.
const (
	writeV1 = "prometheus.WriteRequest"
	writeV2 = "io.prometheus.write.v2.Request"
)

// pipelineOptions describe what lies between a chain and the rows in Postgres.
type pipelineOptions struct {
	chain     chainWindows
	exporters int
	shown     int           // completed windows that each exporter shows
	interval  time.Duration // of scrapes
	// protocols of the Prometheus servers. Each scrapes all exporters, and writes to a
	// receiver of its own.
	protocols []string
	postgres  *pgtest.Server
	// daysFrom is the genesis that the receivers are told; the zero value is none.
	daysFrom time.Time
	// receiverFlags are further flags of the receivers.
	receiverFlags []string
	// between makes an address that leads to another; nil leaves them as they are.
	between func(name, address string) (string, error)
}

type pipeline struct {
	pipelineOptions
	t         *testing.T
	db        string // URL of the database, with nothing in between
	exporters []*exporter
	receivers []*service
	senders   []*devnet.Prometheus
}

func startPipeline(t *testing.T, o pipelineOptions) *pipeline {
	t.Helper()
	p := &pipeline{pipelineOptions: o, t: t, db: o.postgres.Database(t)}
	if p.between == nil {
		p.between = func(_, address string) (string, error) { return address, nil }
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	watchList := o.chain.watched.writeList(t)
	var targets []devnet.Target
	for i := range o.exporters {
		x, err := startExporter(t, fmt.Sprintf("exporter-%d", i), "--beacon.url="+o.chain.beaconURL,
			"--validators.config="+watchList, "--network.name="+network,
			fmt.Sprintf("--counters.window-epochs=%d", o.chain.epochs), "--counters.reset-slots=2",
			fmt.Sprintf("--counters.completed-windows=%d", o.shown))
		must(err)
		p.exporters = append(p.exporters, x)
		targets = append(targets, devnet.Target{
			Job: "validator-exporter", Address: x.address, Labels: map[string]string{"namespace": "ethereum", "pod": x.name},
		})
	}

	postgresAddress := fmt.Sprintf("127.0.0.1:%d", o.postgres.Port())
	between, err := p.between("postgres", postgresAddress)
	must(err)
	urlFile := filepath.Join(t.TempDir(), "database-url")
	must(os.WriteFile(urlFile, []byte(strings.Replace(p.db, postgresAddress, between, 1)), 0o600))
	for i, protocol := range o.protocols {
		args := []string{"serve", "--db.url-file=" + urlFile, "--db.auto-migrate", "--rollup.drop-label=region"}
		args = append(args, o.receiverFlags...)
		if !o.daysFrom.IsZero() {
			args = append(args, fmt.Sprintf("--network.genesis=%s=%d", network, o.daysFrom.Unix()))
		}
		receiver, err := startService(t, rollupProgram, fmt.Sprintf("receiver-%d", i), args...)
		must(err)
		p.receivers = append(p.receivers, receiver)
		address, err := p.between(receiver.name, receiver.address)
		must(err)
		name := fmt.Sprintf("prometheus-%d", i)
		sender, err := devnet.StartPrometheus(t.Context(), devnet.PrometheusOptions{
			Targets: targets, Interval: o.interval, WorkDir: t.TempDir(),
			// As the Prometheus operator sets them; region is a label of the user's own.
			ExternalLabels: map[string]string{"prometheus": "monitoring/k8s", "prometheus_replica": name, "region": name},
			RemoteWrite:    []map[string]any{shippedSection(t, "http://"+address+"/api/v1/write", protocol)},
		})
		must(err)
		t.Cleanup(sender.Stop)
		p.senders = append(p.senders, sender)
	}
	return p
}

// shippedSection is the section of remote_write that users get, with another address and
// the protocol.
func shippedSection(t *testing.T, url, protocol string) map[string]any {
	t.Helper()
	const path = "../../deploy/prometheus/remote-write.yml"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		RemoteWrite []map[string]any `yaml:"remote_write"`
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	if len(file.RemoteWrite) != 1 || file.RemoteWrite[0]["url"] == nil {
		t.Fatalf("%s has not one section with an URL", path)
	}
	section := file.RemoteWrite[0]
	section["url"], section["protobuf_message"] = url, protocol
	return section
}

// writeList writes a watch list and returns its path.
func (w watched) writeList(t *testing.T) string {
	t.Helper()
	groups := map[string][]string{}
	for v := range w {
		groups[w[v]] = append(groups[w[v]], strconv.FormatUint(v, 10))
	}
	text := "validators:\n"
	for group, indices := range groups {
		text += fmt.Sprintf("  - indices: %q\n    labels: {%s: %s}\n", strings.Join(indices, ","), watchLabel, group)
	}
	path := filepath.Join(t.TempDir(), "validators.yaml")
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// finish waits until all windows that are final by now are stored, stops the exporters,
// waits until all that was scraped is sent, and returns how many windows there are.
func (p *pipeline) finish(ctx context.Context) (windows int) {
	p.t.Helper()
	final, err := p.chain.final(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	if final == 0 {
		p.t.Fatal("no window is final")
	}
	err = p.wait(ctx, time.Minute, fmt.Sprintf("until %d windows are stored", final), func() (bool, error) {
		windows, err = p.windows(ctx)
		return windows >= final, err
	})
	if err != nil {
		p.t.Errorf("%v; there are %d", err, windows)
	}
	for _, x := range p.exporters {
		x.stop(p.t)
	}
	// Twice in a row, for a sample takes a moment from the scrape to the queue.
	idle := 0
	err = p.wait(ctx, time.Minute, "until Prometheus has sent everything", func() (bool, error) {
		idle++
		for _, sender := range p.senders {
			pending, err := metric(ctx, sender.URL(), "prometheus_remote_storage_samples_pending")
			if err != nil {
				return false, err
			}
			if pending > 0 {
				idle = 0
			}
		}
		return idle == 6, nil
	})
	if err != nil {
		p.t.Error(err)
	}
	if windows, err = p.windows(ctx); err != nil {
		p.t.Fatal(err)
	}
	return windows
}

// wait asks until done, a few times a second, and for patience at most.
func (p *pipeline) wait(ctx context.Context, patience time.Duration, what string, done func() (bool, error)) error {
	for deadline := time.Now().Add(patience); ; {
		ok, err := done()
		if ok || err != nil {
			return err
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("waited %s in vain %s", patience, what)
		}
		if err := sleepUntil(ctx, time.Now().Add(300*time.Millisecond)); err != nil {
			return err
		}
	}
}

// windows counts those that have been stored, in part at least.
func (p *pipeline) windows(ctx context.Context) (n int, err error) {
	err = p.query(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `
			SELECT count(DISTINCT window_start) FROM samples JOIN series ON series.id = series_id
			WHERE labels->>'network' = $1`, network).Scan(&n)
	})
	return n, err
}

func (p *pipeline) query(ctx context.Context, ask func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, p.db)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return ask(conn)
}

// metric sums up a family of a program's own metrics.
func metric(ctx context.Context, url, family string) (sum float64, err error) {
	text, err := get(ctx, url+"/metrics")
	if err != nil {
		return 0, err
	}
	e, err := parse(text)
	if err != nil {
		return 0, err
	}
	found := false
	for series, value := range e.samples {
		if name, _, _ := strings.Cut(series, "{"); name == family {
			sum, found = sum+value, true
		}
	}
	if !found {
		return 0, fmt.Errorf("%s has no %s", url, family)
	}
	return sum, nil
}

// compare compares what is stored, and what the views and the export make of it, with
// the first windows of the chain, counted by other code. It returns these.
func (p *pipeline) compare(ctx context.Context, windows int) (truth []window) {
	p.t.Helper()
	truth, err := p.chain.count(ctx, windows)
	if err != nil {
		p.t.Fatal(err)
	}
	stored, err := p.stored(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	p.compareSamples(stored, samples(truth))
	for _, kind := range []string{"validator", "group", "network"} {
		for _, monthly := range []bool{false, true} {
			p.compareView(ctx, kind, monthly, truth)
		}
	}
	return truth
}

// stored reads all samples but those of the ledger.
func (p *pipeline) stored(ctx context.Context) (map[sampleKey]float64, error) {
	return p.read(ctx, "<> '"+ledgerFamily+"'")
}

// read reads the samples of families that a condition is true of.
func (p *pipeline) read(ctx context.Context, condition string) (map[sampleKey]float64, error) {
	all := map[sampleKey]float64{}
	return all, p.query(ctx, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT name, labels, extract(epoch FROM window_start)::bigint, value
			FROM samples JOIN series ON series.id = series_id
			WHERE name `+condition)
		if err != nil {
			return err
		}
		var (
			name   string
			labels map[string]string
			start  int64
			value  float64
		)
		_, err = pgx.ForEachRow(rows, []any{&name, &labels, &start, &value}, func() error {
			key := sampleKey{sortedSeries(name, labels), start}
			if _, twice := all[key]; twice {
				return fmt.Errorf("%s is stored twice for the window %d", key.series, key.window)
			}
			all[key] = value
			labels = nil
			return nil
		})
		return err
	})
}

func (p *pipeline) compareSamples(stored, want map[sampleKey]float64) {
	p.t.Helper()
	wrong := complaints{t: p.t, about: "samples and the chain"}
	windows := map[int64]bool{}
	for key, value := range want {
		windows[key.window] = true
		if got, ok := stored[key]; !ok {
			wrong.errorf("%s is missing for the window %d", key.series, key.window)
		} else if got != value {
			wrong.errorf("%s is %v for the window %d, the chain has %v", key.series, got, key.window, value)
		}
	}
	for key, value := range stored {
		if _, ok := want[key]; !ok {
			wrong.errorf("%s is %v for the window %d, where the chain has none", key.series, value, key.window)
		}
	}
	wrong.end()
	p.t.Logf("samples: %d of %d windows compared with what other code counts: %d differences", len(want), len(windows), wrong.n)
}

// compareView compares a view, as SQL shows it and as it is exported.
func (p *pipeline) compareView(ctx context.Context, kind string, monthly bool, truth []window) {
	p.t.Helper()
	view, date := kind+"_daily", "day"
	if monthly {
		view, date = kind+"_monthly", "month"
	}
	want := map[period]map[string]any{}
	daysFrom := p.daysFrom
	if daysFrom.IsZero() {
		daysFrom = time.Unix(0, 0)
	}
	for key, row := range rows(truth, daysFrom, monthly) {
		if key.kind == kind {
			want[key] = row
		}
	}
	shown, err := p.viewBySQL(ctx, view)
	if err != nil {
		p.t.Fatal(err)
	}
	exported, err := p.viewByExport(ctx, view)
	if err != nil {
		p.t.Fatal(err)
	}
	wrong := complaints{t: p.t, about: view + " and the chain"}
	numbers := 0
	for how, rows := range map[string][]map[string]any{"view": shown, "export": exported} {
		seen := map[period]bool{}
		for _, row := range rows {
			key, err := periodOf(row, kind, date)
			if err != nil {
				p.t.Fatalf("%s of %s: %v", how, view, err)
			}
			if seen[key] {
				wrong.errorf("%s: %+v is there twice", how, key)
			}
			seen[key] = true
			if want[key] == nil {
				wrong.errorf("%s: %+v is not of the chain", how, key)
				continue
			}
			numbers += len(row)
			for column, value := range want[key] {
				if got, ok := row[column]; !ok || !sameNumber(got, value) {
					wrong.errorf("%s: %s of %+v is %v (%t), the chain has %v", how, column, key, got, ok, value)
				}
				delete(row, column)
			}
			for column, value := range row {
				wrong.errorf("%s: %s of %+v is %v; other code counts no such thing", how, column, key, value)
			}
		}
		for key := range want {
			if !seen[key] {
				wrong.errorf("%s: %+v is missing", how, key)
			}
		}
	}
	wrong.end()
	p.t.Logf("%s: %d rows compared as shown and as exported, %d numbers: %d differences", view, len(want), numbers, wrong.n)
}

// periodOf takes the columns that identify a row out of it.
func periodOf(row map[string]any, kind, date string) (period, error) {
	if row["network"] != network {
		return period{}, fmt.Errorf("a row of the network %v", row["network"])
	}
	key := period{about{kind: kind}, fmt.Sprint(row[date])}
	switch kind {
	case "validator":
		index, err := strconv.ParseUint(fmt.Sprint(row["validator_index"]), 10, 64)
		if err != nil {
			return period{}, err
		}
		key.validator = index
	case "group":
		key.by, key.group = fmt.Sprint(row["group_by"]), fmt.Sprint(row["group_name"])
	}
	for _, column := range []string{"network", date, "validator_index", "group_by", "group_name"} {
		delete(row, column)
	}
	return key, nil
}

// sameNumber tells whether a number of JSON, or null, is exactly what it should be.
func sameNumber(got, want any) bool {
	number, ok := got.(json.Number)
	if !ok {
		return got == nil && want == nil
	}
	switch want := want.(type) {
	case int64:
		return number.String() == strconv.FormatInt(want, 10)
	case float64:
		value, err := number.Float64()
		return err == nil && value == want
	}
	return false
}

func (p *pipeline) viewBySQL(ctx context.Context, view string) (rows []map[string]any, err error) {
	var text string
	err = p.query(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT coalesce(json_agg(v), '[]')::text FROM `+view+` AS v`).Scan(&text)
	})
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", view, err)
	}
	return rows, decodeNumbers(text, &rows)
}

// viewByExport runs the command that people run for reports.
func (p *pipeline) viewByExport(ctx context.Context, view string) (rows []map[string]any, err error) {
	command := exec.CommandContext(ctx, filepath.Join(built, rollupProgram), "export", "--view="+view, "--format=json")
	command.Env = append(os.Environ(), "VALIDATOR_ROLLUP_DB_URL="+p.db)
	text, err := command.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		return nil, fmt.Errorf("export %s: %w: %s", view, err, failed.Stderr)
	}
	if err != nil {
		return nil, err
	}
	return rows, decodeNumbers(string(text), &rows)
}

func decodeNumbers(text string, into any) error {
	decoder := json.NewDecoder(strings.NewReader(text))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// compareCounters checks what programs that ran all the time say of what they did.
func (p *pipeline) compareCounters(ctx context.Context) {
	p.t.Helper()
	stored, err := p.stored(ctx)
	if err != nil {
		p.t.Fatal(err)
	}
	var written float64
	for _, receiver := range p.receivers {
		of := map[string]float64{}
		for _, family := range []string{"samples", "samples_written", "samples_duplicate", "samples_dropped", "samples_rejected", "conflicts", "write_failures"} {
			if of[family], err = metric(ctx, receiver.url(""), "validator_rollup_"+family+"_total"); err != nil {
				p.t.Fatal(err)
			}
		}
		if of["samples"] != of["samples_written"]+of["samples_duplicate"]+of["samples_dropped"]+of["samples_rejected"]+of["conflicts"] {
			p.t.Errorf("%s: what became of the samples is not what came: %v", receiver.name, of)
		}
		if of["samples_rejected"] > 0 || of["conflicts"] > 0 {
			p.t.Errorf("%s refused samples: %v", receiver.name, of)
		}
		written += of["samples_written"]
		p.t.Logf("%s: %v", receiver.name, of)
	}
	if int(written) != len(stored) {
		p.t.Errorf("%v samples were written by what the receivers say, %d are stored", written, len(stored))
	}
	p.nothingFailed(ctx)
}

// nothingFailed checks that no Prometheus server was told that a sample cannot be stored.
func (p *pipeline) nothingFailed(ctx context.Context) {
	p.t.Helper()
	for i, sender := range p.senders {
		of := map[string]float64{}
		for _, family := range []string{"samples_total", "samples_retried_total", "samples_failed_total"} {
			var err error
			if of[family], err = metric(ctx, sender.URL(), "prometheus_remote_storage_"+family); err != nil {
				p.t.Fatal(err)
			}
		}
		p.t.Logf("Prometheus %d, %s: %v", i, p.protocols[i], of)
		if of["samples_failed_total"] != 0 || of["samples_total"] == 0 {
			p.t.Errorf("Prometheus %d, %s: %v", i, p.protocols[i], of)
		}
	}
}

// stop ends the receivers as an operator would.
func (p *pipeline) stop() {
	p.t.Helper()
	for _, sender := range p.senders {
		sender.Stop()
	}
	for _, receiver := range p.receivers {
		receiver.stop(p.t)
	}
}
