//go:build e2e

package deploy_test

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
)

// systemd reads the units without a complaint, and finds little that they could do beyond
// their work.
func TestSystemdUnitsAreValidAndConfined(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing: apt-get install systemd")
	}
	built, dir := buildPrograms(t), t.TempDir()
	for _, name := range append(systemdUnits(), "beacon-for-containers@.socket", "beacon-for-containers@") {
		if filepath.Ext(name) == "" {
			name += ".service"
		}
		// A template is one of them with a port. systemd looks whether the program is there.
		file := filepath.Join(dir, strings.Replace(name, "@", "@5052", 1))
		text := strings.ReplaceAll(readText(t, systemdDir+"/"+name), "/usr/local/bin/", built+"/")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if name == "beacon-for-containers@.socket" {
			continue // it is read together with its service, without which it is of no use
		}
		files := []string{file}
		if strings.Contains(name, "@") {
			files = append(files, strings.TrimSuffix(file, ".service")+".socket")
		}
		out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, files...)...).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		// In tenths: what is left is that they use the network, and no root directory of their own.
		out, err = exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=11", file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		t.Log(lastLines(string(out), 1))
	}
}

// What the unit starts passes requests on to a node that listens on 127.0.0.1 only. The socket is
// handed over as systemd does it; 127.0.0.2 is in the place of Docker's address.
func TestSystemdForwardsRequestsToTheNode(t *testing.T) {
	node := httptest.NewServer(http.HandlerFunc(func(response http.ResponseWriter, request *http.Request) {
		fmt.Fprint(response, "node "+request.Host)
	}))
	t.Cleanup(node.Close)
	_, port, err := net.SplitHostPort(strings.TrimPrefix(node.URL, "http://"))
	if err != nil {
		t.Fatal(err)
	}
	socket := unitFile(t, "beacon-for-containers@.socket")["Socket.ListenStream"][0]
	from := strings.NewReplacer("172.17.0.1", "127.0.0.2", "%i", port).Replace(socket)
	if _, err := http.Get("http://" + from); err == nil {
		t.Fatalf("%s answers already", from)
	}
	command := strings.Fields(strings.ReplaceAll(unit(t, "beacon-for-containers@")["Service.ExecStart"][0], "%i", port))
	program, err := devnet.StartProgram(t.TempDir(), "proxy", "systemd-socket-activate", append([]string{"--listen=" + from}, command...)...)
	if err != nil {
		t.Fatalf("%v: apt-get install systemd", err)
	}
	t.Cleanup(program.Kill)
	eventually(t, 10*time.Second, func() error {
		response, err := http.Get("http://" + from)
		if err != nil {
			return err
		}
		defer response.Body.Close()
		if text, err := io.ReadAll(response.Body); err != nil || string(text) != "node "+from {
			return fmt.Errorf("%q, %w", text, err)
		}
		return nil
	})
}

// The exporter takes the flags and files of its unit.
func TestSystemdExporterConfigurationIsValid(t *testing.T) {
	command, example := unitFlags(t, "validator-exporter")
	// Without a file of headers, systemd hands over the default.
	headers := filepath.Join(t.TempDir(), "beacon-headers")
	fallback := strings.TrimPrefix(unit(t, "validator-exporter")["Service.SetCredential"][0], "beacon-headers:")
	if err := os.WriteFile(headers, []byte(fallback), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--config.check"}
	for _, word := range command[1 : len(command)-1] {
		word = strings.ReplaceAll(word, "/etc/validator-monitor/", systemdDir+"/")
		args = append(args, strings.ReplaceAll(word, "%d/beacon-headers", headers))
	}
	out, err := exec.Command(filepath.Join(buildPrograms(t), "validator-exporter"), append(args, example...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "validators: 5, beacon nodes: 1") {
		t.Errorf("%v\n%s", err, out)
	}
}
