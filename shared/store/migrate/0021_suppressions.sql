-- +goose Up

-- Addresses that nothing is sent to, whoever asks. A row has hashes with a key that is not in the
-- database. So an address can be looked up, but not read. A lifted suppression is kept for a while
-- as a record.
create table suppressions (
    id           uuid primary key,
    channel      text        not null check (channel in ('email', 'sms')),
    -- address_hash is of the suppressed address; its owner lifts the suppression by that.
    -- mailbox_hash is looked up for each message. It is of the address's mailbox, or of the address
    -- alone after a bounce.
    address_hash bytea       not null check (octet_length(address_hash) = 32),
    mailbox_hash bytea       not null check (octet_length(mailbox_hash) = 32),
    reason       text        not null check (reason in ('unsubscribed', 'bounced', 'complained', 'stopped', 'operator')),
    note         text        not null default '' check (char_length(note) <= 500), -- an operator's
    added_by     text        not null check (char_length(added_by) between 1 and 300),
    since        timestamptz not null default now(),
    lifted_at    timestamptz,
    lifted_by    text check (char_length(lifted_by) between 1 and 300),
    lift_note    text        not null default '' check (char_length(lift_note) <= 500),
    constraint lifted_by_somebody check ((lifted_at is null) = (lifted_by is null))
);

-- suppressions_once keeps an address from being suppressed twice. Each message is looked up in
-- suppressions_in_force.
create unique index suppressions_once on suppressions (address_hash) where lifted_at is null;
create index suppressions_in_force on suppressions (mailbox_hash) where lifted_at is null;
create index suppressions_of_mailbox on suppressions (mailbox_hash, id desc);
create index suppressions_lifted on suppressions (lifted_at) where lifted_at is not null;

-- The state of a delivery that is not sent because its address is suppressed.
alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check
    check (state in ('planned', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown', 'unverified', 'suppressed')) not valid;

-- +goose Down
update deliveries set state = 'failed' where state = 'suppressed';
drop table suppressions;
