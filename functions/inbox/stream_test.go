package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/coder/websocket"
	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/duebell/duebell/local/functiontest"
	"github.com/duebell/duebell/local/process"
	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/fire"
	"github.com/duebell/duebell/shared/live"
	"github.com/duebell/duebell/shared/schedule"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

// write stores a notification, and does not send a hint.
func write(w *functiontest.World, user, title string) {
	w.Helper()
	ctx := context.Background()
	err := w.Store.SaveUser(ctx, store.User{ID: user})
	if err == nil {
		err = storetest.Notify(ctx, w.Store, store.Notification{ID: uuid.Must(uuid.NewV7()), UserID: user, TaskID: uuid.New(), Title: title})
	}
	if err != nil {
		w.Fatal(err)
	}
}

// open opens a stream. The end of the test closes it.
func open(w *functiontest.World, d dial, s *functiontest.Server, user string, after *uuid.UUID) subscriber {
	w.Helper()
	c, err := d(w, s.URL(), w.Token(user), after)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(c.kill)
	return c
}

// within is how long tests wait for something: longer than it takes on a busy machine.
const within = time.Minute

// wantTitles checks the titles of the next notifications.
func wantTitles(w *functiontest.World, c subscriber, want ...string) (last notification) {
	w.Helper()
	for _, title := range want {
		n, err := c.next(within)
		if err != nil || n.Title != title {
			w.Fatalf("got %q, %v, want %q", n.Title, err, title)
		}
		last = n
	}
	return last
}

// wantSilence checks that nothing comes for a while.
func wantSilence(w *functiontest.World, c subscriber) {
	w.Helper()
	if n, err := c.next(300 * time.Millisecond); !errors.Is(err, context.DeadlineExceeded) {
		w.Errorf("got %q, %v, want nothing", n.Title, err)
	}
}

func eachProtocol(t *testing.T, test func(t *testing.T, d dial)) {
	for name, d := range dials {
		t.Run(name, func(t *testing.T) { test(t, d) })
	}
}

func TestStream(t *testing.T) {
	eachProtocol(t, func(t *testing.T, d dial) {
		w := functiontest.New(t)
		s := functiontest.Serve(w, New)
		tell(w, "ada", "0")
		c, eve := open(w, d, s, "ada", nil), open(w, d, s, "eve", nil)
		wantSilence(w, c)
		tell(w, "ada", "1")
		tell(w, "ada", "2")
		got := wantTitles(w, c, "1", "2")
		tell(w, "eve", "eve's")
		wantTitles(w, eve, "eve's") // and nothing before

		list := functiontest.Decode[inbox](w, s.As("ada", "GET", "/api/notifications", nil), 200).Notifications
		if diff := cmp.Diff(list[2], got); diff != "" {
			t.Errorf("the list and the stream differ: %s", diff)
		}
		wantTitles(w, open(w, d, s, "ada", &uuid.Nil), "0", "1", "2")
		wantTitles(w, open(w, d, s, "ada", &list[0].ID), "1", "2")
		wantSilence(w, open(w, d, s, "ada", &list[2].ID))
	})
}

// wantChanges checks which changes come next, in any order, and returns them by title.
func wantChanges(w *functiontest.World, c subscriber, want ...string) map[string]notification {
	w.Helper()
	got := map[string]notification{}
	for range want {
		change, err := c.nextChange(within)
		if err != nil || change.ReadAgain || !slices.Contains(want, change.Title) {
			w.Fatalf("got %+v, %v, want %q", change, err, want)
		}
		got[change.Title] = change.notification
	}
	if len(got) != len(want) {
		w.Fatalf("got %v, want %q", got, want)
	}
	return got
}

