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

// mostAsked is of how many users a sweep asks the owners of addresses, and of how many it ends
// the grace: what is sent by that comes among reminders, and is not to hold them up.
const mostAsked = 100

// verifyAddresses asks the owners of addresses that were there before anybody was asked, and
// tells their users so; and it ends the grace of those who were asked long ago. Without both keys
// nobody can be asked, and this is no step of a sweep: these addresses are written to until
// there is one.
func (s *Sweeper) verifyAddresses(ctx context.Context, sum *Summary) (count int, complete bool, err error) {
	asked, failed := s.eachOf(ctx, s.store.Ungraced, s.beginGrace)
	sum.Asked = asked
	ended, alsoFailed := s.eachOf(ctx, s.store.GraceOver, s.store.EndGrace)
	return asked + ended, ctx.Err() == nil, errors.Join(failed, alsoFailed)
}

// eachOf does something for some users, one after the other. One with whom it fails keeps
// nobody else waiting.
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

// beginGrace asks the owners of a user's addresses, but for those that have been sent all that
// an address gets, and begins their grace.
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
	if fault.CodeOf(err) == fault.CodeNotFound { // gone meanwhile
		return nil
	}
	return err
}
