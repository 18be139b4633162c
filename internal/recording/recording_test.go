package recording_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/recording"
)

var names = []string{"devnet-electra", "devnet-leak"}

func open(t *testing.T, name string) (*recording.Recording, *httptest.Server) {
	t.Helper()
	r, err := recording.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.Handler())
	t.Cleanup(server.Close)
	return r, server
}

// ask sends a GET, or a POST when there is a body, and decodes the JSON answer.
func ask(t *testing.T, server *httptest.Server, path, body string) (status int, answer map[string]any) {
	t.Helper()
	method := http.MethodGet
	if body != "" {
		method = http.MethodPost
	}
	request, err := http.NewRequest(method, server.URL+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	raw, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		t.Fatalf("%s: %v in %.100q", path, err, raw)
	}
	return response.StatusCode, answer
}

// dig follows keys into nested objects.
func dig(answer any, keys ...string) any {
	for _, key := range keys {
		object, _ := answer.(map[string]any)
		answer = object[key]
	}
	return answer
}

func TestHeadersFormOneChain(t *testing.T) {
	for _, name := range names {
		r, server := open(t, name)
		slots := r.Slots()
		for i := len(slots) - 1; i > 0; i-- {
			_, header := ask(t, server, fmt.Sprintf("/eth/v1/beacon/headers/%d", slots[i]), "")
			parent := dig(header, "data", "header", "message", "parent_root").(string)
			status, byRoot := ask(t, server, "/eth/v1/beacon/headers/"+parent, "")
			if got := dig(byRoot, "data", "header", "message", "slot"); status != 200 || got != fmt.Sprint(slots[i-1]) {
				t.Fatalf("%s: parent of slot %d is %v (status %d), want slot %d", name, slots[i], got, status, slots[i-1])
			}
		}
	}
}

func TestComputedRootIsTheNodesOwn(t *testing.T) {
	// A node's dependent root of an epoch is the root of the last block before it.
	for name, last := range map[string]struct{ epoch, slot int }{"devnet-electra": {40, 1278}, "devnet-leak": {25, 199}} {
		_, server := open(t, name)
		_, duties := ask(t, server, fmt.Sprintf("/eth/v1/validator/duties/proposer/%d", last.epoch), "")
		_, header := ask(t, server, "/eth/v1/beacon/headers/head", "")
		if slot := dig(header, "data", "header", "message", "slot"); slot != fmt.Sprint(last.slot) {
			t.Errorf("%s: head at slot %v, want %d", name, slot, last.slot)
		}
		if got, want := dig(header, "data", "root"), dig(duties, "dependent_root"); got != want {
			t.Errorf("%s: head root %v, the node says %v", name, got, want)
		}
	}
}

func TestSetHeadHidesWhatCameLater(t *testing.T) {
	r, server := open(t, "devnet-leak")
	r.SetHead(120) // empty, like all slots from 114 to 125
	_, header := ask(t, server, "/eth/v1/beacon/headers/head", "")
	if got := dig(header, "data", "header", "message", "slot"); got != "113" {
		t.Errorf("head at slot %v, want 113", got)
	}
	_, syncing := ask(t, server, "/eth/v1/node/syncing", "")
	if got := dig(syncing, "data", "head_slot"); got != "113" {
		t.Errorf("syncing says head_slot %v, want 113", got)
	}
	later, _ := r.Root(126)
	for path, want := range map[string]int{
		"/eth/v1/beacon/headers/113":                        200,
		"/eth/v1/beacon/headers/114":                        404,
		"/eth/v1/beacon/headers/126":                        404,
		"/eth/v2/beacon/blocks/126":                         404,
		fmt.Sprintf("/eth/v1/beacon/headers/%#x", later[:]): 404,
		"/eth/v1/beacon/states/120/validators":              200,
		"/eth/v1/beacon/states/121/validators":              404,
		"/eth/v1/beacon/states/head/committees?epoch=16":    200,
		"/eth/v1/beacon/states/head/committees?epoch=17":    400,
		"/eth/v1/validator/duties/proposer/16":              200,
		"/eth/v1/validator/duties/proposer/17":              400,
		"/eth/v1/node/peer_count":                           404,
	} {
		if got, answer := ask(t, server, path, ""); got != want {
			t.Errorf("%s: status %d, want %d: %.200v", path, got, want, answer)
		}
	}
	for epoch, want := range map[int]int{13: 200, 14: 404} {
		if got, _ := ask(t, server, fmt.Sprintf("/eth/v1/beacon/rewards/attestations/%d", epoch), "[]"); got != want {
			t.Errorf("rewards of epoch %d: status %d, want %d", epoch, got, want)
		}
	}
}

func TestBlocksAreServedAsSSZ(t *testing.T) {
	r, server := open(t, "devnet-electra")
	for _, id := range []string{"head", fmt.Sprint(r.Last())} {
		response, err := http.Get(server.URL + "/eth/v2/beacon/blocks/" + id)
		if err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
		if response.StatusCode != 200 || response.Header.Get("Content-Type") != "application/octet-stream" ||
			response.Header.Get("Eth-Consensus-Version") != "electra" {
			t.Errorf("block %s: status %d, headers %v", id, response.StatusCode, response.Header)
		}
	}
}

func TestFilters(t *testing.T) {
	_, server := open(t, "devnet-electra")
	pubkey := func() string {
		_, all := ask(t, server, "/eth/v1/beacon/states/1100/validators", "{}")
		return dig(dig(all, "data").([]any)[5], "validator", "pubkey").(string)
	}()
	for _, test := range []struct {
		name, path, body string
		keys             []string
		want             int
	}{
		{"all validators", "/eth/v1/beacon/states/1100/validators", `{}`, []string{"data"}, 64},
		{"by index and key", "/eth/v1/beacon/states/head/validators", `{"ids":["3","` + pubkey + `","9999"]}`, []string{"data"}, 2},
		{"by query", "/eth/v1/beacon/states/head/validators?id=1,2&id=3", "", []string{"data"}, 3},
		{"by family of status", "/eth/v1/beacon/states/1100/validators", `{"statuses":["active"]}`, []string{"data"}, 64},
		{"by other status", "/eth/v1/beacon/states/1100/validators?status=exited_slashed", "", []string{"data"}, 0},
		{"attestation rewards", "/eth/v1/beacon/rewards/attestations/34", `["7","8"]`, []string{"data", "total_rewards"}, 2},
		{"all attestation rewards", "/eth/v1/beacon/rewards/attestations/34", `[]`, []string{"data", "total_rewards"}, 64},
		{"sync rewards", "/eth/v1/beacon/rewards/sync_committee/1088", `["7"]`, []string{"data"}, 1},
	} {
		status, answer := ask(t, server, test.path, test.body)
		rows, _ := dig(answer, test.keys...).([]any)
		if status != 200 || len(rows) != test.want {
			t.Errorf("%s: status %d, %d rows, want %d", test.name, status, len(rows), test.want)
		}
	}
}

func TestUnknownRecording(t *testing.T) {
	if _, err := recording.Open("devnet-none"); err == nil || !strings.Contains(err.Error(), "devnet-none") {
		t.Fatalf("error %v, want one that names the recording", err)
	}
}
