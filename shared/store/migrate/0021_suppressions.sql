-- +goose Up

-- Addresses that get nothing more, from anybody. They are kept as a hash with a key that is
-- not here: a row can be found by who knows the address, and names nobody to who does not.
-- A row whose suppression was lifted stays for a while, as a record.
create table suppressions (
    id           uuid primary key,
    channel      text        not null check (channel in ('email', 'sms')),
    -- Of the address as it is, and of the mailbox that it leads to: nothing is sent to the
    -- mailbox, and the address's owner lifts what is on the address.
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

-- What keeps an address from being suppressed twice, and what is asked for each message.
create unique index suppressions_once on suppressions (address_hash) where lifted_at is null;
create index suppressions_in_force on suppressions (mailbox_hash) where lifted_at is null;
create index suppressions_of_mailbox on suppressions (mailbox_hash, id desc);
create index suppressions_lifted on suppressions (lifted_at) where lifted_at is not null;

-- What is not sent because its address is suppressed, or is not verified.
alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check
    check (state in ('planned', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown', 'unverified', 'suppressed')) not valid;

-- +goose Down
update deliveries set state = 'failed' where state = 'suppressed';
drop table suppressions;
