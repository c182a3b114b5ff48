package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/fault"
	"github.com/duebell/duebell/shared/preferences"
	"github.com/duebell/duebell/shared/task"
	"github.com/duebell/duebell/shared/wallclock"
)

// preferencesColumns are all columns but the webhook's secrets, which only the sender reads, and the
// agenda, which no reminder needs.
const preferencesColumns = `p.time_zone, p.language, p.channels, p.emails, p.phones, p.devices, p.webhook_url, p.webhook_gone, p.unsubscribed, p.verified, p.grace, p.all_day_at, p.default_reminders, p.clock_version, p.webhook_links, p.version, p.quiet_hours::text, p.bundle`

// scanPreferences reads preferencesColumns and the columns in more. ok is false if the user has no
// row of preferences.
func scanPreferences(row pgx.Row, more ...any) (p preferences.Preferences, ok bool, err error) {
	var zone, language, webhook *string
	var gone, links, unsubscribed *bool
	var version, clock *int64
	var allDayAt *time.Duration
	var reminders []string
	var quietHours []byte
	err = row.Scan(append([]any{
		&zone, &language, &p.Channels, &p.Emails, &p.Phones, &p.Devices, &webhook, &gone, &unsubscribed, &p.Verified, &p.Grace,
		&allDayAt, &reminders, &clock, &links, &version, &quietHours, &p.Bundle,
	}, more...)...)
	if err != nil || version == nil {
		return preferences.Preferences{}, false, err
	}
	p.TimeZone, p.Language, p.Unsubscribed, p.Version = *zone, *language, *unsubscribed, *version
	p.AllDayAt, p.ClockVersion = *allDayAt, *clock
	if p.DefaultReminders, err = parseOffsets(reminders); err != nil {
		return preferences.Preferences{}, false, err
	}
	if p.QuietHours, err = parseQuietHours(quietHours); err != nil {
		return preferences.Preferences{}, false, err
	}
	if webhook != nil {
		p.Webhook = &preferences.Webhook{URL: *webhook, KeepSecret: true, Gone: *gone, Links: *links}
	}
	return p, true, nil
}

// agendaField scans the column agenda.
type agendaField struct{ to **preferences.Agenda }

// Scan implements sql.Scanner.
func (f agendaField) Scan(value any) error {
	*f.to = nil
	if value == nil {
		return nil
	}
	text, ok := value.(string)
	if !ok {
		return fmt.Errorf("an agenda is a %T", value)
	}
	var w preferences.WrittenAgenda
	if err := json.Unmarshal([]byte(text), &w); err != nil {
		return err
	}
	a, err := preferences.ParseAgenda(w)
	*f.to = &a
	return err
}

// pgAgenda returns an agenda as the database holds it: null if there is none.
func pgAgenda(a *preferences.Agenda) *preferences.WrittenAgenda {
	if a == nil {
		return nil
	}
	return new(a.Written())
}

// parseOffsets reads offsets as formatOffsets writes them; nil stays nil.
func parseOffsets(texts []string) ([]task.Offset, error) {
	if texts == nil {
		return nil, nil
	}
	offsets := make([]task.Offset, len(texts))
	for i, text := range texts {
		var err error
		if offsets[i], err = wallclock.ParseOffset(text); err != nil {
			return nil, err
		}
	}
	return offsets, nil
}

// habitColumns are the columns of a user's habits.
const habitColumns = `coalesce(p.time_zone, ''), coalesce(p.all_day_at, '9 h'), p.default_reminders, coalesce(p.clock_version, 0)`

// habitRow is a row of habitColumns.
type habitRow struct {
	zone      string
	allDayAt  time.Duration
	reminders []string
	version   int64
}

func (r *habitRow) fields() []any { return []any{&r.zone, &r.allDayAt, &r.reminders, &r.version} }

func (r habitRow) habits() (preferences.Habits, error) {
	reminders, err := parseOffsets(r.reminders)
	return preferences.Preferences{TimeZone: r.zone, AllDayAt: r.allDayAt, DefaultReminders: reminders, ClockVersion: r.version}.Habits(), err
}

