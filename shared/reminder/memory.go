package reminder

import (
	"sync"
	"time"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

const (
	// memoryLasts is for how long a process remembers what it has fired before its
	// wake-up call came, at least, unless it is more than memoryHolds. Whose call comes
	// later asks Postgres.
	memoryLasts = 30 * time.Second
	memoryHolds = 10_000
)

// memory remembers what was fired before its wake-up call came, so that this call need
// not ask Postgres: a revision that has fired stays fired. What is to be sent of it,
// too, is only a hint: who sends it takes its lease. It is safe for concurrent use.
type memory struct {
	mu            sync.Mutex
	recent, older map[task.Wake][]store.OpenDelivery
	turned        time.Time // when recent was begun
}

// remember takes note of what has been fired.
func (m *memory) remember(c *firing) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); m.recent == nil || now.Sub(m.turned) > memoryLasts || len(m.recent) >= memoryHolds {
		m.older, m.recent, m.turned = m.recent, map[task.Wake][]store.OpenDelivery{}, now
	}
	m.recent[c.wake] = c.open
}

// recall judges a call if it is remembered, and forgets it.
func (m *memory) recall(c *firing) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, fired := range []map[task.Wake][]store.OpenDelivery{m.recent, m.older} {
		if open, ok := fired[c.wake]; ok {
			delete(fired, c.wake)
			c.verdict, c.open = task.Deliver, open
			return true
		}
	}
	return false
}
