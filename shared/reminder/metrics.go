package reminder

import (
	"context"
	"time"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/task"
)

// countFired counts a reminder that has fired, and those of its deliveries that are
// settled by that: the in-app one, and those that can't be sent.
func countFired(late time.Duration, deliveries []store.Delivery) {
	metrics.Fired(late)
	for _, d := range deliveries {
		if !d.Open() {
			metrics.Tried(string(d.Channel), string(d.State))
		}
	}
}

// countTried counts a send, by what the delivery came to, unless recording that
// failed.
func countTried(channel task.Channel, state store.DeliveryState, recording error) {
	if recording != nil {
		state = metrics.Unrecorded
	}
	metrics.Tried(string(channel), string(state))
}

// countSweep counts a sweep that ended with err.
func countSweep(sum Summary, err error, took time.Duration) {
	result := metrics.SweepComplete
	switch {
	case err != nil:
		result = metrics.SweepFailed
	case !sum.Complete:
		result = metrics.SweepCutShort
	}
	metrics.Swept(result, took)
	for outcome, n := range sum.Fired {
		metrics.SweepOutcome(metrics.WorkFire, outcome, n)
	}
	for outcome, n := range sum.Deliveries {
		metrics.SweepOutcome(metrics.WorkSend, outcome, n)
	}
	metrics.SweepOutcome(metrics.WorkSchedule, "scheduled", sum.Scheduled)
	metrics.SweepOutcome(metrics.WorkSchedule, "pending", sum.Pending)
}

// countDeadLetters shows how many dead letters there are, if the database has such.
func (s *Sweeper) countDeadLetters(ctx context.Context) error {
	counts, err := s.store.CountDeadLetters(context.WithoutCancel(ctx))
	if err == nil && counts != nil {
		metrics.SetDeadLetters(counts)
	}
	return err
}
