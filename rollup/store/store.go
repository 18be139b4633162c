package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

// Options of a Store. Zero values mean the defaults.
type Options struct {
	// URL of the database: postgres://user:password@host:port/name?… or key=value pairs.
	// What it leaves out comes from libpq's PG* variables.
	URL string
	// MaxConns is the most connections that may be open, at least 2. Default 8.
	MaxConns int
	// Retention is how long windows are kept. Older ones are refused, and their
	// partitions dropped. Default DefaultRetention.
	Retention time.Duration
	// PartitionsAhead is for how many months after the current one partitions exist
	// in advance. Default 3.
	PartitionsAhead int
	// Genesis of networks that are not well known, by name: a network's days begin
	// whole days after it.
	Genesis map[string]time.Time
	// Remember is how many committed samples, and how many series, are remembered so that
	// repeated ones cost nothing: up to 200 bytes each. Default 500,000; below 0 none.
	Remember int
	// Logger is told of what an operator should know. Default: none.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time

	databaseNow func() time.Time // instead of the database's clock, in tests
}

// DefaultRetention is five years.
const DefaultRetention = 5 * 365 * 24 * time.Hour

// Store is the database of the rollups. Its methods may be called from any goroutine.
type Store struct {
	options Options
	log     *slog.Logger
	pool    *pgxpool.Pool

	// What is believed of the database. Replaced by an empty one whenever the database
	// may have become another: see forget.
	memory atomic.Pointer[memory]

	incarnationMu sync.Mutex
	incarnation   string // what the database is; see incarnationOf

	encodingWarned sync.Once

	warnedMu sync.Mutex
	warned   map[string]bool // sets of label names that were warned of

	skipped atomic.Int64 // Unix seconds when it was last said that another program maintains

	newest  atomic.Int64 // Unix seconds of the newest window known to be stored; 0 unknown
	horizon atomic.Int64 // Unix seconds up to which partitions exist; 0 unknown
	schema  atomic.Int64 // version of the schema; 0 unknown
}

// Open prepares a Store. It does not wait for the database, which may be away now and
// come back: Check says how it is, and Write returns ErrUnavailable until it is there.
func Open(ctx context.Context, options Options) (*Store, error) {
	options.MaxConns = cmp.Or(options.MaxConns, 8)
	options.Retention = cmp.Or(options.Retention, DefaultRetention)
	options.PartitionsAhead = cmp.Or(options.PartitionsAhead, 3)
	options.Remember = max(0, cmp.Or(options.Remember, 500_000))
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	switch {
	case options.MaxConns < 2:
		return nil, fmt.Errorf("at most %d database connections: at least 2 are needed", options.MaxConns)
	case options.Retention < 24*time.Hour:
		return nil, fmt.Errorf("retention of %s: at least a day is needed", options.Retention)
	case options.PartitionsAhead < 1:
		return nil, fmt.Errorf("partitions for %d months ahead: at least 1 is needed", options.PartitionsAhead)
	}

	config, err := pgxpool.ParseConfig(options.URL)
	if err != nil {
		// The error quotes the URL, which may hold a password.
		return nil, errors.New("the database URL cannot be read: want postgres://user:password@host:port/name or key=value pairs")
	}
	s := &Store{options: options, log: options.Logger, warned: map[string]bool{}}
	s.memory.Store(newMemory(options.Remember))
	config.MaxConns = int32(options.MaxConns)
	config.AfterConnect = s.connected
	// PgBouncer lets these through when a connection is made, and refuses others.
	for name, value := range map[string]string{
		"application_name": "validator-rollup",
		"timezone":         "UTC",
	} {
		if _, set := config.ConnConfig.RuntimeParams[name]; !set || name == "timezone" {
			config.ConnConfig.RuntimeParams[name] = value
		}
	}
	// Of several hosts only one takes writes, and libpq's default is the first that answers.
	// Whoever says what he wants gets that. A service file may say it too, which shows only in
	// what has come of it; that "any" is wanted shows only where it is said.
	if config.ConnConfig.ValidateConnect == nil && !strings.Contains(options.URL, "target_session_attrs") &&
		os.Getenv("PGTARGETSESSIONATTRS") == "" && severalHosts(config.ConnConfig) {
		config.ConnConfig.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsReadWrite
	}
	config.ConnConfig.ConnectTimeout = cmp.Or(config.ConnConfig.ConnectTimeout, 10*time.Second)
	if s.pool, err = pgxpool.NewWithConfig(ctx, config); err != nil {
		return nil, fmt.Errorf("make a pool of database connections: %w", err)
	}
	return s, nil
}

