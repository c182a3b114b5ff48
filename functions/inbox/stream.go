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
	Heartbeat    time.Duration `env:"STREAM_HEARTBEAT" envDefault:"15s" help:"how long a stream may be silent before it sends a sign of life; less than what a proxy on the way allows"`
	WriteTimeout time.Duration `env:"STREAM_WRITE_TIMEOUT" envDefault:"10s" help:"how long a client may take to receive one message, or to answer a ping, before it is dropped"`
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

// A stream ends in one of these ways, besides that the client goes.
var (
	errDraining = errors.New("this copy of the function is stopping")
	errSignIn   = errors.New("the sign-in has expired")
	errAway     = errors.New("notifications can't be read right now")
)

// resume returns after which notification a reader goes on, "" if they don't say. What the reader
// has seen since it was given the URL goes before what the URL says: EventSource sends
// that as a header when it reconnects, and its polyfill as a parameter.
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

// join lets a reader of events in, and returns their client of the hub and when their
// sign-in ends. With an id that no notification has, the client gets what comes from now
// on, and lost says so: a status other than 200 would end an EventSource for good.
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

// wire is a client's connection, in whichever protocol.
type wire interface {
	// send sends one notification, or keeps it until flush.
	send(id uuid.UUID, message []byte) error
	// change does the same with a change of state.
	change(message []byte) error
	flush() error
	// heartbeat sends a sign of life.
	heartbeat() error
}

// pump sends a client what the hub has for it until one of them goes, and returns
// why.
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

// readAgain is told in place of changes that are too many to be told one by one.
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
// The first event, start, has the id from which this stream goes on. So a client that
// loses the connection before the first notification resumes there, too. It has data, as
// some clients pass over an event without, and its id along.
func (h handler) events(w http.ResponseWriter, r *http.Request) error {
	if r.Method != http.MethodGet { // the route takes HEAD, too, which would wait for ever
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
	// Thousands of clients that lose their connections at once do not come back at once.
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
	// However it ended, the client comes back and goes on where it was.
	slog.DebugContext(r.Context(), "a stream has ended", "reason", err)
	return nil
}

// reset is the event that says where a stream begins that could not go on.
func reset(lost string) []byte {
	data, err := json.Marshal(map[string]string{
		"detail": fmt.Sprintf("there is no notification %.40q to go on after, so this stream tells what comes from now on; GET /api/notifications lists what there is", lost),
	}, jsontext.AllowInvalidUTF8(true))
	if err != nil {
		panic(err) // a string is no problem
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

// change has no id: that with which a client resumes stays the last notification's.
func (e eventWire) change(message []byte) error {
	return e.write(fmt.Appendf(nil, "event: change\ndata: %s\n\n", message))
}

func (e eventWire) heartbeat() error {
	if err := e.write([]byte(":\n\n")); err != nil {
		return err
	}
	return e.flush()
}

// write may keep p in a buffer. The deadline is anew for each message: a client that
// is slow but goes on receiving is not dropped.
func (e eventWire) write(p []byte) error {
	if err := e.control.SetWriteDeadline(time.Now().Add(e.timeout)); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	_, err := e.w.Write(p)
	return err
}

func (e eventWire) flush() error { return e.control.Flush() }

// done leaves the connection, which may serve another request, as it was.
func (e eventWire) done() { _ = e.control.SetWriteDeadline(time.Time{}) }
