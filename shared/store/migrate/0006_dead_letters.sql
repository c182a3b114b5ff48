-- +goose Up

-- Deliveries that failed and are retried or given up, and malformed callbacks.
create table dead_letters (
    id          uuid primary key,
    state       text        not null check (state in ('retrying', 'dead', 'resolved', 'discarded')),
    job_name    text        not null,
    data        text        not null check (octet_length(data) <= 65536), -- what the job carried
    error       text        not null,
    attempts    int         not null check (attempts > 0),
    delivery_id uuid unique references deliveries (id) on delete cascade, -- null: a malformed callback
    -- A malformed callback that comes again is counted, not stored again.
    data_hash   text generated always as (md5(data)) stored,
    alerted_at  timestamptz, -- when the operators were alerted
    created_at  timestamptz not null default now(),
    updated_at  timestamptz not null default now(),
    constraint malformed_is_never_retried check (delivery_id is not null or state in ('dead', 'discarded'))
);

create index dead_letters_by_state on dead_letters (state, id desc);
create index dead_letters_unalerted on dead_letters (id) where state = 'dead' and alerted_at is null;
create unique index dead_letters_malformed on dead_letters (job_name, data_hash) where delivery_id is null;

-- +goose Down
drop table dead_letters;
