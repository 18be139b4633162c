package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"golang.org/x/crypto/bcrypt"
	"google.golang.org/protobuf/proto"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program/programtest"
)

func TestWrongFlagsAndFilesAreOneLine(t *testing.T) {
	busy, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	webConfig := programtest.File(t, "web.yaml", "tls_server_config:\n  nonsense: y\n")
	users := programtest.File(t, "users.yaml", "basic_auth_users:\n  prometheus: "+bcrypted(t, "pass")+"\n")
	token := programtest.File(t, "token", "abc")
	empty := programtest.File(t, "empty", "\n")
	secret := programtest.File(t, "secret", "postgres://user:hunter2@[host/")
	nowhere := "--db.url=postgres://nobody@127.0.0.1:1/x"

	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"unknown flag":               {[]string{"--db.uri=x"}, 2, "unknown long flag '--db.uri'; try --help"},
		"unknown command":            {[]string{"start"}, 2, `unexpected start; try --help`},
		"password in a URL":          {[]string{"--db.url=postgres://user:hunter2@host/x"}, 2, "--db.url holds a password, which every user of this machine can see: put the URL into a file for --db.url-file, or into VALIDATOR_ROLLUP_DB_URL; try --help"},
		"password in a parameter":    {[]string{"migrate", "--db.url=postgres://user@host/x?password=hunter2"}, 2, "--db.url holds a password, which every user of this machine can see: put the URL into a file for --db.url-file, or into VALIDATOR_ROLLUP_DB_URL; try --help"},
		"password in key and value":  {[]string{"--db.url=host=x password=hunter2"}, 2, "--db.url holds a password, which every user of this machine can see: put the URL into a file for --db.url-file, or into VALIDATOR_ROLLUP_DB_URL; try --help"},
		"password in a broken URL":   {[]string{"--db.url=postgres://user:hunter2@ho st:x/"}, 2, "--db.url cannot be read: want postgres://user@host:port/name; try --help"},
		"two URLs":                   {[]string{nowhere, "--db.url-file=" + secret}, 2, "--db.url and --db.url-file cannot be given both; try --help"},
		"no file with a URL":         {[]string{"--db.url-file=/nowhere"}, 1, "cannot read --db.url-file: open /nowhere: no such file or directory"},
		"empty file with a URL":      {[]string{"--db.url-file=" + empty}, 1, "--db.url-file=" + empty + ": the file is empty"},
		"broken URL in a file":       {[]string{"--db.url-file=" + secret}, 1, "the database URL cannot be read: want postgres://user:password@host:port/name or key=value pairs"},
		"one connection":             {[]string{"--db.max-connections=1"}, 2, "--db.max-connections=1: must be a whole number, at least 2; try --help"},
		"short retention":            {[]string{"--retention=1h"}, 2, "--retention=1h: must be a duration of at least 1d, such as 1m30s or 5y; try --help"},
		"no interval":                {[]string{"--maintenance.interval=0s"}, 2, "--maintenance.interval=0s: must be a duration of at least 1s, such as 1m30s or 5y; try --help"},
		"genesis without time":       {[]string{"--network.genesis=devnet"}, 2, "--network.genesis=devnet: must be a network's name and the Unix time of its genesis, such as devnet=1606824023; try --help"},
		"genesis twice":              {[]string{"--network.genesis=a=1", "--network.genesis=a=2"}, 2, "--network.genesis=a=2: this network is named twice; try --help"},
		"no regular expression":      {[]string{nowhere, "--rollup.series=("}, 1, "regular expression \"(\" for series: error parsing regexp: missing closing ): `^(?:()$`"},
		"a label that is identity":   {[]string{nowhere, "--rollup.drop-label=validator_index"}, 1, `label "validator_index" cannot be dropped: series of completed windows differ by nothing else`},
		"no such token file":         {[]string{nowhere, "--web.bearer-token-file=/nowhere"}, 1, "read bearer tokens: stat /nowhere: no such file or directory"},
		"no such web config":         {[]string{nowhere, "--web.config.file=/nowhere"}, 1, "--web.config.file=/nowhere: open /nowhere: no such file or directory"},
		"malformed web config":       {[]string{nowhere, "--web.config.file=" + webConfig}, 1, "--web.config.file=" + webConfig + ": yaml: unmarshal errors: line 2: field nonsense not found in type web.TLSConfig"},
		"token and passwords":        {[]string{nowhere, "--web.config.file=" + users, "--web.bearer-token-file=" + token}, 1, "--web.bearer-token-file and basic_auth_users of --web.config.file cannot both be used: a request can show one of them"},
		"port in use":                {[]string{nowhere, "--web.listen-address=" + busy.Addr().String()}, 1, "--web.listen-address=" + busy.Addr().String() + ": listen tcp " + busy.Addr().String() + ": bind: address already in use"},
		"export of no date":          {[]string{"export", "--from=yesterday"}, 2, "--from=yesterday: must be a date such as 2026-01-31; try --help"},
		"export of no view":          {[]string{"export", "--view=hourly"}, 2, "--view=hourly: must be one of validator_daily, validator_monthly, group_daily, group_monthly, network_daily, network_monthly; try --help"},
		"export in no format":        {[]string{"export", "--format=xml"}, 2, "--format=xml: must be one of csv, json; try --help"},
		"export of no validator":     {[]string{"export", "--validator=-1"}, 2, "--validator=-1: must be a validator's index; try --help"},
		"healthcheck without a time": {[]string{"healthcheck", "--timeout=0s"}, 2, "--timeout=0s: must be a duration of at least 1ms, such as 1m30s or 5y; try --help"},
	} {
		t.Run(name, func(t *testing.T) {
			code, stdout, stderr := once(tc.args...)
			if want := "validator-rollup: error: " + tc.want + "\n"; code != tc.code || stderr != want || stdout != "" {
				t.Errorf("code %d, stdout %q, stderr\n%swant %d\n%s", code, stdout, stderr, tc.code, want)
			}
			if strings.Contains(stderr, "hunter2") {
				t.Error("the password is shown")
			}
		})
	}
}

