package reminder

import "github.com/google/uuid"

// Knows has the planner know the sentinel's name, as one does that has stored tasks
// before, and make its IDs so.
func (p *Planner) Knows(sentinel string, newID func() uuid.UUID) {
	p.sentinel.Store(&sentinel)
	p.newID = newID
}
