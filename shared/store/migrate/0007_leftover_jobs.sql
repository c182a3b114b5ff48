-- +goose Up

-- When the latest call that schedules the reminder's job began.
alter table reminders add column last_scheduling_at timestamptz not null default now();

-- Jobs of revisions that mean nothing any more, which Dapr may still hold. The transaction that
-- ends a revision adds the row. The row is deleted once Dapr has deleted the job.
create table leftover_jobs (
    reminder_id uuid        not null, -- the reminder's row may be deleted before the job
    revision    bigint      not null check (revision > 0),
    -- A deletion counts only after this time. Until then a call that schedules the job may still be
    -- under way.
    settled_at  timestamptz not null,
    primary key (reminder_id, revision)
);

create index leftover_jobs_settled on leftover_jobs (settled_at);

-- Set once the reminder has been armed anew. Only the delivery log still needs the row.
alter table deliveries add column superseded boolean not null default false;
update deliveries d set superseded = true from reminders r where r.id = d.reminder_id and r.revision > d.revision;

-- For deleting old rows.
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
