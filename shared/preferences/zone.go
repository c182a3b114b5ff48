package preferences

import (
	"time"

	"github.com/duebell/duebell/shared/zone"
)

// Zone returns the time zone of a name that was checked when it was stored. None, and one
// that is not known here, is UTC: the texts say which zone they mean.
func Zone(name string) *time.Location {
	if location, ok := zone.Load(name); ok {
		return location
	}
	return time.UTC
}
