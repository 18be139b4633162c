package kubernetes

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
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

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
)

// Options of a cluster. None is required.
type Options struct {
	// BinDir holds kube-apiserver and kubectl; the module's bin/tools when empty.
	BinDir string
}

// Cluster is a running API server. Its methods may be called from any goroutine.
type Cluster struct {
	programs programs
	dir      string
	ports    ports
	token    string

	stop      sync.Once
	stopErr   error
	etcd      *devnet.Program
	apiserver *devnet.Program
}

type ports struct{ etcd, peers, api int }

const (
	startTimeout = 90 * time.Second
	stopGrace    = 10 * time.Second
)

// New starts a cluster that lasts as long as the test.
func New(t testing.TB, options Options) *Cluster {
	t.Helper()
	c, err := Start(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Stop(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// Start starts a cluster and returns when its API server is ready. ctx bounds the start
// only; Stop ends the cluster, and so does the end of this process.
func Start(ctx context.Context, options Options) (*Cluster, error) {
	programs, err := find(options.BinDir)
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	free, err := devnet.FreePorts(3)
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	dir, err := os.MkdirTemp("", "kubernetes-") // only its owner may enter
	if err != nil {
		return nil, fmt.Errorf("start cluster: %w", err)
	}
	c := &Cluster{
		programs: programs, dir: dir, token: rand.Text(),
		ports: ports{etcd: free[0], peers: free[1], api: free[2]},
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := c.start(ctx); err != nil {
		return nil, errors.Join(fmt.Errorf("start cluster: %w", err), c.Stop())
	}
	return c, nil
}

func (c *Cluster) start(ctx context.Context) error {
	if err := c.writeFiles(); err != nil {
		return err
	}
	var err error
	if c.etcd, err = devnet.StartProgram(c.dir, "etcd", c.programs.etcd,
		"--data-dir", c.path("etcd"),
		"--listen-client-urls", local("http", c.ports.etcd), "--advertise-client-urls", local("http", c.ports.etcd),
		"--listen-peer-urls", local("http", c.ports.peers), "--initial-advertise-peer-urls", local("http", c.ports.peers),
		"--initial-cluster", "default="+local("http", c.ports.peers),
		// Nothing of it has to outlive a crash of the machine.
		"--unsafe-no-fsync"); err != nil {
		return err
	}
	if err := c.etcd.WaitReady(ctx, func(ctx context.Context) error {
		return c.get(ctx, http.DefaultClient, local("http", c.ports.etcd)+"/health")
	}); err != nil {
		return err
	}
	if c.apiserver, err = devnet.StartProgram(c.dir, "kube-apiserver", c.programs.apiserver,
		"--etcd-servers", local("http", c.ports.etcd),
		"--bind-address", "127.0.0.1", "--secure-port", strconv.Itoa(c.ports.api),
		// It refuses to tell clients inside the cluster a loopback address, and would look for one on this machine's
		// interfaces, of which there may be none. Nobody is inside: an address that documentation may use will do.
		"--advertise-address", "192.0.2.1",
		"--cert-dir", c.path("certificates"),
		"--authorization-mode", "RBAC", "--token-auth-file", c.path("tokens.csv"),
		"--service-account-issuer", "https://kubernetes.default.svc",
		"--service-account-key-file", c.path("accounts.key"), "--service-account-signing-key-file", c.path("accounts.key"),
		"--service-cluster-ip-range", "10.0.0.0/16"); err != nil {
		return err
	}
	if err := c.apiserver.WaitReady(ctx, func(ctx context.Context) error {
		client, err := c.client()
		if err != nil {
			return err
		}
		defer client.CloseIdleConnections()
		return c.get(ctx, client, c.URL()+"/readyz")
	}); err != nil {
		return err
	}
	return nil
}

// writeFiles writes what the programs read: the token of the one user, who may do
// everything, the key that signs tokens of service accounts, and a kubeconfig.
func (c *Cluster) writeFiles() error {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return fmt.Errorf("make a key: %w", err)
	}
	for name, content := range map[string]string{
		"tokens.csv":   c.token + ",admin,admin,system:masters\n",
		"accounts.key": string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der})),
		"kubeconfig": fmt.Sprintf(`apiVersion: v1
kind: Config
clusters: [{name: test, cluster: {server: %q, certificate-authority: %q}}]
users: [{name: admin, user: {token: %q}}]
contexts: [{name: test, context: {cluster: test, user: admin}}]
current-context: test
`, c.URL(), c.certificate(), c.token),
	} {
		if err := os.WriteFile(c.path(name), []byte(content), 0o600); err != nil {
			return fmt.Errorf("write %s: %w", name, err)
		}
	}
	return nil
}

// client trusts the certificate that the server made for itself, and no other.
func (c *Cluster) client() (*http.Client, error) {
	text, err := os.ReadFile(c.certificate())
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("no certificate in %s", c.certificate())
	}
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}}}, nil
}

// get succeeds when url answers 200 within five seconds.
func (c *Cluster) get(ctx context.Context, client *http.Client, url string) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	if strings.HasPrefix(url, "https:") {
		request.Header.Set("Authorization", "Bearer "+c.token)
	}
	response, err := client.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(io.LimitReader(response.Body, 4096)) // for the error only
		return fmt.Errorf("GET %s: %s: %s", url, response.Status, body)
	}
	return nil
}

// URL is where the API server listens.
func (c *Cluster) URL() string { return local("https", c.ports.api) }

// Kubectl runs kubectl, and returns what it wrote to standard output. The error has what
// it wrote to standard error.
func (c *Cluster) Kubectl(ctx context.Context, args ...string) (string, error) {
	return c.Run(ctx, nil, c.programs.kubectl, args...)
}

// KubectlInput is Kubectl with a standard input, for -f -.
func (c *Cluster) KubectlInput(ctx context.Context, input []byte, args ...string) (string, error) {
	return c.Run(ctx, input, c.programs.kubectl, args...)
}

// Run runs another program that reads a kubeconfig, such as helm, against the cluster. It
// sees nothing of this machine's own configuration.
func (c *Cluster) Run(ctx context.Context, input []byte, program string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, program, args...)
	cmd.WaitDelay = stopGrace
	cmd.Env = []string{"KUBECONFIG=" + c.path("kubeconfig"), "HOME=" + c.dir, "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	cmd.Stdin = bytes.NewReader(input)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("%s %s: %w: %s", filepath.Base(program), strings.Join(args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.String(), nil
}

// Stop ends the programs and removes their folder. It may be called more than once.
func (c *Cluster) Stop() error {
	c.stop.Do(func() {
		// Killed: what it would do on its way out is to tell clients to go elsewhere.
		if c.apiserver != nil {
			c.apiserver.Kill()
		}
		if c.etcd != nil {
			c.etcd.Kill()
		}
		if err := os.RemoveAll(c.dir); err != nil {
			c.stopErr = fmt.Errorf("stop cluster: %w", err)
		}
	})
	return c.stopErr
}

func (c *Cluster) path(name string) string { return filepath.Join(c.dir, name) }

// certificate is the file in which the server puts its certificate, and that of the
// authority that it made up to sign it.
func (c *Cluster) certificate() string { return c.path("certificates/apiserver.crt") }

func local(scheme string, port int) string { return fmt.Sprintf("%s://127.0.0.1:%d", scheme, port) }
