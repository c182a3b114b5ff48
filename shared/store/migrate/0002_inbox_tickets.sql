-- +goose Up

-- A ticket replaces the token where a browser can't send a header. It is valid once, and for a
-- short time. Only its hash is stored, so reading this table admits nobody.
create table inbox_tickets (
    hash            bytea primary key check (octet_length(hash) = 32),
    -- There may be no row in users yet.
    user_id         text        not null check (char_length(user_id) between 1 and 255),
    expires_at      timestamptz not null,
    -- When the sign-in of the ticket expires. The stream ends then, too.
    signed_in_until timestamptz not null
);

create index inbox_tickets_expired on inbox_tickets (expires_at);

-- +goose Down
drop table inbox_tickets;
