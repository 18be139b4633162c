package receiver

import (
	"context"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/exp/api/remote"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
)

// WritePath is where remote-write requests go.
const WritePath = "/api/v1/write"

// retryAfter is how many seconds a sender should wait when it cannot be served now.
const retryAfter = "5"

// ServeHTTP serves remote-write requests, metrics, health and a landing page.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, request *http.Request) {
	r.handler.ServeHTTP(w, request)
}

func (r *Receiver) newHandler() (http.Handler, error) {
	registry := prometheus.NewRegistry()
	for _, collector := range append([]prometheus.Collector{r.metrics}, r.options.Collectors...) {
		if err := registry.Register(collector); err != nil {
			return nil, fmt.Errorf("register metrics: %w", err)
		}
	}
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name:        "validator-rollup",
		Description: "Keeps completed windows of Ethereum validators in Postgres",
		Version:     version.Info(),
		Profiling:   "false",
		Links: []web.LandingLinks{
			{Address: "/metrics", Text: "Metrics"},
			{Address: "/-/ready", Text: "Ready", Description: "whether the database can be written to"},
			{Address: "/-/healthy", Text: "Healthy", Description: "whether the receiver is alive"},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("make the landing page: %w", err)
	}
	mux := http.NewServeMux()
	mux.Handle(WritePath, r.counted(r.checked(r.bounded(remote.NewWriteHandler(remoteStore{r},
		remote.MessageTypes{remote.WriteV1MessageType, remote.WriteV2MessageType},
		remote.WithWriteHandlerMiddlewares()))))) // decompressed already
	mux.Handle("GET /metrics", promhttp.HandlerFor(registry, promhttp.HandlerOpts{}))
	mux.HandleFunc("GET /-/healthy", func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") })
	mux.HandleFunc("GET /-/ready", func(w http.ResponseWriter, request *http.Request) {
		const patience = 5 * time.Second
		ctx, cancel := context.WithTimeout(request.Context(), patience)
		defer cancel()
		if err := r.Ready(ctx); err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
			return
		}
		io.WriteString(w, "ready\n")
	})
	mux.Handle("GET /{$}", landing)
	return r.deadlined(mux), nil
}

// deadlined cuts the connections of those who do not read their answers.
func (r *Receiver) deadlined(next http.Handler) http.Handler {
	const reading = time.Minute // of the request and the answer
	longest := r.options.Limits.Patience + r.options.WriteTimeout + reading
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		// A writer that knows no deadline, as in tests, goes without.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(longest))
		next.ServeHTTP(w, request)
	})
}

// counted counts the answers by status.
func (r *Receiver) counted(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		counting := &countingWriter{ResponseWriter: w, status: http.StatusOK}
		next.ServeHTTP(counting, request)
		r.metrics.requests.WithLabelValues(strconv.Itoa(counting.status)).Inc()
	})
}

type countingWriter struct {
	http.ResponseWriter
	status int
}

func (w *countingWriter) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Unwrap is for http.ResponseController.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// checked judges a request by what its headers say.
func (r *Receiver) checked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		if request.Method != http.MethodPost {
			w.Header().Set("Allow", http.MethodPost)
			http.Error(w, "only POST writes", http.StatusMethodNotAllowed)
			return
		}
		if r.tokens != nil && !r.tokens.allow(request, r.log) {
			w.Header().Set("WWW-Authenticate", "Bearer")
			http.Error(w, "a valid bearer token is needed", http.StatusUnauthorized)
			return
		}
		if encoding := request.Header.Get("Content-Encoding"); encoding != string(remote.SnappyBlockCompression) {
			http.Error(w, fmt.Sprintf("content encoding %s is not supported; want snappy", shown([]byte(encoding))), http.StatusUnsupportedMediaType)
			return
		}
		message, err := messageType(request.Header.Get("Content-Type"))
		if err != nil {
			http.Error(w, err.Error(), http.StatusUnsupportedMediaType)
			return
		}
		// The library takes "; proto=" for another parameter than ";proto=", and with it a
		// message of 2.0 for one of 1.0. It gets what it reads right.
		request.Header.Set("Content-Type", protobufType+";proto="+string(message))
		if request.ContentLength > int64(r.options.Limits.Body) {
			r.refuse(w, tooLarge("a body of %d bytes, more than %d", request.ContentLength, r.options.Limits.Body))
			return
		}
		next.ServeHTTP(w, request)
	})
}

const protobufType = "application/x-protobuf"

func messageType(contentType string) (remote.WriteMessageType, error) {
	media, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || media != protobufType {
		return "", fmt.Errorf("content type %s is not supported; want %s", shown([]byte(contentType)), protobufType)
	}
	message := remote.WriteMessageType(parameters["proto"])
	if message == "" {
		message = remote.WriteV1MessageType
	}
	if err := message.Validate(); err != nil {
		return "", fmt.Errorf("content type %s: %w", shown([]byte(contentType)), err)
	}
	return message, nil
}

// bounded works on few requests at a time, so that together they need bounded memory. It
// answers 503 where another might say 429: Prometheus drops what is answered with 429,
// unless it is told not to.
func (r *Receiver) bounded(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, request *http.Request) {
		a := &arrival{r: r, control: http.NewResponseController(w), request: request}
		defer a.leave()
		message, err := a.message(w)
		if err != nil {
			r.refuse(w, err)
			return
		}
		request.Body = payload{http.NoBody, message}
		request.Header.Del("Content-Encoding")
		next.ServeHTTP(w, request)
	})
}

// payload is a body that is decompressed.
type payload struct {
	io.ReadCloser
	message []byte
}

// refuse answers a request that is refused as a whole.
func (r *Receiver) refuse(w http.ResponseWriter, err error) {
	refused := &refusal{status: http.StatusInternalServerError}
	errors.As(err, &refused)
	if refused.status == http.StatusServiceUnavailable {
		w.Header().Set("Retry-After", retryAfter)
	}
	r.complain("A request was refused", "status", refused.status, "err", err)
	http.Error(w, err.Error(), refused.status)
}

// remoteStore is the receiver as the library wants it.
type remoteStore struct{ r *Receiver }

func (s remoteStore) Store(request *http.Request, message remote.WriteMessageType) (*remote.WriteResponse, error) {
	body, ok := request.Body.(payload)
	if !ok {
		return nil, errors.New("the body is not decompressed") // 500
	}
	a := s.r.take(request.Context(), body.message, message == remote.WriteV2MessageType)
	response := remote.NewWriteResponse()
	response.SetStatusCode(a.status)
	response.Samples = a.accepted
	if a.status < http.StatusBadRequest {
		return response, nil
	}
	if a.status == http.StatusServiceUnavailable {
		response.SetExtraHeader("Retry-After", retryAfter)
	}
	return response, errors.New(a.text)
}
