package fire

import (
	"sync"
	"time"

	"github.com/duebell/duebell/shared/task"
)

const (
	// memoryLasts is for how long a process remembers what it has fired before its
	// callback came, at least, unless it is more than memoryHolds. Whose callback comes
	// later asks Postgres.
	memoryLasts = 30 * time.Second
	memoryHolds = 10_000
)

// memory remembers what was fired before its callback came, so that this callback need
// not ask Postgres: a revision that has fired stays fired. It is safe for concurrent use.
type memory struct {
	mu            sync.Mutex
	recent, older map[task.Revision]bool // whether something is to be sent of it
	turned        time.Time              // when recent was begun
}

// remember takes note of what has been fired.
func (m *memory) remember(c *call) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if now := time.Now(); m.recent == nil || now.Sub(m.turned) > memoryLasts || len(m.recent) >= memoryHolds {
		m.older, m.recent, m.turned = m.recent, map[task.Revision]bool{}, now
	}
	m.recent[c.revision] = c.unsent
}

// recall judges a callback if its revision is remembered, and forgets it.
func (m *memory) recall(c *call) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, fired := range []map[task.Revision]bool{m.recent, m.older} {
		if unsent, ok := fired[c.revision]; ok {
			delete(fired, c.revision)
			c.verdict, c.unsent = task.Deliver, unsent
			return true
		}
	}
	return false
}
