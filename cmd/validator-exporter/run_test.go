package main

import (
	"errors"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/program/programtest"
)

func TestWrongFlagsAndFilesAreOneLine(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	list := programtest.File(t, "watch.yaml", "validators:\n  - indexes: 1\n")
	headers := programtest.File(t, "headers", "# token\nAuthorization Bearer secret\n")
	webConfig := programtest.File(t, "web.yaml", "tls_server_config:\n  cert: x\n  nonsense: y\n")

	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"unknown flag":             {[]string{"--beacon.uri=x"}, 2, "unknown long flag '--beacon.uri'; try --help"},
		"unknown command":          {[]string{"start"}, 2, "unexpected start; try --help"},
		"no duration":              {[]string{"--beacon.timeout=10"}, 2, "--beacon.timeout=10: must be a duration above 0, such as 1m30s; try --help"},
		"no number":                {[]string{"--web.max-requests=many"}, 2, "--web.max-requests=many: must be a whole number, at least 0; try --help"},
		"no choice":                {[]string{"--network.stake=maybe"}, 2, "--network.stake=maybe: must be one of auto, always, never; try --help"},
		"no log level":             {[]string{"--log.level=loud"}, 2, "--log.level=loud: must be one of info, debug, warn, error; try --help"},
		"zero timeout":             {[]string{"--beacon.timeout=0s"}, 2, "--beacon.timeout=0s: must be a duration above 0, such as 1m30s; try --help"},
		"negative limit":           {[]string{"--validators.individual-limit=-1"}, 2, "--validators.individual-limit=-1: must be a whole number, at least 0; try --help"},
		"a window of one epoch":    {[]string{"--counters.window-epochs=1"}, 2, "--counters.window-epochs=1: must be a whole number, at least 2; try --help"},
		"no reset slots":           {[]string{"--counters.reset-slots=0"}, 2, "--counters.reset-slots=0: must be a whole number, at least 1; try --help"},
		"negative age":             {[]string{"--chain.max-age=-1s"}, 2, "--chain.max-age=-1s: must be a duration from 0 on, such as 1m30s; try --help"},
		"negative offset":          {[]string{"--scrape.timeout-offset=-1s"}, 2, "--scrape.timeout-offset=-1s: must be a duration from 0 on, such as 1m30s; try --help"},
		"flag without value":       {[]string{"--validators.config"}, 2, "expected argument for flag '--validators.config'; try --help"},
		"healthcheck without time": {[]string{"healthcheck", "--timeout=0s"}, 2, "--timeout=0s: must be a duration above 0, such as 1m30s; try --help"},
		"path without slash":       {[]string{"--web.telemetry-path=metrics"}, 2, "--web.telemetry-path=metrics: must be a plain path such as /metrics; try --help"},
		"path with a pattern":      {[]string{"--web.telemetry-path=/{x}"}, 2, "--web.telemetry-path=/{x}: must be a plain path such as /metrics; try --help"},
		"path that is not clean":   {[]string{"--web.telemetry-path=/a/../b"}, 2, "--web.telemetry-path=/a/../b: must be a plain path such as /metrics; try --help"},
		"path of a profile":        {[]string{"--web.telemetry-path=/debug/pprof/heap"}, 2, "--web.telemetry-path=/debug/pprof/heap: this path is taken; choose another; try --help"},
		"path that is taken":       {[]string{"--web.telemetry-path=/health"}, 2, "--web.telemetry-path=/health: this path is taken; choose another; try --help"},
		"no such watch list":       {[]string{"--validators.config=/nowhere/watch.yaml"}, 1, "cannot read the watch list: open /nowhere/watch.yaml: no such file or directory"},
		"malformed watch list":     {[]string{"--validators.config=" + list}, 1, list + `:2:5: unknown field "indexes"; an entry knows index, indices, pubkey, pubkeys_file or labels`},
		"no validator":             {[]string{"--validator=0x12"}, 1, `--validator=0x12: public key "0x12" has 2 characters after 0x; a public key is 0x and 96 hexadecimal digits`},
		"no such headers file":     {[]string{"--beacon.headers-file=/nowhere"}, 1, "cannot read --beacon.headers-file: open /nowhere: no such file or directory"},
		"malformed headers":        {[]string{"--beacon.headers-file=" + headers}, 1, headers + `:2: not a header; write "Name: value"`},
		"no such web config":       {[]string{"--web.config.file=/nowhere"}, 1, "--web.config.file=/nowhere: open /nowhere: no such file or directory"},
		"malformed web config":     {[]string{"--web.config.file=" + webConfig}, 1, "--web.config.file=" + webConfig + ": yaml: unmarshal errors: line 3: field nonsense not found in type web.TLSConfig"},
		"no address":               {[]string{"--web.listen-address=nowhere"}, 1, "--web.listen-address=nowhere: listen tcp: address nowhere: missing port in address"},
		"port in use":              {[]string{"--web.listen-address=" + busy.Addr().String()}, 1, "--web.listen-address=" + busy.Addr().String() + ": listen tcp " + busy.Addr().String() + ": bind: address already in use"},
	} {
		t.Run(name, func(t *testing.T) {
			e := &scripted{}
			code, stdout, stderr := once(e.build, tc.args...)
			if want := "validator-exporter: error: " + tc.want + "\n"; code != tc.code || stderr != want || stdout != "" {
				t.Errorf("code %d, stdout %q, stderr\n%swant %d\n%s", code, stdout, stderr, tc.code, want)
			}
		})
	}
}

