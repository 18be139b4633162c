//go:build e2e

package e2e

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
)

// built is the directory into which TestMain builds the programs.
var built string

const (
	exporterProgram = "validator-exporter"
	rollupProgram   = "validator-rollup"
)

func TestMain(m *testing.M) { os.Exit(testMain(m)) }

func testMain(m *testing.M) int {
	dir, err := os.MkdirTemp("", "e2e-")
	if err == nil {
		defer os.RemoveAll(dir)
		built = dir
		err = build(exporterProgram, rollupProgram)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// At once, for most of the time they wait for their chains.
	flag.Parse()
	flag.Set("test.parallel", "3")
	return m.Run()
}

func build(programs ...string) error {
	args := []string{"build", "-o", built + string(filepath.Separator)}
	for _, program := range programs {
		args = append(args, "../../cmd/"+program)
	}
	if output, err := exec.Command("go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("build %v: %w\n%s", programs, err, output)
	}
	return nil
}

// service is a process of one of our programs. It keeps its address over restarts.
type service struct {
	binary, name, dir, address string
	args                       []string

	mu      sync.Mutex
	program *devnet.Program
	starts  int
}

// startService starts a program that ends with the test. When the test fails, the end of
// its log is printed.
func startService(t *testing.T, program, name string, args ...string) (*service, error) {
	ports, err := devnet.FreePorts(1)
	if err != nil {
		return nil, err
	}
	s := &service{binary: filepath.Join(built, program), name: name, dir: t.TempDir(), address: fmt.Sprintf("127.0.0.1:%d", ports[0])}
	s.args = append(args, "--log.level=warn", "--web.listen-address="+s.address)
	t.Cleanup(func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.program != nil {
			s.program.Kill()
		}
		if log := tail(filepath.Join(s.dir, name+".log"), 40); t.Failed() && log != "" {
			t.Logf("the end of the log of %s %s:\n%s", program, name, log)
		}
	})
	return s, s.start(t.Context())
}

func (s *service) start(ctx context.Context) error {
	program, err := devnet.StartProgram(s.dir, s.name, s.binary, s.args...)
	if err != nil {
		return err
	}
	s.mu.Lock()
	s.program = program
	s.starts++
	s.mu.Unlock()
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	return program.WaitReady(ctx, func(ctx context.Context) error {
		_, err := get(ctx, s.url("/-/healthy"))
		return err
	})
}

func (s *service) url(path string) string { return "http://" + s.address + path }

// crash kills the program with SIGKILL and starts it again at once.
func (s *service) crash(ctx context.Context) error {
	s.mu.Lock()
	s.program.Kill()
	s.mu.Unlock()
	return s.start(ctx)
}

// stop ends the program as an operator would. It must drain and exit with 0.
func (s *service) stop(t *testing.T) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err := s.program.Stop(15 * time.Second); err != nil {
		t.Errorf("%s on SIGTERM: %v", s.name, err)
	}
}

// exporter is a validator-exporter process.
type exporter struct{ *service }

func startExporter(t *testing.T, name string, args ...string) (*exporter, error) {
	s, err := startService(t, exporterProgram, name, args...)
	return &exporter{s}, err
}

// waitReady scrapes until the exporter says that its counters are whole.
func (x *exporter) waitReady(ctx context.Context) error {
	for {
		_, scrapeErr := x.scrape(ctx)
		_, err := get(ctx, x.url("/-/ready"))
		if err == nil && scrapeErr == nil {
			return nil
		}
		select {
		case <-time.After(100 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("exporter %s is not ready: %w", x.name, err)
		}
	}
}

// exposition is what one scrape saw.
type exposition struct {
	text []byte
	// families holds the text of each family, with its comments.
	families map[string]string
	// samples holds the value of each series, by its text name{labels}.
	samples map[string]float64
}

func (x *exporter) scrape(ctx context.Context) (*exposition, error) {
	text, err := get(ctx, x.url("/metrics"), "X-Prometheus-Scrape-Timeout-Seconds", "8")
	if err != nil {
		return nil, err
	}
	e, err := parse(text)
	if err != nil {
		return nil, fmt.Errorf("exporter %s: %w", x.name, err)
	}
	return e, nil
}

// parse reads the text format, as far as the exporter uses it.
func parse(text []byte) (*exposition, error) {
	e := &exposition{text: text, families: map[string]string{}, samples: map[string]float64{}}
	var family string
	for line := range strings.Lines(string(text)) {
		if comment, ok := strings.CutPrefix(line, "# HELP "); ok {
			family, _, _ = strings.Cut(comment, " ")
			if e.families[family] != "" {
				return nil, fmt.Errorf("family %s twice", family)
			}
		}
		e.families[family] += line
		if strings.HasPrefix(line, "#") {
			continue
		}
		space := strings.LastIndexByte(line, ' ')
		if space < 0 {
			return nil, fmt.Errorf("not a sample: %q", line)
		}
		value, err := strconv.ParseFloat(strings.TrimSpace(line[space+1:]), 64)
		if err != nil {
			return nil, fmt.Errorf("not a sample: %q: %w", line, err)
		}
		if _, twice := e.samples[line[:space]]; twice {
			return nil, fmt.Errorf("series %s twice", line[:space])
		}
		e.samples[line[:space]] = value
	}
	return e, nil
}

// one returns the value of a family with the one label network.
func (e *exposition) one(name string) (float64, bool) {
	value, ok := e.samples[fmt.Sprintf(`%s{network=%q}`, name, network)]
	return value, ok
}

// chain returns the text of each family that is a function of the chain.
func (e *exposition) chain() map[string]string {
	of := map[string]string{}
	for name, text := range e.families {
		if family, ok := catalog.Get(name); ok && family.Origin == catalog.Chain {
			of[name] = text
		}
	}
	return of
}

var client = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

// get returns the body of an answer that is 200 and comes within ten seconds.
func get(ctx context.Context, url string, headers ...string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, err
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := client.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, fmt.Errorf("GET %s: %w", url, err)
	}
	if response.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("GET %s: %s: %s", url, response.Status, strings.TrimSpace(string(body[:min(len(body), 200)])))
	}
	return body, nil
}

// tail returns the last lines of a file.
func tail(path string, lines int) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return err.Error()
	}
	all := strings.Split(strings.TrimSpace(string(text)), "\n")
	return strings.Join(all[max(0, len(all)-lines):], "\n")
}
