package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	"go.yaml.in/yaml/v3"
)

const composeDir = tree + "/deploy/compose"

// composeProfiles are the ways to run the stack, and who is in each.
func composeProfiles() map[string][]string {
	return map[string][]string{
		"full": {
			"alertmanager", "grafana", "postgres", "prometheus", "validator-exporter", "validator-rollup",
		},
		"solo": {
			"alertmanager", "grafana-solo", "prometheus-solo", "validator-exporter-solo",
		},
		"simulated": {
			"alertmanager", "chainsim", "grafana", "postgres-simulated", "prometheus-simulated",
			"validator-exporter-simulated", "validator-rollup",
		},
	}
}

// composed is the stack of a profile as Compose sees it, with settings beside those of .env.
type composed struct {
	*types.Project
	dir     string // of compose.yaml
	secrets string // folder of the secrets, which init.sh has made
}

// initialized is a copy of the folder as a clone has it, in which init.sh was run; what is
// beside it in the tree is beside the copy.
func initialized(t *testing.T) (dir string) {
	t.Helper()
	dir = cloned(t)
	runInit(t, dir)
	return dir
}

func cloned(t *testing.T) (dir string) {
	t.Helper()
	top, err := filepath.Abs(tree)
	if err != nil {
		t.Fatal(err)
	}
	dir = filepath.Join(t.TempDir(), "deploy", "compose")
	script := `set -eu
mkdir -p "$2"
ln -s "$1/mixin" "$2/../../mixin"
ln -s "$1/deploy/prometheus" "$2/../prometheus"
cd "$1/deploy/compose"
# Not what the owner of this tree has made there.
git ls-files -z --cached --others --exclude-standard . | while IFS= read -r -d '' f; do
  if [ -e "$f" ]; then cp --parents -p "$f" "$2"; fi
done`
	if out, err := exec.Command("bash", "-c", script, "bash", top, dir).CombinedOutput(); err != nil {
		t.Fatalf("copy deploy/compose: %v\n%s", err, out)
	}
	return dir
}

// runInit runs init.sh with a umask that would let everybody read.
func runInit(t *testing.T, dir string, args ...string) {
	t.Helper()
	command := exec.Command("sh", slices.Concat([]string{"-c", `umask 000; exec "$0" "$@"`, filepath.Join(dir, "init.sh")}, args)...)
	if out, err := command.CombinedOutput(); err != nil {
		t.Fatalf("init.sh: %v\n%s", err, out)
	}
}

func compose(t *testing.T, profile string, settings ...string) *composed {
	t.Helper()
	c := &composed{dir: initialized(t)}
	c.secrets = filepath.Join(c.dir, "secrets")
	var profiles []string
	if profile != "" {
		profiles = []string{profile}
	}
	options, err := cli.NewProjectOptions(nil,
		cli.WithWorkingDirectory(c.dir),
		// Whoever runs the test has an environment of their own, which counts for nothing.
		cli.WithEnv(settings),
		cli.WithEnvFiles(), cli.WithDotEnv,
		cli.WithDefaultConfigPath,
		cli.WithDefaultProfiles(profiles...),
	)
	if err != nil {
		t.Fatal(err)
	}
	if c.Project, err = options.LoadProject(context.Background()); err != nil {
		t.Fatalf("profile %s: %v", profile, err)
	}
	return c
}

func eachProfile(t *testing.T, check func(t *testing.T, profile string, c *composed)) {
	t.Helper()
	all := compose(t, "*") // which takes longer than to choose from it
	for profile := range composeProfiles() {
		t.Run(profile, func(t *testing.T) { check(t, profile, all.only(t, profile)) })
	}
}

// only is the stack of one of the profiles that were read.
func (c *composed) only(t *testing.T, profile string) *composed {
	t.Helper()
	chosen, err := c.WithProfiles([]string{profile})
	if err != nil {
		t.Fatal(err)
	}
	return &composed{Project: chosen, dir: c.dir, secrets: c.secrets}
}

