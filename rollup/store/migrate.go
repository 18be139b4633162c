package store

import (
	"context"
	"database/sql"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"
)

// Migrations are numbered: 1 to 9 series, samples and partitions, 10 to 19 days and views.
//
//go:embed migrations/*.sql
var migrations embed.FS

// Keys of advisory locks. They are arbitrary and must not change: programs of different
// versions meet in one database.
const (
	lockMigrate    = 0x76726f6c6c757001 // migrations run
	lockMaintain   = 0x76726f6c6c757002 // maintenance runs
	lockPartitions = 0x76726f6c6c757003 // partitions are made
	lockSeries     = 0x76726f6c6c757004 // series are made
)

// versionTable has a row for each migration that is in effect.
const versionTable = "schema_migrations"

// ReaderRole may read the views and nothing else. It cannot log in; grant it to who does.
const ReaderRole = "validator_rollup_reader"

// Migrate brings the schema to the version that this program needs, and lets ReaderRole
// read the views. Several programs may do it at once: one does, the others wait. With
// ErrUnavailable it may succeed later.
func (s *Store) Migrate(ctx context.Context) error {
	return s.migrate(ctx, func(provider *goose.Provider) ([]*goose.MigrationResult, error) { return provider.Up(ctx) })
}

// MigrateDown takes back all migrations above version; 0 removes everything that is stored.
func (s *Store) MigrateDown(ctx context.Context, version int64) error {
	return s.migrate(ctx, func(provider *goose.Provider) ([]*goose.MigrationResult, error) {
		return provider.DownTo(ctx, version)
	})
}

func (s *Store) migrate(ctx context.Context, run func(*goose.Provider) ([]*goose.MigrationResult, error)) (err error) {
	fail := func(err error) error {
		if hasCode(err, codeLockNotAvailable) {
			err = fmt.Errorf("%w: somebody has been reading the views, or writing, for too long; try again, or end what pg_stat_activity shows to be running for long", err)
		}
		if transient(err) {
			err = unavailable(err)
		}
		return fmt.Errorf("migrate the database: %w", err)
	}
	// Not the pool: its connections may all be busy, and migrations need two.
	db := stdlib.OpenDB(*s.pool.Config().ConnConfig, stdlib.OptionAfterConnect(configure))
	defer db.Close()
	db.SetMaxOpenConns(2)

	// Held around all that goose does. Its own lock leaves out its first look, in which
	// two of them would make the table of versions.
	lock, err := db.Conn(ctx)
	if err != nil {
		return fail(err)
	}
	defer lock.Close()
	if _, err := lock.ExecContext(ctx, `SELECT pg_advisory_lock($1)`, int64(lockMigrate)); err != nil {
		return fail(fmt.Errorf("wait for another migration: %w", err))
	}
	defer func() {
		if _, unlockErr := lock.ExecContext(context.WithoutCancel(ctx), `SELECT pg_advisory_unlock($1)`, int64(lockMigrate)); unlockErr != nil {
			err = errors.Join(err, fail(unlockErr))
		}
	}()

	readOnly, err := s.takesWrites(ctx)
	if err != nil {
		return fail(err)
	}
	if readOnly != nil {
		return fail(readOnly)
	}
	have, err := schemaVersion(ctx, s.pool)
	if err != nil {
		return fail(err)
	}
	if have > neededVersion() {
		return fail(schemaFits(have))
	}
	files, err := fs.Sub(migrations, "migrations")
	if err != nil {
		return fail(err)
	}
	provider, err := goose.NewProvider(goose.DialectPostgres, db, files,
		goose.WithTableName(versionTable), goose.WithDisableGlobalRegistry(true), goose.WithSlog(s.log))
	if err != nil {
		return fail(err)
	}
	results, err := run(provider)
	for _, result := range results {
		s.log.Info("Migrated the database", "migration", result.Source.Path, "direction", result.Direction, "duration", result.Duration)
	}
	if err != nil {
		return fail(err)
	}
	s.forget() // tables may be others
	if err := s.letRead(ctx, db); err != nil {
		return fail(err)
	}
	return nil
}

