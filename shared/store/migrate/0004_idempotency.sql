-- +goose Up

-- Answers to requests with an Idempotency-Key, kept for a day.
create table idempotency_keys (
    user_id    text        not null references users (id),
    key        text        not null check (char_length(key) between 1 and 255),
    request    bytea       not null check (octet_length(request) = 32), -- SHA-256 of the request
    answer     text        not null,
    created_at timestamptz not null default now(),
    primary key (user_id, key)
);

create index idempotency_keys_by_age on idempotency_keys (created_at);

-- +goose Down
drop table idempotency_keys;
