package main

import (
	"cmp"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/function"
	"github.com/duebell/duebell/shared/live"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/web"
)

// StreamConfig sets how streams are kept alive.
type StreamConfig struct {
	Live         live.Rules
	Heartbeat    time.Duration `env:"STREAM_HEARTBEAT" envDefault:"15s" help:"how long a stream may be silent before it sends a heartbeat; shorter than the proxies' time-outs"`
	WriteTimeout time.Duration `env:"STREAM_WRITE_TIMEOUT" envDefault:"10s" help:"how long a client may take to receive one message, or to answer a ping, before it is cut off"`
}

// Validate reports what is wrong with the configuration.
func (c StreamConfig) Validate() error {
	var problems []error
	if c.Heartbeat < 10*time.Millisecond {
		problems = append(problems, errors.New("STREAM_HEARTBEAT must be at least 10ms"))
	}
	if c.WriteTimeout < 10*time.Millisecond {
		problems = append(problems, errors.New("STREAM_WRITE_TIMEOUT must be at least 10ms"))
	}
	return errors.Join(problems...)
}

// The reasons why a stream ends, besides that the client is gone.
var (
	errDraining = errors.New("this copy of the function is stopping")
	errSignIn   = errors.New("the sign-in has expired")
	errAway     = errors.New("notifications can't be read right now")
)

// resume returns the id after which a client continues, "" if it names none. The header
// Last-Event-ID and its polyfill's parameter come before after: they say what the client has seen
// since it got the URL.
func resume(r *http.Request) string {
	query := r.URL.Query()
	last := func(values []string) string {
		if len(values) == 0 {
			return ""
		}
		return values[len(values)-1]
	}
	return cmp.Or(r.Header.Get("Last-Event-ID"), last(query["lastEventId"]), last(query["after"]))
}

// join signs a client in and adds it to the hub. It returns when the sign-in expires. If the client
// names an id that no notification can have, it gets what comes from now on, and lost says so: any
// status but 200 would stop an EventSource for good.
func (h handler) join(r *http.Request) (client *live.Client, expiry time.Time, lost string, err error) {
	user, err := h.streamUser(r)
	if err != nil {
		return nil, time.Time{}, "", err
	}
	var after *uuid.UUID
	if seen := resume(r); seen != "" {
		id, err := web.ParseUUID("the id", seen)
		if err == nil {
			after = &id
		} else {
			lost = seen
		}
	}
	client, err = h.hub.Open(r.Context(), user.ID, after)
	if after != nil && fault.CodeOf(err) == fault.CodeInvalid {
		lost = after.String()
		client, err = h.hub.Open(r.Context(), user.ID, nil)
	}
	return client, user.Expiry, lost, err
}

// wire is a client's connection by one of the protocols.
type wire interface {
	// send sends one notification, or keeps it until flush.
	send(id uuid.UUID, message []byte) error
	// change does the same for a change of state.
	change(message []byte) error
	flush() error
	// heartbeat sends something that keeps the connection open.
	heartbeat() error
}

// pump sends a client what the hub has for it, until one of them ends. It returns the reason.
func (h handler) pump(r *http.Request, client *live.Client, expiry time.Time, out wire) error {
	ctx := r.Context()
	expired := time.NewTimer(time.Until(expiry))
	defer expired.Stop()
	silent := time.NewTicker(h.stream.Heartbeat)
	defer silent.Stop()
	for {
		select {
		case <-function.Draining(ctx):
			return errDraining
		case <-expired.C:
			return errSignIn
		case <-ctx.Done():
			return ctx.Err()
		case <-silent.C:
			if err := out.heartbeat(); err != nil {
				return err
			}
		case <-client.Ready():
			news, err := client.Take(ctx)
			if err != nil {
				if ctx.Err() == nil {
					slog.WarnContext(ctx, "a stream is cut", "error", err)
				}
				return errAway
			}
			if err := sendAll(out, news); err != nil {
				return err
			}
			silent.Reset(h.stream.Heartbeat)
		}
	}
}