// Each stream of a user gets each change, from whatever copy of the function the stream is. It gets
// no earlier change, and none of another user.
func TestTabsAgree(t *testing.T) {
	w := functiontest.New(t)
	one, two := functiontest.Serve(w, New), functiontest.Serve(w, New)
	for i := range 3 {
		tell(w, "ada", fmt.Sprint(i))
	}
	list := listed(w, one, "ada", "")
	path := func(i int) string { return "/api/notifications/" + list[i].ID.String() }
	one.As("ada", "POST", path(0)+"/archive", nil)

	eve := open(w, dialSSE, one, "eve", nil)
	tabs := map[string]subscriber{
		"sse": open(w, dialSSE, one, "ada", nil), "ws": open(w, dialWS, two, "ada", nil),
		"from the beginning": open(w, dialSSE, two, "ada", &uuid.Nil),
	}
	for i := range 3 {
		n, err := tabs["from the beginning"].next(within)
		if err != nil || n.Title != fmt.Sprint(i) || (n.ArchivedAt != nil) != (i == 0) {
			t.Errorf("got %+v, %v", n, err)
		}
	}
	want := func(check func(map[string]notification) bool, titles ...string) {
		t.Helper()
		for tab, c := range tabs {
			if got := wantChanges(w, c, titles...); !check(got) {
				t.Errorf("%s got %+v", tab, got)
			}
		}
	}
	two.As("ada", "POST", path(1)+"/read", nil)
	two.As("ada", "POST", path(1)+"/read", nil) // is none
	want(func(got map[string]notification) bool {
		return reflect.DeepEqual(got["1"], listed(w, one, "ada", "")[0]) && got["1"].ReadAt != nil
	}, "1")
	one.As("ada", "POST", path(1)+"/archive", nil)
	want(func(got map[string]notification) bool { return got["1"].ReadAt != nil && got["1"].ArchivedAt != nil }, "1")
	one.As("ada", "DELETE", path(0)+"/archive", nil)
	want(func(got map[string]notification) bool { return got["0"].ReadAt == nil && got["0"].ArchivedAt == nil }, "0")
	two.As("ada", "POST", "/api/notifications/read-all", map[string]any{"up_to": list[2].ID})
	want(func(got map[string]notification) bool { return got["0"].ReadAt != nil && got["2"].ReadAt != nil }, "0", "2")
	one.As("ada", "POST", path(2)+"/unread", nil)
	want(func(got map[string]notification) bool { return got["2"].ReadAt == nil }, "2")
	one.As("ada", "POST", path(0)+"/acknowledge", nil)
	two.As("ada", "POST", path(0)+"/acknowledge", nil) // is none
	want(func(got map[string]notification) bool {
		return got["0"].AcknowledgedAt != nil && got["0"].SnoozedUntil == nil
	}, "0")
	two.As("ada", "POST", path(0)+"/snooze", `{"for":"1h"}`)
	want(func(got map[string]notification) bool { return got["0"].SnoozedUntil != nil }, "0")

	// Then a new notification comes as such, after the last one.
	tell(w, "ada", "3")
	for tab, c := range tabs {
		if n, err := c.next(within); err != nil || n.Title != "3" {
			t.Errorf("%s got %+v, %v", tab, n, err)
		}
	}
	tell(w, "eve", "eve's")
	wantTitles(w, eve, "eve's")
	wantSilence(w, eve)
}

// Many changes are sent as one change that makes the client read again. A lost hint delays a change
// by seconds.
func TestManyChangesAreOne(t *testing.T) {
	eachProtocol(t, func(t *testing.T, d dial) {
		w := functiontest.New(t)
		s := functiontest.Serve(w, New, "STREAM_LOOK_INTERVAL=100ms")
		tell(w, "ada", "0")
		const n = 300
		w.Exec(fmt.Sprintf(`
			insert into notifications (id, user_id, seq, task_id, title, body)
			select gen_random_uuid(), 'ada', 1 + i, gen_random_uuid(), i, '' from generate_series(1, %d) i;
			update users set last_seq = 1 + %d where id = 'ada'`, n, n))
		c := open(w, d, s, "ada", nil)
		list := listed(w, s, "ada", "?limit=1")
		s.As("ada", "POST", "/api/notifications/read-all", map[string]any{"up_to": list[0].ID})
		if got, err := c.nextChange(within); err != nil || !got.ReadAgain {
			t.Errorf("got %+v, %v", got, err)
		}
		if _, _, err := w.Store.ChangeNotification(t.Context(), "ada", list[0].ID, store.MarkUnread); err != nil { // without a notice
			t.Fatal(err)
		}
		if got, err := c.nextChange(within); err != nil || got.ReadAgain || got.ID != list[0].ID || got.ReadAt != nil {
			t.Errorf("got %+v, %v", got, err)
		}
	})
}

func TestStreamOnTheWire(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	get := func(query string, header ...string) (*sse, event) {
		t.Helper()
		c, err := openSSE(t, s.URL()+"/api/notifications/stream"+query, w.Token("ada"), header...)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.kill)
		first, err := c.item(within)
		if err != nil {
			t.Fatal(err)
		}
		return c, first.(event)
	}
	c, first := get("")
	for name, want := range map[string]string{
		"Content-Type": "text/event-stream", "Cache-Control": "no-store", "X-Accel-Buffering": "no", "X-Content-Type-Options": "nosniff",
	} {
		if got := c.response.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
	// The first id is the position at which the stream begins. For an empty inbox it is zero.
	if first.id != uuid.Nil.String() || first.name != "start" || len(first.retry) != 4 {
		t.Errorf("it begins with %+v", first)
	}
	tell(w, "ada", "0")
	e, err := c.item(within)
	if err != nil {
		t.Fatal(err)
	}
	list := functiontest.Decode[inbox](w, s.As("ada", "GET", "/api/notifications", nil), 200).Notifications
	if got := e.(event); got.id != list[0].ID.String() || got.name != "notification" ||
		!strings.Contains(s.As("ada", "GET", "/api/notifications", nil).Body, got.data) {
		t.Errorf("the event %+v is not what the list has", got)
	}
	if _, first := get(""); first.id != list[0].ID.String() {
		t.Errorf("a stream after the first begins with %+v", first)
	}
	// EventSource keeps the URL, and adds a header with a later id.
	tell(w, "ada", "1")
	again, _ := get("?after="+uuid.Nil.String(), "Last-Event-ID", list[0].ID.String())
	wantTitles(w, again, "1")
	again, _ = get("?after=" + list[0].ID.String())
	wantTitles(w, again, "1")
}

