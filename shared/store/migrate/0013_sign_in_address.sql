-- +goose Up

-- When the sign-in that told a user's address was made: one that is older does not bring
-- another address back.
alter table users add column email_as_of timestamptz not null default '-infinity';

-- +goose Down
alter table users drop column email_as_of;
