package main

import (
	"context"
	"regexp"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// bundleTime is how long bundles gather.
const bundleTime = 3 * time.Second

// hasBundles reports whether a user's e-mails are bundled.
func hasBundles(user int) bool { return user%4 == 2 }

// isBundled reports whether a life's messages on a channel are bundled.
func (l *life) isBundled(channel string) bool {
	return channel == "email" && hasBundles(l.user) && !l.isUrgent()
}

// bundleSubject matches the subjects of bundles.
var bundleSubject = regexp.MustCompile(`^[0-9]+ (reminders|Erinnerungen): `)

// frozen returns when the bundles that were sent were frozen, by the ids of the messages.
func (run *run) frozen(ctx context.Context) (all map[uuid.UUID]time.Time, err error) {
	all = map[uuid.UUID]time.Time{}
	rows, err := run.db.Query(ctx, `select id, frozen_at from bundles where frozen_at is not null`)
	if err != nil {
		return nil, err
	}
	var id uuid.UUID
	var at time.Time
	_, err = pgx.ForEachRow(rows, []any{&id, &at}, func() error {
		all[id] = at
		return nil
	})
	return all, err
}

// judgeBundled finds what was lost of a life whose messages are bundled. Several of its reminders
// may be in one message. So each reminder that had to be sent needs a message that came after it
// was due.
func (t *tally) judgeBundled(l *life, channel string, came []told, due []time.Time) {
	for _, at := range due {
		after := false
		for _, m := range came {
			after = after || !m.at.Before(at)
		}
		if !after {
			t.find(l, "lost", "nothing came by %s at %s or after it, as a bundle or alone", channel, clock(at))
		}
	}
}