// severalHosts tells whether a URL names more than one; each may be tried with and without
// TLS.
func severalHosts(config *pgx.ConnConfig) bool {
	return slices.ContainsFunc(config.Fallbacks, func(other *pgconn.FallbackConfig) bool {
		return other.Host != config.Host || other.Port != config.Port
	})
}

// Close waits for running writes to give their connections back, and closes them.
func (s *Store) Close() { s.pool.Close() }

// Check asks whether the database answers, is the one of before, and has the schema that
// this program needs.
func (s *Store) Check(ctx context.Context) error {
	if err := s.check(ctx, s.memory.Load()); err != nil {
		s.lost(ctx, err)
		return fmt.Errorf("check the database: %w", unavailable(err))
	}
	return nil
}

// check also learns what Stats and Write want to know.
func (s *Store) check(ctx context.Context, m *memory) error {
	readOnly, err := s.takesWrites(ctx)
	if err != nil {
		return err
	}
	if readOnly != nil {
		return readOnly
	}
	if err := s.recognise(ctx, s.pool); err != nil {
		return err
	}
	if err := s.registerNetworks(ctx); err != nil {
		return err
	}
	months, err := s.listPartitions(ctx, s.pool)
	if err != nil {
		return err
	}
	m.setMonths(months)
	if err := s.findNewest(ctx); err != nil {
		return err
	}
	m.checked.Store(true)
	return nil
}

// takesWrites says why the database cannot be written to, or not everything. Nothing else
// would notice before a transaction tries.
func (s *Store) takesWrites(ctx context.Context) (readOnly, err error) {
	var standby, reading, used bool
	var encoding string
	err = s.pool.QueryRow(ctx, `
		SELECT pg_is_in_recovery(), current_setting('transaction_read_only')::boolean, current_setting('server_encoding'),
			to_regclass('samples') IS NOT NULL`).Scan(&standby, &reading, &encoding, &used)
	if err != nil {
		return nil, fmt.Errorf("ask what the database takes: %w", err)
	}
	if encoding != "UTF8" && used {
		// It was let be made once. What it holds is worth more than the labels that it refuses.
		s.encodingWarned.Do(func() {
			s.log.Warn("The encoding of the database is not UTF8, so it may refuse or garble labels that are not ASCII: move it with pg_dump --encoding=UTF8 and pg_restore into one made with createdb --encoding=UTF8 --template=template0",
				"encoding", encoding)
		})
	}
	switch {
	case encoding != "UTF8" && !used:
		return fmt.Errorf("%w: its encoding is %s and labels are UTF-8: make another with createdb --encoding=UTF8 --template=template0", ErrMismatch, encoding), nil
	case standby:
		return fmt.Errorf("%w: it is a standby, which takes no writes: name the primary in its URL, or all hosts and target_session_attrs=read-write", ErrMismatch), nil
	case reading:
		return fmt.Errorf("%w: default_transaction_read_only is on for this user or this database: set it off", ErrMismatch), nil
	}
	return nil, nil
}

