//go:build e2e

package deploy_test

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

const (
	maxImageBytes = 40 << 20
	// buildSecret stands for what a build is given and no image may tell, such as the
	// password of a module proxy.
	buildSecret = "secret-of-the-build.example"
)

// The images, built from this tree and run as the deployments run them. They are built
// here and not by an earlier command, so that what is tested is what is in the tree.
func TestImages(t *testing.T) {
	if os.Getuid() != 0 {
		t.Fatal("what a container may do is read from /proc, where only root sees other users' processes: run this test as root")
	}
	engine := imageEngine(mustOutput(t, "scripts/image-engine.sh", "run"))
	version := mustOutput(t, "cat", "VERSION")
	revision := mustOutput(t, "git", "rev-parse", "HEAD")
	engine.build(t, "ethereum-validator-monitor", "")

	images := map[string]*image{}
	for _, name := range []string{"validator-exporter", "validator-rollup", "validator-mixin", "chainsim"} {
		images[name] = engine.read(t, name, "ethereum-validator-monitor/"+name+":"+version)
		t.Run(name, func(t *testing.T) {
			t.Run("holds its program and nothing else", images[name].holdsOnlyItsProgram)
			t.Run("says what it is and keeps secrets", func(t *testing.T) { images[name].saysWhatItIs(t, version, revision) })
		})
	}
	// Images for another machine are not run here, but looked at.
	t.Run("other platform", func(t *testing.T) {
		other := map[string]string{"amd64": "arm64", "arm64": "amd64"}[runtime.GOARCH]
		prefix := "ethereum-validator-monitor/" + other
		engine.build(t, prefix, "linux/"+other)
		for name := range images {
			i := engine.read(t, name, prefix+"/"+name+":"+version)
			if i.config.Architecture != other {
				t.Errorf("%s is for %s, want %s", name, i.config.Architecture, other)
			}
			t.Run(name, i.holdsOnlyItsProgram)
		}
	})
	t.Run("running", func(t *testing.T) { testRunningImages(t, engine, images, revision) })
	t.Run("validator-mixin renders what is committed", func(t *testing.T) { testMixinImage(t, engine, images["validator-mixin"]) })
}

// image is what an image consists of.
type image struct {
	name, tag string
	config    imageConfig
	raw       []byte // of the config, history included
	files     map[string]imageFile
}

type imageFile struct {
	header tar.Header
	data   []byte
}

// imageConfig is the part of an image's configuration that is looked at.
type imageConfig struct {
	Architecture string
	Created      time.Time
	Config       struct {
		User         string
		Env          []string
		Entrypoint   []string
		Cmd          []string
		Volumes      map[string]any
		ExposedPorts map[string]any
		Labels       map[string]string
		Healthcheck  *struct {
			Test     []string
			Interval time.Duration
			Timeout  time.Duration
		}
	}
}

