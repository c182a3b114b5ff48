-- +goose NO TRANSACTION
-- +goose Up

-- Each statement can be repeated, and keeps nobody from writing for long.

-- A user's list by due date.
drop index concurrently if exists tasks_by_due;
create index concurrently tasks_by_due on tasks (user_id, due_date, id) where deleted_at is null;

-- Where each of a user's recurring tasks is depends on the time, so all of them are read for that list.
drop index concurrently if exists tasks_recurring;
create index concurrently tasks_recurring on tasks (user_id) where deleted_at is null and recurrence is not null and not completed;

-- The latest attempts that did not get a delivery sent, and what else kept it from that: a list of objects with
-- at, attempt, provider, state, error, next. null: there was none.
alter table deliveries add column if not exists tries jsonb;

-- A message by which its user tries a channel. It belongs to no reminder, like a verification.
alter table deliveries add column if not exists test boolean not null default false;
drop index concurrently if exists deliveries_tests;
create index concurrently deliveries_tests on deliveries (user_id, created_at) where test;

-- When sweep and cleanup last ended, and what they found, for those who look how the installation does.
create table if not exists runs (
    name      text primary key,
    ended_at  timestamptz not null,
    complete  boolean     not null,
    failed    text[]      not null, -- steps
    sentinel  text        not null,
    pending   int         not null,
    providers jsonb -- that are set up, by channel
);

-- +goose Down
drop table if exists runs;
-- What an earlier version would take for a verification goes.
delete from deliveries where test;
alter table deliveries drop column if exists test;
alter table deliveries drop column if exists tries;
drop index concurrently if exists tasks_recurring;
drop index concurrently if exists tasks_by_due;