// GetHabits returns a user's habits: the defaults if the user has stored no preferences.
func (s *Store) GetHabits(ctx context.Context, userID string) (h preferences.Habits, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		h, err = getHabits(ctx, c, userID)
		return err
	})
	return h, err
}

// GetHabits returns the same, as the transaction sees it.
func (tx Tx) GetHabits(ctx context.Context, userID string) (preferences.Habits, error) {
	return getHabits(ctx, tx.tx, userID)
}

func getHabits(ctx context.Context, on querier, userID string) (preferences.Habits, error) {
	var row habitRow
	if err := on.QueryRow(ctx, `
		select `+habitColumns+` from (select $1::text as id) u left join preferences p on p.user_id = u.id`, userID).Scan(row.fields()...); err != nil {
		return preferences.Habits{}, err
	}
	return row.habits()
}

// GetPreferences returns a user's preferences, without the webhook's secret. A user who has stored
// none has the defaults. These depend on the verified address on record, or on u's if the user is
// not on record.
func (s *Store) GetPreferences(ctx context.Context, u User) (preferences.Preferences, error) {
	r, err := s.GetRecipient(ctx, u)
	return r.Preferences, err
}

// GetRecipient returns a user's preferences as GetPreferences does, and the address of the user's
// sign-in.
func (s *Store) GetRecipient(ctx context.Context, u User) (r Recipient, err error) {
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		var ok bool
		var agenda *preferences.Agenda
		r.Preferences, ok, err = scanPreferences(c.QueryRow(ctx, `
			select `+preferencesColumns+`, p.agenda::text, case when u.id is null then $2 else u.email end
			from (select $1::text as id) asked left join users u on u.id = asked.id left join preferences p on p.user_id = asked.id`,
			u.ID, u.Email), agendaField{&agenda}, &r.SignIn)
		if err == nil && !ok {
			r.Preferences = preferences.Default(r.SignIn != nil)
		}
		r.Agenda = agenda
		return err
	})
	return r, err
}

var errNoUser = fault.NotFound("there is no such user")

// LockPreferences locks a user's row, so that nobody else changes their preferences. It returns
// these as GetPreferences does, and the verified address of the user's sign-in.
func (tx Tx) LockPreferences(ctx context.Context, userID string) (p preferences.Preferences, email *string, err error) {
	err = tx.tx.QueryRow(ctx, `select email from users where id = $1 for no key update`, userID).Scan(&email)
	if errors.Is(err, pgx.ErrNoRows) {
		return p, nil, errNoUser
	}
	if err != nil {
		return p, nil, err
	}
	// A statement of its own, so that it sees what was committed before the lock was taken.
	var agenda *preferences.Agenda
	p, _, err = scanPreferences(tx.tx.QueryRow(ctx, `select `+preferencesColumns+`, p.agenda::text from preferences p where p.user_id = $1`, userID), agendaField{&agenda})
	if errors.Is(err, pgx.ErrNoRows) {
		return preferences.Default(email != nil), email, nil
	}
	p.Agenda = agenda
	return p, email, err
}

// oldSecretLasts is how long a webhook's messages are also signed with the old secret, so that its
// receiver can change over without a gap.
const oldSecretLasts = 24 * time.Hour

