//go:build e2e

package deploy_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"
	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
)

// stack is the programs of a profile of compose.yaml, run without containers: each with the
// command line and the files that its service has. Three things differ, and nothing else: a
// path of the container is the file that is mounted there, an address of a service is a free
// port of 127.0.0.1, and Grafana stays away, for there is none to run. What cannot be
// translated so is an error.
type stack struct {
	*composed
	t         *testing.T
	dir       string
	programs  map[string]string // what an image has, by its name there
	addresses map[string]string // name:port → 127.0.0.1:port
	postgres  *pgtest.Server
	running   map[string]*devnet.Program
}

// prepareStack reads the profile and gives addresses out. elsewhere are
// addresses of programs that are not of the stack.
func prepareStack(t *testing.T, profile string, elsewhere map[string]string, settings ...string) *stack {
	t.Helper()
	s := &stack{
		composed: compose(t, profile, settings...), t: t, dir: t.TempDir(),
		addresses: maps.Clone(elsewhere), running: map[string]*devnet.Program{},
	}
	s.programs = map[string]string{"/bin/promtool": program(t, "promtool"), "/bin/amtool": program(t, "amtool")}
	for _, name := range []string{"prometheus", "alertmanager"} {
		s.programs[name] = program(t, name)
	}
	built := buildPrograms(t)
	for _, name := range []string{"validator-exporter", "validator-rollup", "chainsim"} {
		s.programs[name] = filepath.Join(built, name)
		s.programs["/"+name] = s.programs[name] // by the path in its image
	}

	if s.addresses == nil {
		s.addresses = map[string]string{}
	}
	listens := regexp.MustCompile(`^--(?:web\.listen-address|listen)=:(\d+)$`)
	for _, service := range s.Services {
		names := []string{service.Name, "127.0.0.1/" + service.Name} // the second: as the service calls itself
		for _, network := range service.Networks {
			if network != nil {
				names = append(names, network.Aliases...)
			}
		}
		var ports []string
		for _, word := range service.Command {
			if found := listens.FindStringSubmatch(word); found != nil {
				ports = append(ports, found[1])
			}
		}
		if s.is(service, "postgres") {
			s.startPostgres(service, names)
			continue
		}
		free, err := devnet.FreePorts(len(ports))
		if err != nil {
			t.Fatal(err)
		}
		for i, port := range ports {
			for _, name := range names {
				s.addresses[name+":"+port] = fmt.Sprintf("127.0.0.1:%d", free[i])
			}
		}
	}
	return s
}

// buildPrograms compiles the programs of this tree, as the image does.
func buildPrograms(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	command := exec.Command("go", "build", "-o", dir+"/", "./cmd/...", "./internal/chainsim/cmd/chainsim")
	command.Dir, command.Env = tree, append(os.Environ(), "CGO_ENABLED=0")
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return dir
}

func (s *stack) is(service types.ServiceConfig, program string) bool {
	return programOf(service.Name) == program
}

// address translates name:port as a service uses it. Before addresses are given out it stays.
func (s *stack) address(of types.ServiceConfig, address string) (string, error) {
	if s.addresses == nil {
		return address, nil
	}
	host, port, _ := strings.Cut(address, ":")
	if host == "" || host == "localhost" || host == "127.0.0.1" {
		address = "127.0.0.1/" + of.Name + ":" + port
	}
	if to, known := s.addresses[address]; known {
		return to, nil
	}
	return "", fmt.Errorf("%s: nobody is at %s", of.Name, address)
}

// path translates a path of a service's container.
func (s *stack) path(of types.ServiceConfig, path string) (string, error) {
	best, found := "", ""
	take := func(target, source string) {
		if rest, below := strings.CutPrefix(path, target); below && (rest == "" || rest[0] == '/') && len(target) > len(best) {
			best, found = target, source+rest
		}
	}
	for _, v := range of.Volumes {
		source := v.Source
		if v.Type == types.VolumeTypeVolume {
			source = filepath.Join(s.dir, "volumes", v.Source)
			if err := os.MkdirAll(source, 0o700); err != nil {
				return "", err
			}
		}
		take(v.Target, source)
	}
	for _, secret := range of.Secrets {
		take(secret.Target, s.Secrets[secret.Source].File)
	}
	if best == "" {
		return "", fmt.Errorf("%s: nothing is mounted at %s", of.Name, path)
	}
	return found, nil
}

