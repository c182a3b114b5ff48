package zone

import (
	"strings"
	"time"

	"github.com/duebell/duebell/shared/fault"
)

// Get is [Data.Get] of the release that is embedded here.
func Get(name string) (*time.Location, error) { return Pinned().Get(name) }

// Get returns the zone of an IANA name, see [Data.Load]. If there is no such zone, the error has the
// code invalid and suggests a similar name, if there is one. Its text continues a sentence that begins
// with what was read, such as "time_zone".
func (d *Data) Get(name string) (*time.Location, error) {
	if location, ok := d.Load(name); ok {
		return location, nil
	}
	if near := d.nearest(name); near != "" {
		return nil, fault.Invalid("must be the name of a time zone (IANA), not %.40q; did you mean %q?", name, near)
	}
	return nil, fault.Invalid("must be the name of a time zone such as \"Europe/Paris\" or \"UTC\" (IANA), not %.40q", name)
}

// maxName is longer than any zone's name, also a misspelt one.
const maxName = 48

// nearest returns the zone that a wrong name probably means, or "". It knows places without their
// region ("Paris", "new york"), other spellings ("europe/paris"), and names with a
// few wrong letters.
func (d *Data) nearest(wrong string) string {
	asked := plain(wrong)
	if asked == "" || len(asked) > maxName {
		return ""
	}
	type candidate struct {
		name string
		far  int
	}
	best := candidate{far: 1 + len(asked)/4}
	for _, name := range d.Names() {
		known := plain(name)
		far := distance(asked, known)
		// A place alone means its zone. If it is spelt right, it is nearer than
		// any whole name with a wrong letter.
		if i := strings.LastIndex(known, "/"); i >= 0 && !strings.Contains(asked, "/") && len(asked) > 3 {
			far = min(far, distance(asked, known[i+1:]))
		}
		if far < best.far {
			best = candidate{name, far}
		}
	}
	return best.name
}

// plain is a name as nearest compares it.
func plain(name string) string {
	return strings.ToLower(strings.NewReplacer(" ", "_", "-", "_", "\\", "/").Replace(strings.TrimSpace(name)))
}

// distance is how many bytes have to be inserted, deleted, replaced, or swapped with the next one,
// to make b of a (restricted Damerau-Levenshtein).
func distance(a, b string) int {
	before, last, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range last {
		last[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row[0] = i
		for j := 1; j <= len(b); j++ {
			replaced := last[j-1]
			if a[i-1] != b[j-1] {
				replaced++
			}
			row[j] = min(replaced, last[j]+1, row[j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
		before, last, row = last, row, before
	}
	return last[len(b)]
}