func TestStreamIsRefused(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for _, path := range []string{"/api/notifications/stream", "/api/notifications/ws"} {
		w.WantProblem(s.Call("GET", path, nil, upgrade...), 401, "unauthenticated", "")
		w.WantProblem(s.Call("GET", path+"?ticket=wrong&cache=1", nil, upgrade...), 401, "unauthenticated", "ticket")
		w.WantProblem(s.As("ada", "GET", path+"?ticket=a&ticket=b", nil, upgrade...), 400, "invalid", "ticket")
	}
	socket := "/api/notifications/ws"
	w.WantProblem(s.As("ada", "GET", socket+"?after=x", nil, upgrade...), 400, "invalid", "after must be a UUID")
	w.WantProblem(s.As("ada", "GET", socket+"?after="+uuid.NewString(), nil, upgrade...), 400, "invalid", "not the id of a notification")
	w.WantProblem(s.As("ada", "GET", socket, nil, slices.Concat(upgrade, []string{"Last-Event-ID", "7"})...), 400, "invalid", "must be a UUID")
	w.WantProblem(s.As("ada", "GET", socket, nil), 426, "invalid", "WebSocket")
	if a := s.As("ada", "HEAD", "/api/notifications/stream", nil); a.Status != 405 || a.Header.Get("Allow") != "GET" {
		t.Errorf("HEAD: %d %v", a.Status, a.Header)
	}
	w.DatabaseURL = "postgres://duebell@127.0.0.1:1/duebell"
	w.WantProblem(functiontest.Serve(w, New).As("ada", "GET", "/api/notifications/stream", nil), 503, "unavailable", "")
}

// An EventSource does not reconnect after a refusal. So a stream with an unknown id is accepted,
// and begins with new notifications.
func TestStreamBeginsAnewWithAnUnknownID(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	tell(w, "ada", "0")
	last := functiontest.Decode[inbox](w, s.As("ada", "GET", "/api/notifications", nil), 200).Notifications[0].ID.String()
	future := uuid.Must(uuid.NewV7())
	future[0]++
	header := func(value string) []string { return []string{"Last-Event-ID", value} }
	for i, c := range []struct {
		query  string
		header []string
		seen   string
	}{
		{"", header("7"), "7"},
		{"?lastEventId=7", nil, "7"},
		{"?after=x", nil, "x"},
		{"?lastEventId=" + uuid.NewString()[:30], nil, ""},
		{"?lastEventId=" + future.String(), nil, future.String()},
		{"?after=11111111-1111-4111-8111-111111111111", nil, "11111111-1111-4111-8111-111111111111"},
		{"?lastEventId=%ff%00%0aevent:%20x", nil, ""},
		{"?after=" + strings.Repeat("x", 5000), nil, ""},
	} {
		stream, err := openSSE(t, s.URL()+"/api/notifications/stream"+c.query, w.Token("ada"), c.header...)
		if err != nil {
			t.Errorf("%s %v: %v", c.query, c.header, err)
			continue
		}
		first, _ := stream.item(within)
		second, _ := stream.item(within)
		begin, _ := first.(event)
		reset, _ := second.(event)
		if begin.name != "start" || reset.name != "reset" || !strings.Contains(reset.data, c.seen) || !strings.Contains(reset.data, "from now on") {
			t.Errorf("%s %v: it begins with %+v and %+v", c.query, c.header, first, second)
		}
		title := fmt.Sprint("after ", i)
		tell(w, "ada", title)
		wantTitles(w, stream, title)
		stream.kill()
	}
	// A stream continues after a known id. The header precedes the parameters, the last parameter
	// precedes the first, and other parameters are ignored.
	for query, header := range map[string][]string{
		"?lastEventId=" + last: nil, "?after=x&lastEventId=" + last: nil, "?lastEventId=x&lastEventId=" + last: nil,
		"?lastEventId=x": header(last), "?after=" + last + "&_=1795444200&utm_source=x&a=b;c": nil, "?after=" + last + "&lastEventId=": nil,
	} {
		stream, err := openSSE(t, s.URL()+"/api/notifications/stream"+strings.ReplaceAll(query, ";", "%3B"), w.Token("ada"), header...)
		if err != nil {
			t.Errorf("%s %v: %v", query, header, err)
			continue
		}
		wantTitles(w, stream, "after 0", "after 1")
		stream.kill()
	}
}

