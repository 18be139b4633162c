package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// database is where windows are kept, and how.
type database struct {
	url, urlFile string
	connections  int
	retention    time.Duration
	genesis      map[string]time.Time
}

// urlVariable has the URL of the database when no flag does.
const urlVariable = "VALIDATOR_ROLLUP_DB_URL"

func (d *database) register(flags program.Flags) {
	flags.Flag("db.url", "URL of the database, without a password: postgres://user@host:port/name. What is not in it comes from PGHOST, PGUSER, PGPASSFILE and libpq's other variables.").
		PlaceHolder("URL").StringVar(&d.url)
	flags.Flag("db.url-file", "File with the URL of the database, which may hold a password. Without it and --db.url the environment variable "+urlVariable+" is read.").
		PlaceHolder("FILE").StringVar(&d.urlFile)
	program.Int(flags, "db.max-connections", "Most connections to the database.", 8, 2, &d.connections)
	program.Duration(flags, "retention", "How long windows are kept. Older ones are refused, and dropped by the month.", "5y", 24*time.Hour, &d.retention)
	program.CheckedList(flags, "network.genesis", "When a network began that is none of mainnet, gnosis, sepolia, hoodi and holesky, as NAME=UNIX-SECONDS: its days begin whole days after it. Repeatable. Days of a network without it begin at 00:00 UTC.",
		d.addGenesis).PlaceHolder("NAME=SECONDS")
}

func (d *database) addGenesis(text string) error {
	name, seconds, _ := strings.Cut(text, "=")
	unix, err := strconv.ParseInt(seconds, 10, 64)
	if name == "" || err != nil || unix <= 0 {
		return errors.New("must be a network's name and the Unix time of its genesis, such as devnet=1606824023")
	}
	if _, twice := d.genesis[name]; twice {
		return errors.New("this network is named twice")
	}
	if d.genesis == nil {
		d.genesis = map[string]time.Time{}
	}
	d.genesis[name] = time.Unix(unix, 0)
	return nil
}

var passwordKey = regexp.MustCompile(`(?i)(^|[\s'&?])(ssl)?password\s*=`)

// validate checks what no flag's type can. It quotes no URL: it may hold a password.
func (d *database) validate() error {
	if d.url == "" {
		return nil
	}
	if d.urlFile != "" {
		return errors.New("--db.url and --db.url-file cannot be given both")
	}
	parsed, err := url.Parse(d.url)
	if strings.Contains(d.url, "://") {
		if err != nil {
			return errors.New("--db.url cannot be read: want postgres://user@host:port/name")
		}
		if _, set := parsed.User.Password(); set {
			return errPassword
		}
	}
	if passwordKey.MatchString(d.url) {
		return errPassword
	}
	return nil
}

var errPassword = errors.New("--db.url holds a password, which every user of this machine can see: put the URL into a file for --db.url-file, or into " + urlVariable)

// location finds the URL, which is empty when libpq's variables say it all.
func (d *database) location(logger *slog.Logger) (string, error) {
	switch {
	case d.url != "":
		return d.url, nil
	case d.urlFile == "":
		return os.Getenv(urlVariable), nil
	}
	text, err := os.ReadFile(d.urlFile)
	if err != nil {
		return "", fmt.Errorf("cannot read --db.url-file: %w", err)
	}
	info, err := os.Stat(d.urlFile)
	if err != nil {
		return "", fmt.Errorf("cannot read --db.url-file: %w", err)
	}
	location := strings.TrimSpace(string(text))
	if location == "" {
		return "", fmt.Errorf("--db.url-file=%s: the file is empty", d.urlFile)
	}
	if program.Exposed(info) {
		logger.Warn("The file with the database's URL can be read by every user of this machine; take that right away with chmod o-rwx", "file", d.urlFile)
	}
	return location, nil
}

// open prepares the store and says where it is. It does not wait for the database.
func (d *database) open(ctx context.Context, logger *slog.Logger) (*store.Store, error) {
	location, err := d.location(logger)
	if err != nil {
		return nil, err
	}
	s, err := store.Open(ctx, store.Options{
		URL: location, MaxConns: d.connections, Retention: d.retention, Genesis: d.genesis,
		Logger: logger.With("component", "store"),
	})
	if err != nil {
		return nil, err
	}
	if where, err := pgconn.ParseConfig(location); err == nil {
		logger.Debug("Database", "host", where.Host, "port", where.Port, "user", where.User, "name", where.Database)
	}
	return s, nil
}