func (i *image) holdsOnlyItsProgram(t *testing.T) {
	const certificates = "etc/ssl/certs/ca-certificates.crt"
	want := []string{"LICENSE", "etc", "etc/ssl", "etc/ssl/certs", certificates, i.name}
	slices.Sort(want)
	if got := slices.Sorted(maps.Keys(i.files)); !slices.Equal(got, want) {
		t.Fatalf("holds %q, want %q", got, want)
	}
	size := 0
	for path, file := range i.files {
		size += len(file.data)
		h := file.header
		if h.Uid != 0 || h.Gid != 0 || h.Mode&0o7022 != 0 || h.Typeflag != tar.TypeReg && h.Typeflag != tar.TypeDir {
			t.Errorf("%s: owner %d:%d, mode %o, type %c: want a file or directory that root owns and alone may write", path, h.Uid, h.Gid, h.Mode, h.Typeflag)
		}
		if h.Mode&0o004 == 0 || h.Typeflag == tar.TypeDir && h.Mode&0o001 == 0 {
			t.Errorf("%s: mode %o: its user cannot read it", path, h.Mode)
		}
		if bytes.Contains(file.data, []byte(buildSecret)) {
			t.Errorf("%s tells what the build was given", path)
		}
	}
	t.Logf("%.1f MiB", float64(size)/(1<<20))
	if size > maxImageBytes {
		t.Errorf("%d bytes, more than %d", size, maxImageBytes)
	}
	if license, err := os.ReadFile(root + "/LICENSE"); err != nil || !bytes.Equal(license, i.files["LICENSE"].data) {
		t.Errorf("LICENSE differs from the project's (%v)", err)
	}
	trusted := 0
	for rest := i.files[certificates].data; ; trusted++ {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		} else if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			t.Errorf("%s: %v", certificates, err)
		}
	}
	// Every common bundle has more than a hundred.
	if trusted < 50 {
		t.Errorf("%s has %d certificates", certificates, trusted)
	}

	program := bytes.NewReader(i.files[i.name].data)
	if i.files[i.name].header.Mode&0o111 != 0o111 {
		t.Errorf("mode of the program: %o", i.files[i.name].header.Mode)
	}
	parsed, err := elf.NewFile(program)
	if err != nil {
		t.Fatal(err)
	}
	for _, part := range parsed.Progs {
		if part.Type == elf.PT_INTERP || part.Type == elf.PT_DYNAMIC {
			t.Error("the program is not static: the image has no loader for it")
		}
	}
	if parsed.Section(".symtab") != nil || parsed.Section(".debug_info") != nil {
		t.Error("the program has symbols, which are a third of its size")
	}
	build, err := buildinfo.Read(program)
	if err != nil {
		t.Fatal(err)
	}
	settings := map[string]string{}
	for _, s := range build.Settings {
		settings[s.Key] = s.Value
	}
	if build.GoVersion != "go"+pinnedGo(t) || settings["CGO_ENABLED"] != "0" || settings["-trimpath"] != "true" || settings["GOARCH"] != i.config.Architecture {
		t.Errorf("built by %s for %s with %q", build.GoVersion, i.config.Architecture, settings)
	}
}

func (i *image) saysWhatItIs(t *testing.T, version, revision string) {
	c := i.config.Config
	if c.User != "10001:10001" {
		t.Errorf("user %q", c.User)
	}
	if len(c.Entrypoint) == 0 || c.Entrypoint[0] != "/"+i.name || len(c.Cmd) != 0 {
		t.Errorf("entry point %q, command %q", c.Entrypoint, c.Cmd)
	}
	if len(c.Env) > 1 || len(c.Env) == 1 && !strings.HasPrefix(c.Env[0], "PATH=") || len(c.Volumes) != 0 {
		t.Errorf("environment %q, volumes %v", c.Env, c.Volumes)
	}
	ports := map[string][]string{"validator-exporter": {"8080/tcp", "9090/tcp"}, "validator-rollup": {"8090/tcp"}, "chainsim": {"5052/tcp"}}
	if got := slices.Sorted(maps.Keys(c.ExposedPorts)); !slices.Equal(got, ports[i.name]) {
		t.Errorf("ports %q", got)
	}
	switch i.name {
	case "validator-exporter", "validator-rollup":
		if c.Healthcheck == nil || !slices.Equal(c.Healthcheck.Test, []string{"CMD", "/" + i.name, "healthcheck"}) {
			t.Errorf("health check: %+v", c.Healthcheck)
		} else if c.Healthcheck.Timeout <= 5*time.Second {
			t.Errorf("health check is cut off after %s, before its program gives up by itself", c.Healthcheck.Timeout)
		}
	default:
		if c.Healthcheck != nil {
			t.Errorf("health check %q, but the program answers none", c.Healthcheck.Test)
		}
	}

	created := mustOutput(t, "env", "TZ=UTC", "git", "log", "-1", "--date=format-local:%Y-%m-%dT%H:%M:%SZ", "--format=%cd", revision)
	for label, want := range map[string]string{
		"title": i.name, "version": version, "revision": revision, "created": created, "licenses": "MIT",
		"source": "https://github.com/ethereum-validator-monitor/validator-monitor",
	} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("label %s is %q, want %q", label, got, want)
		}
	}
	if c.Labels["org.opencontainers.image.description"] == "" {
		t.Error("no description")
	}
	// A build of the same commit is the same image.
	if got := i.config.Created.UTC().Format(time.RFC3339); got != created {
		t.Errorf("created %s, the commit %s", got, created)
	}
	for _, word := range []string{buildSecret, "GOPROXY", "GONOSUMDB", "HTTP_PROXY", "HTTPS_PROXY"} {
		if bytes.Contains(bytes.ToUpper(i.raw), []byte(strings.ToUpper(word))) {
			t.Errorf("configuration or history tell of %s:\n%s", word, i.raw)
		}
	}
}