func TestWhatCannotBeBuiltIsOneLine(t *testing.T) {
	failing := func(*settings, http.Header, *watch.Watcher, *slog.Logger) (exporter, error) {
		return nil, errors.New("first\n  second")
	}
	if code, _, stderr := once(failing); code != 1 || stderr != "validator-exporter: error: first second\n" {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

func TestHelpAndVersionAreAnswers(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--version"}, "validator-exporter, version "},
		{[]string{"--help"}, "--beacon.url="},
		{[]string{"help"}, "--beacon.url="},
		{[]string{"help", "healthcheck"}, "--url="},
		{[]string{"healthcheck", "--help"}, "--url="},
		{[]string{"healthcheck", "--version"}, "validator-exporter, version "},
	} {
		e := &scripted{}
		code, stdout, stderr := once(e.build, tc.args...)
		if code != 0 || stderr != "" || strings.Count(stdout, tc.want) != 1 {
			t.Errorf("%q: code %d, stderr %q, stdout without one %q:\n%s", tc.args, code, stderr, tc.want, stdout)
		}
	}
}

func TestConfigCheckSaysWhetherAllIsValid(t *testing.T) {
	list := programtest.File(t, "watch.yaml", "validators:\n  - indices: 1-10\n")
	e := &scripted{}
	code, stdout, stderr := once(e.build, "--config.check", "--validators.config="+list, "--validator=10,11", "--beacon.url=http://a:1", "--beacon.url=http://b:1")
	if want := "the configuration is valid; validators: 11, beacon nodes: 2\n"; code != 0 || stdout != want || stderr != "" {
		t.Errorf("code %d, stdout %q, stderr %q; want 0 and %q", code, stdout, stderr, want)
	}
	if !e.closed {
		t.Error("the exporter was not closed")
	}
}

func TestHeadersFile(t *testing.T) {
	path := programtest.File(t, "headers", "# hosted node\n\nauthorization: Bearer a:b #c\r\nX-Key:  k1 \nX-Key: k2\n")
	headers, exposed, err := readHeaders(path)
	if err != nil || exposed {
		t.Fatalf("exposed %t, error %v", exposed, err)
	}
	if got := headers.Get("Authorization"); got != "Bearer a:b #c" {
		t.Errorf("Authorization %q", got)
	}
	if got := headers.Values("X-Key"); len(got) != 2 || got[0] != "k1" || got[1] != "k2" {
		t.Errorf("X-Key %q", got)
	}
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, exposed, err := readHeaders(path); err != nil || !exposed {
		t.Errorf("world-readable: exposed %t, error %v", exposed, err)
	}
	for text, want := range map[string]string{
		"secret":         `headers:1: not a header; write "Name: value"`,
		"a b: secret":    `headers:1: not a header; write "Name: value"`,
		"\n: secret":     `headers:2: not a header; write "Name: value"`,
		"Host: secret":   `headers:1: the header Host cannot be set; remove it`,
		"X: sec\x00ret":  `headers:1: the value of header X holds a control character; remove it`,
		"X: a\nsecret\n": `headers:2: not a header; write "Name: value"`,
	} {
		_, _, err := readHeaders(programtest.File(t, "headers", text))
		if err == nil || filepath.Base(strings.SplitN(err.Error(), ":", 2)[0])+":"+strings.SplitN(err.Error(), ":", 2)[1] != want {
			t.Errorf("%q: got %v, want %s", text, err, want)
		}
	}
}
