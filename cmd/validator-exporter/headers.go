package main

import (
	"fmt"
	"net/http"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
)

var (
	headerName = regexp.MustCompile("^[A-Za-z0-9!#$%&'*+.^_`|~-]+$") // RFC 9110: token
	// ownHeaders are set by the HTTP client itself, which would not send others.
	ownHeaders = []string{"Connection", "Content-Length", "Host", "Transfer-Encoding"}
)

// readHeaders reads a file of "Name: value" lines; blank lines and those that start
// with # do not count. exposed tells whether every user of the machine can read
// the file for no reason. Errors name the line but never what it holds: it may be a secret.
func readHeaders(path string) (headers http.Header, exposed bool, err error) {
	headers = http.Header{}
	if path == "" {
		return headers, false, nil
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, false, fmt.Errorf("cannot read --beacon.headers-file: %w", err)
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, false, fmt.Errorf("cannot read --beacon.headers-file: %w", err)
	}
	number := 0
	for line := range strings.Lines(string(text)) {
		number++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		name, value, found := strings.Cut(line, ":")
		name, value = http.CanonicalHeaderKey(strings.TrimSpace(name)), strings.TrimSpace(value)
		switch {
		case !found || !headerName.MatchString(name):
			return nil, false, fmt.Errorf(`%s:%d: not a header; write "Name: value"`, path, number)
		case slices.Contains(ownHeaders, name):
			return nil, false, fmt.Errorf("%s:%d: the header %s cannot be set; remove it", path, number, name)
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return nil, false, fmt.Errorf("%s:%d: the value of header %s holds a control character; remove it", path, number, name)
		}
		headers.Add(name, value)
	}
	return headers, program.Exposed(info), nil
}