// A stream continues after the id of a purged notification, without a gap.
func TestStreamGoesOnAfterAPurgedOne(t *testing.T) {
	eachProtocol(t, func(t *testing.T, d dial) {
		w := functiontest.New(t)
		s := functiontest.Serve(w, New)
		tell(w, "ada", "0")
		c := open(w, d, s, "ada", &uuid.Nil)
		last := wantTitles(w, c, "0").ID
		c.kill()
		tell(w, "ada", "1")
		w.Exec("delete from notifications where title = '0'")
		wantTitles(w, open(w, d, s, "ada", &last), "1")
	})
}

func TestTicket(t *testing.T) {
	var log bytes.Buffer
	before := slog.Default()
	slog.SetDefault(slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	defer slog.SetDefault(before)
	w := functiontest.New(t)
	one, two := functiontest.Serve(w, New), functiontest.Serve(w, New)
	w.WantProblem(one.Call("POST", "/api/notifications/ticket", nil), 401, "unauthenticated", "")
	issue := func(user string) string {
		t.Helper()
		a := one.As(user, "POST", "/api/notifications/ticket", nil)
		got := functiontest.Decode[ticket](w, a, 200)
		if left := time.Until(got.ExpiresAt); len(got.Ticket) < 26 || left < 25*time.Second || left > 31*time.Second || a.Header.Get("Cache-Control") != "no-store" {
			t.Errorf("%+v", got)
		}
		return got.Ticket
	}
	wantUsed := func(secret string) {
		t.Helper()
		for _, s := range []*functiontest.Server{one, two} {
			w.WantProblem(s.Call("GET", "/api/notifications/stream?ticket="+secret, nil), 401, "unauthenticated", "ticket")
		}
	}

	forSSE, forWS, expired := issue("ada"), issue("eve"), issue("ada")
	c, err := openSSE(t, two.URL()+"/api/notifications/stream?after="+uuid.Nil.String()+"&ticket="+forSSE, "")
	if err != nil {
		t.Fatal(err)
	}
	defer c.kill()
	eve, err := openWS(t, two.URL()+"/api/notifications/ws?ticket="+forWS, "")
	if err != nil {
		t.Fatal(err)
	}
	defer eve.kill()
	tell(w, "ada", "ada's")
	tell(w, "eve", "eve's")
	wantTitles(w, c, "ada's")
	wantTitles(w, eve, "eve's")
	wantUsed(forSSE)
	wantUsed(forWS)
	w.Exec("update inbox_tickets set expires_at = now() - interval '1 s'")
	wantUsed(expired)

	// An invalid request does not use up a ticket. The database does not contain the ticket itself.
	kept := issue("ada")
	w.WantProblem(one.Call("GET", "/api/notifications/ws?after=x&ticket="+kept, nil, upgrade...), 400, "invalid", "after")
	if dump := dumpTickets(w); strings.Contains(dump, kept) || dump == "" {
		t.Errorf("the table holds %s", dump)
	}
	again, err := openSSE(t, two.URL()+"/api/notifications/stream?ticket="+kept, "")
	if err != nil {
		t.Fatal(err)
	}
	again.kill()
	for _, secret := range []string{forSSE, forWS, expired, kept} {
		if strings.Contains(log.String(), secret) {
			t.Error("a ticket is in the log")
		}
	}
}

func dumpTickets(w *functiontest.World) (dump string) {
	conn := connect(w)
	if err := conn.QueryRow(context.Background(), "select coalesce(string_agg(t::text || encode(hash, 'escape'), ' '), '') from inbox_tickets t").Scan(&dump); err != nil {
		w.Fatal(err)
	}
	return dump
}

func connect(w *functiontest.World) *pgx.Conn {
	w.Helper()
	conn, err := pgx.Connect(context.Background(), w.DatabaseURL)
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = conn.Close(context.Background()) })
	return conn
}

// A stream ends when the token with which it was opened expires, also if it was opened with a
// ticket.
func TestStreamEndsWithTheSignIn(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	// Tokens are accepted for a minute longer, as clocks differ.
	token := w.TokenWith("ada", map[string]any{"exp": time.Now().Add(-50 * time.Second).Unix()})
	a := s.Call("POST", "/api/notifications/ticket", nil, "Authorization", "Bearer "+token)
	secret := functiontest.Decode[ticket](w, a, 200).Ticket
	events, err := openSSE(t, s.URL()+"/api/notifications/stream?ticket="+secret, "")
	if err != nil {
		t.Fatal(err)
	}
	defer events.kill()
	socket, err := openWS(t, s.URL()+"/api/notifications/ws", token)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.kill()
	if _, err := events.next(within); !errors.Is(err, io.EOF) {
		t.Errorf("the events end with %v", err)
	}
	if _, err := socket.next(within); websocket.CloseStatus(err) != statusUnauthorized {
		t.Errorf("the socket ends with %v", err)
	}
	w.WantProblem(s.Call("GET", "/api/notifications/stream", nil, "Authorization", "Bearer "+token), 401, "unauthenticated", "")
}

