package upkeep

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/notify"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/store"
	"github.com/duebell/duebell/shared/verify"
)

// mostAsked is for how many users a sweep asks the owners of addresses, and for how many it ends
// the grace. The messages share the senders with reminders, and must not delay these.
const mostAsked = 100

// verifyAddresses asks the owners of addresses that were listed before verification was set up, and
// tells the users so. It ends the grace of addresses whose owners were asked long ago. Without both
// keys nobody can be asked, and the sweep leaves this step out: these addresses get messages until
// there are keys.
func (s *Sweeper) verifyAddresses(ctx context.Context, sum *Summary) (count int, complete bool, err error) {
	asked, failed := s.eachOf(ctx, s.store.Ungraced, s.beginGrace)
	sum.Asked = asked
	ended, alsoFailed := s.eachOf(ctx, s.store.GraceOver, s.store.EndGrace)
	return asked + ended, ctx.Err() == nil, errors.Join(failed, alsoFailed)
}

// eachOf calls do for each user, one after the other. An error does not stop the others.
func (s *Sweeper) eachOf(ctx context.Context, list func(context.Context, int) ([]string, error), do func(context.Context, string) error) (done int, err error) {
	users, err := list(ctx, mostAsked)
	for _, user := range users {
		if ctx.Err() != nil {
			break
		}
		if failed := do(ctx, user); failed != nil {
			err = errors.Join(err, failed)
			if store.IsAway(failed) {
				break
			}
			continue
		}
		done++
	}
	return done, err
}

// beginGrace asks the owners of a user's addresses, and begins the addresses' grace. It does not
// ask owners who have reached a limit for such messages.
func (s *Sweeper) beginGrace(ctx context.Context, userID string) error {
	lasts := s.rules.VerifyGrace
	err := s.store.InTx(ctx, func(ctx context.Context, tx store.Tx) error {
		p, signIn, err := tx.LockPreferences(ctx, userID)
		if err != nil {
			return err
		}
		ask := slices.DeleteFunc(p.ListedOnly(p.Asked()), func(a string) bool { return p.State(a, signIn) == preferences.Verified })
		if len(ask) == 0 {
			p.Grace = nil
			return tx.SavePreferences(ctx, userID, p)
		}
		if _, _, err := s.asker.AskAll(ctx, tx, verify.Request{UserID: userID, LinkLasts: lasts}, ask); err != nil {
			return err
		}
		until := s.now().Add(lasts).Truncate(time.Minute)
		title, body := notify.Message{DueDate: &until, Zone: preferences.Zone(p.TimeZone), Language: p.Language}.GraceNotice()
		return tx.BeginGrace(ctx, store.Notification{ID: uuid.Must(uuid.NewV7()), UserID: userID, Title: title, Body: body}, lasts)
	})
	if err == nil {
		err = s.store.Hint(ctx, []string{userID})
	}
	if fault.CodeOf(err) == fault.CodeNotFound { // deleted meanwhile
		return nil
	}
	return err
}
