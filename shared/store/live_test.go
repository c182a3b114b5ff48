package store_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/local/storetest"
	"github.com/duebell/duebell/shared/config"
	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// tell writes notifications for a user, and returns them.
func tell(t *testing.T, s *store.Store, user string, n int) (list []store.Received) {
	t.Helper()
	if err := s.SaveUser(t.Context(), store.User{ID: user}); err != nil {
		t.Fatal(err)
	}
	for i := range n {
		err := storetest.Notify(t.Context(), s, store.Notification{ID: uuid.Must(uuid.NewV7()), UserID: user, TaskID: uuid.New(), Title: fmt.Sprint(user, i)})
		if err != nil {
			t.Fatal(err)
		}
	}
	list, err := s.ListNotifications(t.Context(), user, store.InboxPage{After: &uuid.Nil, Limit: 1000})
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func TestNotificationsAfter(t *testing.T) {
	s, _ := storetest.Open(t)
	adas := tell(t, s, "ada", 5)
	bobs := tell(t, s, "bob", 3)
	tell(t, s, "eve", 2)
	// The changes 1 to 4 are those of the second, fourth and first notification, and of the fourth
	// again.
	for _, i := range []int{1, 3, 0, 3} {
		change := store.MarkRead
		if i == 0 {
			change = store.Archive
		}
		if _, _, err := s.ChangeNotification(t.Context(), "ada", adas[i].ID, change); err != nil {
			t.Fatal(err)
		}
	}
	if _, _, err := s.ChangeNotification(t.Context(), "bob", bobs[2].ID, store.Archive); err != nil {
		t.Fatal(err)
	}
	if _, _, err := s.ChangeNotification(t.Context(), "ada", adas[3].ID, store.MarkUnread); err != nil {
		t.Fatal(err)
	}
	titles := func(list []store.Received) map[string][]string {
		got := map[string][]string{}
		for _, n := range list {
			got[n.UserID] = append(got[n.UserID], n.Title)
		}
		return got
	}
	for _, tt := range []struct {
		readers       []store.Reader
		limit         int
		came, changed map[string][]string
	}{
		{
			[]store.Reader{{UserID: "ada", Seq: 2}, {UserID: "bob"}, {UserID: "nobody"}},
			2,
			map[string][]string{"ada": {"ada2", "ada3"}, "bob": {"bob0", "bob1"}},
			map[string][]string{"ada": {"ada0", "ada3"}, "bob": {"bob2"}},
		},
		{
			[]store.Reader{{UserID: "ada", Seq: 5}, {UserID: "bob", Seq: 3, ChangeSeq: 1}},
			10,
			map[string][]string{},
			map[string][]string{"ada": {"ada1", "ada0", "ada3"}},
		},
		{
			[]store.Reader{{UserID: "ada", Seq: 5, ChangeSeq: 1}},
			10,
			map[string][]string{},
			map[string][]string{"ada": {"ada0", "ada3"}},
		},
	} {
		came, changed, err := s.NotificationsAfter(t.Context(), tt.readers, tt.limit)
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(titles(came), tt.came) || !reflect.DeepEqual(titles(changed), tt.changed) {
			t.Errorf("%+v: came %v, changed %v", tt.readers, titles(came), titles(changed))
		}
	}
}

func TestFindPlace(t *testing.T) {
	s, url := storetest.Open(t)
	find := func(user string, after *uuid.UUID) store.Place {
		t.Helper()
		p, err := s.FindPlace(t.Context(), user, after)
		if err != nil {
			t.Error(err)
		}
		return p
	}
	if p := find("ada", nil); p != (store.Place{}) {
		t.Errorf("an empty inbox: %+v", p)
	}
	list := tell(t, s, "ada", 6)
	if _, err := s.ReadAll(t.Context(), "ada", list[1].ID); err != nil { // the first change
		t.Fatal(err)
	}
	eves := tell(t, s, "eve", 1)[0].ID
	// The ids say that the notifications came some minutes apart.
	c := connect(t, url)
	start := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := range list {
		at := start.Add(time.Duration(i) * 5 * time.Minute)
		id := idAt(at)
		if _, err := c.Exec(t.Context(), `update notifications set id = $1, created_at = $2 where id = $3`, id, at, list[i].ID); err != nil {
			t.Fatal(err)
		}
		list[i].ID = id
	}
	if _, err := c.Exec(t.Context(), `delete from notifications where id = any($1)`, []uuid.UUID{list[0].ID, list[3].ID}); err != nil {
		t.Fatal(err)
	}
	for what, tt := range map[string]struct {
		after *uuid.UUID
		want  store.Place
	}{
		"now":                         {nil, store.Place{ID: list[5].ID, Seq: 6, ChangeSeq: 1}},
		"the beginning":               {&uuid.Nil, store.Place{ChangeSeq: 1}},
		"one that is there":           {&list[2].ID, store.Place{ID: list[2].ID, Seq: 3, ChangeSeq: 1}},
		"the first, purged":           {&list[0].ID, store.Place{ID: list[0].ID, ChangeSeq: 1}},
		"one in the middle, purged":   {&list[3].ID, store.Place{ID: list[3].ID, Seq: 3, ChangeSeq: 1}},
		"another's, which tells when": {&eves, store.Place{ID: eves, Seq: 6, ChangeSeq: 1}},
	} {
		if p := find("ada", tt.after); p != tt.want {
			t.Errorf("%s: %+v, want %+v", what, p, tt.want)
		}
	}
	for what, id := range map[string]uuid.UUID{"not one of ours": uuid.New(), "from the future": idAt(time.Now().Add(time.Hour))} {
		if _, err := s.FindPlace(t.Context(), "ada", &id); fault.CodeOf(err) != fault.CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// idAt returns an id as one that is made at the given time.
func idAt(at time.Time) uuid.UUID {
	id := uuid.Must(uuid.NewV7())
	for i, ms := 5, at.UnixMilli(); i >= 0; i, ms = i-1, ms>>8 {
		id[i] = byte(ms)
	}
	return id
}

func TestHintsAreHeard(t *testing.T) {
	s, url := storetest.Open(t)
	ctx, cancel := context.WithCancel(t.Context())
	heard, listening, ended := make(chan string, 10), make(chan bool, 1), make(chan error, 1)
	listen := func() {
		ended <- s.Listen(ctx, func() { listening <- true }, func(user string) { heard <- user })
	}
	go listen()
	<-listening
	users := []string{"ada", "bob", "Zoë|1 '; --"}
	if err := s.Hint(t.Context(), append(users, "ada")); err != nil {
		t.Fatal(err)
	}
	var got []string
	for range users {
		got = append(got, <-heard)
	}
	slices.Sort(got)
	if want := slices.Sorted(slices.Values(users)); !slices.Equal(got, want) {
		t.Errorf("heard %q", got)
	}

	// The stream ends with an error if its connection is cut or its context is cancelled.
	c := connect(t, url)
	if _, err := c.Exec(t.Context(), `select pg_terminate_backend(pid) from pg_stat_activity where query like 'listen%'`); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; fault.CodeOf(err) != fault.CodeUnavailable {
		t.Errorf("cut: %v", err)
	}
	go listen()
	<-listening
	cancel()
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("told to end: %v", err)
	}
	for deadline := time.Now().Add(time.Minute); time.Now().Before(deadline); time.Sleep(10 * time.Millisecond) { // the server takes a moment to see that the client has gone
		var n int
		if err := c.QueryRow(t.Context(), `select count(*) from pg_stat_activity where query like 'listen%'`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		if n == 0 {
			return
		}
	}
	t.Error("a connection that listened is left")
}

func TestTicketIsGoodOnce(t *testing.T) {
	s, url := storetest.Open(t)
	other, err := store.Open(store.Config{URL: config.Secret(url), MaxConns: 4})
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	until := time.Now().Add(time.Hour).UTC().Truncate(time.Microsecond)
	ticket := store.Ticket{Hash: [32]byte{1}, UserID: "ada", SignedInUntil: until}
	before := time.Now().Add(-time.Second)
	expiresAt, err := s.SaveTicket(t.Context(), ticket, 30*time.Second)
	if issued := expiresAt.Add(-30 * time.Second); err != nil || issued.Before(before) || issued.After(time.Now().Add(time.Second)) {
		t.Errorf("expires in %v, %v", time.Until(expiresAt), err)
	}
	var taken atomic.Int32
	var group sync.WaitGroup
	for i := range 20 {
		group.Go(func() {
			got, err := []*store.Store{s, other}[i%2].TakeTicket(t.Context(), ticket.Hash)
			switch {
			case err == nil:
				taken.Add(1)
				if got.UserID != "ada" || !got.SignedInUntil.Equal(until) {
					t.Errorf("it says %+v", got)
				}
			case fault.CodeOf(err) != fault.CodeUnauthenticated:
				t.Error(err)
			}
		})
	}
	group.Wait()
	if n := taken.Load(); n != 1 {
		t.Errorf("taken %d times", n)
	}
}

func TestTicketExpires(t *testing.T) {
	s, url := storetest.Open(t)
	c := connect(t, url)
	count := func() (n int) {
		if err := c.QueryRow(t.Context(), `select count(*) from inbox_tickets`).Scan(&n); err != nil {
			t.Fatal(err)
		}
		return n
	}
	save := func(i byte, until time.Time, lifetime time.Duration) time.Time {
		t.Helper()
		at, err := s.SaveTicket(t.Context(), store.Ticket{Hash: [32]byte{i}, UserID: "ada", SignedInUntil: until}, lifetime)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	hour := time.Now().Add(time.Hour)
	for i := range byte(50) {
		save(i, hour, time.Minute)
	}
	if _, err := c.Exec(t.Context(), `update inbox_tickets set expires_at = now() - interval '1 ms'`); err != nil {
		t.Fatal(err)
	}
	for _, hash := range [][32]byte{{7}, {200}} { // expired, unknown
		if _, err := s.TakeTicket(t.Context(), hash); fault.CodeOf(err) != fault.CodeUnauthenticated {
			t.Errorf("ticket %d: %v", hash[0], err)
		}
	}
	// Making a ticket removes some of the expired ones.
	save(100, hour, time.Minute)
	if n := count(); n != 50-1-20+1 {
		t.Errorf("%d tickets are left", n)
	}
	save(101, hour, time.Minute)
	save(102, hour, time.Minute)
	if n := count(); n != 3 {
		t.Errorf("%d tickets are left", n)
	}
	soon := time.Now().Add(time.Second)
	if at := save(103, soon, time.Minute); at.After(soon) {
		t.Errorf("good until %v, the sign-in until %v", at, soon)
	}
}
