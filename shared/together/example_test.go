package together_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/duebell/duebell/shared/together"
)

// A hundred callers have a row each to be stored. Those that come at the same time share a call. One row can't be stored: that
// fails its own caller only, since the others' rows are then stored on their own.
func ExampleGroup() {
	var stored, failed atomic.Int64
	group := together.Group[int]{Call: func(_ context.Context, rows []int) error {
		if slices.Contains(rows, 13) {
			return errors.New("13 can't be stored") // and so is none of rows
		}
		stored.Add(int64(len(rows)))
		return nil
	}}
	var callers sync.WaitGroup
	for row := range 100 {
		callers.Go(func() {
			if err := group.Do(context.Background(), row); err != nil {
				fmt.Println(err)
				failed.Add(1)
			}
		})
	}
	callers.Wait()
	fmt.Println(stored.Load(), "stored,", failed.Load(), "failed")
	// Output:
	// 13 can't be stored
	// 99 stored, 1 failed
}
