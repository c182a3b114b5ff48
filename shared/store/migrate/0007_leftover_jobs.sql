-- +goose Up

-- When a call that schedules the reminder's job was last begun.
alter table reminders add column last_scheduling_at timestamptz not null default now();

-- Jobs that may be with Dapr and mean nothing any more. The transaction that takes
-- a reminder's revision out of force records its job; the row goes once Dapr has
-- said that the job is deleted.
create table leftover_jobs (
    reminder_id uuid        not null, -- whose row may go before the job does
    revision    bigint      not null check (revision > 0),
    -- Only what was deleted after this is gone for good: until then a call that
    -- schedules the job may still be under way.
    settled_at  timestamptz not null,
    primary key (reminder_id, revision)
);

create index leftover_jobs_settled on leftover_jobs (settled_at);

-- Set once the reminder has been armed anew: nothing needs the delivery any more,
-- but people who ask what was sent.
alter table deliveries add column superseded boolean not null default false;
update deliveries d set superseded = true from reminders r where r.id = d.reminder_id and r.revision > d.revision;

-- What is kept for a while only, by age.
create index tasks_deleted on tasks (deleted_at) where deleted_at is not null;
create index reminders_removed on reminders (removed_at) where removed_at is not null;
create index deliveries_superseded on deliveries (finished_at) where superseded;
create index notifications_read on notifications (read_at) where read_at is not null;
create index dead_letters_settled on dead_letters (updated_at) where state in ('resolved', 'discarded');

-- +goose Down
drop index tasks_deleted, reminders_removed, notifications_read, dead_letters_settled;
alter table deliveries drop column superseded;
drop table leftover_jobs;
alter table reminders drop column last_scheduling_at;
