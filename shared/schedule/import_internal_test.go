package schedule

import (
	"errors"
	"testing"
)

// A part that fails stops the parts after it. Parts before it are still stored, even if they have
// not begun, so that the import knows how far it came.
func TestPartsBeforeAFailedOneAreCarriedOut(t *testing.T) {
	second, first := errors.New("the second part's"), errors.New("the first part's")
	i := Import{release: func() {}}
	i.settle(2, Counts{}, second)
	i.settle(4, Counts{Created: 3}, nil)
	for n, want := range map[int]error{1: nil, 2: second, 3: second} {
		if err := i.failure(n); !errors.Is(err, want) {
			t.Errorf("part %d: %v, want %v", n, err, want)
		}
	}
	i.settle(1, Counts{}, first)
	i.settle(3, Counts{}, second)
	if counts, err := i.Wait(); !errors.Is(err, first) || counts.Created != 3 {
		t.Errorf("in the end: %+v, %v", counts, err)
	}
}
