package beacon

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	client "github.com/attestantio/go-eth2-client"
	"github.com/attestantio/go-eth2-client/api"
)

var (
	// ErrUnavailable matches the error of an operation when every node that could be
	// asked answered that it does not have this: pruned, unknown, or not supported.
	ErrUnavailable = errors.New("no beacon node has this")
	// ErrNoNode matches the error of an operation when no node gave any answer.
	ErrNoNode = errors.New("no beacon node could be asked")
)

var (
	errTooLarge     = errors.New("the answer is larger than the limit")
	errOtherNetwork = errors.New("is on another network than the first node that answered; remove it from the list")
)

// reason is why a request failed, and the value of the label "reason".
type reason uint8

const (
	reasonTimeout reason = iota
	reasonConnect
	reasonStatus
	reasonBody
	reasonTooLarge
	reasonDecode
	reasonCount
	// uncounted marks what is no failed request.
	uncounted
)

// String returns the label value.
func (r reason) String() string {
	return [reasonCount]string{"timeout", "connect", "status", "body", "too_large", "decode"}[r]
}

// statusError is an answer with a status other than 200.
type statusError struct {
	status  int
	message string
	after   time.Duration // its Retry-After, where that is in seconds
}

func (e *statusError) Error() string {
	if e.message == "" {
		return fmt.Sprintf("answered with status %d", e.status)
	}
	return fmt.Sprintf("answered with status %d: %s", e.status, e.message)
}

// transportError is a request without an answer; bodyError an answer that broke off.
type (
	transportError struct{ error }
	bodyError      struct{ error }
)

func (e *transportError) Unwrap() error { return e.error }
func (e *bodyError) Unwrap() error      { return e.error }

// behindError is a node that cannot know yet.
type behindError struct{ message string }

func (e *behindError) Error() string { return e.message }

// callerError is an error of the caller's own callback: no other node can help.
type callerError struct{ error }

func (e *callerError) Unwrap() error { return e.error }

// failure is what a node gave in place of an answer.
type failure struct {
	endpoint    string
	reason      reason
	unavailable bool
	// limited: the node wants to be asked less often, and not before the time after.
	limited bool
	after   time.Duration
	// doubtful: its status is that of a fault of the node's own.
	doubtful bool
	detail   string
}

func (f *failure) String() string { return f.endpoint + " " + f.detail }

// newFailure puts err into words that are fit for a log: errors of net/http and of
// the client library name the full address of the node, with any token in it.
func newFailure(n *node, op operation, err error) *failure {
	f := &failure{endpoint: n.endpoint, reason: reasonDecode}
	var (
		transport *transportError
		body      *bodyError
		library   *api.Error
		status    *statusError
		behind    *behindError
		netErr    net.Error
	)
	if errors.As(err, &library) {
		err = &statusError{status: library.StatusCode, message: string(library.Data)}
	}
	switch {
	case errors.Is(err, errOtherNetwork):
		f.reason, f.detail = uncounted, errOtherNetwork.Error()
	case errors.As(err, &behind):
		f.reason, f.detail = uncounted, behind.message
	case errors.Is(err, errTooLarge):
		f.reason, f.detail = reasonTooLarge, fmt.Sprintf("%v of %d MiB", errTooLarge, op.limit()/mebibyte)
	case errors.Is(err, context.DeadlineExceeded), errors.As(err, &netErr) && netErr.Timeout():
		f.reason, f.detail = reasonTimeout, "did not answer in time"
	case errors.As(err, &status):
		f.reason, f.detail = reasonStatus, status.Error()
		f.unavailable = op.unavailable(status.status)
		f.doubtful = status.status == http.StatusInternalServerError
		f.limited, f.after = status.status == http.StatusTooManyRequests, status.after
	case errors.As(err, &body):
		f.reason, f.detail = reasonBody, "broke off its answer: "+body.Error()
	case errors.As(err, &transport):
		f.reason, f.detail = reasonConnect, "is not reachable: "+transport.Error()
	case errors.Is(err, client.ErrNotActive):
		f.reason, f.detail = reasonConnect, "is not reachable"
	default:
		f.detail = "gave an answer that makes no sense: " + err.Error()
	}
	f.detail = oneLine(n.redact.Replace(f.detail))
	if todo := remedy(op, f, status); todo != "" {
		f.detail += "; " + todo
	}
	return f
}