func TestHelpAndVersionAreAnswers(t *testing.T) {
	for _, tc := range []struct {
		args []string
		want string
	}{
		{[]string{"--version"}, "validator-rollup, version "},
		{[]string{"--help"}, "--db.url="},
		{[]string{"help"}, "serve*"},
		{[]string{"serve", "--help"}, "--rollup.series="},
		{[]string{"help", "serve"}, "--rollup.series="},
		{[]string{"migrate", "--help"}, "--down-to="},
		{[]string{"export", "--help"}, "--from="},
		{[]string{"healthcheck", "--help"}, "--url="},
	} {
		code, stdout, stderr := once(tc.args...)
		if code != 0 || stderr != "" || !strings.Contains(stdout, tc.want) {
			t.Errorf("%q: code %d, stderr %q, stdout without %q:\n%s", tc.args, code, stderr, tc.want, stdout)
		}
	}
}

// The life of an installation: migrate, receive, export, take everything back.
func TestMigrateServeExport(t *testing.T) {
	db := "--db.url-file=" + programtest.File(t, "db", postgres.Database(t)+"\n")
	expect := func(args []string, code int, stdout, stderr string) {
		t.Helper()
		gotCode, gotOut, gotErr := once(append(args, db, "--log.level=warn")...)
		if gotCode != code || gotOut != stdout || !strings.Contains(gotErr, stderr) || stderr == "" && gotErr != "" {
			t.Errorf("%v: code %d, stdout %q, stderr %q; want %d, %q, %q", args, gotCode, gotOut, gotErr, code, stdout, stderr)
		}
	}
	expect([]string{"export"}, 1, "", "validator-rollup: error: ")
	code, stdout, stderr := once("migrate", db)
	var version int
	if _, err := fmt.Sscanf(stdout, "the schema has version %d, which this program needs\n", &version); code != 0 || err != nil {
		t.Fatalf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	expect([]string{"migrate"}, 0, stdout, "")

	r := start(t, db)
	r.awaitReady()
	// A devnet's first window, that began at 00:00 two days ago.
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -2)
	r.write(204, "ethereum_validator_window_attestations_expected", 15, day)
	r.write(204, "ethereum_validator_window_attestations_included", 14, day)
	if status, page := r.get("/metrics"); status != 200 || !strings.Contains(page, "\nvalidator_rollup_samples_written_total 2\n") || !strings.Contains(page, "\ngo_goroutines ") {
		t.Errorf("%d %s", status, page)
	}
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d\n%s", code, r.stderr)
	}

	expect([]string{"export", "--column=day", "--column=validator_index", "--column=attestations_expected", "--column=attestations_included", "--network=devnet", "--validator=7"},
		0, "day,validator_index,attestations_expected,attestations_included\n"+day.Format(time.DateOnly)+",7,15,14\n", "")
	expect([]string{"export", "--column=day", "--format=json", "--from=" + day.Format(time.DateOnly), "--to=" + day.Format(time.DateOnly)},
		0, "[\n{\"day\":\""+day.Format(time.DateOnly)+"\"}\n]\n", "")
	expect([]string{"export", "--column=nonsense"}, 1, "", "nonsense")
	expect([]string{"migrate", "--down-to=0"}, 0, fmt.Sprintf("the schema has version 0; this program needs %d\n", version), "")
	expect([]string{"export"}, 1, "", "validator-rollup: error: ")
}