// The programs share one network, as in a pod, so that they find each other at the ports
// of their defaults, and are asked through ports of this machine.
func testRunningImages(t *testing.T, engine imageEngine, images map[string]*image, revision string) {
	chain := engine.start(t, images["chainsim"],
		[]string{"--publish=127.0.0.1::5052", "--publish=127.0.0.1::8080", "--publish=127.0.0.1::9090", "--publish=127.0.0.1::8090"},
		"--validators=200", "--slot-duration=1s", "--faults=none")
	url := func(port int, path string) string { return "http://" + chain.address(t, port) + path }
	awaitPage(t, url(5052, "/eth/v1/node/health"))
	shared := []string{"--network=container:" + chain.id}
	exporter := engine.start(t, images["validator-exporter"], shared,
		"--web.listen-address=:8080", "--web.listen-address=:9090", "--beacon.url=http://127.0.0.1:5052", "--validator=1,2,3")
	rollup := engine.start(t, images["validator-rollup"], shared, "--db.url=postgres://nobody@127.0.0.1:1/none")

	t.Run("exporter answers people and Prometheus", func(t *testing.T) {
		awaitPage(t, url(8080, "/health"))
		deadline := time.Now().Add(time.Minute)
		for {
			page := awaitPage(t, url(9090, "/metrics"))
			missing := slices.DeleteFunc([]string{
				`ethereum_beacon_up{endpoint="http://127.0.0.1:5052"} 1`,
				`revision="` + revision + `"`,
				`ethereum_validator_attestations_expected_total{network="chainsim",validator_index="3"}`,
				`ethereum_chain_head_slot{network="chainsim"} `,
			}, func(series string) bool { return strings.Contains(page, series) })
			if len(missing) == 0 {
				break
			}
			if time.Now().After(deadline) {
				t.Fatalf("no %q in\n%s", missing, page)
			}
			time.Sleep(time.Second)
		}
		awaitPage(t, url(8080, "/-/ready"))
	})
	t.Run("receiver is alive without a database, and not ready", func(t *testing.T) {
		awaitPage(t, url(8090, "/-/healthy"))
		if status, body, err := askPage(url(8090, "/-/ready")); err != nil || status != http.StatusServiceUnavailable {
			t.Errorf("ready without a database: %d %s (%v)", status, body, err)
		}
	})
	for _, c := range []*imageContainer{chain, exporter, rollup} {
		t.Run(c.image.name+" is confined", c.confined)
	}
	for _, c := range []*imageContainer{exporter, rollup} {
		t.Run(c.image.name+" is checked by its own command", func(t *testing.T) {
			check := c.image.config.Config.Healthcheck.Test[1:]
			if out, err := engine.command(append([]string{"exec", c.id}, check...)...).CombinedOutput(); err != nil {
				t.Errorf("%q in the running container: %v\n%s", check, err, out)
			}
			// Nobody listens in a network of its own.
			args := append(confinement(), "--rm", "--network=none", "--entrypoint="+check[0], c.image.tag)
			out, err := engine.command(append(append([]string{"run"}, args...), check[1:]...)...).CombinedOutput()
			if code := exitCode(err); code != 1 || !bytes.Contains(out, []byte("not healthy")) {
				t.Errorf("%q without a program: code %d\n%s", check, code, out)
			}
		})
	}
	// The chain last: its container has the network of all.
	for _, c := range []*imageContainer{exporter, rollup, chain} {
		t.Run(c.image.name+" ends when it is told to", c.endsOnSIGTERM)
	}
}

// confinement is how every deployment runs a container.
func confinement() []string {
	// The limits are only there because the engines' own are above what some machines
	// allow; the health check is run by the test.
	return []string{
		"--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", "--no-healthcheck",
		"--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024",
	}
}

