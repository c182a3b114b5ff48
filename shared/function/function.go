// Package function is the one way in which every function of Duebell is
// started and stopped: configuration, logging, probes, metrics, draining.
package function

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
	"time"

	_ "golang.org/x/crypto/x509roots/fallback" // an image may come without certificates

	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/trace"
	"github.com/duebell/duebell/shared/web"
)

// Function is what a function's New returns: how it serves, what it needs, and
// how to let go of it.
type Function struct {
	Handler http.Handler
	Ready   []Check // what must be there before it can serve
	// Finish ends work that goes on behind requests, within the time that they have to end;
	// may be nil. Close is called after it and after the last request; it may be nil, too.
	Finish func(context.Context) error
	Close  func()
}

// Config holds the settings that all functions have.
type Config struct {
	Host          string        `env:"HOST" help:"the address to serve on; unset means all"`
	Port          int           `env:"PORT" envDefault:"8080" help:"the port to serve on"`
	LogLevel      slog.Level    `env:"LOG_LEVEL" envDefault:"info" help:"debug, info, warn or error"`
	ShutdownGrace time.Duration `env:"SHUTDOWN_GRACE" envDefault:"8s" help:"how long running requests and sends may take to end when the function is told to stop"`
	CORS          web.CORS
}

// Validate says what is wrong with the configuration.
func (c Config) Validate() []string {
	var problems []string
	if c.Port < 1 || c.Port > 65535 {
		problems = append(problems, "PORT must be from 1 to 65535")
	}
	if c.ShutdownGrace < 0 {
		problems = append(problems, "SHUTDOWN_GRACE must not be negative")
	}
	return problems
}

// Run starts the function and does not return. C is the function's own
// configuration, which Run reads from the environment together with [Config]
// and gives to build.
//
// It serves /healthz, /readyz and /metrics, and build's handler at every other path. On
// SIGTERM or SIGINT it takes no new requests, closes the channel that
// [Draining] returns, waits for the requests in flight, calls Close and exits
// with 0; with 1 if requests had to be cut off. A second signal ends it at
// once. It also exits with 1 if the configuration is wrong, of which it prints
// every problem, if build fails, or if it can't listen.
//
// With the only argument -variables the program prints the variables that it reads, as
// JSON, and ends.
func Run[C any](name string, build func(C) (*Function, error)) {
	os.Exit(run(name, build))
}

func run[C any](name string, build func(C) (*Function, error)) int {
	type settings struct {
		Server   Config
		Trace    trace.Config
		Function C
	}
	if len(os.Args) == 2 && os.Args[1] == "-variables" {
		if err := json.NewEncoder(os.Stdout).Encode(config.Variables[settings]()); err != nil {
			return 1
		}
		return 0
	}
	cfg, err := config.Parse[settings](os.Environ())
	if err != nil {
		fmt.Fprintf(os.Stderr, "%s can't start:\n%v\n", name, err)
		return 1
	}
	slog.SetDefault(newLogger(os.Stdout, name, cfg.Server.LogLevel))
	metrics.SetFunction(name)
	stopTracing, err := trace.Start(cfg.Trace, name)
	if err != nil {
		slog.Error("the function can't start", "error", err)
		return 1
	}
	defer stopTracing()

	// From here on a signal is never missed, not even while build runs.
	signals := make(chan os.Signal, 2)
	signal.Notify(signals, syscall.SIGTERM, syscall.SIGINT)

	function, err := build(cfg.Function)
	if err != nil {
		slog.Error("the function can't start", "error", err)
		return 1
	}
	if function.Close != nil {
		defer function.Close()
	}
	s, err := newServer(name, cfg.Server.CORS, function)
	if err != nil {
		slog.Error("the function can't start", "error", err)
		return 1
	}
	listener, err := listen(cfg.Server)
	if err != nil {
		slog.Error("the function can't serve", "error", err)
		return 1
	}
	served := make(chan error, 1)
	go func() { served <- s.http.Serve(listener) }()

	select {
	case err := <-served:
		slog.Error("the function can't serve", "error", err)
		return 1
	case <-signals:
	}
	go func() {
		<-signals
		os.Exit(1)
	}()
	ctx, cancel := context.WithTimeout(context.Background(), cfg.Server.ShutdownGrace)
	defer cancel()
	err = s.drain(ctx)
	if function.Finish != nil {
		err = errors.Join(err, function.Finish(ctx))
	}
	if err != nil {
		slog.Warn("requests were cut off", "error", err)
		return 1
	}
	return 0
}

func newLogger(w io.Writer, name string, level slog.Level) *slog.Logger {
	return slog.New(trace.Handler(slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level}))).With("service", name)
}

// listen listens where the configuration says.
func listen(cfg Config) (net.Listener, error) {
	host := strings.TrimSuffix(strings.TrimPrefix(cfg.Host, "["), "]") // IPv6
	return net.Listen("tcp", net.JoinHostPort(host, strconv.Itoa(cfg.Port)))
}
