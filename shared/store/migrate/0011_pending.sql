-- +goose Up

-- What is to be scheduled has a column, so that Postgres knows how many there are, and
-- takes their index: by the condition alone it takes them for most of the armed ones,
-- and reads past all those whose jobs Dapr has.
drop index reminders_pending;
alter table reminders add column pending boolean not null
    generated always as (state = 'armed' and confirmed_revision is distinct from revision) stored;
create index reminders_pending on reminders (fire_at) where pending;

-- +goose Down
drop index reminders_pending;
alter table reminders drop column pending;
create index reminders_pending on reminders (fire_at)
    where state = 'armed' and confirmed_revision is distinct from revision;
