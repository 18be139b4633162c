package deploy_test

import (
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
)

const systemdDir = tree + "/deploy/systemd"

func systemdUnits() []string { return []string{"validator-exporter", "validator-rollup"} }

// unit reads what a service says: section.key → its values.
func unit(t *testing.T, name string) map[string][]string {
	t.Helper()
	return unitFile(t, name+".service")
}

func unitFile(t *testing.T, name string) map[string][]string {
	t.Helper()
	settings := map[string][]string{}
	section := ""
	for line := range strings.Lines(readText(t, systemdDir+"/"+name)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if strings.HasPrefix(line, "[") {
			section = strings.Trim(line, "[]")
			continue
		}
		key, value, ok := strings.Cut(line, "=")
		if !ok {
			t.Fatalf("%s: %s", name, line)
		}
		settings[section+"."+key] = append(settings[section+"."+key], value)
	}
	return settings
}

// unitFlags are the words of a unit's command and of the example of its flags.
func unitFlags(t *testing.T, name string) (command, example []string) {
	t.Helper()
	start := unit(t, name)["Service.ExecStart"]
	if len(start) != 1 {
		t.Fatalf("%s: commands %s", name, start)
	}
	for line := range strings.Lines(readText(t, systemdDir+"/"+name+".env")) {
		if flags, ok := strings.CutPrefix(strings.TrimSpace(line), "FLAGS="); ok {
			example = strings.Fields(strings.Trim(flags, `"`))
		}
	}
	return strings.Fields(start[0]), example
}

func TestSystemdFlagsExist(t *testing.T) {
	flags := programFlags(t)
	for _, name := range systemdUnits() {
		command, example := unitFlags(t, name)
		if command[0] != "/usr/local/bin/"+name || command[len(command)-1] != "$FLAGS" {
			t.Errorf("%s runs %s", name, command)
		}
		checked := 0
		for _, word := range slices.Concat(command, example) {
			checked += checkFlag(t, flags[name], name, word)
		}
		if checked < 3 {
			t.Errorf("%s: %d flags found", name, checked)
		}
		// Nobody outside the machine is served until somebody says so.
		if !slices.ContainsFunc(example, func(word string) bool { return strings.HasPrefix(word, "--web.listen-address=127.0.0.1:") }) {
			t.Errorf("%s listens to everybody: %s", name, example)
		}
	}
}

// A unit reads its files from one folder, and secrets as credentials only.
func TestSystemdUnitsReadTheirFiles(t *testing.T) {
	for name, want := range map[string]map[string]string{
		"validator-exporter": {
			"Service.EnvironmentFile": "/etc/validator-monitor/validator-exporter.env",
			"Service.LoadCredential":  "beacon-headers:/etc/validator-monitor/beacon-headers",
			"Service.SetCredential":   "beacon-headers:#", // a comment, when there is no such file
			"Service.ExecReload":      "/bin/kill -HUP $MAINPID",
		},
		"validator-rollup": {
			"Service.EnvironmentFile": "/etc/validator-monitor/validator-rollup.env",
			"Service.LoadCredential":  "db-url:/etc/validator-monitor/db-url",
		},
	} {
		settings := unit(t, name)
		for key, value := range want {
			if !slices.Equal(settings[key], []string{value}) {
				t.Errorf("%s: %s is %q, want %q", name, key, settings[key], value)
			}
		}
		command, _ := unitFlags(t, name)
		for _, word := range command {
			if flag, file, ok := strings.Cut(word, "="); ok && (strings.HasSuffix(flag, "headers-file") || strings.HasSuffix(flag, "url-file")) && !strings.HasPrefix(file, "%d/") {
				t.Errorf("%s: %s is no credential", name, word)
			}
		}
	}
	// The receiver says itself that SIGHUP makes it read nothing.
	if reload := unit(t, "validator-rollup")["Service.ExecReload"]; reload != nil {
		t.Errorf("the receiver is reloaded by %s", reload)
	}
}

// The two differ in what they need, not in what they may do.
func TestSystemdUnitsAreConfinedAlike(t *testing.T) {
	exporter, rollup := unit(t, "validator-exporter"), unit(t, "validator-rollup")
	own := []string{
		"Unit.Description", "Unit.After", "Service.EnvironmentFile", "Service.LoadCredential", "Service.SetCredential",
		"Service.ExecStart", "Service.ExecReload", "Service.TimeoutStopSec", "Service.RestrictAddressFamilies",
	}
	for _, pair := range [][2]map[string][]string{{exporter, rollup}, {rollup, exporter}} {
		for key, values := range pair[0] {
			if !slices.Contains(own, key) && !slices.Equal(values, pair[1][key]) {
				t.Errorf("%s is %q here and %q there", key, values, pair[1][key])
			}
		}
	}
	for key, want := range map[string]string{
		"DynamicUser": "yes", "NoNewPrivileges": "yes", "CapabilityBoundingSet": "", "ProtectSystem": "strict", "MemoryMax": "1G",
	} {
		if got := exporter["Service."+key]; !slices.Equal(got, []string{want}) {
			t.Errorf("%s is %q, want %q", key, got, want)
		}
	}
}

// A container that asks host.docker.internal at some port comes to that port of 127.0.0.1, and
// nothing that is on the Internet does.
func TestSystemdForwardsContainersToTheNode(t *testing.T) {
	const name = "beacon-for-containers@"
	socket, service := unitFile(t, name+".socket"), unit(t, name)
	for _, c := range []struct {
		of        map[string][]string
		key, want string
	}{
		{socket, "Socket.ListenStream", "172.17.0.1:%i"},
		{socket, "Socket.FreeBind", "yes"}, // Docker makes the address, later
		{socket, "Install.WantedBy", "sockets.target"},
		{socket, "Socket.IPAddressDeny", "any"},
		{service, "Service.IPAddressDeny", "any"},
		{socket, "Socket.IPAddressAllow", service["Service.IPAddressAllow"][0]},
		{service, "Service.ExecStart", "/usr/lib/systemd/systemd-socket-proxyd --connections-max=64 127.0.0.1:%i"},
		{service, "Unit.Requires", name + "%i.socket"},
	} {
		if !slices.Equal(c.of[c.key], []string{c.want}) {
			t.Errorf("%s is %q, want %q", c.key, c.of[c.key], c.want)
		}
	}
	// As confined as the others, but for what it needs.
	exporter := unit(t, "validator-exporter")
	for key, values := range exporter {
		if strings.HasPrefix(key, "Service.Protect") || strings.HasPrefix(key, "Service.Private") || strings.HasPrefix(key, "Service.SystemCall") {
			if !slices.Equal(service[key], values) {
				t.Errorf("%s is %q, want %q", key, service[key], values)
			}
		}
	}
}

func TestSystemdWatchListIsRead(t *testing.T) {
	for path, want := range map[string]int{
		systemdDir + "/watch.yml":               5,
		composeDir + "/watch/watch.yml.example": 0,
		composeDir + "/simulated/watch.yml":     15,
	} {
		list, err := watch.Parse(path, []byte(readText(t, path)), os.ReadFile)
		if err != nil {
			t.Error(err)
			continue
		}
		if len(list.Entries) != want {
			t.Errorf("%s names %d validators, want %d", path, len(list.Entries), want)
		}
	}
}
