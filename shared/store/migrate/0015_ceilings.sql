-- +goose Up

-- For a user's ceilings: the armed reminders, by when they are due.
create index reminders_of_user on reminders (user_id, fire_at) where state = 'armed';

-- How many tasks a user has imported since import_since. The count starts again after an hour.
alter table users
    add column import_rows  bigint      not null default 0 check (import_rows >= 0),
    add column import_since timestamptz not null default '-infinity';

-- The bytes of the stored answer.
alter table idempotency_keys add column size int not null generated always as (octet_length(answer)) stored;

-- +goose Down
alter table idempotency_keys drop column size;
alter table users drop column import_rows, drop column import_since;
drop index reminders_of_user;