// registerNetworks stores the genesis of networks that the options name.
func (s *Store) registerNetworks(ctx context.Context) error {
	for name, genesis := range s.options.Genesis {
		var stored time.Time
		err := s.pool.QueryRow(ctx, `SELECT genesis FROM networks WHERE name = $1`, name).Scan(&stored)
		if errors.Is(err, pgx.ErrNoRows) {
			_, err = s.pool.Exec(ctx, `INSERT INTO networks (name, genesis) VALUES ($1, $2) ON CONFLICT DO NOTHING`, name, genesis)
			stored = genesis
		}
		if err != nil {
			return fmt.Errorf("register network %s: %w", name, err)
		}
		if !stored.Equal(genesis) {
			return fmt.Errorf("%w: the genesis of network %s is %d there and %d in the settings: put the flag right, or, if the stored one is wrong, have the days cut anew with: UPDATE networks SET genesis = to_timestamp(%d) WHERE name = '%s'",
				ErrMismatch, name, stored.Unix(), genesis.Unix(), genesis.Unix(), strings.ReplaceAll(name, "'", "''"))
		}
	}
	return nil
}

// newestOf finds the newest window by the series that each window has: those of
// attestations due. A hundred of networks, of groups and of those made last are enough,
// however many there are: it reads an index entry for each of them and each partition.
const newestOf = `
	SELECT max(newest.window_start)
	FROM (
		(SELECT series.id
		FROM subjects JOIN series ON series.subject_id = subjects.id AND series.measure = 'attestations_expected'
		WHERE subjects.kind = 'network'
		LIMIT 100)
		UNION
		(SELECT series.id
		FROM subjects JOIN series ON series.subject_id = subjects.id AND series.measure = 'attestations_expected'
		WHERE subjects.kind = 'group'
		LIMIT 100)
		UNION
		(SELECT id FROM series WHERE measure = 'attestations_expected' ORDER BY id DESC LIMIT 100)
	) AS telling
	CROSS JOIN LATERAL (
		SELECT window_start FROM samples WHERE series_id = telling.id ORDER BY window_start DESC LIMIT 1
	) AS newest`

// findNewest looks the newest window up.
func (s *Store) findNewest(ctx context.Context) error {
	newest, err := newestWindow(ctx, s.pool)
	if err != nil {
		return err
	}
	if !newest.IsZero() {
		s.sawWindow(newest.Unix())
	}
	return nil
}

// newestWindow is zero when none of the series that are looked at has one.
func newestWindow(ctx context.Context, db querier) (time.Time, error) {
	var newest *time.Time
	if err := db.QueryRow(ctx, newestOf).Scan(&newest); err != nil {
		return time.Time{}, fmt.Errorf("look for the newest window: %w", err)
	}
	if newest == nil {
		return time.Time{}, nil
	}
	return *newest, nil
}

// sawWindow notes that a window is stored.
func (s *Store) sawWindow(unix int64) {
	for {
		known := s.newest.Load()
		if unix <= known || s.newest.CompareAndSwap(known, unix) {
			return
		}
	}
}

// Stats is the state of a Store, for its metrics.
type Stats struct {
	// Connections in use, open and not in use, and how many may be open.
	Acquired, Idle, Max int
	// Waits counts how often a connection was waited for because all were in use.
	Waits int64
	// NewestWindow is when the newest stored window began, and PartitionHorizon the time
	// up to which partitions exist. Zero while unknown.
	NewestWindow, PartitionHorizon time.Time
	// SchemaVersion of the database, 0 while unknown.
	SchemaVersion int64
}

// Stats asks nothing of the database.
func (s *Store) Stats() Stats {
	pool := s.pool.Stat()
	return Stats{
		Acquired: int(pool.AcquiredConns()), Idle: int(pool.IdleConns()), Max: int(pool.MaxConns()),
		Waits:            pool.EmptyAcquireCount(),
		NewestWindow:     unixOrZero(s.newest.Load()),
		PartitionHorizon: unixOrZero(s.horizon.Load()),
		SchemaVersion:    s.schema.Load(),
	}
}

func unixOrZero(unix int64) time.Time {
	if unix == 0 {
		return time.Time{}
	}
	return time.Unix(unix, 0).UTC()
}

// incarnationOf tells one database from another: started again, restored, replaced, or with
// other tables.
const incarnationOf = `(
	SELECT concat_ws(' ', pg_postmaster_start_time(), oid, to_regclass('samples')::oid)
	FROM pg_database WHERE datname = current_database())`