// readAgain is sent in place of too many changes.
var readAgain = []byte(`{"read_again":true}`)

func sendAll(out wire, news live.News) error {
	for _, n := range news.Came {
		message, err := encode(n)
		if err == nil {
			err = out.send(n.ID, message)
		}
		if err != nil {
			return err
		}
	}
	for _, n := range news.Changed {
		message, err := encode(n)
		if err == nil {
			err = out.change(message)
		}
		if err != nil {
			return err
		}
	}
	if news.ReadAgain {
		if err := out.change(readAgain); err != nil {
			return err
		}
	}
	return out.flush()
}

func encode(n store.Received) ([]byte, error) {
	message, err := json.Marshal(show(n))
	if err != nil {
		return nil, fmt.Errorf("encode notification %s: %w", n.ID, err)
	}
	return message, nil
}

// events serves server-sent events.
//
// The first event, start, has the id after which the stream begins. So a client that loses the
// connection before the first notification continues there. It has data, since some clients ignore
// events without, and its id is in the data, too.
func (h handler) events(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet { // the route also takes HEAD, which would wait for ever
		w.Header().Set("Allow", http.MethodGet)
		return web.WithStatus(fault.Invalid("a stream can only be read with GET"), http.StatusMethodNotAllowed)
	}
	client, expiry, lost, err := h.join(r)
	if err != nil {
		return err
	}
	defer client.Close()

	header := w.Header()
	header.Set("Content-Type", "text/event-stream")
	header.Set("Cache-Control", "no-store")
	header.Set("X-Accel-Buffering", "no") // or nginx would hold it back
	header.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(http.StatusOK)
	out := eventWire{w: w, control: http.NewResponseController(w), timeout: h.stream.WriteTimeout}
	defer out.done()
	// A random pause, so that clients that were cut off together do not come back together.
	retry := time.Second + rand.N(2*time.Second)
	err = out.write(fmt.Appendf(nil, "retry: %d\nid: %s\nevent: start\ndata: {}\n\n", retry.Milliseconds(), client.Start().ID))
	if err == nil && lost != "" {
		err = out.write(reset(lost))
	}
	if err == nil {
		err = out.flush()
	}
	if err == nil {
		err = h.pump(r, client, expiry, out)
	}
	// Whatever the reason, the client comes back and continues.
	slog.DebugContext(r.Context(), "a stream has ended", "reason", err)
	return nil
}

// reset returns the event for a stream that could not continue and begins now.
func reset(lost string) []byte {
	data, err := json.Marshal(map[string]string{
		"detail": fmt.Sprintf("there is no notification %.40q to go on after, so this stream tells what comes from now on; GET /api/notifications lists what there is", lost),
	}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // a string always encodes
	}
	return fmt.Appendf(nil, "event: reset\ndata: %s\n\n", data)
}

// eventWire writes server-sent events.
type eventWire struct {
	w       io.Writer
	control *http.ResponseController
	timeout time.Duration
}

func (e eventWire) send(id uuid.UUID, message []byte) error {
	// JSON has no line breaks.
	return e.write(fmt.Appendf(nil, "id: %s\nevent: notification\ndata: %s\n\n", id, message))
}

// change has no id, so the client still continues after the last notification.
func (e eventWire) change(message []byte) error {
	return e.write(fmt.Appendf(nil, "event: change\ndata: %s\n\n", message))
}

func (e eventWire) heartbeat() error {
	if err := e.write([]byte(":\n\n")); err != nil {
		return err
	}
	return e.flush()
}

// write may buffer p. Each message has a deadline of its own, so a client that is slow but still
// receives is not cut off.
func (e eventWire) write(p []byte) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err := e.w.Write(p)
	return err
}

func (e eventWire) flush() error { return e.control.Flush() }

// done removes the deadline, since the connection may serve another request.
func (e eventWire) done() { _ = e.control.SetWriteDeadline(time.Time{}) }