func TestComposeProfilesRunWhatTheyPromise(t *testing.T) {
	eachProfile(t, func(t *testing.T, profile string, c *composed) {
		if got, want := slices.Sorted(maps.Keys(c.Services)), composeProfiles()[profile]; !slices.Equal(got, want) {
			t.Errorf("services are %s\nwant         %s", got, want)
		}
	})
	t.Run("full is the default", func(t *testing.T) {
		if got, want := slices.Sorted(maps.Keys(compose(t, "").Services)), composeProfiles()["full"]; !slices.Equal(got, want) {
			t.Errorf("services are %s\nwant         %s", got, want)
		}
	})
	t.Run("every service is in a profile", func(t *testing.T) {
		known := map[string]bool{}
		for _, services := range composeProfiles() {
			for _, service := range services {
				known[service] = true
			}
		}
		if got, want := slices.Sorted(maps.Keys(compose(t, "*").Services)), slices.Sorted(maps.Keys(known)); !slices.Equal(got, want) {
			t.Errorf("services are %s\nwant         %s", got, want)
		}
	})
}

// What can be set is shown in .env.example, or named there; and each has a value of its own
// where nobody sets it, the same everywhere: the .env of somebody who upgrades knows nothing
// of a new setting, and Compose would put nothing in its place and only warn.
func TestComposeSettingsAreThoseOfTheExample(t *testing.T) {
	example := readText(t, composeDir+"/.env.example")
	shown := map[string]string{}
	for line := range strings.Lines(example) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(line, "#") {
			shown[name] = value
		}
	}
	defaults := map[string]string{}
	for _, m := range regexp.MustCompile(`\$(?:\{([A-Z_]+)(?:(:[-+])([^}]*))?\}|[A-Za-z_]+)`).FindAllStringSubmatch(readText(t, composeDir+"/compose.yaml"), -1) {
		name, operator, value := m[1], m[2], m[3]
		if operator == "" {
			t.Errorf("%s has no value where nobody sets it", m[0])
		}
		if operator == ":+" { // a flag that is there when it has a value
			value = ""
		}
		if other, ok := defaults[name]; ok && other != value {
			t.Errorf("%s is %q here and %q there", name, value, other)
		}
		defaults[name] = value
	}
	for name, value := range defaults {
		switch one, ok := shown[name]; {
		case strings.HasSuffix(name, "_IMAGE"):
			if ok || !strings.Contains(example, name) {
				t.Errorf("%s must be named in .env.example and not set, so that an upgrade brings the new one", name)
			}
		case name == "MONITOR_VERSION":
			if ok {
				t.Error("an .env that sets MONITOR_VERSION stays with that version")
			}
		case !ok:
			t.Errorf("%s is not in .env.example", name)
		case one != value:
			t.Errorf("%s is %q in .env.example and %q where nobody sets it", name, one, value)
		}
	}
	for name := range shown {
		if _, used := defaults[name]; !used && name != "COMPOSE_PROFILES" {
			t.Errorf("%s of .env.example is not used", name)
		}
	}
	if version := strings.TrimSpace(readText(t, tree+"/VERSION")); defaults["MONITOR_VERSION"] != version {
		t.Errorf("MONITOR_VERSION is %s, the file VERSION says %s", defaults["MONITOR_VERSION"], version)
	}
}