// confined reads what the kernel says of the running process.
func (c *imageContainer) confined(t *testing.T) {
	proc := "/proc/" + c.inspect(t, "{{.State.Pid}}")
	exe, err := os.Readlink(proc + "/exe")
	if err != nil || exe != "/"+c.image.name {
		t.Fatalf("process 1 is %s (%v)", exe, err)
	}
	text, err := os.ReadFile(proc + "/status")
	if err != nil {
		t.Fatal(err)
	}
	status := map[string]string{}
	for line := range strings.Lines(string(text)) {
		name, value, _ := strings.Cut(line, ":")
		status[name] = strings.Join(strings.Fields(value), " ")
	}
	const nobody, none = "10001 10001 10001 10001", "0000000000000000"
	for name, want := range map[string]string{
		"Uid": nobody, "Gid": nobody, "NoNewPrivs": "1",
		"CapInh": none, "CapPrm": none, "CapEff": none, "CapBnd": none, "CapAmb": none,
	} {
		if status[name] != want {
			t.Errorf("%s is %q, want %q", name, status[name], want)
		}
	}
	if groups := status["Groups"]; groups != "" && groups != "10001" {
		t.Errorf("groups %q", groups)
	}

	mounts, err := os.ReadFile(proc + "/mounts")
	if err != nil {
		t.Fatal(err)
	}
	readOnly := false
	for line := range strings.Lines(string(mounts)) {
		if field := strings.Fields(line); field[1] == "/" {
			readOnly = slices.Contains(strings.Split(field[3], ","), "ro")
		}
	}
	if !readOnly {
		t.Errorf("the root is not mounted read-only:\n%s", mounts)
	}
	// Not even root can write there.
	if err := os.WriteFile(filepath.Join(proc, "root", "written"), nil, 0o600); !errors.Is(err, syscall.EROFS) {
		t.Errorf("writing to its root: %v, want %v", err, syscall.EROFS)
	}
	for _, shell := range []string{"/bin/sh", "/bin/bash", "/busybox/sh"} {
		if out, err := c.engine.command("exec", c.id, shell, "-c", "exit 0").CombinedOutput(); err == nil {
			t.Errorf("%s runs: %s", shell, out)
		}
	}
}

func (c *imageContainer) endsOnSIGTERM(t *testing.T) {
	const patience = 20
	began := time.Now()
	if out, err := c.engine.command("stop", "--time="+strconv.Itoa(patience), c.id).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	code := c.inspect(t, "{{.State.ExitCode}}")
	if took := time.Since(began); code != "0" || took > patience*time.Second {
		t.Errorf("exit code %s after %s\n%s", code, took, c.log())
	}
}

// The renderer writes into a mounted directory and nowhere else.
func testMixinImage(t *testing.T, engine imageEngine, i *image) {
	dir := t.TempDir()
	if err := os.Chown(dir, 10001, 10001); err != nil {
		t.Fatal(err)
	}
	// Above it, the test's directory is for its owner alone; a mount needs no way there.
	args := append(confinement(), "--rm", "--network=none", "--volume="+dir+":/out", i.tag, "render", "--preset=solo", "--output=/out")
	if out, err := engine.command(append([]string{"run"}, args...)...).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	want := os.DirFS(root + "/mixin/generated/solo")
	files := 0
	err := fs.WalkDir(want, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		files++
		committed, err := fs.ReadFile(want, path)
		if err != nil {
			return err
		}
		if rendered, err := os.ReadFile(filepath.Join(dir, path)); err != nil || !bytes.Equal(rendered, committed) {
			t.Errorf("%s differs from what is committed (%v)", path, err)
		}
		return nil
	})
	if err != nil || files == 0 {
		t.Errorf("compared %d files: %v", files, err)
	}
}

// imageEngine is the command of a container engine, with its flags.
type imageEngine string

// build builds all images; without a platform, for this machine.
func (e imageEngine) build(t *testing.T, prefix, platform string) {
	t.Helper()
	build := exec.Command("scripts/image.sh")
	build.Dir = root
	build.Env = append(os.Environ(), "ENGINE="+string(e), "PREFIX="+prefix, "PLATFORMS="+platform,
		"GONOSUMDB="+strings.TrimPrefix(os.Getenv("GONOSUMDB")+","+buildSecret, ","))
	began := time.Now()
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("scripts/image.sh: %v; where no registry can be reached set BUILDER_IMAGE=local\n%s", err, out)
	}
	t.Logf("built with %s in %.0f s", e, time.Since(began).Seconds())
}

func (e imageEngine) command(args ...string) *exec.Cmd {
	words := append(strings.Fields(string(e)), args...)
	return exec.Command(words[0], words[1:]...)
}

// imageContainer is a container that runs.
type imageContainer struct {
	engine imageEngine
	image  *image
	id     string
}

