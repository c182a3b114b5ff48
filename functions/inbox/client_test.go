package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/google/uuid"
)

// subscriber is a client's connection to a stream of notifications.
type subscriber interface {
	// next returns the next notification. If none comes in time, the error is
	// context.DeadlineExceeded. Other errors say how the connection ended, or that a change came.
	next(within time.Duration) (notification, error)
	// nextChange returns the next change of state, and skips notifications.
	nextChange(within time.Duration) (change, error)
	kill() // as a network does it
}

// change is a change of state: a notification with its new state, or a request to read the inbox
// again.
type change struct {
	notification
	ReadAgain bool `json:"read_again"`
}

// errChange is the error of next for a change.
var errChange = errors.New("a change has come")

// dial opens a stream by SSE or WebSocket.
type dial func(t testing.TB, base, token string, after *uuid.UUID) (subscriber, error)

// dials are the protocols.
var dials = map[string]dial{"sse": dialSSE, "ws": dialWS}

// event is one server-sent event.
type event struct{ id, name, data, retry string }

// sse is a client's side of an SSE stream.
type sse struct {
	response *http.Response
	items    chan any // event, string (a comment) or error, which is the last
	cancel   context.CancelFunc
	lastID   string
}

// statusError is an answer that is not a stream.
type statusError struct {
	status int
	body   string
}

func (e statusError) Error() string { return fmt.Sprint(e.status, " ", e.body) }

func dialSSE(t testing.TB, base, token string, after *uuid.UUID) (subscriber, error) {
	var header []string
	if after != nil {
		header = []string{"Last-Event-ID", after.String()}
	}
	s, err := openSSE(t, base+"/api/notifications/stream", token, header...)
	if err != nil {
		return nil, err
	}
	return s, nil
}

var sseClient = &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}

func openSSE(t testing.TB, address, token string, header ...string) (*sse, error) {
	ctx, cancel := context.WithCancel(context.Background())
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		t.Error(err)
	}
	if token != "" {
		request.Header.Set("Authorization", "Bearer "+token)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := sseClient.Do(request)
	if err != nil {
		cancel()
		return nil, err
	}
	if response.StatusCode != http.StatusOK {
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		cancel()
		return nil, statusError{response.StatusCode, string(body)}
	}
	s := &sse{response: response, items: make(chan any), cancel: cancel}
	go s.read(ctx)
	return s, nil
}

func (s *sse) read(ctx context.Context) {
	defer close(s.items)
	defer s.response.Body.Close()
	put := func(item any) {
		select {
		case s.items <- item:
		case <-ctx.Done():
		}
	}
	var e event
	lines := bufio.NewReader(s.response.Body)
	for {
		line, err := lines.ReadString('\n')
		if err != nil {
			put(err)
			return
		}
		field, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), ": ")
		switch field {
		case "":
			put(e)
			e = event{}
		case ":":
			put(":")
		case "id":
			e.id = value
		case "event":
			e.name = value
		case "data":
			e.data = value
		case "retry":
			e.retry = value
		default:
			put(fmt.Errorf("unknown field %q", line))
			return
		}
	}
}

// item returns the next event or comment.
func (s *sse) item(within time.Duration) (any, error) {
	select {
	case item := <-s.items:
		if err, is := item.(error); is {
			return nil, err
		}
		if item == nil {
			return nil, errors.New("killed")
		}
		return item, nil
	case <-time.After(within):
		return nil, context.DeadlineExceeded
	}
}

func (s *sse) next(within time.Duration) (n notification, err error) {
	e, err := s.event(within)
	if err == nil && e.name == "change" {
		return n, errChange
	}
	if err == nil {
		err = json.Unmarshal([]byte(e.data), &n)
	}
	if err == nil && (e.name != "notification" || e.id != n.ID.String()) {
		err = fmt.Errorf("event %+v", e)
	}
	return n, err
}

