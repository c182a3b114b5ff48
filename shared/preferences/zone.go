package preferences

import (
	"regexp"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // an image may come without zones
)

// Zone returns the time zone of a name that was checked when it was stored. One
// that is not known here is UTC: the texts say which zone they mean.
func Zone(name string) *time.Location {
	if zone, ok := loadZone(name); ok {
		return zone
	}
	return time.UTC
}

var zoneName = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_+-]*(/[A-Za-z0-9_+-]+){0,2}$`)

// notZones are found where zones are, and are none: the machine's own, and
// copies, some of which count leap seconds.
var notZones = []string{"Local", "localtime", "posixrules", "posix", "right"}

func loadZone(name string) (zone *time.Location, ok bool) {
	area, _, _ := strings.Cut(name, "/")
	if len(name) > maxZone || !zoneName.MatchString(name) || slices.Contains(notZones, area) {
		return nil, false
	}
	zone, err := time.LoadLocation(name)
	return zone, err == nil
}
