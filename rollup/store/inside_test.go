package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/pressly/goose/v3"
)

// What tests from outside need of the inside.

// SameClocks makes the database's clock that of the store.
func SameClocks(o *Options) { o.databaseNow = func() time.Time { return o.Now() } }

// DatabaseClock sets the database's clock.
func DatabaseClock(now func() time.Time) func(*Options) {
	return func(o *Options) { o.databaseNow = now }
}

// Pool has the connections of a store.
func Pool(s *Store) *pgxpool.Pool { return s.pool }

// NewestOf is asked whenever somebody asks whether the database is ready.
const NewestOf = newestOf

// UniqueIndexes are those that must be there.
func UniqueIndexes() []string { return uniqueIndexes() }

// MigrateTo migrates up to a version, as an older program did.
func MigrateTo(ctx context.Context, s *Store, version int64) error {
	return s.migrate(ctx, func(provider *goose.Provider) ([]*goose.MigrationResult, error) {
		return provider.UpTo(ctx, version)
	})
}