// write sends one sample of validator 7 of devnet.
func (r *running) write(status int, name string, value float64, window time.Time, headers ...string) string {
	r.Helper()
	got, body := r.do(r.writeRequest(name, value, window, headers...))
	if got != status {
		r.Errorf("%s: status %d %q, want %d", name, got, body, status)
	}
	return body
}

func (r *running) writeRequest(name string, value float64, window time.Time, headers ...string) *http.Request {
	r.Helper()
	message, err := proto.Marshal(&writev2.Request{
		Symbols: []string{"", "__name__", name, "network", "devnet", "validator_index", "7", "window", fmt.Sprint(window.Unix()), "job", "validator-exporter"},
		Timeseries: []*writev2.TimeSeries{{
			LabelsRefs: []uint32{1, 2, 9, 10, 3, 4, 5, 6, 7, 8},
			Samples:    []*writev2.Sample{{Value: value, Timestamp: time.Now().UnixMilli()}},
		}},
	})
	if err != nil {
		r.Fatal(err)
	}
	request, err := http.NewRequestWithContext(context.Background(), http.MethodPost, r.url+"/api/v1/write", bytes.NewReader(snappy.Encode(nil, message)))
	if err != nil {
		r.Fatal(err)
	}
	request.Header.Set("Content-Encoding", "snappy")
	request.Header.Set("Content-Type", "application/x-protobuf;proto=io.prometheus.write.v2.Request")
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	return request
}

