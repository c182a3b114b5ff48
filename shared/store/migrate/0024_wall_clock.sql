-- +goose NO TRANSACTION
-- +goose Up

-- Not one transaction, because an index is built without blocking writers. Each statement can be
-- run again.

-- A due date given as a wall-clock time. due_date is the instant that was derived from it.
alter table tasks
    add column if not exists due_local   timestamp, -- midnight if it is all day
    add column if not exists due_all_day boolean not null default false,
    -- The zone of due_local; null: the user's zone.
    add column if not exists time_zone   text;

alter table reminders
    -- The offset's days. before has the rest. As intervals, 1 day and 24 hours would be equal; here
    -- they are two offsets.
    add column if not exists before_days   int not null default 0,
    -- What fire_at was derived from: the version of the user's clock (-1: none), and the release of
    -- the time-zone data. null: fire_at depends on neither.
    add column if not exists derived_clock bigint,
    add column if not exists derived_tz    text collate "C";

-- Offsets may be after the due date. Existing rows are within the new bounds.
alter table reminders drop constraint if exists reminders_before_check;
alter table reminders add constraint reminders_before_check
    check (before between '-366 days' and '366 days' and before_days between -366 and 366) not valid;

drop index concurrently if exists reminders_once;
create unique index concurrently reminders_once on reminders (task_id, before, before_days);
alter table reminders drop constraint if exists reminders_task_id_before_key;

-- Reminders to derive again after a user's clock has changed, or with a later release.
drop index concurrently if exists reminders_by_clock;
create index concurrently reminders_by_clock on reminders (user_id, derived_clock) where state = 'armed' and derived_clock >= 0;
drop index concurrently if exists reminders_by_release;
create index concurrently reminders_by_release on reminders (derived_tz, id) where state = 'armed' and derived_tz is not null;

alter table preferences
    -- The time of day of an all-day due date.
    add column if not exists all_day_at        interval not null default '09:00',
    -- Offsets for tasks that name none; null: one reminder, at the due date.
    add column if not exists default_reminders text[],
    -- Increases with each change of time_zone or all_day_at.
    add column if not exists clock_version     bigint not null default 0,
    -- When the clock last changed; null once all of the user's reminders have followed.
    add column if not exists clock_changed_at  timestamptz;

-- '' means that no zone was chosen.
alter table preferences drop constraint if exists preferences_time_zone_check;
alter table preferences add constraint preferences_time_zone_check check (char_length(time_zone) <= 64) not valid;

drop index concurrently if exists preferences_clock_changed;
create index concurrently preferences_clock_changed on preferences (clock_changed_at) where clock_changed_at is not null;

-- +goose Down
drop index concurrently if exists preferences_clock_changed;
update preferences set time_zone = 'UTC' where time_zone = '';
alter table preferences drop constraint if exists preferences_time_zone_check;
alter table preferences add constraint preferences_time_zone_check check (char_length(time_zone) between 1 and 64);
alter table preferences drop column if exists all_day_at, drop column if exists default_reminders, drop column if exists clock_version, drop column if exists clock_changed_at;
drop index concurrently if exists reminders_by_clock;
drop index concurrently if exists reminders_by_release;
-- Rows that an earlier version does not know are deleted.
delete from deliveries where reminder_id in (select id from reminders where before_days <> 0 or before < '0');
delete from reminders where before_days <> 0 or before < '0';
drop index concurrently if exists reminders_once;
alter table reminders drop constraint if exists reminders_before_check;
alter table reminders add constraint reminders_before_check check (before between '0' and '366 days');
alter table reminders drop constraint if exists reminders_task_id_before_key;
alter table reminders add constraint reminders_task_id_before_key unique (task_id, before);
alter table reminders drop column if exists before_days, drop column if exists derived_clock, drop column if exists derived_tz;
alter table tasks drop column if exists due_local, drop column if exists due_all_day, drop column if exists time_zone;
