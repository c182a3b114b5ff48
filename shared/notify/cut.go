package notify

import (
	"sort"
	"strings"

	"github.com/clipperhouse/uax29/v2/graphemes"
)

// Cut returns text if it fits. If not, it returns the longest beginning that fits with "..." after
// it. It never splits what readers see as one character. If fits is true of a text, it must be true
// of shorter ones.
func Cut(text string, fits func(string) bool) string {
	if fits(text) {
		return text
	}
	var ends []int // of each character
	for it := graphemes.FromString(text); it.Next(); {
		ends = append(ends, it.End())
	}
	shortened := func(characters int) string {
		if characters == 0 {
			return "..."
		}
		return strings.TrimSpace(text[:ends[characters-1]]) + "..."
	}
	tooMany := sort.Search(len(ends), func(characters int) bool { return !fits(shortened(characters)) })
	return shortened(max(tooMany-1, 0))
}
