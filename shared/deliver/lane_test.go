package deliver

import (
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"
	"pgregory.net/rapid"

	"github.com/duebell/duebell/shared/store"
)

// waitingLane is a lane with waiting deliveries: a number for each user, to that user's host.
func waitingLane(places, perUser, perHost int, of map[string]int) *lane {
	l := &lane{places: places, perUser: perUser, perHost: perHost, users: map[string]int{}, hosts: map[string]int{}, hung: map[store.UserHost]time.Time{}, served: map[string]int{}, rests: true}
	for _, user := range slices.Sorted(func(yield func(string) bool) {
		for user := range of {
			if !yield(user) {
				return
			}
		}
	}) {
		q := &userQueue{user: user}
		for range of[user] {
			q.items = append(q.items, item{id: uuid.New(), user: user, host: user + ".example"})
		}
		l.waiting = append(l.waiting, q)
	}
	return l
}

func count(chosen []item) map[string]int {
	n := map[string]int{}
	for _, i := range chosen {
		n[i.user]++
	}
	return n
}

// A user with many deliveries gets the places that one user may have; the others get the rest.
func TestChooseTakesTurns(t *testing.T) {
	for name, tt := range map[string]struct {
		places, perUser, perHost int
		of                       map[string]int
		want                     map[string]int
	}{
		"a hog and others":          {16, 8, 16, map[string]int{"hog": 2000, "ada": 1, "bob": 3}, map[string]int{"hog": 8, "ada": 1, "bob": 3}},
		"fewer places than users":   {2, 8, 16, map[string]int{"ada": 5, "bob": 5, "eve": 5}, map[string]int{"ada": 1, "bob": 1}},
		"one user has all places":   {4, 8, 16, map[string]int{"ada": 9}, map[string]int{"ada": 4}},
		"a host takes only so many": {16, 8, 3, map[string]int{"ada": 9}, map[string]int{"ada": 3}},
	} {
		t.Run(name, func(t *testing.T) {
			if got := count(waitingLane(tt.places, tt.perUser, tt.perHost, tt.of).choose()); fmt.Sprint(got) != fmt.Sprint(tt.want) {
				t.Errorf("chosen %v, want %v", got, tt.want)
			}
		})
	}
}

// Whatever waits and is in flight: no limit is exceeded, and no delivery is chosen twice or lost.
// No place stays free for which a delivery waits. No user is passed over while another gets two
// more places.
func TestChooseIsFair(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		of := rapid.MapOfN(rapid.StringN(1, 3, 3), rapid.IntRange(1, 20), 1, 8).Draw(t, "waiting")
		l := waitingLane(rapid.IntRange(1, 30).Draw(t, "places"), rapid.IntRange(1, 10).Draw(t, "per user"), rapid.IntRange(1, 10).Draw(t, "per host"), of)
		total := 0
		for _, n := range of {
			total += n
		}
		for round := 0; total > 0 && round < 1000; round++ {
			chosen := l.choose()
			n := count(chosen)
			for _, i := range chosen {
				l.inFlight++
				l.users[i.user]++
				l.hosts[i.host]++
			}
			total -= len(chosen)
			if l.inFlight > l.places {
				t.Fatalf("%d in flight in %d places", l.inFlight, l.places)
			}
			for user, in := range l.users {
				if in > min(l.perUser, l.perHost) {
					t.Fatalf("%s has %d in flight", user, in)
				}
			}
			for _, q := range l.waiting {
				may := l.users[q.user] < min(l.perUser, l.perHost)
				if may && l.inFlight < l.places {
					t.Fatalf("%s waits, and a place is free", q.user)
				}
				for other, got := range n {
					if may && got > n[q.user]+1 {
						t.Fatalf("%s got %d and %s %d", q.user, n[q.user], other, got)
					}
				}
			}
			for user := range l.users { // some end
				if rapid.Bool().Draw(t, "ends") || round > 500 {
					l.inFlight -= l.users[user]
					l.users[user], l.hosts[user+".example"] = 0, 0
				}
			}
		}
		if total != 0 {
			t.Fatalf("%d are never chosen", total)
		}
	})
}