// What docs/rollup.md says about a wrong value that was stored first.
func TestConflictIsPutRightByDeletingTheWrongValue(t *testing.T) {
	manual, err := os.ReadFile("../../docs/rollup.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(manual), "```sql\nWITH wrong")
	statement, _, found := strings.Cut("WITH wrong"+rest, "```")
	if !found {
		t.Fatal("docs/rollup.md has no statement")
	}
	day := time.Now().UTC().Truncate(24*time.Hour).AddDate(0, 0, -3)
	statement = strings.NewReplacer(`\_group\_`, `\_validator\_`, `"network": "mainnet", "group": "acme"`, `"network": "devnet", "validator_index": "7"`,
		"2026-11-01 12:00:23+00", day.Format(time.RFC3339)).Replace(statement)

	db := postgres.Database(t)
	flag := "--db.url-file=" + programtest.File(t, "db", db)
	const family = "ethereum_validator_window_attestations_expected"
	export := func() string {
		t.Helper()
		code, stdout, stderr := once("export", flag, "--column=attestations_expected")
		if code != 0 {
			t.Fatalf("code %d, stderr %s", code, stderr)
		}
		return stdout
	}
	conn, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())

	r := start(t, flag, "--db.auto-migrate", "--maintenance.interval=1s")
	r.awaitReady()
	r.write(204, family, 14, day)
	deadline := time.Now().Add(20 * time.Second)
	for closed := false; !closed; { // so that its sums are stored
		if err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM calendar WHERE state = 'closed')`).Scan(&closed); err != nil {
			t.Fatal(err)
		}
		if time.Now().After(deadline) {
			t.Fatalf("the day is not closed\n%s", r.stderr)
		}
		time.Sleep(50 * time.Millisecond)
	}
	r.write(400, family, 15, day)
	r.stop()
	if got := export(); got != "attestations_expected\n14\n" {
		t.Errorf("before: %q", got)
	}
	if _, err := conn.Exec(t.Context(), statement); err != nil {
		t.Fatal(err)
	}
	if got := export(); strings.Contains(got, "14") {
		t.Errorf("after: %q", got)
	}
	r = start(t, flag)
	r.awaitReady()
	r.write(204, family, 15, day)
	if got := export(); got != "attestations_expected\n15\n" {
		t.Errorf("in the end: %q", got)
	}
}

func TestAutoMigrateAndGenesisOfANetwork(t *testing.T) {
	db := postgres.Database(t)
	t.Setenv("VALIDATOR_ROLLUP_DB_URL", db)
	r := start(t, "serve", "--db.auto-migrate", "--network.genesis=devnet=1606824023")
	r.awaitReady()
	r.write(204, "ethereum_validator_window_attestations_expected", 15, time.Now().Add(-2*time.Hour).Truncate(time.Second))

	conn, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	var genesis time.Time
	if err := conn.QueryRow(t.Context(), `SELECT genesis FROM networks WHERE name = 'devnet'`).Scan(&genesis); err != nil || genesis.Unix() != 1606824023 {
		t.Errorf("genesis %v, error %v", genesis, err)
	}
	r.stop()
	// Days that are there already cannot begin at another time.
	other := start(t, "--network.genesis=devnet=1606824024", "--rollup.write-timeout=1s")
	other.write(503, "ethereum_validator_window_attestations_expected", 15, time.Now().Add(-2*time.Hour).Truncate(time.Second))
	if status, why := other.get("/-/ready"); status != 503 || !strings.Contains(why, "genesis of network devnet") {
		t.Errorf("ready: %d %s", status, why)
	}
}

// libpq's variables are enough to find the database.
func TestVariablesOfPostgres(t *testing.T) {
	parsed, err := url.Parse(postgres.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	password, _ := parsed.User.Password()
	for name, value := range map[string]string{
		"PGHOST": parsed.Hostname(), "PGPORT": parsed.Port(), "PGUSER": parsed.User.Username(),
		"PGPASSWORD": password, "PGDATABASE": parsed.Path[1:], "PGSSLMODE": "disable", "VALIDATOR_ROLLUP_DB_URL": "",
	} {
		t.Setenv(name, value)
	}
	if code, _, stderr := once("migrate"); code != 0 {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
	// A URL without a password, and the password from elsewhere.
	parsed.User = url.User(parsed.User.Username())
	if code, _, stderr := once("migrate", "--db.url="+parsed.String()); code != 0 {
		t.Errorf("code %d, stderr %s", code, stderr)
	}
}

func TestDatabaseThatIsAwayAtTheStartIsWaitedFor(t *testing.T) {
	r := start(t, "--db.url=postgres://nobody@127.0.0.1:1/x", "--db.auto-migrate", "--rollup.write-timeout=1s")
	if status, body := r.get("/-/healthy"); status != 200 || body != "ok\n" {
		t.Errorf("healthy: %d %q", status, body)
	}
	if status, why := r.get("/-/ready"); status != 503 || !strings.Contains(why, "database unavailable") {
		t.Errorf("ready: %d %q", status, why)
	}
	r.write(503, "ethereum_validator_window_attestations_expected", 15, time.Now().Add(-2*time.Hour))
	if code := r.stop(); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A request in flight is stored and answered; the port takes no new ones meanwhile.
func TestTerminationDrains(t *testing.T) {
	db := postgres.Database(t)
	r := start(t, "--db.url-file="+programtest.File(t, "db", db), "--db.auto-migrate")
	r.awaitReady()
	conn, err := pgx.Connect(t.Context(), db)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	tx, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := tx.Exec(t.Context(), `LOCK TABLE series IN ACCESS EXCLUSIVE MODE`); err != nil {
		t.Fatal(err)
	}
	request := r.writeRequest("ethereum_validator_window_attestations_expected", 15, time.Now().Add(-2*time.Hour).Truncate(time.Second))
	answered := make(chan error, 1)
	go func() {
		response, err := r.client.Do(request)
		if err == nil {
			response.Body.Close()
			if response.StatusCode != 204 {
				err = errors.New(response.Status)
			}
		}
		answered <- err
	}()
	for { // until it waits for the lock
		var waiting int
		if err := postgresWaiting(t.Context(), db, &waiting); err != nil {
			t.Fatal(err)
		}
		if waiting > 0 {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	code := make(chan int)
	go func() { code <- r.stop() }()
	for {
		response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(r.url + "/-/healthy")
		if err != nil { // nobody new is let in
			break
		}
		response.Body.Close()
	}
	if err := tx.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-answered; err != nil {
		t.Errorf("the request in flight: %v", err)
	}
	if code := <-code; code != 0 {
		t.Errorf("exit code %d", code)
	}
	var samples int
	if err := conn.QueryRow(t.Context(), `SELECT count(*) FROM samples`).Scan(&samples); err != nil || samples != 1 {
		t.Errorf("%d samples stored, error %v", samples, err)
	}
}

func postgresWaiting(ctx context.Context, db string, waiting *int) error {
	conn, err := pgx.Connect(ctx, db)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return conn.QueryRow(ctx, `SELECT count(*) FROM pg_locks WHERE NOT granted`).Scan(waiting)
}

func TestTLSAndPasswordsOnEveryAddress(t *testing.T) {
	certificate, key := selfSigned(t)
	config := programtest.File(t, "web.yaml", fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\nbasic_auth_users:\n  prometheus: %s\n", certificate, key, bcrypted(t, "pass")))
	r := start(t, "--db.url=postgres://nobody@127.0.0.1:1/x", "--rollup.write-timeout=1s", "--web.config.file="+config,
		"--web.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0")
	for _, address := range r.urls {
		r.url = strings.Replace(address, "http:", "https:", 1)
		for password, want := range map[string]int{"pass": 503, "guess": 401} {
			request := r.writeRequest("ethereum_validator_window_attestations_expected", 15, time.Now().Add(-2*time.Hour))
			request.SetBasicAuth("prometheus", password)
			if status, body := r.do(request); status != want {
				t.Errorf("password %q: %d %s", password, status, body)
			}
		}
		// It is alive, though it does not answer everybody.
		if code, stdout, stderr := once("healthcheck", "--insecure", "--url="+r.url+"/-/healthy"); code != 0 || stdout != "healthy\n" || stderr != "" {
			t.Errorf("healthcheck: code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	}
	address := r.url
	r.stop()
	if code, _, stderr := once("healthcheck", "--insecure", "--url="+address+"/-/healthy"); code != 1 || !strings.HasPrefix(stderr, "validator-rollup: error: not healthy: ") {
		t.Errorf("healthcheck of nothing: code %d, stderr %q", code, stderr)
	}
}

func TestBearerTokenIsAskedOfSenders(t *testing.T) {
	r := start(t, "--db.url=postgres://nobody@127.0.0.1:1/x", "--rollup.write-timeout=1s", "--web.bearer-token-file="+programtest.File(t, "token", "abc\n"))
	window := time.Now().Add(-2 * time.Hour)
	r.write(401, "ethereum_validator_window_attestations_expected", 15, window)
	r.write(503, "ethereum_validator_window_attestations_expected", 15, window, "Authorization", "Bearer abc")
}

func TestExposedFileWithTheURLIsAWarning(t *testing.T) {
	path := programtest.File(t, "db", "postgres://user:hunter2@127.0.0.1:1/x")
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	r := start(t, "--db.url-file="+path, "--log.level=debug")
	if log := r.stderr.String(); !strings.Contains(log, "chmod o-rwx") || !strings.Contains(log, "user=user") || strings.Contains(log, "hunter2") {
		t.Errorf("log\n%s", log)
	}
}

// scripted is a database whose maintenance fails as a test decides.
type scripted struct {
	migrations, maintenances atomic.Int64
	fail                     func() error
	done                     func()
}

func (s *scripted) Migrate(context.Context) error { s.migrations.Add(1); return s.fail() }

func (s *scripted) Maintain(context.Context) error {
	s.maintenances.Add(1)
	s.done()
	return nil
}

func TestMigrationIsTriedUntilItSucceedsAndThenNoMore(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	left := 2
	db := &scripted{fail: func() error {
		if left--; left >= 0 {
			return errors.New("connection refused")
		}
		return nil
	}}
	db.done = func() {
		if db.maintenances.Load() == 3 {
			cancel()
		}
	}
	s := &service{autoMigrate: true, interval: time.Millisecond}
	s.maintain(ctx, db, slog.New(slog.NewTextHandler(io.Discard, nil)))
	if migrations := db.migrations.Load(); migrations != 3 {
		t.Errorf("%d migrations, want 2 that fail and 1", migrations)
	}
}

func bcrypted(t *testing.T, password string) string {
	t.Helper()
	hash, err := bcrypt.GenerateFromPassword([]byte(password), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	return string(hash)
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return programtest.File(t, "cert.pem", block("CERTIFICATE", signed)), programtest.File(t, "key.pem", block("PRIVATE KEY", encoded))
}
