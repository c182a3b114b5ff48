package zone

import (
	"maps"
	"slices"
)

// Names returns the names of all zones, aliases included, sorted.
func (d *Data) Names() []string { return slices.Sorted(maps.Keys(d.files)) }

// Names is [Data.Names] of the release that is embedded here.
func Names() []string { return Pinned().Names() }