// Users take turns even if the lane reads the database before each choice: those who have waited
// longest come first in what it reads.
func TestTurnsOutlastALook(t *testing.T) {
	l := waitingLane(16, 8, 16, nil)
	due := func() (all []store.DueDelivery) { // as Postgres has it: the earliest of each user, then the second
		for range 8 {
			for user := range 20 {
				all = append(all, store.DueDelivery{ID: uuid.New(), UserID: fmt.Sprint("user ", user), Host: fmt.Sprint(user, ".example")})
			}
		}
		return all
	}
	for turn := range 20 {
		l.wait(due())
		l.places = 1
		n := count(l.choose())
		if user := fmt.Sprint("user ", turn); n[user] != 1 {
			t.Errorf("turn %d is that of %v", turn, n)
		}
	}
}

// A delivery in flight is not chosen again, even after its lease has expired.
func TestInFlightWaitsNotAgain(t *testing.T) {
	l := waitingLane(16, 8, 16, nil)
	flying, next := store.DueDelivery{ID: uuid.New(), UserID: "ada"}, store.DueDelivery{ID: uuid.New(), UserID: "ada"}
	l.sending = map[uuid.UUID]bool{flying.ID: true}
	l.wait([]store.DueDelivery{flying, next})
	if chosen := l.choose(); len(chosen) != 1 || chosen[0].id != next.ID {
		t.Errorf("chosen: %+v", chosen)
	}
}

// A request to look is served, even if the last look took so long that the next one has to wait.
func TestAskedLooksBeforeItEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := waitingLane(16, 8, 16, nil)
		l.sender, l.asked = &Sender{}, make(chan struct{}, 1)
		l.looked, l.lookTook = time.Now(), 10*time.Millisecond
		l.ask()
		l.await()
		if l.idle() {
			t.Error("it ends without a look")
		}
		if wait := time.Until(l.again); wait <= 0 || wait > 50*time.Millisecond {
			t.Errorf("it looks in %v", wait)
		}
	})
}

// A host that hangs for a user is passed over for that user, and for all users once it has hung for
// three of them.
func TestHostThatHangs(t *testing.T) {
	l := waitingLane(16, 8, 16, map[string]int{"ada": 1, "bob": 1, "eve": 1, "joe": 1})
	for _, q := range l.waiting {
		q.items[0].host = "slow.example"
		q.items = append(q.items, item{id: uuid.New(), user: q.user, host: q.user + ".example"})
	}
	hang := func(user string) {
		l.inFlight, l.users[user], l.hosts["slow.example"] = 1, 1, 1
		l.end(ended{item{user: user, host: "slow.example"}, result{state: store.Planned, wait: time.Second, hung: true}})
	}
	waits := func() (users []string) {
		for _, q := range l.waiting {
			if slices.ContainsFunc(q.items, func(i item) bool { return i.host == "slow.example" }) {
				users = append(users, q.user)
			}
		}
		return users
	}
	for i, want := range [][]string{{"bob", "eve", "joe"}, {"eve", "joe"}, nil} {
		hang([]string{"ada", "bob", "eve"}[i])
		if got := waits(); !slices.Equal(got, want) {
			t.Errorf("after %d have hung these wait for it: %q, want %q", i+1, got, want)
		}
	}
	if n := len(l.choose()); n != 4 {
		t.Errorf("%d are sent to other hosts, want 4", n)
	}
	if over := l.passedOver(time.Now()); len(over.Of) != 3 || !slices.Equal(over.Hosts, []string{"slow.example"}) {
		t.Errorf("passed over: %+v", over)
	}
	if over := l.passedOver(time.Now().Add(hangTime + time.Second)); len(over.Of)+len(over.Hosts) != 0 {
		t.Errorf("later: %+v", over)
	}
}