func (s *sse) nextChange(within time.Duration) (c change, err error) {
	for deadline := time.Now().Add(within); ; {
		e, err := s.event(time.Until(deadline))
		if err == nil && e.name == "notification" {
			continue
		}
		if err == nil && (e.name != "change" || e.id != "") {
			err = fmt.Errorf("event %+v", e)
		}
		if err == nil {
			err = json.Unmarshal([]byte(e.data), &c)
		}
		return c, err
	}
}

// event returns the next event after the first, start.
func (s *sse) event(within time.Duration) (event, error) {
	for deadline := time.Now().Add(within); ; {
		item, err := s.item(time.Until(deadline))
		if err != nil {
			return event{}, err
		}
		e, is := item.(event)
		if is && e.id != "" {
			s.lastID = e.id
		}
		if is && e.name != "start" {
			return e, nil
		}
	}
}

func (s *sse) kill() {
	s.cancel()
	for range s.items { // until the reader has ended
	}
}

// socketClient is a client's side of a WebSocket.
type socketClient struct {
	conn     *websocket.Conn
	messages chan any // notification, change or error
	cancel   context.CancelFunc
	pings    chan struct{}
}

func dialWS(t testing.TB, base, token string, after *uuid.UUID) (subscriber, error) {
	query := url.Values{}
	if after != nil {
		query.Set("after", after.String())
	}
	s, err := openWS(t, base+"/api/notifications/ws?"+query.Encode(), token)
	if err != nil {
		return nil, err
	}
	return s, nil
}

func openWS(t testing.TB, address, token string) (*socketClient, error) {
	ctx, cancel := context.WithCancel(context.Background())
	s := &socketClient{messages: make(chan any), cancel: cancel, pings: make(chan struct{}, 100)}
	header := http.Header{"Origin": {"https://elsewhere.example"}}
	if token != "" {
		header.Set("Authorization", "Bearer "+token)
	}
	conn, response, err := websocket.Dial(ctx, address, &websocket.DialOptions{
		HTTPClient: sseClient, HTTPHeader: header,
		OnPingReceived: func(context.Context, []byte) bool {
			select {
			case s.pings <- struct{}{}:
			default:
			}
			return true
		},
	})
	if err != nil {
		cancel()
		if response != nil {
			body, _ := io.ReadAll(response.Body)
			return nil, statusError{response.StatusCode, string(body)}
		}
		return nil, err
	}
	s.conn = conn
	conn.SetReadLimit(1 << 20)
	go func() {
		defer close(s.messages)
		for {
			kind, message, err := conn.Read(ctx)
			var m struct {
				notification
				Change *change `json:"change"`
			}
			if err == nil {
				if kind != websocket.MessageText {
					t.Error("a message is not text")
				}
				err = json.Unmarshal(message, &m)
			}
			var item any = m.notification
			if m.Change != nil {
				item = *m.Change
			}
			if err != nil {
				item = err
			}
			select {
			case s.messages <- item:
			case <-ctx.Done():
			}
			if err != nil {
				return
			}
		}
	}()
	return s, nil
}

func (s *socketClient) next(within time.Duration) (notification, error) {
	switch item := s.message(within).(type) {
	case error:
		return notification{}, item
	case notification:
		return item, nil
	}
	return notification{}, errChange
}

func (s *socketClient) nextChange(within time.Duration) (change, error) {
	for deadline := time.Now().Add(within); ; {
		switch item := s.message(time.Until(deadline)).(type) {
		case error:
			return change{}, item
		case change:
			return item, nil
		}
	}
}

// message returns the next message, or an error.
func (s *socketClient) message(within time.Duration) any {
	select {
	case item := <-s.messages:
		if item == nil {
			return errors.New("killed")
		}
		return item
	case <-time.After(within):
		return context.DeadlineExceeded
	}
}

func (s *socketClient) kill() {
	s.cancel()
	_ = s.conn.CloseNow()
	for range s.messages {
	}
}
