-- +goose NO TRANSACTION
-- +goose Up

-- Each statement can be run again, and none blocks writers for long.

-- For a user's list by due date.
drop index concurrently if exists tasks_by_due;
create index concurrently tasks_by_due on tasks (user_id, due_date, id) where deleted_at is null;

-- For the same list: the current occurrences of recurring tasks depend on the time, so all of these
-- are read.
drop index concurrently if exists tasks_recurring;
create index concurrently tasks_recurring on tasks (user_id) where deleted_at is null and recurrence is not null and not completed;

-- Failed attempts, holds and replays, the latest ones: a list of objects with at, attempt,
-- provider, state, error, next. null: none.
alter table deliveries add column if not exists tries jsonb;

-- A test message belongs to no reminder, like a verification.
alter table deliveries add column if not exists test boolean not null default false;
drop index concurrently if exists deliveries_tests;
create index concurrently deliveries_tests on deliveries (user_id, created_at) where test;

-- The latest sweep and cleanup, for GET /api/status.
create table if not exists runs (
    name      text primary key,
    ended_at  timestamptz not null,
    complete  boolean     not null,
    failed    text[]      not null, -- names of steps
    sentinel  text        not null,
    pending   int         not null,
    providers jsonb -- the configured ones of each channel
);

-- +goose Down
drop table if exists runs;
-- An earlier version would take these for verifications.
delete from deliveries where test;
alter table deliveries drop column if exists test;
alter table deliveries drop column if exists tries;
drop index concurrently if exists tasks_recurring;
drop index concurrently if exists tasks_by_due;
