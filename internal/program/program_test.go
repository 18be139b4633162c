package program

import (
	"bytes"
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/exporter-toolkit/web"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// server is a program that serves a handler in the background.
type server struct {
	url     string
	signals chan os.Signal
	ended   chan error
}

func serve(t *testing.T, handler http.HandlerFunc, ending Ending) *server {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0") // a free port
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	no, none := false, ""
	flags := &web.FlagConfig{WebListenAddresses: &[]string{address}, WebSystemdSocket: &no, WebConfigFile: &none}
	logger := slog.New(slog.DiscardHandler)
	endpoints, err := Listen(flags, handler, logger)
	if err != nil {
		t.Fatal(err)
	}
	s := &server{url: "http://" + address, signals: make(chan os.Signal, 2), ended: make(chan error, 1)}
	go func() { s.ended <- Serve(endpoints, ending, s.signals, logger) }()
	return s
}

func get(url string) (string, error) {
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	return string(body), err
}

func TestRequestsInFlightAreAnsweredBeforeTheEnd(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	var stopping atomic.Bool
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) {
		close(entered)
		<-leave
		io.WriteString(w, "answered")
	}, Ending{Stopping: func() { stopping.Store(true); close(leave) }, Drain: time.Minute})
	answered := make(chan string, 1)
	go func() {
		body, _ := get(s.url)
		answered <- body
	}()
	<-entered
	s.signals <- syscall.SIGTERM
	if body := <-answered; body != "answered" || !stopping.Load() {
		t.Errorf("answer %q, stopping %t", body, stopping.Load())
	}
	if err := <-s.ended; err != nil {
		t.Error(err)
	}
}

// The time that a request may take to arrive does not limit how long it is worked on, and
// still cuts one that does not arrive.
func TestAnAnswerMayTakeLongerThanARequestMayTakeToArrive(t *testing.T) {
	const arrival = time.Second
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := newServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if _, err := io.Copy(io.Discard, r.Body); err != nil {
			http.Error(w, "cut off", http.StatusRequestTimeout)
			return
		}
		select {
		case <-r.Context().Done():
			io.WriteString(w, "given up")
		case <-time.After(2 * arrival):
			io.WriteString(w, "answered")
		}
	}), slog.New(slog.DiscardHandler))
	server.ReadTimeout = arrival
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	defer func() { server.Close(); <-served }()

	url := "http://" + listener.Addr().String()
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	hanging, never := io.Pipe()
	defer never.Close()
	for name, tc := range map[string]struct {
		body io.Reader
		want string
	}{
		"no body":                     {nil, "answered"},
		"a body":                      {strings.NewReader("body"), "answered"},
		"a body of unknown length":    {io.MultiReader(strings.NewReader("body")), "answered"},
		"a body that does not arrive": {hanging, "cut off\n"},
	} {
		request, err := http.NewRequest(http.MethodPost, url, tc.body)
		if err != nil {
			t.Fatal(err)
		}
		response, err := client.Do(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		got, _ := io.ReadAll(response.Body)
		response.Body.Close()
		if string(got) != tc.want {
			t.Errorf("%s: %q, want %q", name, got, tc.want)
		}
	}
}

func TestTheEndDoesNotWaitForEver(t *testing.T) {
	for name, hurry := range map[string]struct {
		drain  time.Duration
		signal bool
	}{"second signal": {time.Minute, true}, "time is over": {50 * time.Millisecond, false}} {
		t.Run(name, func(t *testing.T) {
			entered := make(chan struct{})
			s := serve(t, func(_ http.ResponseWriter, r *http.Request) {
				close(entered)
				<-r.Context().Done()
			}, Ending{Stopping: func() {}, Drain: hurry.drain})
			cut := make(chan error, 1)
			go func() {
				_, err := get(s.url)
				cut <- err
			}()
			<-entered
			s.signals <- syscall.SIGTERM
			if hurry.signal {
				s.signals <- os.Interrupt
			}
			if err := <-cut; err == nil {
				t.Error("the request was waited for")
			}
			if err := <-s.ended; err != nil {
				t.Error(err)
			}
		})
	}
}

func TestHangupIsNotTheEnd(t *testing.T) {
	hung := make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") },
		Ending{Stopping: func() {}, Drain: time.Minute, Hangup: func() { close(hung) }})
	s.signals <- syscall.SIGHUP
	<-hung
	if body, err := get(s.url); body != "here" {
		t.Errorf("answer %q, error %v", body, err)
	}
	s.signals <- syscall.SIGTERM
	<-s.ended
}

func TestEndIsHeardWhileAHangupDoesNotEnd(t *testing.T) {
	hung, leave := make(chan struct{}, 3), make(chan struct{})
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "here") },
		Ending{Stopping: func() {}, Drain: time.Minute, Hangup: func() { hung <- struct{}{}; <-leave }})
	s.signals <- syscall.SIGHUP
	<-hung
	for range 3 { // all that come in meanwhile are one more
		s.signals <- syscall.SIGHUP
	}
	if body, err := get(s.url); body != "here" {
		t.Errorf("answer %q, error %v", body, err)
	}
	s.signals <- syscall.SIGTERM
	select {
	case err := <-s.ended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the program does not end")
	}
	close(leave)
	<-hung
	select {
	case <-hung:
		t.Error("hung up a third time")
	case <-time.After(50 * time.Millisecond):
	}
}