// A program opens a user's stream, and gets tickets for the user's browser. An operator can only
// read. A ticket contains its user.
func TestActingForUsers(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	secret := functiontest.Decode[ticket](w, s.For("ada", "POST", "/api/notifications/ticket", nil), 200).Ticket
	for _, path := range []string{"/api/notifications/stream", "/api/notifications/ws"} {
		w.WantProblem(s.Call("GET", path+"?ticket="+secret, nil, "Duebell-User", "ada", "Upgrade", "websocket", "Connection", "Upgrade"), 400, "invalid", "ticket")
		w.WantProblem(s.For("ada", "GET", path+"?ticket="+secret, nil, "Upgrade", "websocket", "Connection", "Upgrade"), 400, "invalid", "ticket")
	}
	events, err := openSSE(t, s.URL()+"/api/notifications/stream?ticket="+secret, "") // which is not used up
	if err != nil {
		t.Fatal(err)
	}
	defer events.kill()
	write(w, "ada", "hers")
	n := wantTitles(w, events, "hers")
	admin := "Bearer " + w.AdminToken()
	w.WantProblem(s.Call("POST", "/api/notifications/ticket", nil, "Authorization", admin, "Duebell-User", "ada"), 403, "forbidden", "only read")
	list := functiontest.Decode[inbox](w, s.Call("GET", "/api/notifications", nil, "Authorization", admin, "Duebell-User", "ada"), 200)
	if len(list.Notifications) != 1 || list.Notifications[0].ID != n.ID {
		t.Errorf("%+v", list)
	}
}

func TestStreamLimits(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "STREAM_MAX_PER_USER=2", "STREAM_MAX=3")
	first := open(w, dialSSE, s, "ada", nil)
	open(w, dialWS, s, "ada", nil)
	w.WantProblem(s.As("ada", "GET", "/api/notifications/stream", nil), 429, "rate_limited", "too many streams")
	open(w, dialSSE, s, "bob", nil)
	a := s.As("eve", "GET", "/api/notifications/stream", nil)
	w.WantProblem(a, 503, "unavailable", "too many streams")
	if a.Header.Get("Retry-After") == "" {
		t.Error("it does not say when to try again")
	}
	first.kill()
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) { // the function takes a moment to see that the client has gone
		if c, err := dialSSE(t, s.URL(), w.Token("eve"), nil); err == nil {
			c.kill()
			return
		}
	}
	t.Error("a stream that was closed still counts")
}

// After 15 s without another event there is a heartbeat, and not before. The clock is synctest's.
func TestHeartbeat(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := live.NewHub(&oneUser{}, live.Rules{MaxClients: 1, MaxClientsPerUser: 1, LookInterval: time.Hour}, 1)
		defer hub.Close()
		client, err := hub.Open(t.Context(), "ada", nil)
		if err != nil {
			t.Fatal(err)
		}
		defer client.Close()
		ctx, cancel := context.WithCancel(t.Context())
		w := httptest.NewRecorder()
		out := eventWire{w: w, control: http.NewResponseController(w), timeout: time.Second}
		h := handler{stream: StreamConfig{Heartbeat: 15 * time.Second}}
		ended := make(chan error)
		go func() {
			ended <- h.pump(httptest.NewRequest("GET", "/", nil).WithContext(ctx), client, time.Now().Add(time.Hour), out)
		}()
		time.Sleep(50 * time.Second)
		synctest.Wait()
		if got := w.Body.String(); got != ":\n\n:\n\n:\n\n" || !w.Flushed {
			t.Errorf("in 50 s: %q", got)
		}
		cancel()
		if err := <-ended; !errors.Is(err, context.Canceled) {
			t.Error(err)
		}
	})
}

// oneUser is a source without notifications.
type oneUser struct{}

func (*oneUser) FindPlace(context.Context, string, *uuid.UUID) (store.Place, error) {
	return store.Place{}, nil
}

func (*oneUser) NotificationsAfter(context.Context, []store.Reader, int) (came, changed []store.Received, err error) {
	return nil, nil, nil
}

