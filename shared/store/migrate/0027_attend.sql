-- +goose NO TRANSACTION
-- Not one transaction, so that no statement blocks others for long. Each statement can be run
-- again.

-- +goose Up
alter table tasks
    -- How often and how many times a reminder is repeated until it is acknowledged; null: it is
    -- not.
    add column if not exists repeat_every interval,
    add column if not exists repeat_times int;
alter table tasks drop constraint if exists repeats_wholly;
alter table tasks add constraint repeats_wholly check ((repeat_every is null) = (repeat_times is null)) not valid;

alter table reminders
    -- due: at an offset before the due date. snooze: at an instant that the user has chosen.
    -- repeat: repeats another reminder. The last two are for one occurrence.
    add column if not exists kind       text not null default 'due',
    -- For kind repeat: the reminder that is repeated, and the number of the repetition.
    add column if not exists repeats    uuid,
    add column if not exists repetition int  not null default 0;
alter table reminders drop constraint if exists reminders_kind;
alter table reminders add constraint reminders_kind
    check (kind in ('due', 'snooze', 'repeat') and (kind = 'repeat') = (repeats is not null) and (kind = 'repeat') = (repetition > 0)) not valid;

-- One reminder for each offset, one repetition for each reminder, and one armed snooze for each
-- occurrence.
drop index concurrently if exists reminders_once_of_kind;
create unique index concurrently reminders_once_of_kind
    on reminders (task_id, before, before_days, (case when kind <> 'due' then id end)) nulls not distinct;
drop index concurrently if exists reminders_once;
drop index concurrently if exists reminders_repeat_once;
create unique index concurrently reminders_repeat_once on reminders (repeats) where kind = 'repeat';
drop index concurrently if exists reminders_snooze_once;
create unique index concurrently reminders_snooze_once on reminders (task_id, occurrence) nulls not distinct where kind = 'snooze' and state = 'armed';

alter table notifications
    add column if not exists kind            text not null default 'due', -- the reminder's
    add column if not exists reminder_id     uuid,
    -- When its user acknowledged it. Reading it does not set this.
    add column if not exists acknowledged_at timestamptz;

-- +goose Down
alter table notifications drop column if exists kind, drop column if exists reminder_id, drop column if exists acknowledged_at;
-- Rows that an earlier version does not know are deleted.
delete from deliveries where reminder_id in (select id from reminders where kind <> 'due');
delete from reminders where kind <> 'due';
drop index concurrently if exists reminders_once;
create unique index concurrently reminders_once on reminders (task_id, before, before_days);
alter table reminders drop column if exists kind, drop column if exists repeats, drop column if exists repetition; -- and their indexes
alter table tasks drop column if exists repeat_every, drop column if exists repeat_times;
