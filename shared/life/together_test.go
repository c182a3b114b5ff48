package life_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// Creates that come while another one is being stored are stored together. One of them
// that can't be does not take the others with it.
func TestCreatesAtTheSameTime(t *testing.T) {
	w := newWorld(t, time.Now)
	due := task.Instant(time.Now().Add(time.Hour))
	create := func(user string) error {
		d := task.Draft{Title: "x", DueDate: &due, Before: task.DefaultBefore()}
		created, err := w.planner.Create(t.Context(), store.User{ID: user}, d, nil)
		if err == nil && created.Reminders[0].Status(forever) != "scheduled" {
			t.Errorf("%s: %s", user, created.Reminders[0].Status(forever))
		}
		return err
	}
	const n = 20
	for _, bad := range []bool{false, true} {
		w.exec(`truncate tasks cascade`)
		taken := make(chan struct{}, 1)
		go w.hold(`lock table tasks in exclusive mode`, taken, 500*time.Millisecond)
		<-taken
		var all sync.WaitGroup
		for i := range n {
			all.Go(func() {
				if err := create(fmt.Sprintf("user %d", i%7)); err != nil {
					t.Error(err)
				}
			})
		}
		if bad {
			all.Go(func() {
				if create("") == nil { // which the schema refuses
					t.Error("a task of nobody is stored")
				}
			})
		}
		all.Wait()
		if rows := w.column(`select count(*)::text from tasks t join reminders r on r.task_id = t.id where r.confirmed_revision = 1`); rows[0] != fmt.Sprint(n) {
			t.Errorf("%s tasks are stored and scheduled, want %d", rows[0], n)
		}
		if commits := w.column(`select count(distinct xmin::text)::text from tasks`); !bad && commits[0] == fmt.Sprint(n) {
			t.Error("each was stored by itself")
		}
	}
}