// The upgrade is git pull: what its owner writes stands in no file that git has, and stays.
func TestComposeFilesOfItsOwnerAreNotGits(t *testing.T) {
	dir := initialized(t)
	written := map[string]string{".env": "COMPOSE_PROFILES=solo\n", "watch/watch.yml": "validators: [{index: 1}]\n", "secrets/pager-url": "https://example.org"}
	for name, text := range written {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Errorf("init.sh does not make it: %v", err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	runInit(t, dir)
	for name, text := range written {
		if got := readText(t, filepath.Join(dir, name)); got != text {
			t.Errorf("init.sh a second time makes %s %q", name, got)
		}
	}
	// Containers run as users of their own.
	if info, err := os.Stat(filepath.Join(initialized(t), "watch/watch.yml")); err != nil {
		t.Error(err)
	} else if info.Mode().Perm() != 0o644 {
		t.Errorf("the mode of watch.yml is %s", info.Mode())
	}
	for file, ignored := range map[string]bool{
		".env": true, "watch/watch.yml": true, "watch/keys.txt": true, "secrets/db-url": true,
		".env.example": false, "watch/watch.yml.example": false, "compose.yaml": false,
	} {
		err := exec.Command("git", "-C", composeDir, "check-ignore", "--quiet", "--no-index", file).Run()
		var exit *exec.ExitError
		if err != nil && !(errors.As(err, &exit) && exit.ExitCode() == 1) {
			t.Fatalf("git: %v", err)
		}
		if (err == nil) != ignored {
			t.Errorf("git ignores %s: %t", file, err == nil)
		}
		tracked, err := exec.Command("git", "-C", composeDir, "ls-files", "--", file).Output()
		if err != nil {
			t.Fatalf("git: %v", err)
		}
		if ignored && len(tracked) > 0 {
			t.Errorf("git has %s, so a pull stops where its owner changed it", file)
		}
	}
}

// A container reaches the machine's beacon node through a bridge that a rule of a firewall can
// name, and the page names this one.
func TestComposeExportersBridgeIsTheOneOfThePage(t *testing.T) {
	for _, s := range compose(t, "*").Services {
		if programOf(s.Name) != "validator-exporter" {
			continue
		}
		if _, ok := s.Networks["outside-exporter"]; !ok {
			t.Errorf("%s is in other networks", s.Name)
		}
	}
	name := compose(t, "full").Networks["outside-exporter"].DriverOpts["com.docker.network.bridge.name"]
	if name == "" || len(name) > 15 { // IFNAMSIZ
		t.Errorf("the bridge's name is %q", name)
	}
	if !strings.Contains(readText(t, tree+"/docs/solo.md"), "ufw allow in on "+name+" ") {
		t.Errorf("docs/solo.md has no rule for the bridge %s", name)
	}
}

func TestComposeServicesAreHardened(t *testing.T) {
	users := map[string]string{
		"validator-exporter": "10001:10001", "validator-rollup": "10001:10001", "chainsim": "10001:10001",
		"prometheus": "65534:65534", "alertmanager": "65534:65534", "grafana": "472:0", "postgres": "999:999",
	}
	pinned := regexp.MustCompile(`^[a-z0-9./-]+:v?\d+\.\d+(\.\d+)?$`)
	for _, s := range compose(t, "*").Services {
		expect := func(holds bool, format string, args ...any) {
			t.Helper()
			if !holds {
				t.Errorf("%s: %s", s.Name, fmt.Sprintf(format, args...))
			}
		}
		expect(s.ReadOnly, "its root file system is not read-only")
		expect(slices.Equal(s.CapDrop, []string{"ALL"}) && len(s.CapAdd) == 0, "capabilities: all but %s, and %s", s.CapDrop, s.CapAdd)
		expect(slices.Equal(s.SecurityOpt, []string{"no-new-privileges:true"}), "security options %s", s.SecurityOpt)
		expect(!s.Privileged && s.NetworkMode == "" && s.Pid == "" && s.Ipc == "" && s.UserNSMode == "" && len(s.Devices) == 0,
			"it is not apart from the machine")
		expect(s.User == users[programOf(s.Name)], "user %q, want %q", s.User, users[programOf(s.Name)])
		expect(s.MemLimit > 0 && s.CPUS > 0 && s.PidsLimit > 0, "limits: memory %d, processors %v, processes %d", s.MemLimit, s.CPUS, s.PidsLimit)
		expect(s.Restart == "unless-stopped", "restart %q", s.Restart)
		expect(s.Logging != nil && s.Logging.Options["max-size"] != "" && s.Logging.Options["max-file"] != "", "its log has no bound")
		expect(pinned.MatchString(s.Image), "image %q is not pinned to a version", s.Image)
		expect(s.ContainerName == "", "its name is taken once and for all")
		expect(s.HealthCheck != nil && !s.HealthCheck.Disable && len(s.HealthCheck.Test) > 1 && s.HealthCheck.Test[0] == "CMD",
			"it has no health check that does without a shell")
		for _, port := range s.Ports {
			expect(port.HostIP == "127.0.0.1", "port %s is open to %q", port.Published, port.HostIP)
		}
		if strings.HasPrefix(s.Image, "ethereum-validator-monitor/") {
			expect(s.Image == "ethereum-validator-monitor/"+programOf(s.Name)+":0.1.0", "image %s", s.Image)
			expect(s.Build != nil && s.Build.Target == programOf(s.Name), "it is not built from the tree")
		}
		// Whatever writes has a volume or memory of its own, and nothing of the tree.
		for _, v := range s.Volumes {
			expect(v.Type == types.VolumeTypeVolume || v.ReadOnly, "it can write to %s", v.Source)
		}
	}
}

// programOf is the program of a service: the part of its name before the profile.
func programOf(service string) string {
	return strings.TrimSuffix(strings.TrimSuffix(service, "-solo"), "-simulated")
}

func TestComposeFilesExist(t *testing.T) {
	for _, preset := range []string{"solo", "operator"} {
		c := compose(t, "*", "MIXIN_PRESET="+preset)
		top := filepath.Dir(filepath.Dir(c.dir))
		for _, s := range c.Services {
			for _, v := range s.Volumes {
				if v.Type != types.VolumeTypeBind {
					continue
				}
				if _, err := os.Stat(v.Source); err != nil || !strings.HasPrefix(v.Source, top+"/") {
					t.Errorf("%s mounts %s, which is not in the tree", s.Name, v.Source)
				}
			}
			for _, secret := range s.Secrets {
				file := c.Secrets[secret.Source].File
				if filepath.Dir(file) != c.secrets {
					t.Errorf("%s: secret %s is %s", s.Name, secret.Source, file)
				}
				if _, err := os.Stat(file); err != nil {
					t.Errorf("%s: init.sh does not make the secret: %v", s.Name, err)
				}
			}
		}
	}
}

// Who can reach whom: everybody in a network with them.
func TestComposeNetworksAdmitTheseEdgesOnly(t *testing.T) {
	want := map[string][]string{
		"full": {
			"alertmanager – prometheus", "grafana – postgres", "grafana – prometheus", "postgres – validator-rollup",
			"prometheus – validator-exporter", "prometheus – validator-rollup",
		},
		"solo": {
			"alertmanager – prometheus-solo", "grafana-solo – prometheus-solo", "prometheus-solo – validator-exporter-solo",
		},
		"simulated": {
			"alertmanager – prometheus-simulated", "chainsim – validator-exporter-simulated", "grafana – postgres-simulated",
			"grafana – prometheus-simulated", "postgres-simulated – validator-rollup",
			"prometheus-simulated – validator-exporter-simulated", "prometheus-simulated – validator-rollup",
		},
	}
	eachProfile(t, func(t *testing.T, profile string, c *composed) {
		members := map[string][]string{}
		for _, s := range c.Services {
			if len(s.Networks) == 0 {
				t.Errorf("%s is in no network", s.Name)
			}
			outside := false
			for network := range s.Networks {
				members[network] = append(members[network], s.Name)
				outside = outside || !bool(c.Networks[network].Internal)
			}
			if asks := slices.Contains([]string{"validator-exporter", "alertmanager"}, programOf(s.Name)); outside != (asks || len(s.Ports) > 0) {
				t.Errorf("%s reaches the outside: %t", s.Name, outside)
			}
		}
		edges := map[string]bool{}
		for network, services := range members {
			slices.Sort(services)
			for i, a := range services {
				for _, b := range services[i+1:] {
					edges[a+" – "+b] = true
					if !c.Networks[network].Internal {
						t.Errorf("%s and %s share %s, which leads outside", a, b, network)
					}
				}
			}
		}
		if got := slices.Sorted(maps.Keys(edges)); !slices.Equal(got, want[profile]) {
			t.Errorf("edges are\n\t%s\nwant\n\t%s", strings.Join(got, "\n\t"), strings.Join(want[profile], "\n\t"))
		}
	})
}

// A service waits for whoever it cannot do without, until they are healthy.
func TestComposeServicesStartInOrder(t *testing.T) {
	want := map[string]map[string]string{
		"full":      {"validator-rollup": "postgres"},
		"solo":      {},
		"simulated": {"validator-rollup": "postgres-simulated", "validator-exporter-simulated": "chainsim"},
	}
	eachProfile(t, func(t *testing.T, profile string, c *composed) {
		got := map[string]string{}
		for _, s := range c.Services {
			for name, d := range s.DependsOn {
				if _, runs := c.Services[name]; !runs && !d.Required {
					continue
				}
				got[s.Name] += name
				if d.Condition != types.ServiceConditionHealthy {
					t.Errorf("%s waits for %s until %s", s.Name, name, d.Condition)
				}
			}
		}
		if !maps.Equal(got, want[profile]) {
			t.Errorf("who waits for whom: %s, want %s", got, want[profile])
		}
	})
}

// What is demonstrated stays apart from what is kept of a real chain.
func TestComposeSimulationKeepsNothingWithRealData(t *testing.T) {
	all := compose(t, "*")
	volumes := func(profile string) (names []string) {
		for _, s := range all.only(t, profile).Services {
			for _, v := range s.Volumes {
				if v.Type == types.VolumeTypeVolume && programOf(s.Name) != "grafana" && s.Name != "alertmanager" {
					names = append(names, v.Source)
				}
			}
		}
		return names
	}
	simulated := volumes("simulated")
	for _, name := range append(volumes("full"), volumes("solo")...) {
		if slices.Contains(simulated, name) {
			t.Errorf("both write to the volume %s", name)
		}
	}
	if len(simulated) != 2 {
		t.Errorf("volumes of the simulation: %s", simulated)
	}
}

func TestComposeShowsNoSecret(t *testing.T) {
	c := compose(t, "*", "BEACON_URL=http://node:5052", "VALIDATORS=1,2")
	values := map[string]string{}
	for name := range c.Secrets {
		if text := readText(t, c.Secrets[name].File); text != "" && !strings.HasSuffix(name, "-url") {
			values[name] = text
		}
	}
	values["db-url"] = readText(t, c.Secrets["db-url"].File)
	if len(values) != 5 {
		t.Fatalf("secrets: %s", slices.Sorted(maps.Keys(values)))
	}
	resolved, err := c.MarshalYAML()
	if err != nil {
		t.Fatal(err)
	}
	for name, value := range values {
		if bytes.Contains(resolved, []byte(value)) {
			t.Errorf("the resolved file shows %s", name)
		}
	}
	suspicious := regexp.MustCompile(`(?i)password|secret|token|://[^/@ ]*:[^/@ ]*@`)
	for _, s := range c.Services {
		for name, value := range s.Environment {
			if suspicious.MatchString(name) && (value == nil || !strings.HasPrefix(*value, "/run/secrets/")) && !strings.HasPrefix(name, "GF_SECURITY_DISABLE") {
				t.Errorf("%s: %s is not the name of a file", s.Name, name)
			}
			if value != nil && strings.Contains(*value, "://") {
				t.Errorf("%s: %s is a URL", s.Name, name)
			}
		}
		for _, word := range append(slices.Clone([]string(s.Command)), s.Entrypoint...) {
			if suspicious.MatchString(strings.ReplaceAll(word, "/run/secrets/", "")) {
				t.Errorf("%s: the command line has %s", s.Name, word)
			}
		}
		for _, secret := range s.Secrets {
			if !strings.HasPrefix(secret.Target, "/run/secrets/validator-monitor/") && !strings.HasPrefix(secret.Target, "/etc/alertmanager/secrets/") {
				t.Errorf("%s: secret %s is mounted as %s", s.Name, secret.Source, secret.Target)
			}
		}
	}
}

// init.sh makes passwords that nobody can guess, in a folder that nobody else can enter, as
// files that containers can read; and keeps what is there.
func TestComposeSecretsAreMadeOnce(t *testing.T) {
	of, dir := cloned(t), filepath.Join(t.TempDir(), "a", "secrets")
	runInit(t, of, dir)
	info, err := os.Stat(dir)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o700 {
		t.Errorf("the folder's mode is %s", info.Mode())
	}
	first := map[string]string{}
	err = filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		info, err := entry.Info()
		if err == nil && info.Mode().Perm() != 0o644 {
			t.Errorf("the mode of %s is %s", path, info.Mode())
		}
		first[entry.Name()] = readText(t, path)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	random := regexp.MustCompile(`^[A-Za-z0-9]{40}$`)
	seen := map[string]string{}
	for name, text := range first {
		if !strings.HasSuffix(name, "-password") {
			continue
		}
		if other := seen[text]; !random.MatchString(text) || other != "" {
			t.Errorf("%s is %q, as %q", name, text, other)
		}
		seen[text] = name
	}
	if len(seen) != 4 {
		t.Errorf("%d passwords", len(seen))
	}
	if want := "postgres://rollup:" + first["rollup-password"] + "@postgres:5432/rollup?sslmode=disable"; first["db-url"] != want {
		t.Errorf("db-url is %s", first["db-url"])
	}

	if err := os.Remove(filepath.Join(dir, "db-url")); err != nil {
		t.Fatal(err)
	}
	runInit(t, of, dir)
	for name, text := range first {
		if readText(t, filepath.Join(dir, name)) != text {
			t.Errorf("%s is not what it was", name)
		}
	}
	other := filepath.Join(t.TempDir(), "secrets")
	runInit(t, of, other)
	if readText(t, filepath.Join(other, "rollup-password")) == first["rollup-password"] {
		t.Error("two installations have the same password")
	}
}

// The exporter watches what .env names, what watch.yml names, or nothing, and the flags that
// are set leave no empty argument.
func TestComposeExporterFlags(t *testing.T) {
	for _, c := range []struct {
		profile  string
		settings []string
		want     []string
	}{
		{"solo", []string{"BEACON_URL=http://node:5052/?a=1&b=2"}, []string{"--beacon.url=http://node:5052/?a=1&b=2"}},
		{"solo", []string{"VALIDATORS=1,5-9,0x93"}, []string{"--beacon.url=http://host.docker.internal:5052", "--validator=1,5-9,0x93"}},
		{
			"full",
			[]string{"VALIDATORS=1", "EXPORTER_FLAGS=--beacon.url=http://other:5052 --log.level=debug"},
			[]string{"--beacon.url=http://host.docker.internal:5052", "--validator=1", "--counters.completed-windows=2", "--beacon.url=http://other:5052", "--log.level=debug"},
		},
	} {
		stack := compose(t, c.profile, c.settings...)
		var got []string
		for _, s := range stack.Services {
			if programOf(s.Name) != "validator-exporter" {
				continue
			}
			for _, word := range s.Command {
				switch name, _, _ := strings.Cut(word, "="); name {
				case "--beacon.headers-file", "--validators.config", "--web.listen-address":
				default:
					got = append(got, word)
				}
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s with %s: %q\nwant %q", c.profile, c.settings, got, c.want)
		}
	}
}

// Every flag of our programs is one that they have. `make e2e` starts them.
func TestComposeFlagsExist(t *testing.T) {
	flags := programFlags(t)
	checked := 0
	for _, s := range compose(t, "*", "VALIDATORS=1").Services {
		for _, word := range append(slices.Clone([]string(s.Command)), s.HealthCheck.Test...) {
			checked += checkFlag(t, flags[programOf(s.Name)], s.Name, word)
		}
	}
	if checked < 10 {
		t.Errorf("%d flags found", checked)
	}
}

// checkFlag fails when word is a flag that is none of flags, which are nil for programs that
// are not ours. It returns 1 for a flag.
func checkFlag(t *testing.T, flags map[string]bool, where, word string) int {
	t.Helper()
	name, _, _ := strings.Cut(strings.TrimPrefix(word, "--"), "=")
	if flags == nil || !strings.HasPrefix(word, "--") {
		return 0
	}
	if !flags[name] {
		t.Errorf("%s: there is no flag --%s", where, name)
	}
	return 1
}

// The queue of the stack is the one that is shipped for any Prometheus, and both
// configurations scrape exactly who is there.
func TestComposePrometheusScrapesWhoIsThere(t *testing.T) {
	type config struct {
		ScrapeFiles []string         `yaml:"scrape_config_files"`
		Scrape      []map[string]any `yaml:"scrape_configs"`
		RemoteWrite []any            `yaml:"remote_write"`
		Rest        map[string]any   `yaml:",inline"`
	}
	var shipped, full, solo config
	decodeYAML(t, tree+"/deploy/prometheus/remote-write.yml", &shipped)
	decodeYAML(t, composeDir+"/prometheus/full.yml", &full)
	decodeYAML(t, composeDir+"/prometheus/solo.yml", &solo)
	if got, want := yamlText(t, full.RemoteWrite), yamlText(t, shipped.RemoteWrite); got != want {
		t.Errorf("remote_write of full.yml is\n%s\nwant\n%s", got, want)
	}
	if len(solo.RemoteWrite) > 0 || len(solo.ScrapeFiles) > 0 {
		t.Error("solo writes or scrapes what is not there")
	}
	if got, want := yamlText(t, full.Rest), yamlText(t, solo.Rest); got != want {
		t.Errorf("apart from that full.yml is\n%s\nand solo.yml\n%s", got, want)
	}
	var sections config
	decodeYAML(t, tree+"/deploy/prometheus/scrape.yml", &sections)
	exporter := slices.DeleteFunc(slices.Clone(sections.Scrape), func(job map[string]any) bool { return job["job_name"] != "validator-exporter" })
	if got, want := yamlText(t, solo.Scrape), yamlText(t, append(exporter, full.Scrape...)); got != want {
		t.Errorf("solo.yml scrapes\n%s\nwant\n%s", got, want)
	}
}

// Grafana finds the data sources that the mixin describes, and the database only where it is.
func TestComposeGrafanaHasTheMixinsDataSources(t *testing.T) {
	type file struct {
		APIVersion  int              `yaml:"apiVersion"`
		Datasources []map[string]any `yaml:"datasources"`
	}
	var full, solo file
	decodeYAML(t, composeDir+"/grafana/full/datasources.yml", &full)
	decodeYAML(t, composeDir+"/grafana/solo/datasources.yml", &solo)
	for _, preset := range []string{"solo", "operator"} {
		var want file
		decodeYAML(t, tree+"/mixin/generated/"+preset+"/grafana/provisioning/datasources/validator-monitor.yaml", &want)
		if got := yamlText(t, solo); got != yamlText(t, file{want.APIVersion, want.Datasources[:1]}) {
			t.Errorf("%s: the data sources of solo are\n%s", preset, got)
		}
		database := want.Datasources[1]
		database["url"], database["user"] = "postgres:5432", "grafana"
		options := database["jsonData"].(map[string]any)
		options["database"], options["sslmode"] = "rollup", "disable"
		database["secureJsonData"] = map[string]any{"password": "$__file{/run/secrets/validator-monitor/rollup-reader-password}"}
		if got := yamlText(t, full); got != yamlText(t, want) {
			t.Errorf("%s: the data sources of full are\n%s\nwant\n%s", preset, got, yamlText(t, want))
		}
		var dashboards struct {
			Providers []struct{ Options struct{ Path string } }
		}
		decodeYAML(t, tree+"/mixin/generated/"+preset+"/grafana/provisioning/dashboards/validator-monitor.yaml", &dashboards)
		for _, s := range compose(t, "*", "MIXIN_PRESET="+preset).Services {
			if programOf(s.Name) != "grafana" {
				continue
			}
			if !slices.ContainsFunc(s.Volumes, func(v types.ServiceVolumeConfig) bool {
				return v.Target == dashboards.Providers[0].Options.Path && strings.HasSuffix(v.Source, preset+"/dashboards")
			}) {
				t.Errorf("%s, %s: no dashboards at %s", s.Name, preset, dashboards.Providers[0].Options.Path)
			}
		}
	}
}

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func yamlText(t *testing.T, value any) string {
	t.Helper()
	text, err := yaml.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
