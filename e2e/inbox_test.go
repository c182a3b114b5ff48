package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// stream opens the person's event stream, which ends with ctx, and returns its
// notifications' ids and data as they come.
func (p person) stream(ctx context.Context, query string, header ...string) <-chan [2]string {
	p.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, p.sys.URL()+"/api/notifications/stream"+query, nil)
	if err != nil {
		p.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		request.Header.Set(header[i], header[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		p.Fatal(err)
	}
	if response.StatusCode != http.StatusOK {
		p.Fatalf("the stream answers %s", response.Status)
	}
	events := make(chan [2]string, 100)
	go func() {
		defer close(events)
		defer response.Body.Close()
		var id, event string
		for lines := bufio.NewScanner(response.Body); lines.Scan(); {
			name, value, _ := strings.Cut(lines.Text(), ": ")
			switch name {
			case "id":
				id = value
			case "event":
				event = value
			case "data":
				if event == "notification" {
					events <- [2]string{id, value}
				}
			}
		}
	}()
	return events
}

// A reminder comes over a stream and a WebSocket the moment it fires; a stream that
// ended goes on where it was; and streams do not hold up a function that is to stop.
func TestLiveInbox(t *testing.T) {
	p := newPerson(t, sys)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	ticket := ask[struct{ Ticket string }](p, "POST", "/api/notifications/ticket", nil).Ticket
	events := p.stream(ctx, "?ticket="+ticket)
	ticket = ask[struct{ Ticket string }](p, "POST", "/api/notifications/ticket", nil).Ticket
	socket, _, err := websocket.Dial(ctx, p.sys.URL()+"/api/notifications/ws?ticket="+ticket, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.CloseNow() }()

	want := func(events <-chan [2]string, task string) (id string) {
		t.Helper()
		select {
		case e := <-events:
			var n notification
			if err := json.Unmarshal([]byte(e[1]), &n); err != nil || n.TaskID != task {
				t.Fatalf("the stream has %s, %v", e, err)
			}
			return e[0]
		case <-time.After(soon):
			t.Fatal("nothing comes over the stream")
			return ""
		}
	}
	first := p.create(2 * time.Second)
	last := want(events, first.ID.String())
	if late := time.Since(*first.DueDate); late > 10*time.Second {
		t.Errorf("it came %v late", late)
	}
	_, message, err := socket.Read(ctx)
	if err != nil || !strings.Contains(string(message), last) {
		t.Errorf("the socket has %s, %v, want %s", message, err, last)
	}

	began := time.Now()
	inbox := sys.Process("inbox")
	if err := inbox.Stop(ctx); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 7*time.Second { // SHUTDOWN_GRACE is 8 s
		t.Errorf("with streams open the function took %v to stop", took)
	}
	if _, more := <-events; more {
		t.Error("another event")
	}
	if _, _, err := socket.Read(ctx); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the socket ended with %v", err)
	}
	second := p.create(0) // while nobody streams
	time.Sleep(time.Second)
	if err := inbox.Start(); err != nil {
		t.Fatal(err)
	}
	back(t, sys)
	want(p.stream(ctx, "", "Authorization", "Bearer "+p.token, "Last-Event-ID", last), second.ID.String())
}