// SavePreferences stores the preferences of a user whom LockPreferences locked. The caller sets the
// new version. An old webhook secret still signs for oldSecretLasts. Addresses that are no longer
// listed lose their state. If the user's clock changed, [Store.ClocksChanged] returns the user from
// then on. Deliveries that quiet hours hold become due, to be judged by the new quiet hours.
func (tx Tx) SavePreferences(ctx context.Context, userID string, p preferences.Preferences) error {
	var url, secret *string
	keep, gone, links := false, false, false
	if p.Webhook != nil {
		url, keep, gone, links = &p.Webhook.URL, p.Webhook.KeepSecret, p.Webhook.Gone, p.Webhook.Links
		if given := p.Webhook.Secret.Reveal(); given != "" {
			secret = &given
		}
	}
	_, err := tx.tx.Exec(ctx, `
		insert into preferences (user_id, time_zone, language, channels, emails, phones, devices, webhook_url, webhook_secret, webhook_gone, unsubscribed, verified, grace, version,
			all_day_at, default_reminders, quiet_hours, bundle, agenda, webhook_links, clock_version, clock_changed_at)
		values (@user, @zone, @language, @channels, @emails, @phones, @devices, @url, @secret, @gone, @unsubscribed, @verified, @grace, @version,
			@all_day_at, @reminders, @quiet_hours::text::jsonb, @bundle, @agenda, @links, (@zone <> '' or @all_day_at::interval <> '9 h')::int, case when @zone <> '' or @all_day_at::interval <> '9 h' then now() end)
		on conflict (user_id) do update set
			(webhook_secret, webhook_old_secret, webhook_old_secret_until) = (
				select
					case when kept then preferences.webhook_secret else excluded.webhook_secret end,
					case when kept then preferences.webhook_old_secret when replaced then preferences.webhook_secret end,
					case when kept then preferences.webhook_old_secret_until when replaced then now() + @lasts end
				from (select coalesce(same and (@keep or excluded.webhook_secret = preferences.webhook_secret), false) as kept,
						coalesce(same and excluded.webhook_secret <> preferences.webhook_secret, false) as replaced
					from (select preferences.webhook_url = excluded.webhook_url as same) asked) judged),
			time_zone = excluded.time_zone, language = excluded.language, channels = excluded.channels,
			emails = excluded.emails, phones = excluded.phones, devices = excluded.devices, webhook_url = excluded.webhook_url,
			webhook_gone = excluded.webhook_gone, webhook_links = excluded.webhook_links, unsubscribed = excluded.unsubscribed, version = excluded.version, updated_at = now(),
			verified = excluded.verified, grace = excluded.grace, all_day_at = excluded.all_day_at, default_reminders = excluded.default_reminders, quiet_hours = excluded.quiet_hours, bundle = excluded.bundle, agenda = excluded.agenda,
			clock_version = preferences.clock_version + ((preferences.time_zone, preferences.all_day_at) <> (excluded.time_zone, excluded.all_day_at))::int,
			clock_changed_at = case when (preferences.time_zone, preferences.all_day_at) <> (excluded.time_zone, excluded.all_day_at)
				then now() else preferences.clock_changed_at end,
			grace_until = case when cardinality(excluded.grace) > 0 then preferences.grace_until end`,
		pgx.NamedArgs{
			"user": userID, "zone": p.TimeZone, "language": p.Language, "channels": notNil(p.Channels),
			"emails": notNil(p.Emails), "phones": notNil(p.Phones), "devices": notNil(p.Devices),
			"url": url, "secret": secret, "keep": keep, "lasts": oldSecretLasts, "gone": gone, "links": links, "unsubscribed": p.Unsubscribed, "version": p.Version,
			"all_day_at": p.AllDayAt, "reminders": formatOffsets(p.DefaultReminders), "quiet_hours": pgQuietHours(p.QuietHours), "bundle": pgBundle(p.Bundle), "agenda": pgAgenda(p.Agenda),
			"verified": notNil(p.ListedOnly(p.Verified)), "grace": notNil(p.ListedOnly(p.Grace)),
		})
	if err != nil {
		return err
	}
	return tx.judgeHeldAgain(ctx, `d.user_id = $1`, userID)
}

// formatOffsets writes offsets as the database holds them.
func formatOffsets(offsets []task.Offset) (texts []string) {
	for _, o := range offsets {
		texts = append(texts, o.String())
	}
	if offsets != nil {
		texts = notNil(texts)
	}
	return texts
}

// pgBundle returns a bundle as the database holds it: null if nothing is bundled.
func pgBundle(b preferences.Bundle) *preferences.Bundle {
	if len(b) == 0 {
		return nil
	}
	return &b
}

// notNil returns the list, or an empty one for nil: the column is never null.
func notNil[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