func (*oneUser) Listen(ctx context.Context, _ func(), _ func(string)) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestSocketHeartbeat(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "STREAM_HEARTBEAT=50ms")
	c, err := openWS(t, s.URL()+"/api/notifications/ws", w.Token("ada"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.kill()
	for range 3 {
		select {
		case <-c.pings:
		case <-time.After(within):
			t.Fatal("no ping comes")
		}
	}
	// A small number of messages from the client is ignored.
	if err := c.conn.Write(t.Context(), websocket.MessageText, []byte("hello?")); err != nil {
		t.Error(err)
	}
	tell(w, "ada", "0")
	wantTitles(w, c, "0")
	if err := c.conn.Write(t.Context(), websocket.MessageText, make([]byte, 10*maxIncoming)); err != nil {
		t.Error(err)
	}
	if _, err := c.next(within); websocket.CloseStatus(err) != websocket.StatusMessageTooBig {
		t.Errorf("after a long message: %v", err)
	}

	// A client that does not answer pings is disconnected: this one never reads.
	impatient := functiontest.Serve(w, New, "STREAM_HEARTBEAT=50ms", "STREAM_WRITE_TIMEOUT=300ms")
	conn := dialRaw(w, impatient.URL(), "/api/notifications/ws", "ada")
	time.Sleep(time.Second) // several pings are left unread
	if _, err := io.Copy(io.Discard, conn); err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("one that does not answer: %v", err)
	}
}

// A client that sends too much is disconnected.
func TestSocketThatSendsTooMuch(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New)
	for name, send := range map[string]func(ctx context.Context, c *websocket.Conn) error{
		"pings": func(ctx context.Context, c *websocket.Conn) error { return c.Ping(ctx) },
		"messages": func(ctx context.Context, c *websocket.Conn) error {
			return c.Write(ctx, websocket.MessageText, []byte("x"))
		},
		"empty": func(ctx context.Context, c *websocket.Conn) error { return c.Write(ctx, websocket.MessageText, nil) },
	} {
		c, err := openWS(t, s.URL()+"/api/notifications/ws", w.Token("ada"))
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
		sent := 0
		for err == nil && sent < 100_000 {
			err = send(ctx, c.conn)
			sent++
		}
		cancel()
		// The network may drop the close frame because of what the client still sends.
		if _, err := c.next(within); sent == 100_000 || websocket.CloseStatus(err) != websocket.StatusPolicyViolation && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: after %d it ends with %v", name, sent, err)
		}
		c.kill()
	}
	// A client that sends a ping now and then stays connected.
	c, err := openWS(t, s.URL()+"/api/notifications/ws", w.Token("ada"))
	if err != nil {
		t.Fatal(err)
	}
	defer c.kill()
	for range 100 {
		if err := c.conn.Ping(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	tell(w, "ada", "0")
	wantTitles(w, c, "0")
}

// dialRaw opens a stream, and reads only the first bytes.
func dialRaw(w *functiontest.World, base, path, user string) *net.TCPConn {
	w.Helper()
	conn, err := net.Dial("tcp", strings.TrimPrefix(base, "http://"))
	if err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = conn.Close() })
	if err := conn.(*net.TCPConn).SetReadBuffer(4096); err != nil {
		w.Fatal(err)
	}
	fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: test\r\nAuthorization: Bearer %s\r\n", path, w.Token(user))
	for i := 0; strings.HasSuffix(path, "/ws") && i < len(upgrade); i += 2 {
		fmt.Fprintf(conn, "%s: %s\r\n", upgrade[i], upgrade[i+1])
	}
	fmt.Fprint(conn, "\r\n")
	_ = conn.SetReadDeadline(time.Now().Add(within))
	status := make([]byte, len("HTTP/1.1 200"))
	if _, err := io.ReadFull(conn, status); err != nil || !strings.HasSuffix(string(status), "200") && !strings.HasSuffix(string(status), "101") {
		w.Fatalf("%s: %q, %v", path, status, err)
	}
	return conn.(*net.TCPConn)
}

// upgrade is the header of a request for a WebSocket, as names and values.
var upgrade = []string{
	"Connection", "Upgrade", "Upgrade", "websocket",
	"Sec-WebSocket-Version", "13", "Sec-WebSocket-Key", "MDEyMzQ1Njc4OWFiY2RlZg==",
}

// A client that does not read is disconnected, and delays no other client.
func TestSlowClientIsDropped(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "STREAM_WRITE_TIMEOUT=4s", "STREAM_MAX_PER_USER=3") // in which the quick one reads on a busy machine, too
	dialRaw(w, s.URL(), "/api/notifications/stream", "ada")
	dialRaw(w, s.URL(), "/api/notifications/ws", "ada")
	quick := open(w, dialSSE, s, "ada", &uuid.Nil)
	w.WantProblem(s.As("ada", "GET", "/api/notifications/stream", nil), 429, "rate_limited", "")
	tell(w, "ada", "first")
	wantTitles(w, quick, "first")
	const n, size = 80, 100_000 // more than any socket's buffers
	w.Exec(fmt.Sprintf(`
		insert into notifications (id, user_id, seq, task_id, title, body)
		select gen_random_uuid(), 'ada', 1 + i, gen_random_uuid(), i, repeat('x', %d) from generate_series(1, %d) i;
		update users set last_seq = 1 + %d where id = 'ada'`, size, n, n))
	for i := range n {
		wantTitles(w, quick, fmt.Sprint(i+1))
	}
	// After that, its place is free for other clients.
	for _, d := range dials {
		var c subscriber
		var err error
		for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(100 * time.Millisecond) {
			if c, err = d(t, s.URL(), w.Token("ada"), nil); err == nil {
				w.Cleanup(c.kill)
				break
			}
		}
		if err != nil {
			t.Errorf("a client that does not read keeps its place: %v", err)
		}
	}
}

