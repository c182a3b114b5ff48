-- +goose Up

-- When the sign-in with this address was made. An older sign-in does not replace the address.
alter table users add column email_as_of timestamptz not null default '-infinity';

-- +goose Down
alter table users drop column email_as_of;
