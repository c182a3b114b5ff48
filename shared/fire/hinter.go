package fire

import (
	"context"
	"log/slog"
	"time"

	"github.com/duebell/duebell/shared/together"
)

// hintTimeout bounds a notice: it is not worth more, as those who wait for it look
// by themselves every few seconds.
const hintTimeout = 500 * time.Millisecond

// hinter says whom something came for, to those who wait for it, after the commit. What
// comes while a notice is being sent shares the next one: so in a spike a process sends a
// notice now and then, each for many users, and not thousands at once.
type hinter struct{ notices together.Group[string] }

func newHinter(send func(context.Context, []string) error) *hinter {
	h := &hinter{}
	h.notices.Call = func(ctx context.Context, users []string) error {
		ctx, cancel := context.WithTimeout(ctx, hintTimeout)
		defer cancel()
		if err := send(ctx, users); err != nil {
			slog.DebugContext(ctx, "a notice was lost", "users", len(users), "error", err)
		}
		return nil // for nobody to try again
	}
	return h
}

// hint returns when the notice is on its way, or when that takes too long.
func (h *hinter) hint(ctx context.Context, users []string) {
	if len(users) > 0 {
		_ = h.notices.Do(ctx, users...)
	}
}
