package reminder

import "github.com/google/uuid"

// Like has the planner be like one that has stored tasks before, or not, and make its IDs so.
func (p *Planner) Like(stored bool, newID func() uuid.UUID) {
	p.storing.Store(stored)
	p.newID = newID
}
