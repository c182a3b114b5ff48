package upkeep

import (
	"context"
	"log/slog"

	"github.com/duebell/duebell/shared/schedule"
)

// AlertTopic is the topic for alerts about dead letters.
const AlertTopic = "reminder-alerts"

// alert tells the operators of deliveries that were given up, in the log and by an event. If the
// event can't be published, the next sweep retries. If the process dies after publishing, the next
// sweep publishes it again under the same id.
func (s *Sweeper) alert(ctx context.Context, sum *Summary) (told int, complete bool, err error) {
	letters, err := s.store.Unalerted(ctx, page)
	for _, l := range letters {
		call, cancel := context.WithTimeout(ctx, schedule.CallTimeout)
		published := s.dapr.Publish(call, AlertTopic, l.ID.String(), l)
		cancel()
		if published != nil {
			sum.FailedAlerts = len(letters) - sum.Alerts
			slog.WarnContext(ctx, "dead letters wait to be told of: an event could not be published", "topic", AlertTopic, "waiting", sum.FailedAlerts, "error", published)
			return sum.Alerts, false, nil
		}
		slog.ErrorContext(ctx, "a dead letter needs an operator", "dead_letter_id", l.ID, "job_name", l.JobName, "attempts", l.Attempts, "reason", l.Error)
		if err := s.store.MarkAlerted(ctx, l.ID); err != nil {
			return sum.Alerts, false, err
		}
		sum.Alerts++
	}
	return sum.Alerts, len(letters) < page, err
}