// A lost hint delays a notification by some seconds at most.
func TestLostNotice(t *testing.T) {
	eachProtocol(t, func(t *testing.T, d dial) {
		w := functiontest.New(t)
		s := functiontest.Serve(w, New, "STREAM_LOOK_INTERVAL=200ms")
		c := open(w, d, s, "ada", nil)
		for i := range 3 {
			time.Sleep(100 * time.Millisecond) // somewhere between two looks
			write(w, "ada", fmt.Sprint(i))     // as one that dies right after the commit
			wantTitles(w, c, fmt.Sprint(i))
		}
	})
}

const terminateListeners = `select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and query like 'listen%'`

// After the listening connection is lost, missed notifications are read as soon as there is a new
// one.
func TestListenerIsKilled(t *testing.T) {
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, "STREAM_LOOK_INTERVAL=1h")
	c := open(w, dialSSE, s, "ada", nil)
	tell(w, "ada", "before")
	wantTitles(w, c, "before")
	for i := range 3 {
		w.Exec(terminateListeners)
		write(w, "ada", fmt.Sprint("meanwhile ", i))
		tell(w, "ada", fmt.Sprint("after ", i))
		wantTitles(w, c, fmt.Sprint("meanwhile ", i), fmt.Sprint("after ", i))
	}
}

// There are several writers and copies of the function, listening connections are killed, and
// clients of both protocols are cut off at random and reconnect with their last id. Each client
// gets every notification of its user once, in order.
func TestEachOnceInOrder(t *testing.T) {
	const (
		copies  = 3
		writers = 4
		each    = 100 // notifications for each user
	)
	w := functiontest.New(t)
	var servers []*functiontest.Server
	for range copies {
		servers = append(servers, functiontest.Serve(w, New, "STREAM_LOOK_INTERVAL=500ms", "DATABASE_MAX_CONNS=4"))
	}
	users := []string{"ada", "bob", "eve"}
	wakes := make(chan task.Revision, each*len(users))
	due := task.Instant(time.Now().Add(-time.Minute))
	for i := range each {
		for _, user := range users {
			made := w.Seed(user, task.Draft{Title: fmt.Sprint(user, " ", i), DueDate: &due, Before: task.DefaultBefore()})
			wakes <- task.Revision{TaskID: made.ID, UserID: user, ReminderID: made.Reminders[0].ID, Number: 1}
		}
	}
	close(wakes)

	var group, chaos sync.WaitGroup
	finished := make(chan struct{})
	chaos.Go(func() {
		conn := connect(w)
		for {
			select {
			case <-time.After(300 * time.Millisecond):
				if _, err := conn.Exec(context.Background(), terminateListeners); err != nil {
					t.Error(err)
				}
			case <-finished:
				return
			}
		}
	})
	for range writers {
		group.Go(func() {
			firer := fire.New(w.Store, nil, suppress.Keys{}, schedule.NewMover(w.Store, time.Now, schedule.MoveRules{PastGrace: 24 * time.Hour}), func() {}, time.Now)
			for wake := range wakes {
				if _, err := firer.Fire(context.Background(), wake); err != nil {
					t.Error(err)
				}
				time.Sleep(rand.N(40 * time.Millisecond))
			}
		})
	}
	var mu sync.Mutex
	got := map[string][]uuid.UUID{} // by client
	cuts := 0
	for _, user := range users {
		token := w.Token(user)
		for protocol, d := range dials {
			for i := range 2 {
				group.Go(func() {
					seen, n := clientOf(t, d, servers, token, each)
					mu.Lock()
					defer mu.Unlock()
					got[fmt.Sprint(user, " ", protocol, " ", i)] = seen
					cuts += n
				})
			}
		}
	}
	group.Wait()
	close(finished)
	chaos.Wait()
	for client, seen := range got {
		user, _, _ := strings.Cut(client, " ")
		list, err := w.Store.ListNotifications(context.Background(), user, store.InboxPage{Limit: 2 * each})
		if err != nil {
			t.Fatal(err)
		}
		var want []uuid.UUID
		for _, n := range list {
			want = append(want, n.ID)
		}
		if !slices.Equal(seen, want) {
			t.Errorf("%s got %d, not what the %d in the inbox are: %v, %v", client, len(seen), len(want), seen, want)
		}
	}
	t.Logf("%d clients, %d cuts", len(got), cuts)
}

