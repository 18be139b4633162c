package store

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// ErrUnavailable is in every error of Write: the database did not take the batch for a
// reason that is not the batch's, so the sender must repeat it.
var ErrUnavailable = errors.New("database unavailable")

// ErrMismatch is in the error when the database is not what this program needs: it must
// be migrated, or a newer program be started, or a setting be put right.
var ErrMismatch = errors.New("the database does not fit this program")

// unavailable puts ErrUnavailable into err.
func unavailable(err error) error {
	if errors.Is(err, ErrUnavailable) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}

// Codes of Postgres that are looked for by themselves.
const (
	codeUnique         = "23505"
	codeCheck          = "23514"
	codeUndefinedTable = "42P01"
	codeNotSupported   = "0A000"
	codeReadOnly       = "25006"

	codeLockNotAvailable = "55P03"
)

// hasCode tells whether Postgres answered with one of the codes; a code of two
// characters is a class.
func hasCode(err error, codes ...string) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return false
	}
	for _, code := range codes {
		if strings.HasPrefix(answer.Code, code) {
			return true
		}
	}
	return false
}

// dataError tells whether the data itself is refused, which repeating will not change:
// data exceptions, broken constraints, too large for the program's limits. A key that is
// there already is none of them.
func dataError(err error) bool {
	return hasCode(err, "22", "23", "54") && !hasCode(err, codeUnique)
}

// noPartition tells whether no partition takes a row, which has the code of a broken
// check but names none.
func noPartition(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == codeCheck && answer.ConstraintName == ""
}

// errRepeat is for what another try is sure to see otherwise.
var errRepeat = errors.New("the database changed in between")

// transient tells whether the same may succeed in a moment: deadlocks, serialization
// failures, locks and connections that are not to be had, a server that stops or starts,
// and whatever is not an answer of Postgres at all, which is a broken connection.
func transient(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return !errors.Is(err, ErrMismatch)
	}
	return hasCode(err, "08", "40", "53300", codeLockNotAvailable, "57P") || planChanged(err)
}

// planChanged tells whether a prepared statement no longer returns what it did, since a
// table or view has changed: it is prepared anew. By the place in Postgres, for the code is
// that of everything that is not supported, and texts are translated.
func planChanged(err error) bool {
	var answer *pgconn.PgError
	return errors.As(err, &answer) && answer.Code == codeNotSupported && answer.Routine == "RevalidateCachedQuery"
}

// refusesWrites tells whether the database takes no writes, as a standby does not: there a
// transaction that may write is what is not supported.
func refusesWrites(err error) bool {
	return hasCode(err, codeReadOnly) || hasCode(err, codeNotSupported) && !planChanged(err)
}

// connectionLost tells whether err ended a connection, or kept one from coming about.
func connectionLost(err error) bool {
	var answer *pgconn.PgError
	if !errors.As(err, &answer) {
		return !errors.Is(err, ErrMismatch) && !errors.Is(err, errRepeat)
	}
	return hasCode(err, "08", "57P")
}

// pause waits before try number try, counted from 1, is repeated: longer each time, and
// by chance, so that writers that met do not meet again. False when ctx is done first.
func pause(ctx context.Context, try int) bool {
	const shortest, longest = 10 * time.Millisecond, time.Second
	limit := min(longest, shortest<<min(try, 10))
	select {
	case <-time.After(limit/4 + rand.N(limit)):
		return true
	case <-ctx.Done():
		return false
	}
}