// translate translates what a service reads: a word of its command, a value in its
// environment or its configuration.
func (s *stack) translate(of types.ServiceConfig, text string) (_ string, err error) {
	replace := func(pattern *regexp.Regexp, to func(types.ServiceConfig, string) (string, error)) {
		text = pattern.ReplaceAllStringFunc(text, func(found string) string {
			at := pattern.FindStringSubmatchIndex(found)
			translated, failure := to(of, found[at[2]:at[3]])
			err = errors.Join(err, failure)
			return found[:at[2]] + translated + found[at[3]:]
		})
	}
	// Addresses first: translated paths may look like one.
	replace(regexp.MustCompile(`(?:^|[/@=\s])((?:[a-z][a-z0-9.-]*|127\.0\.0\.1)?:\d{2,5})(?:$|[/?\s])`), s.address)
	replace(regexp.MustCompile(`(?:^|[=\s{])(/(?:etc|run|var|prometheus|alertmanager|docker-entrypoint-initdb\.d)\b[^\s}]*)`), s.path)
	return text, err
}

func (s *stack) mustTranslate(of types.ServiceConfig, text string) string {
	s.t.Helper()
	translated, err := s.translate(of, text)
	if err != nil {
		s.t.Fatal(err)
	}
	return translated
}

// config makes the translated copy of a configuration file, and of those that it includes.
func (s *stack) config(of types.ServiceConfig, path string) string {
	s.t.Helper()
	source, err := s.path(of, path)
	if err != nil {
		s.t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal([]byte(readText(s.t, source)), &document); err != nil {
		s.t.Fatalf("%s: %v", source, err)
	}
	var walk func(n *yaml.Node)
	walk = func(n *yaml.Node) {
		for i, child := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 && child.Value == "scrape_config_files" {
				for _, file := range n.Content[i+1].Content {
					file.Value = s.config(of, file.Value)
				}
				n.Content[i+1].Tag = "!translated"
			}
			if child.Tag != "!translated" {
				walk(child)
			} else {
				child.Tag = ""
			}
		}
		if n.Kind == yaml.ScalarNode && n.Tag == "!!str" {
			n.Value = s.mustTranslate(of, n.Value)
		}
	}
	walk(&document)
	text, err := yaml.Marshal(&document)
	if err != nil {
		s.t.Fatal(err)
	}
	copied := filepath.Join(s.dir, of.Name, path)
	if err := os.MkdirAll(filepath.Dir(copied), 0o700); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(copied, text, 0o600); err != nil {
		s.t.Fatal(err)
	}
	return copied
}

// commandLine is the translated command of a service, whose image starts program.
func (s *stack) commandLine(of types.ServiceConfig) (program string, args []string) {
	s.t.Helper()
	if len(of.Entrypoint) > 0 {
		s.t.Fatalf("%s: its entrypoint is %s", of.Name, of.Entrypoint)
	}
	program, known := s.programs[programOf(of.Name)]
	if !known {
		s.t.Fatalf("%s: no program to run", of.Name)
	}
	for _, word := range of.Command {
		if file, ok := strings.CutPrefix(word, "--config.file="); ok {
			word = "--config.file=" + s.config(of, file)
		} else {
			word = s.mustTranslate(of, word)
		}
		args = append(args, word)
	}
	return program, args
}

// healthy runs the health check of a service.
func (s *stack) healthy(ctx context.Context, of types.ServiceConfig) error {
	program, known := s.programs[of.HealthCheck.Test[1]]
	if !known {
		return fmt.Errorf("%s: its image has no %s", of.Name, of.HealthCheck.Test[1])
	}
	var args []string
	for _, word := range of.HealthCheck.Test[2:] {
		translated, err := s.translate(of, word)
		if err != nil {
			return err
		}
		args = append(args, translated)
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(*of.HealthCheck.Timeout))
	defer cancel()
	if out, err := exec.CommandContext(ctx, program, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", of.HealthCheck.Test, err, out)
	}
	return nil
}

