package receiver

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"sync"
	"time"
)

// tokens are the bearer tokens of a file, which is read again when it changes. Several
// are valid at a time, so that senders can be given a new one before the old one goes.
type tokens struct {
	path string

	mu     sync.Mutex
	state  fileState
	hashes [][sha256.Size]byte // comparing hashes takes the same time whatever differs
	failed string              // what was last wrong with the file
}

// fileState tells whether a file was changed.
type fileState struct {
	changed time.Time
	size    int64
}

// readTokens reads a file with one token a line. Blank lines and those that start with #
// do not count. Errors never quote the file.
func readTokens(path string) (*tokens, error) {
	t := &tokens{path: path}
	if err := t.read(); err != nil {
		return nil, err
	}
	return t, nil
}

func (t *tokens) read() error {
	info, err := os.Stat(t.path)
	if err != nil {
		return fmt.Errorf("read bearer tokens: %w", err)
	}
	state := fileState{info.ModTime(), info.Size()}
	if state == t.state {
		return nil
	}
	text, err := os.ReadFile(t.path)
	if err != nil {
		return fmt.Errorf("read bearer tokens: %w", err)
	}
	var hashes [][sha256.Size]byte
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line != "" && line[0] != '#' {
			hashes = append(hashes, sha256.Sum256([]byte(line)))
		}
	}
	if len(hashes) == 0 {
		return fmt.Errorf("read bearer tokens: %w", errors.New(t.path+" has none"))
	}
	t.state, t.hashes = state, hashes
	return nil
}

// allow tells whether a request shows one of the tokens. While the file cannot be read
// the tokens of before stay valid.
func (t *tokens) allow(request *http.Request, log *slog.Logger) bool {
	scheme, token, _ := strings.Cut(request.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return false
	}
	shown := sha256.Sum256([]byte(strings.TrimSpace(token)))

	t.mu.Lock()
	defer t.mu.Unlock()
	var failed string
	if err := t.read(); err != nil {
		failed = err.Error()
	}
	if failed != "" && failed != t.failed {
		log.Warn("The bearer tokens of before stay valid", "err", failed)
	}
	t.failed = failed
	allowed := 0
	for _, hash := range t.hashes {
		allowed |= subtle.ConstantTimeCompare(hash[:], shown[:])
	}
	return allowed == 1
}
