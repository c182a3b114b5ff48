package e2e

import (
	"bufio"
	"context"
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
)

// stream opens the person's event stream, which ends with ctx, and returns its
// notifications' ids and data as they come. A change of state has "change" for its id.
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
				switch event {
				case "notification":
					events <- [2]string{id, value}
				case "change":
					events <- [2]string{event, value}
				}
			}
		}
	}()
	return events
}

// A reminder comes over a stream and a WebSocket as soon as it fires. A stream that ended continues
// where it was. Streams do not delay a function that is told to stop.
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
	p.eventually(soon, "the second has fired", func() bool {
		return p.number(`select count(*) from notifications where user_id = $1`) == 2
	})
	if err := inbox.Start(); err != nil {
		t.Fatal(err)
	}
	back(t, sys)
	want(p.stream(ctx, "", "Authorization", "Bearer "+p.token, "Last-Event-ID", last), second.ID.String())
}

// A change in one tab shows in the other: reading, archiving, bringing back, reading all. Lists,
// pages and counts agree.
func TestTwoTabs(t *testing.T) {
	t.Parallel()
	p := newPerson(t, sys)
	ticket := func() string {
		return "?ticket=" + ask[struct{ Ticket string }](p, "POST", "/api/notifications/ticket", nil).Ticket
	}
	events := p.stream(t.Context(), ticket())
	socket, _, err := websocket.Dial(t.Context(), p.sys.URL()+"/api/notifications/ws"+ticket(), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = socket.CloseNow() }()
	var ids []string
	for range 3 {
		p.create(time.Second)
		select {
		case e := <-events:
			ids = append(ids, e[0])
		case <-time.After(soon):
			t.Fatal("nothing comes over the stream")
		}
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		if _, message, err := socket.Read(ctx); err != nil || !strings.Contains(string(message), ids[len(ids)-1]) {
			t.Fatalf("the socket has %s, %v", message, err)
		}
	}

	type state struct {
		ID         string     `json:"id"`
		ReadAt     *time.Time `json:"read_at"`
		ArchivedAt *time.Time `json:"archived_at"`
	}
	// changed waits until both tabs have got a change.
	changed := func(id string, read, archived bool) {
		t.Helper()
		var tabs [2]state
		select {
		case e := <-events:
			if err := json.Unmarshal([]byte(e[1]), &tabs[0]); err != nil || e[0] != "change" {
				t.Fatalf("the stream has %s, %v", e, err)
			}
		case <-time.After(soon):
			t.Fatal("no change comes over the stream")
		}
		ctx, cancel := context.WithTimeout(t.Context(), soon)
		defer cancel()
		var message struct{ Change state }
		if _, text, err := socket.Read(ctx); err != nil || json.Unmarshal(text, &message) != nil {
			t.Fatalf("the socket has %s, %v", text, err)
		}
		tabs[1] = message.Change
		for _, tab := range tabs {
			if tab.ID != id || (tab.ReadAt != nil) != read || (tab.ArchivedAt != nil) != archived {
				t.Fatalf("the tabs have %+v, want %s read %v archived %v", tabs, id, read, archived)
			}
		}
	}
	want := func(unread, total int, lists map[string][]string) {
		t.Helper()
		if c := ask[struct{ Unread, Total int }](p, "GET", "/api/notifications/count", nil); c.Unread != unread || c.Total != total {
			t.Errorf("%+v, want %d unread of %d", c, unread, total)
		}
		for query, want := range lists {
			var got []string
			for _, n := range ask[struct{ Notifications []state }](p, "GET", "/api/notifications"+query, nil).Notifications {
				got = append(got, n.ID)
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s lists %v, want %v", query, got, want)
			}
		}
	}
	path := func(i int) string { return "/api/notifications/" + ids[i] }
	want(3, 3, map[string][]string{"": ids, "?state=unread": ids, "?state=archived": nil})
	ask[state](p, "POST", path(0)+"/read", nil)
	changed(ids[0], true, false)
	ask[state](p, "POST", path(2)+"/archive", nil)
	changed(ids[2], false, true)
	want(1, 2, map[string][]string{
		"": ids[:2], "?state=unread": ids[1:2], "?state=archived": ids[2:],
		"?order=desc&limit=1": ids[1:2], "?order=desc&before=" + ids[1]: ids[:1],
	})
	ask[state](p, "DELETE", path(2)+"/archive", nil)
	changed(ids[2], false, false)
	want(2, 3, map[string][]string{"": ids, "?state=unread": ids[1:]})
	if c := ask[struct{ Unread, Total int }](p, "POST", "/api/notifications/read-all", map[string]any{"up_to": ids[1]}); c.Unread != 1 || c.Total != 3 {
		t.Errorf("after all up to the second were read: %+v", c)
	}
	changed(ids[1], true, false)
	ask[state](p, "POST", path(0)+"/unread", nil)
	changed(ids[0], false, false)
	want(2, 3, map[string][]string{"?state=unread": {ids[0], ids[2]}})
}
