-- +goose Up

-- What a browser shows instead of a token where it can't send a header: once, and
-- soon. Only a hash is kept: who reads this table can't use what is in it.
create table inbox_tickets (
    hash            bytea primary key check (octet_length(hash) = 32),
    -- May be someone of whom there is no row in users yet.
    user_id         text        not null check (char_length(user_id) between 1 and 255),
    expires_at      timestamptz not null,
    -- When the sign-in ends that the ticket was made for, and with it the stream.
    signed_in_until timestamptz not null
);

create index inbox_tickets_expired on inbox_tickets (expires_at);

-- +goose Down
drop table inbox_tickets;
