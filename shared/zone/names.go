package zone

import (
	"maps"
	"slices"
)

// Names returns the names of all zones, other names for the same one too, in their order.
func Names() []string { return slices.Sorted(maps.Keys(opened().files)) }
