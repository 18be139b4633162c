package beacon_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
)

func TestFailureSaysWhatToDo(t *testing.T) {
	const flags = "--beacon.headers-file or --beacon.url"
	for name, tc := range map[string]struct {
		path   string
		answer func(http.ResponseWriter, *http.Request, http.Handler)
		want   string
	}{
		"no token":            {"", status(401), "; check the token or password in " + flags},
		"wrong token":         {"", status(403), "; check the token or password in " + flags},
		"token for some only": {"/config/spec", status(403), "; check the token or password in " + flags},
		"too many requests":   {"", status(429), "; the node limits requests: raise its limit, scrape less often, or add a node with another --beacon.url"},
		"redirect": {"", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			w.Header().Set("Location", "https://elsewhere.invalid/")
			w.WriteHeader(http.StatusMovedPermanently)
		}, "answered with status 301; redirects are not followed, since tokens would go along: give the address that answers in --beacon.url"},
		"something else listens there": {"", status(404), "; this is no beacon node's API: check address and port in --beacon.url"},
		// The advice stands after the answer, however long that is.
		"page of HTML": {"", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Error(w, strings.Repeat("Sorry. ", 1000), http.StatusForbidden)
		}, "…; check the token or password in " + flags},
	} {
		n := newNode(t).on(tc.path, tc.answer)
		pool := newPool(t, beacon.Config{}, n)
		_, err := pool.Spec(patience(t))
		if err == nil || !strings.HasSuffix(err.Error(), tc.want) || strings.Count(err.Error(), n.URL) != 1 {
			t.Errorf("%s: got\n%v\nwant …%s", name, err, tc.want)
		}
	}

	gone := newNode(t)
	gone.Close()
	pool := newPool(t, beacon.Config{}, gone)
	_, err := pool.Spec(patience(t))
	want := "connection refused; check the address in --beacon.url, and that the node runs and serves its HTTP API there"
	if err == nil || !strings.HasSuffix(err.Error(), want) || strings.Count(err.Error(), gone.URL) != 1 {
		t.Errorf("nobody listens: got\n%v\nwant …%s", err, want)
	}

	// Not to have something old is no mistake of an operator.
	bare := newNode(t).on("/committees", status(404))
	pool = newPool(t, beacon.Config{}, bare)
	for _, op := range operations {
		if op.path != "/committees" {
			continue
		}
		if err := op.call(patience(t), pool); err == nil || strings.Contains(err.Error(), "--beacon") {
			t.Errorf("committees are not there: %v", err)
		}
	}
}
