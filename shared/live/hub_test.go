package live

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"go.uber.org/goleak"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// source is a database in memory. Each call takes a while.
type source struct {
	mu       sync.Mutex
	rows     map[string][]store.Received
	changes  map[string]int64 // how many there were, by user
	latency  time.Duration
	jitter   func() time.Duration // comes on top, if set
	down     bool
	listener func(string)  // nil while nobody listens
	cut      chan struct{} // closed to cut who listens
	listened int
	reading  int // calls that run
	most     int // how many ran at most at once
	reads    int // calls
}

func newSource() *source {
	return &source{rows: map[string][]store.Received{}, changes: map[string]int64{}, latency: time.Millisecond, cut: make(chan struct{})}
}

// put commits a notification, and hints at it or not.
func (s *source) put(user string, hint bool) {
	s.mu.Lock()
	n := store.Received{Seq: int64(len(s.rows[user]) + 1)}
	n.UserID, n.ID = user, uuid.New()
	s.rows[user] = append(s.rows[user], n)
	listener := s.listener
	s.mu.Unlock()
	if hint && listener != nil {
		listener(user)
	}
}

// change commits a change of some of a user's notifications, and hints at it or not.
func (s *source) change(user string, hint bool, seqs ...int64) {
	s.mu.Lock()
	s.changes[user]++
	s.rows[user] = slices.Clone(s.rows[user]) // what was read before stays as it was
	for _, seq := range seqs {
		s.rows[user][seq-1].ChangeSeq = s.changes[user]
	}
	listener := s.listener
	s.mu.Unlock()
	if hint && listener != nil {
		listener(user)
	}
}

// wait takes the time of a call; what the call returns is what was there before.
func (s *source) wait() {
	latency := s.latency
	if s.jitter != nil {
		latency += s.jitter()
	}
	s.mu.Unlock()
	time.Sleep(latency)
	s.mu.Lock()
}

func (s *source) FindPlace(_ context.Context, user string, after *uuid.UUID) (store.Place, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	rows := s.rows[user]
	defer s.wait()
	switch {
	case s.down:
		return store.Place{}, errors.New("down")
	case after == nil:
		return store.Place{Seq: int64(len(rows)), ChangeSeq: s.changes[user]}, nil
	}
	i := slices.IndexFunc(rows, func(n store.Received) bool { return n.ID == *after })
	return store.Place{ID: *after, Seq: int64(i + 1), ChangeSeq: s.changes[user]}, nil
}

func (s *source) NotificationsAfter(_ context.Context, readers []store.Reader, limit int) (came, changed []store.Received, err error) {
	s.mu.Lock()
	s.reads++
	s.reading++
	s.most = max(s.most, s.reading)
	down := s.down
	for _, r := range readers {
		rows := s.rows[r.UserID]
		came = append(came, rows[r.Seq:min(len(rows), int(r.Seq)+limit)]...)
		later := slices.DeleteFunc(slices.Clone(rows), func(n store.Received) bool { return n.ChangeSeq <= r.ChangeSeq })
		slices.SortStableFunc(later, func(a, b store.Received) int { return cmp.Compare(a.ChangeSeq, b.ChangeSeq) })
		changed = append(changed, later[max(0, len(later)-limit):]...)
	}
	s.wait()
	s.reading--
	s.mu.Unlock()
	if down {
		return nil, nil, errors.New("down")
	}
	return came, changed, nil
}

func (s *source) Listen(ctx context.Context, listening func(), hint func(string)) error {
	s.mu.Lock()
	if s.down {
		s.mu.Unlock()
		return errors.New("down")
	}
	s.listened++
	if s.listener != nil {
		panic("two listen")
	}
	s.listener = hint
	cut := s.cut
	s.mu.Unlock()
	listening()
	defer func() {
		s.mu.Lock()
		s.listener = nil
		s.mu.Unlock()
	}()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-cut:
		return errors.New("cut")
	}
}

func (s *source) isListened() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.listener != nil
}

func (s *source) counts() (reads, most int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reads, s.most
}

func (s *source) setDown(down bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.down = down
	if down {
		close(s.cut)
		s.cut = make(chan struct{})
	}
}

var rules = Rules{MaxClients: 1000, MaxClientsPerUser: 10, LookInterval: 5 * time.Second}