// startPostgres starts the database with the settings of its service, and does what the image
// does when it makes the data.
func (s *stack) startPostgres(service types.ServiceConfig, names []string) {
	s.t.Helper()
	var options []pgtest.Option
	words := []string(service.Command)
	if len(words) == 0 || words[0] != "postgres" {
		s.t.Fatalf("command of Postgres: %s", words)
	}
	for pair := range slices.Chunk(words[1:], 2) {
		name, value, ok := strings.Cut(pair[len(pair)-1], "=")
		if pair[0] != "-c" || !ok {
			s.t.Fatalf("command of Postgres: %s", words)
		}
		if name != "listen_addresses" { // which is 127.0.0.1 in tests
			options = append(options, pgtest.Setting(name, value))
		}
	}
	s.postgres = pgtest.Start(s.t, options...)
	address := fmt.Sprintf("127.0.0.1:%d", s.postgres.Port())
	for _, name := range names {
		s.addresses[name+":5432"] = address
	}
	superuser, err := url.Parse(s.postgres.URL())
	if err != nil {
		s.t.Fatal(err)
	}
	password, _ := superuser.User.Password()
	environment := []string{
		"PATH=" + filepath.Dir(s.postgres.Program("psql")) + ":" + os.Getenv("PATH"),
		"PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", s.postgres.Port()), "PGPASSWORD=" + password,
	}
	for name, value := range service.Environment {
		environment = append(environment, name+"="+s.mustTranslate(service, *value))
	}
	if err := s.postgres.Exec(s.t.Context(), "CREATE DATABASE "+*service.Environment["POSTGRES_DB"]); err != nil {
		s.t.Fatal(err)
	}
	scripts, err := s.path(service, "/docker-entrypoint-initdb.d")
	if err != nil {
		s.t.Fatal(err)
	}
	found, err := filepath.Glob(scripts + "/*")
	if err != nil || len(found) == 0 {
		s.t.Fatalf("no script in %s, error %v", scripts, err)
	}
	for _, script := range found {
		command := exec.CommandContext(s.t.Context(), script)
		command.Env = environment
		if out, err := command.CombinedOutput(); err != nil || len(out) > 0 {
			s.t.Fatalf("%s: %v\n%s", script, err, out)
		}
	}
	s.programs["pg_isready"] = s.postgres.Program("pg_isready")
}

// start starts everything in the order that the file asks for. Each service is healthy when
// it returns, as its own health check sees it.
func (s *stack) start() {
	s.t.Helper()
	// Secrets hold addresses as well.
	for name, secret := range s.Secrets {
		if name != "db-url" {
			continue
		}
		text := readText(s.t, secret.File)
		to, known := s.addresses["postgres:5432"]
		if s.postgres != nil && (!known || !strings.Contains(text, "@postgres:5432/")) {
			s.t.Fatalf("db-url does not lead to the service postgres: %s", text)
		}
		s.writeSecret(name, strings.Replace(text, "postgres:5432", to, 1))
	}
	logs := filepath.Join(s.dir, "logs")
	if err := os.MkdirAll(logs, 0o700); err != nil {
		s.t.Fatal(err)
	}
	// Reverse order of their start, as t.Cleanup has it.
	for _, service := range s.inOrder() {
		switch {
		case s.is(service, "grafana"):
			continue
		case s.is(service, "postgres"):
			if err := s.healthy(s.t.Context(), service); err != nil {
				s.t.Fatal(err)
			}
			continue
		}
		binary, args := s.commandLine(service)
		program, err := devnet.StartProgram(logs, service.Name, binary, args...)
		if err != nil {
			s.t.Fatal(err)
		}
		s.running[service.Name] = program
		s.t.Cleanup(func() {
			if s.t.Failed() {
				s.t.Logf("the end of the log of %s:\n%s", service.Name, lastLines(readText(s.t, program.Log()), 15))
			}
			if err := program.Stop(30 * time.Second); err != nil {
				s.t.Errorf("%s: %v", service.Name, err)
			}
		})
		ctx, cancel := context.WithTimeout(s.t.Context(), time.Minute)
		err = program.WaitReady(ctx, func(ctx context.Context) error { return s.healthy(ctx, service) })
		cancel()
		if err != nil {
			s.t.Fatal(err)
		}
	}
}

