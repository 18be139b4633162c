package pgtest

import (
	"cmp"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// oldest is the oldest major version of Postgres that the project supports.
const oldest = 14

// programs finds the folder with initdb and postgres: in PATH, else the newest where
// packages put them.
func programs() (string, error) {
	if path, err := exec.LookPath("initdb"); err == nil {
		// A link in PATH leads to the installation, where the other programs are.
		if real, err := filepath.EvalSymlinks(path); err == nil && hasServer(filepath.Dir(real)) {
			return filepath.Dir(real), nil
		}
	}
	var found []string
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin", "/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin", "/usr/local/opt/postgresql@*/bin",
	} {
		dirs, err := filepath.Glob(pattern)
		if err != nil {
			return "", fmt.Errorf("look for Postgres in %s: %w", pattern, err)
		}
		found = append(found, slices.DeleteFunc(dirs, func(dir string) bool { return !hasServer(dir) || major(dir) < oldest })...)
	}
	if len(found) == 0 {
		return "", fmt.Errorf("no initdb and postgres of Postgres %d or newer in PATH or /usr/lib/postgresql: install them with scripts/postgres.sh, or with apt-get install postgresql", oldest)
	}
	return slices.MaxFunc(found, func(a, b string) int { return cmp.Compare(major(a), major(b)) }), nil
}

func hasServer(dir string) bool {
	for _, program := range []string{"initdb", "postgres"} {
		if info, err := os.Stat(filepath.Join(dir, program)); err != nil || info.IsDir() {
			return false
		}
	}
	return true
}

// major is the version in the name of the folder above bin.
func major(bin string) int {
	name := filepath.Base(filepath.Dir(bin))
	version, _ := strconv.Atoi(name[strings.LastIndexAny(name, "-@")+1:]) // 0 where there is none
	return version
}

// account is a user of this machine.
type account struct {
	name     string
	uid, gid int
}

func (a *account) credential() *syscall.Credential {
	return &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
}

// unprivileged is the account to run Postgres as, which refuses to run as root; nil when
// we are not root.
func unprivileged() (*account, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, uidErr := strconv.Atoi(u.Uid)
		gid, gidErr := strconv.Atoi(u.Gid)
		if err := errors.Join(uidErr, gidErr); err != nil {
			return nil, fmt.Errorf("user %s: %w", name, err)
		}
		return &account{name: name, uid: uid, gid: gid}, nil
	}
	return nil, errors.New("root may not run Postgres, and there is no user postgres or nobody to run it as")
}

// freePort finds a port of 127.0.0.1 that is free, below the range from which the kernel
// takes ports for outgoing connections, so that none takes it while the server is down.
func freePort() (int, error) {
	const low, high, tries = 10240, 32000, 100
	for range tries {
		port := low + rand.IntN(high-low)
		listener, err := net.ListenTCP("tcp4", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: port})
		if err != nil {
			continue
		}
		return port, listener.Close()
	}
	return 0, fmt.Errorf("find a free port between %d and %d on 127.0.0.1: %d tries found none", low, high, tries)
}
