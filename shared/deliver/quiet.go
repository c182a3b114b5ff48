package deliver

import (
	"context"
	"log/slog"
	"time"

	"github.com/duebell/duebell/shared/metrics"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
)

// isQuiet reports whether a delivery is within its user's quiet hours. If so, it sets HeldUntil to
// when they are over.
func isQuiet(l *store.Leased) bool {
	l.HeldUntil = l.Quiet.Until(l.Quiet.At, preferences.Zone(l.TimeZone))
	return l.HeldUntil.After(l.Quiet.At)
}

// lookAgain is the wait before judging a delivery again that somebody changed while it was judged.
const lookAgain = time.Second

// hold holds a delivery that is within quiet hours. That takes no attempt. If the process dies
// before it is recorded, the delivery stays as it was.
func (s *Sender) hold(ctx context.Context, l *store.Leased) result {
	h, err := s.store.HoldQuiet(ctx, l)
	if err != nil {
		slog.WarnContext(ctx, "that a delivery is held could not be recorded: it is judged again", "delivery_id", l.ID, "error", err)
		return result{lost: true}
	}
	metrics.Held(string(l.Channel), h.State == store.Planned, h.Replaced)
	slog.InfoContext(ctx, "delivery within quiet hours", "delivery_id", l.ID, "task_id", l.TaskID, "channel", l.Channel,
		"state", h.State, "until", l.HeldUntil, "replaced", h.Replaced)
	switch h.State {
	case store.Planned:
		return result{state: h.State, wait: time.Until(l.HeldUntil)}
	case store.Cancelled:
		return result{state: h.State}
	default:
		return result{state: store.Planned, wait: lookAgain}
	}
}