// configure makes settings of a session, unless the URL says otherwise. A receiver that
// hangs, or whose machine is gone, must not hold up others: its locks go with its
// connection, after which the server would otherwise ask in two hours.
func configure(ctx context.Context, conn *pgx.Conn) error {
	var statements strings.Builder
	for _, setting := range []struct{ name, value string }{
		{"idle_in_transaction_session_timeout", "60s"},
		{"tcp_keepalives_idle", "30"},
		{"tcp_keepalives_interval", "10"},
		{"tcp_keepalives_count", "3"},
	} {
		if _, given := conn.Config().RuntimeParams[setting.name]; !given {
			fmt.Fprintf(&statements, "SET %s = '%s'; ", setting.name, setting.value)
		}
	}
	if _, err := conn.Exec(ctx, statements.String()); err != nil {
		return fmt.Errorf("configure a database connection: %w", err)
	}
	return nil
}

// connected looks what database a new connection has reached.
func (s *Store) connected(ctx context.Context, conn *pgx.Conn) error {
	if err := configure(ctx, conn); err != nil {
		return err
	}
	var incarnation string
	if err := conn.QueryRow(ctx, `SELECT `+incarnationOf).Scan(&incarnation); err != nil {
		return fmt.Errorf("ask what database this is: %w", err)
	}
	s.met(incarnation)
	return nil
}

// uniqueIndexes lists the unique indexes, of which some keep rows from being stored twice
// and all are there once a backup is restored: pg_restore makes them after it has filled
// the tables, that of the versions among them.
func uniqueIndexes() []string {
	return []string{
		"networks_pkey",
		"subjects_pkey", "subjects_validator", "subjects_group", "subjects_network",
		"series_pkey", "series_hash_key", "series_subject",
		"samples_pkey",
		"calendar_pkey", "days_pkey",
	}
}

// recognise looks what database an open connection leads to, which a pooler in between or a
// backup restored in its place can change, and whether its schema still fits. In a
// transaction what it finds holds until the end: nobody can drop the series meanwhile.
func (s *Store) recognise(ctx context.Context, db querier) error {
	const sql = `
		SELECT ` + incarnationOf + `, (SELECT coalesce(max(version_id), 0) FROM ` + versionTable + ` WHERE is_applied), (
			SELECT coalesce(string_agg(name, ', '), '') FROM unnest($1::text[]) AS name
			WHERE NOT EXISTS (SELECT FROM pg_index WHERE indexrelid = to_regclass(name) AND indisunique AND indisvalid))
		FROM (SELECT count(*) FROM (SELECT FROM series LIMIT 0) AS none) AS held`
	var incarnation, missing string
	var version int64
	err := db.QueryRow(ctx, sql, uniqueIndexes()).Scan(&incarnation, &version, &missing)
	switch {
	case hasCode(err, codeUndefinedTable):
		version = 0 // there is no schema, or it is being restored
	case err != nil:
		return fmt.Errorf("ask what database this is: %w", err)
	default:
		s.met(incarnation)
	}
	s.schema.Store(version)
	if err := schemaFits(version); err != nil {
		return err
	}
	if missing != "" {
		return fmt.Errorf("%w: a backup is being restored, or these indexes are missing: %s", ErrMismatch, missing)
	}
	return nil
}

// met forgets what is known of the database of before when this one is another.
func (s *Store) met(incarnation string) {
	s.incarnationMu.Lock()
	defer s.incarnationMu.Unlock()
	if s.incarnation != "" && s.incarnation != incarnation {
		s.forget()
	}
	s.incarnation = incarnation
}

// lost forgets what is known of the database when err tells that a connection was
// lost: what comes back may have been restored from a backup. Or that the schema does not
// fit any more, or nothing can be written: then all that was learnt of it is to be looked
// at again, which says what to do.
func (s *Store) lost(ctx context.Context, err error) {
	if errors.Is(err, ErrMismatch) || refusesWrites(err) || ctx.Err() == nil && connectionLost(err) {
		s.forget()
	}
}

// forget drops what is believed of the database. Writes that run fill the old memory,
// which nobody reads any more.
func (s *Store) forget() { s.memory.Store(newMemory(s.options.Remember)) }
