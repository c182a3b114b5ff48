package store

import (
	"context"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/duebell/duebell/shared/task"
)

// Event is a fired reminder, as it was published. Its ID is the delivery's.
type Event struct {
	ID        uuid.UUID
	TaskID    uuid.UUID
	UserID    string
	TaskTitle string
	DueDate   *time.Time
}

// genuine selects the events whose id, task and user are those of a published delivery. So nobody
// can use up the id of an event that is still to come.
const genuine = `
	genuine as materialized (
		select e.*, d.reminder_id, d.revision, d.created_at
		from unnest($1::uuid[], $2::uuid[], $3::text[], $4::text[], $5::timestamptz[]) with ordinality as e (id, task, person, title, due, n)
		join deliveries d on d.id = e.id and d.task_id = e.task and d.user_id = e.person and d.channel = 'event' and d.provider is not null
	)`

// RecordEvents adds events to the audit log, and returns how many were new. An id that is there
// already stays as it is; of several events with one id the first is added. refused has the places
// of those that match no published delivery. They are not added.
func (s *Store) RecordEvents(ctx context.Context, events []Event) (added int, refused []int, err error) {
	return s.takeEvents(ctx, events, `
		with `+genuine+`, fresh as (
			insert into audit_events (event_id, task_id, user_id, task_title, due_date)
			select id, task, person, title, due from genuine
			order by id, n -- concurrent calls lock the same ids in the same order
			on conflict (event_id) do nothing returning event_id
		)
		select (select count(*) from fresh), coalesce(array_agg(n), '{}') from genuine`)
}

// takeEvents runs a query that returns how many events were new, and the places of the genuine
// ones, counted from 1.
func (s *Store) takeEvents(ctx context.Context, events []Event, query string) (fresh int, refused []int, err error) {
	var ids, tasks pgtype.FlatArray[pgtype.UUID]
	var users, titles pgtype.FlatArray[string]
	var dates pgtype.FlatArray[pgtype.Timestamptz]
	for _, e := range events {
		ids, tasks = append(ids, pgUUID(e.ID)), append(tasks, pgUUID(e.TaskID))
		users, titles = append(users, e.UserID), append(titles, e.TaskTitle)
		dates = append(dates, pgInstant(e.DueDate))
	}
	err = s.do(ctx, func(ctx context.Context, c *pgxpool.Conn) error {
		var places []int
		if err := c.QueryRow(ctx, query, ids, tasks, users, titles, dates).Scan(&fresh, &places); err != nil {
			return err
		}
		refused = nil
		for i := range events {
			if !slices.Contains(places, i+1) {
				refused = append(refused, i)
			}
		}
		return nil
	})
	return fresh, refused, err
}

// CountEvents counts events, and returns how many were new. An event that was counted before is not
// counted again. An event counts as one reminder of the day on which it fired. The other deliveries
// of that firing are counted by channel, and by how late they were planned. refused is as in
// RecordEvents.
func (s *Store) CountEvents(ctx context.Context, events []Event) (counted int, refused []int, err error) {
	return s.takeEvents(ctx, events, `
		with `+genuine+`, counted as (
			-- Concurrent calls lock the same ids, and below the same rows, in the same order.
			insert into counted_events (event_id) select distinct id from genuine order by id
			on conflict (event_id) do nothing returning event_id
		), fired as (
			select distinct g.id, g.reminder_id, g.revision, (g.created_at at time zone 'UTC')::date as day
			from counted c join genuine g on g.id = c.event_id
		), others as (
			select f.day, d.channel, d.created_at - d.due_at as late
			from fired f join deliveries d on d.reminder_id = f.reminder_id and d.revision = f.revision
			-- A delivery that failed without an attempt had no usable target: it told nobody.
			where d.channel <> 'event' and not (d.state = 'failed' and d.attempts = 0) and d.state not in ('unverified', 'suppressed', 'refused')
		), reminders as (
			insert into analytics_reminders as a (day, count) select day, count(*) from fired group by 1 order by 1
			on conflict (day) do update set count = a.count + excluded.count
		), deliveries as (
			insert into analytics_deliveries as a (day, channel, lateness, count)
			select day, channel, case
				when late is null then 'unknown'
				when late < '1 s' then 'under_1s'
				when late < '10 s' then 'under_10s'
				when late < '1 min' then 'under_1m'
				when late < '10 min' then 'under_10m'
				else 'over_10m' end as bucket, count(*)
			from others group by 1, 2, 3 order by 1, 2, 3
			on conflict (day, channel, lateness) do update set count = a.count + excluded.count
		)
		select (select count(*) from counted), coalesce(array_agg(n), '{}') from genuine`)
}

// DayCounts are the counts of one day in UTC.
type DayCounts struct {
	Day        time.Time
	Reminders  int64
	Deliveries []DeliveryCount
}

// DeliveryCount is how many deliveries of one channel were planned that late.
type DeliveryCount struct {
	Channel  task.Channel
	Lateness string
	Count    int64
}

// Analytics returns the counts of days, in order. The first and the last day are included, and days
// without counts are left out.
func (s *Store) Analytics(ctx context.Context, from, to time.Time) (days []DayCounts, err error) {
	err = s.snapshot(ctx, func(ctx context.Context, tx pgx.Tx) error {
		rows, _ := tx.Query(ctx, `select day, count from analytics_reminders where day between $1 and $2 order by day`, from, to)
		days, err = pgx.CollectRows(rows, func(row pgx.CollectableRow) (d DayCounts, err error) {
			return d, row.Scan(&d.Day, &d.Reminders)
		})
		if err != nil {
			return err
		}
		var day time.Time
		var n DeliveryCount
		i := 0
		rows, _ = tx.Query(ctx, `
			select day, channel, lateness, count from analytics_deliveries where day between $1 and $2
			order by day, channel, array_position(array['under_1s', 'under_10s', 'under_1m', 'under_10m', 'over_10m', 'unknown'], lateness)`, from, to)
		_, err = pgx.ForEachRow(rows, []any{&day, &n.Channel, &n.Lateness, &n.Count}, func() error {
			for days[i].Day.Before(day) { // no index panic: each day that has deliveries has reminders
				i++
			}
			days[i].Deliveries = append(days[i].Deliveries, n)
			return nil
		})
		return err
	})
	return days, err
}
