-- +goose Up

-- What is counted for the ceilings of one user: the reminders that wait, by when they are due.
create index reminders_of_user on reminders (user_id, fire_at) where state = 'armed';

-- How many tasks a user has imported since an instant; an hour later it begins anew.
alter table users
    add column import_rows  bigint      not null default 0 check (import_rows >= 0),
    add column import_since timestamptz not null default '-infinity';

-- What a kept answer takes up.
alter table idempotency_keys add column size int not null generated always as (octet_length(answer)) stored;

-- +goose Down
alter table idempotency_keys drop column size;
alter table users drop column import_rows, drop column import_since;
drop index reminders_of_user;