// letRead makes ReaderRole and grants it the views. Where the user may not make roles it
// says so and goes on: an administrator can make the role before the next migration.
func (s *Store) letRead(ctx context.Context, db *sql.DB) error {
	var exists bool
	if err := db.QueryRowContext(ctx, `SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1)`, ReaderRole).Scan(&exists); err != nil {
		return fmt.Errorf("look for role %s: %w", ReaderRole, err)
	}
	if !exists {
		_, err := db.ExecContext(ctx, `CREATE ROLE `+ReaderRole+` NOLOGIN`)
		switch {
		case hasCode(err, "42501"):
			s.log.Warn("The user may not make roles, so nobody else can read the views yet: have an administrator make the role, then migrate again",
				"role", ReaderRole)
			return nil
		// Roles belong to the whole server, where another database may just have made it.
		case err != nil && !hasCode(err, "42710", codeUnique):
			return fmt.Errorf("make role %s: %w", ReaderRole, err)
		}
	}
	var views []string
	rows, err := db.QueryContext(ctx, `
		SELECT quote_ident(viewname) FROM pg_views
		WHERE schemaname = current_schema() AND viewname = ANY($1) AND pg_has_role(viewowner, 'USAGE') ORDER BY viewname`, ViewNames())
	if err != nil {
		return fmt.Errorf("list views: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var view string
		if err := rows.Scan(&view); err != nil {
			return fmt.Errorf("list views: %w", err)
		}
		views = append(views, view)
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("list views: %w", err)
	}
	if len(views) == 0 {
		return nil
	}
	for _, statement := range []string{
		`GRANT SELECT ON ` + strings.Join(views, ", ") + ` TO ` + ReaderRole,
		// Whoever reads an open day runs it. A backup restored without privileges lets everybody.
		`REVOKE ALL ON FUNCTION sum_day FROM PUBLIC`,
		`GRANT EXECUTE ON FUNCTION sum_day TO ` + ReaderRole,
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return fmt.Errorf("let role %s read the views: %w", ReaderRole, err)
		}
	}
	// The schema public lets everybody in; another one may be somebody else's to open.
	var schema string
	if err := db.QueryRowContext(ctx, `SELECT quote_ident(current_schema())`).Scan(&schema); err != nil {
		return fmt.Errorf("ask for the schema's name: %w", err)
	}
	if _, err := db.ExecContext(ctx, `GRANT USAGE ON SCHEMA `+schema+` TO `+ReaderRole); err != nil && !hasCode(err, "42501") {
		return fmt.Errorf("let role %s into schema %s: %w", ReaderRole, schema, err)
	}
	return nil
}

// SchemaVersion is the version of the database's schema, 0 when there is none, and the
// one that this program needs.
func (s *Store) SchemaVersion(ctx context.Context) (have, need int64, err error) {
	have, err = schemaVersion(ctx, s.pool)
	if err != nil {
		return 0, 0, unavailable(err)
	}
	return have, neededVersion(), nil
}

// querier is a pool, a connection or a transaction.
type querier interface {
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
}

func schemaVersion(ctx context.Context, db querier) (version int64, err error) {
	err = db.QueryRow(ctx, `SELECT coalesce(max(version_id), 0) FROM `+versionTable+` WHERE is_applied`).Scan(&version)
	if hasCode(err, codeUndefinedTable) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("ask for the schema's version: %w", err)
	}
	return version, nil
}

// neededVersion is the number of the newest migration.
func neededVersion() (newest int64) {
	files, err := fs.Glob(migrations, "migrations/*.sql")
	if err != nil {
		panic(err) // the pattern is wrong
	}
	for _, file := range files {
		version, err := goose.NumericComponent(file)
		if err != nil {
			panic(err) // the file's name is wrong
		}
		newest = max(newest, version)
	}
	return newest
}

// schemaFits says what to do when the schema is not at the needed version.
func schemaFits(have int64) error {
	switch need := neededVersion(); {
	case have > need:
		return fmt.Errorf("%w: its schema has version %d and this program knows %d: use the newer validator-rollup", ErrMismatch, have, need)
	case have < need:
		return fmt.Errorf("%w: its schema has version %d and this program needs %d: run validator-rollup migrate", ErrMismatch, have, need)
	}
	return nil
}