// clientOf connects to the servers again and again until it has n notifications.
func clientOf(t *testing.T, d dial, servers []*functiontest.Server, token string, n int) (seen []uuid.UUID, cuts int) {
	last := uuid.Nil
	for deadline := time.Now().Add(5 * time.Minute); len(seen) < n && time.Now().Before(deadline); cuts++ {
		c, err := d(t, servers[rand.N(len(servers))].URL(), token, &last)
		if err != nil {
			t.Error(err)
			return seen, cuts
		}
		lives := time.Now().Add(rand.N(500 * time.Millisecond))
		if rand.N(4) == 0 {
			lives = deadline
		}
		for most := 1 + rand.N(40); most > 0; most-- {
			got, err := c.next(time.Until(lives))
			if err != nil {
				if !errors.Is(err, context.DeadlineExceeded) {
					t.Errorf("not cut by us: %v", err)
				}
				break
			}
			seen, last = append(seen, got.ID), got.ID
			if len(seen) >= n {
				if extra, err := c.next(200 * time.Millisecond); err == nil {
					t.Errorf("one more than there are: %+v", extra)
				}
				break
			}
		}
		c.kill()
	}
	return seen, cuts
}

// Thousands of clients don't need more database connections than the pool has, and one to listen.
func TestConnectionsToTheDatabase(t *testing.T) {
	const clients, users, pool = 2000, 200, 4
	w := functiontest.New(t)
	s := functiontest.Serve(w, New, fmt.Sprint("DATABASE_MAX_CONNS=", pool))
	conn := connect(w)
	var ours []int32 // that were there before
	const all = `select coalesce(array_agg(pid), '{}') from pg_stat_activity where datname = current_database() and backend_type = 'client backend'`
	if err := conn.QueryRow(t.Context(), all).Scan(&ours); err != nil {
		t.Fatal(err)
	}
	count := func() (n int) {
		var now []int32
		if err := conn.QueryRow(context.Background(), all).Scan(&now); err != nil {
			t.Error(err)
		}
		for _, pid := range now {
			if !slices.Contains(ours, pid) {
				n++
			}
		}
		return n
	}
	most, finished := 0, make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		for {
			most = max(most, count())
			select {
			case <-finished:
				return
			case <-time.After(5 * time.Millisecond):
			}
		}
	})
	conns := make([]*net.TCPConn, clients)
	for i := range conns {
		conns[i] = dialRaw(w, s.URL(), "/api/notifications/stream", fmt.Sprint("user ", i%users))
	}
	write(w, "user 7", "hello")
	close(finished)
	watch.Wait()
	if most > pool+1 {
		t.Errorf("%d connections", most)
	}
	t.Logf("%d clients, at most %d connections", clients, most)
	for _, c := range conns {
		_ = c.Close()
	}
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		var listening int
		if err := conn.QueryRow(t.Context(), `select count(*) from pg_stat_activity where datname = current_database() and query like 'listen%'`).Scan(&listening); err != nil {
			t.Fatal(err)
		}
		if listening == 0 {
			return
		}
	}
	t.Error("it still listens though all clients have gone")
}

// asFunction, in the environment of this program, makes it the function itself.
const asFunction = "INBOX_TEST_AS_FUNCTION"

// On SIGTERM the function ends its streams at once, so that clients reconnect, and then exits.
func TestDraining(t *testing.T) {
	w := functiontest.New(t)
	ports, err := process.FreePorts(0)
	if err != nil {
		t.Fatal(err)
	}
	address := process.Address(ports[0])
	host, port, _ := net.SplitHostPort(address)
	self := exec.Command(os.Args[0])
	self.Env = append(w.Environ(), asFunction+"=1", "HOST="+host, "PORT="+port)
	self.Stdout, self.Stderr = os.Stdout, os.Stderr
	if err := self.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = self.Process.Kill() }()
	base := "http://" + address
	var events subscriber
	for deadline := time.Now().Add(within); time.Now().Before(deadline); time.Sleep(20 * time.Millisecond) {
		if events, err = dialSSE(t, base, w.Token("ada"), nil); err == nil {
			break
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	defer events.kill()
	socket, err := dialWS(t, base, w.Token("ada"), nil)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.kill()
	tell(w, "ada", "0")
	wantTitles(w, events, "0")
	wantTitles(w, socket, "0")
	dialRaw(w, base, "/api/notifications/ws", "ada") // one that never answers

	start := time.Now()
	if err := self.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if _, err := events.next(within); !errors.Is(err, io.EOF) {
		t.Errorf("the events end with %v", err)
	}
	if _, err := socket.next(within); websocket.CloseStatus(err) != websocket.StatusGoingAway {
		t.Errorf("the socket ends with %v", err)
	}
	if err := self.Wait(); err != nil {
		t.Errorf("it ended with %v", err)
	}
	if took := time.Since(start); took > 7*time.Second { // SHUTDOWN_GRACE is 8 s
		t.Errorf("it took %v", took)
	}
}