// start runs an image until the test ends.
func (e imageEngine) start(t *testing.T, i *image, options []string, args ...string) *imageContainer {
	t.Helper()
	run := append(append([]string{"run", "--detach"}, confinement()...), options...)
	var stderr strings.Builder
	cmd := e.command(append(append(run, i.tag), args...)...)
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	c := &imageContainer{e, i, strings.TrimSpace(string(out))}
	if c.id != "" {
		t.Cleanup(func() {
			if t.Failed() {
				t.Logf("log of %s:\n%s", i.name, c.log())
			}
			e.command("rm", "--force", c.id).Run()
		})
	}
	if err != nil {
		t.Fatalf("start %s: %v\n%s", i.tag, err, &stderr)
	}
	return c
}

func (c *imageContainer) log() string {
	out, _ := c.engine.command("logs", c.id).CombinedOutput()
	return string(out)
}

func (c *imageContainer) inspect(t *testing.T, format string) string {
	t.Helper()
	out, err := c.engine.command("inspect", "--format="+format, c.id).Output()
	if err != nil {
		t.Fatalf("inspect %s: %v", c.image.name, err)
	}
	return strings.TrimSpace(string(out))
}

// address is where this machine reaches a published port.
func (c *imageContainer) address(t *testing.T, port int) string {
	t.Helper()
	out, err := c.engine.command("port", c.id, fmt.Sprintf("%d/tcp", port)).Output()
	if err != nil {
		t.Fatalf("port %d of %s: %v\n%s", port, c.image.name, err, c.log())
	}
	return strings.TrimSpace(string(out))
}

// read takes an image apart.
func (e imageEngine) read(t *testing.T, name, tag string) *image {
	t.Helper()
	archive := filepath.Join(t.TempDir(), "image.tar")
	if out, err := e.command("save", "--output="+archive, tag).CombinedOutput(); err != nil {
		t.Fatalf("save %s: %v\n%s", tag, err, out)
	}
	packed, err := os.ReadFile(archive)
	if err != nil {
		t.Fatal(err)
	}
	parts := untar(t, packed)
	var manifest []struct {
		Config string
		Layers []string
	}
	if err := json.Unmarshal(parts["manifest.json"].data, &manifest); err != nil || len(manifest) != 1 {
		t.Fatalf("manifest of %s: %v, %d images", tag, err, len(manifest))
	}
	i := &image{name: name, tag: tag, raw: parts[manifest[0].Config].data, files: map[string]imageFile{}}
	if err := json.Unmarshal(i.raw, &i.config); err != nil {
		t.Fatal(err)
	}
	for _, layer := range manifest[0].Layers {
		part := parts[layer]
		// Podman writes a layer that is there twice as a link to the first.
		if part.header.Typeflag == tar.TypeSymlink {
			part = parts[filepath.Join(filepath.Dir(layer), part.header.Linkname)]
		}
		maps.Copy(i.files, untar(t, part.data))
	}
	return i
}

// untar reads an archive, which may be compressed.
func untar(t *testing.T, packed []byte) map[string]imageFile {
	t.Helper()
	var stream io.Reader = bytes.NewReader(packed)
	if bytes.HasPrefix(packed, []byte{0x1f, 0x8b}) {
		unzipped, err := gzip.NewReader(stream)
		if err != nil {
			t.Fatal(err)
		}
		stream = unzipped
	}
	files := map[string]imageFile{}
	for archive := tar.NewReader(stream); ; {
		header, err := archive.Next()
		if errors.Is(err, io.EOF) {
			return files
		}
		if err != nil {
			t.Fatal(err)
		}
		data, err := io.ReadAll(archive)
		if err != nil {
			t.Fatal(err)
		}
		files[strings.TrimSuffix(strings.TrimPrefix(header.Name, "./"), "/")] = imageFile{*header, data}
	}
}

// awaitPage asks until the answer is 200, for half a minute.
func awaitPage(t *testing.T, url string) string {
	t.Helper()
	deadline := time.Now().Add(30 * time.Second)
	for {
		status, body, err := askPage(url)
		if err == nil && status == http.StatusOK {
			return body
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: %d %s (%v)", url, status, body, err)
		}
		time.Sleep(200 * time.Millisecond)
	}
}

func askPage(url string) (status int, body string, err error) {
	client := http.Client{Timeout: 15 * time.Second, Transport: &http.Transport{DisableKeepAlives: true}}
	response, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// mustOutput is what a command at the top of the tree says.
func mustOutput(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Dir = root
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %q: %v\n%s", name, args, err, &stderr)
	}
	return strings.TrimSpace(string(out))
}

func exitCode(err error) int {
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
		return exit.ExitCode()
	} else if err != nil {
		return -1
	}
	return 0
}
