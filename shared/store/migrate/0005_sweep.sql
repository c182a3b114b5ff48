-- +goose Up

-- For retrying a reminder that Dapr did not take: how often the sweep has tried this revision, and
-- when it may try next.
alter table reminders
    add column schedule_attempts int not null default 0 check (schedule_attempts >= 0),
    add column next_schedule_at  timestamptz;

-- The job that should stay in Dapr for ever. If it is gone, the scheduler has lost its data, and no
-- confirmation is valid any more.
create table sentinel (
    only_row   boolean primary key default true check (only_row),
    name       text        not null,
    created_at timestamptz not null default now()
);

-- +goose Down
drop table sentinel;
alter table reminders drop column schedule_attempts, drop column next_schedule_at;