func open(t *testing.T, h *Hub, user string, after *uuid.UUID) *Client {
	t.Helper()
	c, err := h.Open(t.Context(), user, after)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// gather hands over what comes until nothing has come for a while.
func gather(t *testing.T, c *Client, quiet time.Duration, add func(News)) {
	t.Helper()
	for {
		select {
		case <-c.Ready():
			news, err := c.Take(t.Context())
			if err != nil {
				t.Error(err)
			}
			add(news)
		case <-time.After(quiet):
			return
		}
	}
}

// take returns the Seqs of what comes until nothing has come for a while.
func take(t *testing.T, c *Client, quiet time.Duration) (seqs []int64) {
	t.Helper()
	gather(t, c, quiet, func(news News) {
		for _, n := range news.Came {
			seqs = append(seqs, n.Seq)
		}
	})
	return seqs
}

func from(first, last int) (seqs []int64) {
	for i := first; i <= last; i++ {
		seqs = append(seqs, int64(i))
	}
	return seqs
}

func TestHubStartsAndStopsListening(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		for range 3 {
			a, b := open(t, h, "ada", nil), open(t, h, "bob", nil)
			synctest.Wait()
			if !s.isListened() {
				t.Error("nobody listens though there are clients")
			}
			a.Close()
			synctest.Wait()
			if !s.isListened() {
				t.Error("nobody listens though there is a client")
			}
			b.Close()
			b.Close()
			synctest.Wait()
			if s.isListened() {
				t.Error("it listens though there are no clients")
			}
		}
		if s.listened != 3 || len(h.feeds) != 0 {
			t.Errorf("listened %d times, %d feeds are left", s.listened, len(h.feeds))
		}
	})
}

func TestHintIsFast(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		s.put("ada", true)
		c, eve := open(t, h, "ada", nil), open(t, h, "eve", nil)
		defer c.Close()
		defer eve.Close()
		time.Sleep(time.Second)
		start := time.Now()
		s.put("ada", true)
		for got := (News{}); len(got.Came) == 0; {
			<-c.Ready()
			got, _ = c.Take(t.Context())
		}
		if took := time.Since(start); took > 2*s.latency {
			t.Errorf("it took %v", took)
		}
		if got := take(t, eve, time.Minute); got != nil {
			t.Errorf("another user got %v", got)
		}
	})
}

func TestLostHintsCostSeconds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		c := open(t, h, "ada", nil)
		defer c.Close()
		s.put("ada", false)
		if got := take(t, c, rules.LookInterval+time.Second); !slices.Equal(got, from(1, 1)) {
			t.Errorf("got %v", got)
		}
		// While nothing can be read, too, and for those who connect to nothing.
		s.setDown(true)
		s.put("ada", false)
		if got := take(t, c, time.Minute); got != nil {
			t.Errorf("got %v from a database that is down", got)
		}
		if _, err := h.Open(t.Context(), "ada", nil); err == nil {
			t.Error("opened while the database is down")
		}
		s.setDown(false)
		if got := take(t, c, rules.LookInterval+time.Second); !slices.Equal(got, from(2, 2)) {
			t.Errorf("got %v", got)
		}
	})
}

func TestLooksAtOnceWhenItListensAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		slow := rules
		slow.LookInterval = time.Hour
		h := NewHub(s, slow, 2)
		defer h.Close()
		c := open(t, h, "ada", nil)
		defer c.Close()
		take(t, c, time.Second)
		s.mu.Lock()
		close(s.cut)
		s.cut = make(chan struct{})
		s.mu.Unlock()
		s.put("ada", false)
		if got := take(t, c, time.Second); !slices.Equal(got, from(1, 1)) {
			t.Errorf("got %v", got)
		}
	})
}

// What is committed while a client looks where to begin, and hinted at to nobody
// yet, is found all the same.
func TestNothingIsLostAtTheBeginning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		slow := rules
		slow.LookInterval = time.Hour
		h := NewHub(s, slow, 2)
		defer h.Close()
		other := open(t, h, "bob", nil)
		defer other.Close()
		time.Sleep(time.Second)
		time.AfterFunc(s.latency/2, func() { s.put("ada", true) })
		c := open(t, h, "ada", nil)
		defer c.Close()
		if got := take(t, c, time.Second); !slices.Equal(got, from(1, 1)) {
			t.Errorf("got %v", got)
		}
	})
}

func TestBurstOfManyPages(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		c := open(t, h, "ada", nil)
		defer c.Close()
		take(t, c, 10*time.Millisecond)
		const n = 3 * pageSize
		for range n - 1 {
			s.put("ada", false)
		}
		s.put("ada", true)
		if got := take(t, c, 10*time.Millisecond); !slices.Equal(got, from(1, n)) {
			t.Errorf("got %v", got)
		}
	})
}

func TestReplayThenLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		const before = 3*pageSize + 7
		for range before {
			s.put("ada", true)
		}
		go func() {
			for range 100 { // while the client still reads the old ones
				s.put("ada", true)
				time.Sleep(100 * time.Microsecond)
			}
		}()
		c := open(t, h, "ada", &uuid.Nil)
		defer c.Close()
		if got := take(t, c, time.Second); !slices.Equal(got, from(1, before+100)) {
			t.Errorf("got %v", got)
		}
		after := s.rows["ada"][before].ID
		again := open(t, h, "ada", &after)
		defer again.Close()
		if got := take(t, again, time.Second); !slices.Equal(got, from(before+2, before+100)) {
			t.Errorf("after the %dth: %v", before+1, got)
		}
	})
}

// A thousand notices for a user while one query runs make one more query; one query
// serves all clients of the user, and many users.
func TestStormsAreFewReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		var clients []*Client
		for i := range 500 {
			c := open(t, h, fmt.Sprint("user ", i%100), nil)
			defer c.Close()
			clients = append(clients, c)
		}
		time.Sleep(4 * time.Second)
		before, _ := s.counts()
		for range 100 {
			s.put("user 7", true)
		}
		for _, c := range clients[7:8] {
			if got := take(t, c, 100*time.Millisecond); len(got) != 100 {
				t.Errorf("got %v", got)
			}
		}
		reads, _ := s.counts()
		if n := reads - before; n > 3 {
			t.Errorf("%d reads for a storm on one user", n)
		}
		for i := range 100 {
			s.put(fmt.Sprint("user ", i), true)
		}
		time.Sleep(100 * time.Millisecond)
		for i, c := range clients {
			if got := take(t, c, time.Millisecond); len(got) == 0 {
				t.Errorf("client %d got nothing", i)
			}
		}
		after, most := s.counts()
		if n := after - reads; n > 4 {
			t.Errorf("%d reads for 100 users and 500 clients", n)
		}
		if most > 2*2 {
			t.Errorf("%d reads at once", most)
		}
	})
}

// A client that takes nothing holds up nobody and little memory, and misses nothing.
func TestSlowClient(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		slow, quick := open(t, h, "ada", nil), open(t, h, "ada", nil)
		defer slow.Close()
		defer quick.Close()
		const n = 5 * maxPending
		for range n {
			s.put("ada", true)
			time.Sleep(100 * time.Microsecond)
		}
		if len(slow.pending) > maxPending {
			t.Errorf("%d wait for the slow one", len(slow.pending))
		}
		if got := take(t, quick, time.Second); !slices.Equal(got, from(1, n)) {
			t.Errorf("the quick one got %v", got)
		}
		if got := take(t, slow, time.Second); !slices.Equal(got, from(1, n)) {
			t.Errorf("the slow one got %v", got)
		}
		if !slow.live || !quick.live {
			t.Error("they are not live again")
		}
		s.put("ada", true)
		if got := take(t, slow, time.Second); !slices.Equal(got, from(n+1, n+1)) {
			t.Errorf("then the slow one got %v", got)
		}
	})
}

// takeChanges returns the Seqs of what has changed, until nothing has come for a while, and how
// often the client is to read again.
func takeChanges(t *testing.T, c *Client, quiet time.Duration) (seqs []int64, readAgain int) {
	t.Helper()
	gather(t, c, quiet, func(news News) {
		for _, n := range news.Changed {
			seqs = append(seqs, n.Seq)
		}
		if news.ReadAgain {
			readAgain++
		}
	})
	return seqs, readAgain
}

// Clients are told the changes since they were opened, each once, whether or not there was a
// notice.
func TestChangesAreTold(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		for range 5 {
			s.put("ada", true)
		}
		s.change("ada", true, 1)
		eve := open(t, h, "eve", nil)
		defer eve.Close()
		first, again := open(t, h, "ada", nil), open(t, h, "ada", &uuid.Nil)
		defer first.Close()
		defer again.Close()
		time.Sleep(time.Second)
		want := func(c *Client, want ...int64) {
			t.Helper()
			if got, readAgain := takeChanges(t, c, rules.LookInterval+time.Second); !slices.Equal(got, want) || readAgain > 0 {
				t.Errorf("got %v, read again %d times, want %v", got, readAgain, want)
			}
		}
		s.change("ada", true, 2)
		want(first, 2)
		s.change("ada", false, 4, 3)
		want(first, 3, 4)
		// One that comes later does not bring back what the others have.
		late := open(t, h, "ada", nil)
		defer late.Close()
		s.change("ada", true, 5)
		want(first, 5)
		want(late, 5)
		want(again, 2, 3, 4, 5) // it went live just now
		s.setDown(true)
		s.change("ada", false, 1)
		time.Sleep(time.Minute)
		s.setDown(false)
		want(first, 1)
		want(late, 1)
		want(eve)
	})
}