// remedy is what an operator can do about a failure, where what went wrong tells it.
func remedy(op operation, f *failure, status *statusError) string {
	switch {
	case f.reason == reasonConnect:
		return "check the address in --beacon.url, and that the node runs and serves its HTTP API there"
	case f.reason != reasonStatus || f.unavailable:
		return ""
	}
	switch status.status {
	case http.StatusUnauthorized, http.StatusForbidden:
		return "check the token or password in --beacon.headers-file or --beacon.url"
	case http.StatusTooManyRequests:
		return "the node limits requests: raise its limit, scrape less often, or add a node with another --beacon.url"
	case http.StatusMovedPermanently, http.StatusFound, http.StatusSeeOther, http.StatusTemporaryRedirect, http.StatusPermanentRedirect:
		return "redirects are not followed, since tokens would go along: give the address that answers in --beacon.url"
	case http.StatusNotFound, http.StatusMethodNotAllowed:
		if slices.Contains([]operation{opSyncing, opVersion, opGenesis, opSpec}, op) { // every beacon node serves these
			return "this is no beacon node's API: check address and port in --beacon.url"
		}
	}
	return ""
}

// oneLine also shortens: a node may answer with a page of HTML.
func oneLine(text string) string {
	const longest = 300
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "?")), " ")
	if len(text) > longest {
		text = strings.ToValidUTF8(text[:longest], "") + "…"
	}
	return text
}

// operationError is an operation that no node answered.
type operationError struct {
	what     string
	failures []*failure
	// cause is the end of the caller's context, or nil.
	cause error
}

func (e *operationError) Error() string {
	parts := make([]string, 0, len(e.failures)+1)
	for _, f := range e.failures {
		// A node is asked again when it breaks the connection, and then tends to fail the same.
		if part := f.String(); !slices.Contains(parts, part) {
			parts = append(parts, part)
		}
	}
	if e.cause != nil {
		parts = append(parts, e.cause.Error())
	}
	if len(parts) == 0 {
		parts = append(parts, ErrNoNode.Error())
	}
	return "reading " + e.what + ": " + strings.Join(parts, "; ")
}

func (e *operationError) Unwrap() error { return e.cause }

func (e *operationError) Is(target error) bool {
	switch {
	case e.cause != nil:
		return false
	case target == ErrUnavailable:
		return len(e.failures) > 0 && e.unavailable() == len(e.failures)
	case target == ErrNoNode:
		for _, f := range e.failures {
			if f.reason != reasonConnect && f.reason != reasonTimeout && f.detail != errOtherNetwork.Error() {
				return false
			}
		}
		return true
	}
	return false
}

// unavailable is the number of nodes that answered that they do not have it.
func (e *operationError) unavailable() (count int) {
	for _, f := range e.failures {
		if f.unavailable {
			count++
		}
	}
	return count
}

// Limited tells whether an operation failed because a node limits how often it may be
// asked, and how long that node wants to be left alone: 0 when it does not say.
func Limited(err error) (after time.Duration, limited bool) {
	var failed *operationError
	if !errors.As(err, &failed) || failed.cause != nil {
		return 0, false
	}
	for _, f := range failed.failures {
		if f.limited {
			after, limited = max(after, f.after), true
		}
	}
	return after, limited
}

// Lacked tells whether an operation failed although a node answered: that it does not have it.
func Lacked(err error) bool {
	var failed *operationError
	return errors.As(err, &failed) && failed.unavailable() > 0
}

// Doubtful tells whether an operation failed with a status that means a fault of the node
// as often as that it does not have the thing.
func Doubtful(err error) bool {
	var failed *operationError
	return errors.As(err, &failed) && slices.ContainsFunc(failed.failures, func(f *failure) bool { return f.doubtful })
}