func TestHealthcheckTellsAliveFromDead(t *testing.T) {
	statuses := make(chan int, 1)
	s := serve(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(<-statuses) }, Ending{Stopping: func() {}, Drain: time.Minute})
	check := func() (string, error) {
		app := kingpin.New("x", "")
		var h Healthcheck
		h.Register(app, strings.TrimPrefix(s.url, "http://127.0.0.1"))
		if _, _, err := Parse(app, nil, io.Discard); err != nil {
			t.Fatal(err)
		}
		var out strings.Builder
		err := h.Run(&out)
		return out.String(), err
	}
	for status, alive := range map[int]bool{200: true, 401: true, 404: false, 503: false} {
		statuses <- status
		if out, err := check(); (err == nil) != alive || (out == "healthy\n") != alive {
			t.Errorf("status %d: %q, error %v", status, out, err)
		}
	}
	statuses <- http.StatusNotFound
	want := "not healthy: " + s.url + "/-/healthy answered 404 Not Found"
	if _, err := check(); err == nil || err.Error() != want {
		t.Errorf("error %v, want %s", err, want)
	}
	s.signals <- syscall.SIGTERM
	<-s.ended
	if out, err := check(); err == nil || out != "" {
		t.Errorf("nobody there: %q, error %v", out, err)
	}
}

func TestFlagsNameThemselvesInErrors(t *testing.T) {
	var (
		number int
		wait   time.Duration
		brief  time.Duration
		choice string
		names  []string
	)
	parse := func(args ...string) error {
		number, wait, brief, choice, names = 0, 0, 0, "", nil
		app := kingpin.New("x", "")
		Int(app, "number", "", 3, 1, &number)
		Duration(app, "wait", "", "5y", time.Second, &wait)
		ShortDuration(app, "brief", "", "0.5s", AboveZero, &brief)
		ShortDuration(app, "offset", "", "0s", FromZero, new(time.Duration))
		Choice(app, "choice", "", &choice, "red", "green")
		CheckedList(app, "name", "", func(text string) error {
			if text == "" {
				return errors.New("must not be empty")
			}
			names = append(names, text)
			return nil
		})
		_, _, err := Parse(app, args, io.Discard)
		return err
	}
	if err := parse(); err != nil || number != 3 || wait != 5*365*24*time.Hour || brief != 500*time.Millisecond || choice != "red" || names != nil {
		t.Errorf("defaults: %d, %s, %s, %s, %v, error %v", number, wait, brief, choice, names, err)
	}
	if err := parse("--number=7", "--wait=1d", "--brief=1us", "--choice=green", "--name=a", "--name=b"); err != nil || number != 7 || wait != 24*time.Hour || brief != time.Microsecond || choice != "green" || len(names) != 2 {
		t.Errorf("given: %d, %s, %s, %s, %v, error %v", number, wait, brief, choice, names, err)
	}
	for arg, want := range map[string]string{
		"--number=0":    "--number=0: must be a whole number, at least 1",
		"--number=1.5":  "--number=1.5: must be a whole number, at least 1",
		"--wait=999ms":  "--wait=999ms: must be a duration of at least 1s, such as 1m30s or 5y",
		"--wait=-1s":    "--wait=-1s: must be a duration of at least 1s, such as 1m30s or 5y",
		"--brief=0s":    "--brief=0s: must be a duration above 0, such as 1m30s",
		"--brief=1d":    "--brief=1d: must be a duration above 0, such as 1m30s",
		"--offset=-1ns": "--offset=-1ns: must be a duration from 0 on, such as 1m30s",
		"--choice=blue": "--choice=blue: must be one of red, green",
		"--name=":       "--name=: must not be empty",
	} {
		if err := parse(arg); err == nil || err.Error() != want {
			t.Errorf("%s: %v, want %s", arg, err, want)
		}
	}
}

func TestVersionIsThatOfTheProgram(t *testing.T) {
	for _, name := range []string{"prog", "prog healthcheck"} {
		var out strings.Builder
		_, done, err := Parse(kingpin.New(name, ""), []string{"--version"}, &out)
		if !done || err != nil || !strings.HasPrefix(out.String(), "prog, version ") {
			t.Errorf("%s: %q, done %t, error %v", name, &out, done, err)
		}
	}
}

func TestLogFormatsAndLevels(t *testing.T) {
	for _, tc := range []struct {
		log  Log
		want string
	}{
		{Log{"info", "logfmt"}, `^level=info caller=\S+ time=\S+ msg=hello slot=7\nlevel=warn .* msg=careful\n$`},
		{Log{"warn", "logfmt"}, `^level=warn caller=\S+ time=\S+ msg=careful\n$`},
		{Log{"warn", "json"}, `^{.*"level":"warn","msg":"careful".*}\n$`},
		{Log{"error", "json"}, `^$`},
	} {
		var written bytes.Buffer
		logger := tc.log.Logger(&written)
		logger.Debug("details")
		logger.Info("hello", "slot", 7)
		logger.LogAttrs(context.Background(), slog.LevelWarn, "careful")
		if !regexp.MustCompile(tc.want).MatchString(written.String()) {
			t.Errorf("%+v: %q does not match %s", tc.log, &written, tc.want)
		}
	}
}

func TestErrorIsOneLine(t *testing.T) {
	if got := OneLine(errors.New("first\n  second \n third")); got != "first second third" {
		t.Errorf("%q", got)
	}
}
