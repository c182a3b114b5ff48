package deliver

import (
	"context"
	"fmt"
	"log/slog"
	"time"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/quota"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/suppress"
	"github.com/duebell/duebell/shared/task"
)

// wanted returns the delivery to lease, and how it is counted.
func (r Rules) wanted(i item) store.Wanted {
	w := store.Wanted{ID: i.id, UserID: i.user, Channel: i.channel, Bundle: i.bundle, Address: r.Suppression.Hashes(i.channel, i.target), Cost: r.Quota.Cost(i.channel, i.target)}
	if suppress.Applies(i.channel) {
		w.Recipient = r.Suppression.Counter(i.channel, i.target)
	}
	return w
}

// holdBack holds or refuses a delivery that is over a limit, and tells its reminder in-app. If that
// can't be recorded, the delivery is due again after the time of a lease, and is judged again.
func (s *Sender) holdBack(ctx context.Context, l *store.Leased) result {
	is, outcome := result{state: store.Refused}, string(store.Refused)
	if l.Held() {
		is, outcome = result{state: store.Planned, wait: time.Until(l.HeldUntil)}, "held"
	}
	problem := overProblem(l, s.rules.Quota)
	if err := s.store.HoldBack(ctx, l, problem, inAppOf(l)); err != nil {
		slog.WarnContext(ctx, "that a delivery is over a limit could not be recorded: it comes again", "delivery_id", l.ID, "limit", l.Over, "error", err)
		return result{lost: true}
	}
	slog.InfoContext(ctx, "delivery not tried: it is over a limit", "delivery_id", l.ID, "task_id", l.TaskID, "channel", l.Channel, "limit", l.Over, "state", outcome)
	metrics.Tried(string(l.Channel), outcome)
	metrics.OverQuota(string(l.Channel), string(l.Over))
	s.hint(ctx, l.UserID)
	return is
}

// overProblem returns the text for the delivery log of a delivery that is over a limit.
func overProblem(l *store.Leased, rules quota.Rules) string {
	what := map[task.Channel]string{task.Email: "e-mails", task.Push: "push messages", task.SMS: "text messages", task.Webhook: "messages to your webhook"}[l.Channel]
	switch {
	case l.Over == store.OverHour && l.Test:
		return fmt.Sprintf("refused: you were sent %d %s in this hour, as many as a user may be (QUOTA_PER_HOUR)", rules.Limits.PerHour[l.Channel], what)
	case l.Over == store.OverHour:
		return fmt.Sprintf("held until %s: you were sent %d %s in this hour, as many as a user may be (QUOTA_PER_HOUR)",
			l.HeldUntil.UTC().Format("15:04 UTC"), rules.Limits.PerHour[l.Channel], what)
	case l.Over == store.OverDay:
		return fmt.Sprintf("refused: you were to be sent more than %d %s today, which is as many as a user may be in a day of UTC (QUOTA_PER_DAY)", rules.Limits.PerDay[l.Channel], what)
	case l.Over == store.OverRecipient:
		return "refused: as many " + what + " were sent to this address today as any address is in a day of UTC, whoever asks (QUOTA_PER_RECIPIENT)"
	default:
		return "refused: the text messages of this installation have cost as much today as they may in a day of UTC (SMS_DAILY_COST); whoever runs it can raise that"
	}
}
