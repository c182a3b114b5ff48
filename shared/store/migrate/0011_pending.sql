-- +goose Up

-- A generated column lets Postgres estimate how many reminders are pending, and choose their index.
-- Without it, Postgres takes most armed reminders for pending, and reads all of those whose jobs
-- are confirmed.
drop index reminders_pending;
alter table reminders add column pending boolean not null
    generated always as (state = 'armed' and confirmed_revision is distinct from revision) stored;
create index reminders_pending on reminders (fire_at) where pending;

-- +goose Down
drop index reminders_pending;
alter table reminders drop column pending;
create index reminders_pending on reminders (fire_at)
    where state = 'armed' and confirmed_revision is distinct from revision;
