package schedule

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/store"
)

// metered is a planner whose user has as many tasks as the test says.
type metered struct {
	*Planner
	now     time.Time
	has     int
	counted int // how often
}

func newMetered(most int) *metered {
	m := &metered{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)}
	m.Planner = &Planner{now: func() time.Time { return m.now }, rules: Rules{Ceilings: Ceilings{Tasks: most}}}
	return m
}

func (m *metered) take(n int) (done func(), err error) {
	return m.admit(context.Background(), "ada", []amount{{of: ofTasks, n: n}}, time.Time{},
		func(_ context.Context, _ string, q store.UsageQuery) (store.Usage, error) {
			m.counted++
			return store.Usage{Tasks: min(m.has, q.Tasks)}, nil
		}, 0)
}

// When tasks are created one by one, the meter counts seldom, and refuses near the ceiling.
func TestCountingIsSeldom(t *testing.T) {
	const most = 100_000
	m := newMetered(most)
	for m.has < 2*most {
		done, err := m.take(1)
		if err != nil {
			break
		}
		m.has++
		done()
		m.now = m.now.Add(time.Millisecond)
	}
	if m.has < most || m.has > most+most/20 || m.counted > 500 {
		t.Errorf("%d tasks under a ceiling of %d, counted %d times", m.has, most, m.counted)
	}
	// A user at the ceiling is refused without a count for a second. After that they may create as
	// many tasks as there is room for.
	counted := m.counted
	for range 1000 {
		if _, err := m.take(1); fault.CodeOf(err) != fault.CodeConflict {
			t.Fatalf("beyond the ceiling: %v", err)
		}
	}
	if m.counted != counted {
		t.Errorf("refusing took %d counts", m.counted-counted)
	}
	m.now, m.has = m.now.Add(fullLasts), most-1
	if done, err := m.take(most); err == nil {
		done()
		t.Error("there was no room for so many")
	}
	if done, err := m.take(1); err != nil {
		t.Errorf("once there is room: %v", err)
	} else {
		done()
	}
}

// Tasks that are being stored count, although no count in the database includes them yet.
func TestWhatIsUnderWayCounts(t *testing.T) {
	m := newMetered(3000)
	first, err := m.take(2000)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.take(2000); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("while 2,000 are being stored: %v", err)
	}
	first() // they were not stored after all
	second, err := m.take(2000)
	if err != nil {
		t.Fatalf("once they are not: %v", err)
	}
	m.has = 2000
	second()
	if _, err := m.take(2000); fault.CodeOf(err) != fault.CodeConflict {
		t.Errorf("once they are stored: %v", err)
	}
}

// A task that was stored during a count may be in it or not. That must neither exceed the ceiling
// nor refuse a task for which there is room.
func TestWhatIsStoredDuringACount(t *testing.T) {
	for what, seen := range map[string]bool{"it is counted": true, "it is not": false} {
		for most, room := range map[int]bool{2999: false, 3000: true} {
			m := newMetered(most)
			first, err := m.take(2000)
			if err != nil {
				t.Fatal(err)
			}
			store2000 := func() {
				if m.has == 0 {
					m.has = 2000
					first()
				}
			}
			count := func(_ context.Context, _ string, q store.UsageQuery) (u store.Usage, err error) {
				if seen {
					store2000()
				}
				u.Tasks = min(m.has, q.Tasks)
				store2000()
				return u, nil
			}
			done, err := m.admit(t.Context(), "ada", []amount{{of: ofTasks, n: 1000}}, time.Time{}, count, time.Minute)
			if done(); (err == nil) != room {
				t.Errorf("%s, under a ceiling of %d: %v", what, most, err)
			}
		}
	}
}

// If there is room only in case that a task that is being stored was counted, the meter waits for
// it.
func TestDoubtIsWaitedFor(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := newMetered(3000)
		first, err := m.take(2000)
		if err != nil {
			t.Fatal(err)
		}
		m.has = 2000 // it is stored, and not done yet
		time.AfterFunc(time.Second/2, first)
		count := func(_ context.Context, _ string, q store.UsageQuery) (store.Usage, error) {
			return store.Usage{Tasks: min(m.has, q.Tasks)}, nil
		}
		take := func() (done func(), err error) {
			return m.admit(t.Context(), "ada", []amount{{of: ofTasks, n: 1000}}, time.Time{}, count, doubtLasts)
		}
		began := time.Now()
		second, err := take()
		if err != nil || time.Since(began) != time.Second/2 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		m.has = 1500 // some were deleted, and the second is not stored
		began = time.Now()
		if _, err := take(); fault.CodeOf(err) != fault.CodeConflict || time.Since(began) != doubtLasts {
			t.Errorf("still in doubt after %v: %v", time.Since(began), err)
		}
		second()
	})
}

// Concurrent requests never exceed the ceiling in one process.
func TestMeterAtTheSameTime(t *testing.T) {
	m := newMetered(200) // a new row is always counted
	var mu sync.Mutex
	has := 0
	count := func(_ context.Context, _ string, q store.UsageQuery) (store.Usage, error) {
		mu.Lock()
		defer mu.Unlock()
		return store.Usage{Tasks: min(has, q.Tasks)}, nil
	}
	var group sync.WaitGroup
	for range 50 {
		group.Go(func() {
			for range 20 {
				done, err := m.admit(context.Background(), "ada", []amount{{of: ofTasks, n: 1}}, time.Time{}, count, 0)
				if err != nil {
					continue
				}
				mu.Lock()
				has++
				mu.Unlock()
				done()
			}
		})
	}
	group.Wait()
	if has > 260 || has < 150 {
		t.Errorf("%d tasks under a ceiling of 200", has)
	}
}

// The meter's memory does not grow with the number of users.
func TestMeterForgets(t *testing.T) {
	m := newMetered(1)
	for i := range 3 * maxCounts {
		done, _ := m.admit(context.Background(), string(rune('a'+i%20))+time.Duration(i).String(), []amount{{of: ofTasks, n: 1}}, time.Time{},
			func(context.Context, string, store.UsageQuery) (store.Usage, error) { return store.Usage{}, nil }, 0)
		done()
		m.now = m.now.Add(10 * time.Millisecond)
	}
	if n := len(m.meter.known); n > maxCounts+1 {
		t.Errorf("%d counts are known", n)
	}
}

func TestPlaces(t *testing.T) {
	var p places
	c := Ceilings{Imports: 2, AllImports: 3}
	take := func(user string, want fault.Code) func() {
		t.Helper()
		release, err := p.take(c, user)
		if fault.CodeOf(err) != want {
			t.Errorf("%s: %v", user, err)
		}
		return release
	}
	first := take("ada", "")
	take("ada", "")
	take("ada", fault.CodeRateLimited)
	take("eve", "")
	take("bob", fault.CodeRateLimited)
	first()
	take("bob", "")
}