// inOrder are the services, each after those that it depends on.
func (s *stack) inOrder() (order []types.ServiceConfig) {
	placed := map[string]bool{}
	for range s.Services {
		for _, name := range slices.Sorted(maps.Keys(s.Services)) {
			ready := !placed[name]
			for other := range s.Services[name].DependsOn {
				if _, runs := s.Services[other]; runs && !placed[other] {
					ready = false
				}
			}
			if ready {
				placed[name] = true
				order = append(order, s.Services[name])
			}
		}
	}
	return order
}

func (s *stack) writeSecret(name, text string) {
	s.t.Helper()
	file := s.Secrets[name].File
	if err := os.Remove(file); err != nil {
		s.t.Fatal(err)
	}
	if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
		s.t.Fatal(err)
	}
}

func lastLines(text string, n int) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return strings.Join(lines[max(0, len(lines)-n):], "\n")
}

// ask reads what the HTTP API of Prometheus answers.
func (s *stack) ask(path string, into any) error {
	response, err := http.Get("http://" + s.addresses["prometheus:9090"] + path)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer := struct {
		Status, Error string
		Data          any
	}{Data: into}
	if err := json.NewDecoder(response.Body).Decode(&answer); err != nil {
		return fmt.Errorf("%s: %s: %w", path, response.Status, err)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// eventually polls until the condition holds.
func eventually(t *testing.T, patience time.Duration, condition func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := condition()
		if err == nil {
			return
		}
		if time.Now().After(deadline) || t.Context().Err() != nil {
			t.Fatalf("after %s: %v", patience, err)
		}
		time.Sleep(500 * time.Millisecond)
	}
}

// targetsUp fails until every target has been scraped, or when there are others than jobs.
func (s *stack) targetsUp(jobs ...string) error {
	var targets struct {
		Active []struct {
			Health, LastError, ScrapeURL string
			Labels                       map[string]string
		} `json:"activeTargets"`
	}
	if err := s.ask("/api/v1/targets", &targets); err != nil {
		return err
	}
	var found []string
	for _, target := range targets.Active {
		if target.Health != "up" {
			return fmt.Errorf("%s is %s: %s", target.ScrapeURL, target.Health, target.LastError)
		}
		found = append(found, target.Labels["job"])
	}
	slices.Sort(found)
	if !slices.Equal(found, jobs) {
		return fmt.Errorf("jobs are %s, want %s", found, jobs)
	}
	var managers struct {
		Active []struct{ URL string } `json:"activeAlertmanagers"`
	}
	if err := s.ask("/api/v1/alertmanagers", &managers); err != nil {
		return err
	}
	if len(managers.Active) != 1 || !strings.Contains(managers.Active[0].URL, s.addresses["alertmanager:9093"]) {
		return fmt.Errorf("Alertmanagers: %v", managers.Active)
	}
	return nil
}

// alert is one that Prometheus has or a webhook got.
type alert struct {
	Status string // of a webhook's: firing or resolved
	State  string // of Prometheus': pending or firing
	Labels map[string]string
}

func (a alert) name() string { return a.Labels["alertname"] }

// ofStack tells which alerts are about the programs of the stack, and which blame a validator.
func ofStack(preset string) (stack, blames map[string]bool) {
	stack, blames = map[string]bool{}, map[string]bool{}
	for _, config := range mixin.Presets() {
		if config.Preset != preset {
			continue
		}
		for _, section := range alerts.Sections(config) {
			for _, a := range section.Alerts {
				blames[a.Name] = a.Blames
				// The other sections tell of validators and of their chain.
				switch {
				case strings.Contains(section.Name, "validator-health"), strings.Contains(section.Name, "proposals"),
					strings.Contains(section.Name, "objective"), strings.Contains(section.Name, "chain"):
				default:
					stack[a.Name] = true
				}
			}
		}
	}
	return stack, blames
}

// quiet fails while an alert about the stack itself is pending: with the shipped rules it would
// fire some minutes later, when no test is looking any more. And it fails when a rule does.
func (s *stack) quiet(preset string) error {
	var rules struct {
		Groups []struct {
			Rules []struct {
				Name, Health, LastError string
				Alerts                  []alert
			}
		}
	}
	if err := s.ask("/api/v1/rules", &rules); err != nil {
		return err
	}
	aboutStack, _ := ofStack(preset)
	seen := 0
	for _, group := range rules.Groups {
		for _, rule := range group.Rules {
			if rule.Health == "err" {
				return fmt.Errorf("rule %s: %s", rule.Name, rule.LastError)
			}
			if aboutStack[rule.Name] {
				seen++
				if len(rule.Alerts) > 0 {
					return fmt.Errorf("%s is %s: %v", rule.Name, rule.Alerts[0].State, rule.Alerts[0].Labels)
				}
			}
		}
	}
	if seen != len(aboutStack) || seen == 0 {
		return fmt.Errorf("%d rules are about the stack, want %d", seen, len(aboutStack))
	}
	return nil
}

// webhooks is where the shipped configuration of Alertmanager sends alerts to.
type webhooks struct {
	mu  sync.Mutex
	got map[string][]alert // by receiver
}

func (w *webhooks) ServeHTTP(response http.ResponseWriter, request *http.Request) {
	var body struct{ Alerts []alert }
	if err := json.NewDecoder(request.Body).Decode(&body); err != nil {
		http.Error(response, err.Error(), http.StatusBadRequest)
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.got[strings.Trim(request.URL.Path, "/")] = append(w.got[strings.Trim(request.URL.Path, "/")], body.Alerts...)
}

func (w *webhooks) received() map[string][]alert {
	w.mu.Lock()
	defer w.mu.Unlock()
	return maps.Clone(w.got)
}

// The demonstration of compose.yaml: a validator that is dead becomes an alert at the pager
// and rows in Postgres, nobody else is blamed, and the stack has nothing to say about itself.
func TestStackTellsOfADeadValidator(t *testing.T) {
	s := prepareStack(t, "simulated", nil)
	received := &webhooks{got: map[string][]alert{}}
	server := httptest.NewServer(received)
	t.Cleanup(server.Close)
	for _, receiver := range []string{"pager", "chat", "log"} {
		s.writeSecret(receiver+"-url", server.URL+"/"+receiver+"\n")
	}
	s.start()

	const dead = "100" // simulated/watch.yml, and the faults of chainsim
	began := time.Now()
	eventually(t, 4*time.Minute, func() error {
		for _, a := range received.received()["pager"] {
			if a.name() == "ValidatorDown" && a.Labels["validator_index"] == dead {
				return nil
			}
		}
		return fmt.Errorf("the pager was not told: %v", received.received())
	})
	t.Logf("the pager was told after %s", time.Since(began).Round(time.Second))
	eventually(t, time.Minute, func() error {
		return s.targetsUp("alertmanager", "prometheus", "validator-exporter", "validator-rollup")
	})
	eventually(t, time.Minute, func() error { return s.quiet("solo") })
	eventually(t, time.Minute, func() error { return s.readsAsGrafana(t, dead) })

	// What is wrong with whom, in simulated/watch.yml.
	faulty := []string{dead, "200", "201", "400", "500"}
	aboutStack, blames := ofStack("solo")
	for receiver, got := range received.received() {
		for _, a := range got {
			severity := map[string]string{"pager": "critical", "chat": "warning", "log": "info"}[receiver]
			if a.Labels["severity"] != severity {
				t.Errorf("%s was told of %v", receiver, a.Labels)
			}
			switch subject := a.Labels["validator_index"]; {
			case aboutStack[a.name()]:
				t.Errorf("a false alert about the stack: %v", a.Labels)
			case a.name() == "ValidatorDown" && (subject != dead || a.Labels["network"] != "chainsim" || a.Status != "firing"):
				t.Errorf("ValidatorDown is %s for %v", a.Status, a.Labels)
			case blames[a.name()] && subject != "" && !slices.Contains(faulty, subject):
				t.Errorf("blames somebody who did nothing wrong: %v", a.Labels)
			case blames[a.name()] && subject == "" && a.Labels["group"] != "all":
				t.Errorf("blames a group: %v", a.Labels)
			}
			t.Logf("%s: %s %s, validator %q", receiver, a.name(), a.Status, a.Labels["validator_index"])
		}
	}
}

// readsAsGrafana reads rows with the data source that Grafana gets.
func (s *stack) readsAsGrafana(t *testing.T, dead string) error {
	grafana := s.Services["grafana"]
	dir, err := s.path(grafana, "/etc/grafana/provisioning/datasources")
	if err != nil {
		return err
	}
	var file struct {
		Datasources []struct {
			Type, URL, User string
			JSON            struct{ Database, SSLMode string } `yaml:"jsonData"`
			Secure          struct{ Password string }          `yaml:"secureJsonData"`
		}
	}
	decodeYAML(t, dir+"/datasources.yml", &file)
	for _, source := range file.Datasources {
		if source.Type != "postgres" {
			address := strings.TrimPrefix(source.URL, "http://")
			if _, err := s.address(grafana, address); err != nil {
				return err
			}
			continue
		}
		address, err := s.address(grafana, source.URL)
		if err != nil {
			return err
		}
		secret, ok := strings.CutPrefix(source.Secure.Password, "$__file{")
		if !ok {
			return fmt.Errorf("the password is not in a file")
		}
		path, err := s.path(grafana, strings.TrimSuffix(secret, "}"))
		if err != nil {
			return err
		}
		location := url.URL{
			Scheme: "postgres", User: url.UserPassword(source.User, strings.TrimSpace(readText(t, path))),
			Host: address, Path: source.JSON.Database, RawQuery: "sslmode=disable",
		}
		conn, err := pgx.Connect(t.Context(), location.String())
		if err != nil {
			return err
		}
		defer conn.Close(context.WithoutCancel(t.Context()))
		var rows, expected, included int
		err = conn.QueryRow(t.Context(), `SELECT count(*), sum(attestations_expected), sum(attestations_included)
			FROM validator_daily WHERE network = 'chainsim' AND validator_index = $1`, dead).Scan(&rows, &expected, &included)
		if err != nil {
			return err
		}
		if rows == 0 || expected == 0 || included != 0 {
			return fmt.Errorf("%d rows of the dead validator: %d attestations expected, %d included", rows, expected, included)
		}
		for _, forbidden := range []string{"SELECT * FROM samples", "CREATE TABLE mine (i int)", "CREATE TEMP TABLE mine (i int)"} {
			if _, err := conn.Exec(t.Context(), forbidden); err == nil {
				return fmt.Errorf("Grafana's user may %s", forbidden)
			}
		}
		t.Logf("Postgres: %d days of the dead validator, %d attestations expected, %d included", rows, expected, included)
		return nil
	}
	return errors.New("no data source for Postgres")
}

// The other profiles start as well, find everybody that they look for and have nothing to say
// about themselves.
func TestStackOfARealNodeStarts(t *testing.T) {
	// In place of the real node: the same chain as above, as an address outside of the stack.
	free, err := devnet.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	node := fmt.Sprintf("127.0.0.1:%d", free[0])
	chain, err := devnet.StartProgram(t.TempDir(), "chainsim", filepath.Join(buildPrograms(t), "chainsim"), "--listen="+node, "--slot-duration=6s", "--faults=none")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(chain.Kill)
	for _, c := range []struct {
		profile, preset string
		jobs            []string
	}{
		{"solo", "solo", []string{"alertmanager", "prometheus", "validator-exporter"}},
		{"full", "operator", []string{"alertmanager", "prometheus", "validator-exporter", "validator-rollup"}},
	} {
		t.Run(c.profile, func(t *testing.T) {
			s := prepareStack(t, c.profile, map[string]string{"beacon.example:5052": node},
				"MIXIN_PRESET="+c.preset, "BEACON_URL=http://beacon.example:5052", "VALIDATORS=1,5-9")
			s.start()
			eventually(t, 90*time.Second, func() error { return s.targetsUp(c.jobs...) })
			eventually(t, 90*time.Second, func() error { return s.quiet(c.preset) })
		})
	}
}
