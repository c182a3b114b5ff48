package fire

import (
	"context"
	"log/slog"
	"time"

	"github.com/duebell/duebell/shared/together"
)

// hintTimeout bounds a hint. Inboxes look by themselves every few seconds, so waiting longer is of
// no use.
const hintTimeout = 500 * time.Millisecond

// hinter sends hints to open inboxes after commits. Hints that come while one is being sent share
// the next one. So in a spike a process sends few, each for many users.
type hinter struct{ notices together.Group[string] }

func newHinter(send func(context.Context, []string) error) *hinter {
	h := &hinter{}
	h.notices.Call = func(ctx context.Context, users []string) error {
		ctx, cancel := context.WithTimeout(ctx, hintTimeout)
		defer cancel()
		if err := send(ctx, users); err != nil {
			slog.DebugContext(ctx, "a notice was lost", "users", len(users), "error", err)
		}
		return nil // nobody retries a hint
	}
	return h
}

// hint returns when the hint was sent, or when that takes too long.
func (h *hinter) hint(ctx context.Context, users []string) {
	if len(users) > 0 {
		_ = h.notices.Do(ctx, users...)
	}
}