// Many changes at once, or a client that does not take them, cost little memory: it is told that
// there were some, and goes on with those that come later.
func TestManyChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, rules, 2)
		defer h.Close()
		const n = 3 * pageSize
		for range n {
			s.put("ada", true)
		}
		slow, quick := open(t, h, "ada", nil), open(t, h, "ada", nil)
		defer slow.Close()
		defer quick.Close()
		time.Sleep(time.Second)
		want := func(c *Client, times int, want ...int64) {
			t.Helper()
			if got, readAgain := takeChanges(t, c, time.Second); !slices.Equal(got, want) || readAgain != times {
				t.Errorf("got %v, read again %d times, want %v, %d times", got, readAgain, want, times)
			}
		}
		s.change("ada", true, from(1, n)...)
		want(quick, 1)
		for i := range int64(n) {
			s.change("ada", true, 1+i)
			want(quick, 0, 1+i)
		}
		if len(slow.changed) > maxChanged {
			t.Errorf("%d wait for the slow one", len(slow.changed))
		}
		want(slow, 1)
		s.change("ada", true, 7)
		want(slow, 0, 7)
		want(quick, 0, 7)
		// Those that nobody can see yet, and then all.
		late := open(t, h, "ada", nil)
		defer late.Close()
		want(late, 0)
		for i := range int64(2 * pageSize) {
			s.change("ada", false, 1+i)
		}
		s.change("ada", true, n)
		want(late, 1)
		want(quick, 1)
	})
}

func TestLimits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := newSource()
		h := NewHub(s, Rules{MaxClients: 3, MaxClientsPerUser: 2, LookInterval: time.Second}, 1)
		wantCode := func(code fault.Code, user string) {
			t.Helper()
			if _, err := h.Open(t.Context(), user, nil); fault.CodeOf(err) != code {
				t.Errorf("%v, want %s", err, code)
			}
		}
		a, b := open(t, h, "ada", nil), open(t, h, "ada", nil)
		wantCode(fault.CodeRateLimited, "ada")
		c := open(t, h, "bob", nil)
		wantCode(fault.CodeUnavailable, "eve")
		a.Close()
		d := open(t, h, "ada", nil)
		h.Close()
		wantCode(fault.CodeUnavailable, "ada")
		for _, c := range []*Client{b, c, d} {
			c.Close()
		}
	})
}

// Clients come and go, fall behind, and lose their notices, at random times: each
// gets every notification once, in order.
func TestEachOnceInOrder(t *testing.T) {
	for seed := range uint64(20) {
		synctest.Test(t, func(t *testing.T) {
			random := rand.New(rand.NewPCG(seed, 0))
			var mu sync.Mutex
			chance := func(n int) int { mu.Lock(); defer mu.Unlock(); return random.IntN(n) }
			s := newSource()
			s.jitter = func() time.Duration { return time.Duration(chance(5000)) * time.Microsecond }
			h := NewHub(s, rules, 1+int(seed%3))
			users := []string{"ada", "bob", "eve"}
			const each = 1000
			var group sync.WaitGroup
			for _, user := range users {
				group.Go(func() {
					for range each {
						s.put(user, chance(5) > 0)
						if chance(2) == 0 {
							time.Sleep(time.Duration(chance(5000)) * time.Microsecond)
						}
					}
				})
				for range 5 {
					group.Go(func() {
						last, n := uuid.Nil, int64(0)
						for n < each {
							c := open(t, h, user, &last)
							lives := time.After(time.Duration(chance(100)) * time.Millisecond)
							if chance(3) == 0 {
								lives = nil // to the end
							}
							for alive := true; alive && n < each; {
								select {
								case <-c.Ready():
									news, err := c.Take(t.Context())
									if err != nil {
										t.Error(err)
									}
									for _, got := range news.Came {
										if got.Seq != n+1 || got.UserID != user {
											t.Errorf("seed %d: %s got %s's %d after %d", seed, user, got.UserID, got.Seq, n)
										}
										last, n = got.ID, got.Seq
									}
									if chance(10) == 0 {
										time.Sleep(time.Duration(chance(20)) * time.Millisecond)
									}
								case <-lives:
									alive = false
								case <-time.After(time.Hour):
									alive = false
								}
							}
							c.Close()
						}
					})
				}
			}
			start := time.Now()
			group.Wait()
			if took := time.Since(start); took > time.Minute {
				t.Errorf("seed %d: it took %v: someone was stuck", seed, took)
			}
			h.Close()
		})
	}
}
