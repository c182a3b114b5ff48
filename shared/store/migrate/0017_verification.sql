-- +goose Up

-- Addresses from emails and phones, as they are written there. The owners of verified ones have
-- agreed to messages. Those in grace were listed before verification was set up: they get messages
-- until grace_until. That is null until their owners have been asked.
alter table preferences
    add column verified    text[] not null default '{}' check (cardinality(verified) <= 10),
    add column grace       text[] not null default '{}' check (cardinality(grace) <= 10),
    add column grace_until timestamptz,
    add constraint grace_is_of_addresses check (grace_until is null or cardinality(grace) > 0);
update preferences set grace = emails || phones where cardinality(emails) + cardinality(phones) > 0;

-- For the sweep. Addresses whose owners are still to be asked come first.
create index preferences_in_grace on preferences (grace_until nulls first, user_id) where cardinality(grace) > 0;

-- Requests to the owner of an address to agree. The message's delivery has the same id. The code is
-- not stored: it follows from the id and a key that is not in the database.
create table verifications (
    id           uuid primary key,
    user_id      text        not null references users (id) on delete cascade,
    address      text        not null, -- in the form in which addresses are compared
    address_hash bytea       not null check (octet_length(address_hash) = 16),
    tries        int         not null default 0 check (tries between 0 and 5), -- wrong codes
    -- Until when the code and the link are valid. Each attempt to send the message extends both.
    code_until   timestamptz not null,
    link_until   timestamptz not null,
    created_at   timestamptz not null default now()
);

create index verifications_of_user on verifications (user_id, address, id desc);
create index verifications_of_address on verifications (address_hash);
create index verifications_by_age on verifications (created_at);

-- Planned messages, for limits that hold for all users together. Address, user and network are
-- hashes with a key that is not in the database.
create table verification_messages (
    id           uuid primary key,
    address_hash bytea       not null check (octet_length(address_hash) = 16),
    user_hash    bytea       not null check (octet_length(user_hash) = 16),
    network_hash bytea       check (octet_length(network_hash) = 16), -- null: no limit of a network
    counted_at   timestamptz not null default now()
);

create index verification_messages_to on verification_messages (address_hash, counted_at desc);
create index verification_messages_for on verification_messages (user_hash, counted_at desc);
create index verification_messages_from on verification_messages (network_hash, counted_at desc);
create index verification_messages_by_age on verification_messages (counted_at);

-- Addresses whose owners have answered "not me". Nobody asks them again until they undo that.
create table verification_refusals (
    address_hash bytea primary key check (octet_length(address_hash) = 16),
    refused_at   timestamptz not null default now()
);

-- A delivery without a reminder carries a verification.
alter table deliveries
    alter column reminder_id drop not null,
    alter column task_id drop not null,
    add constraint reminder_has_a_task check ((reminder_id is null) = (task_id is null)) not valid; -- true of all rows; "not valid" avoids reading them while the table is locked

-- The state of a delivery that is not sent because its address is not verified.
alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check
    check (state in ('planned', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown', 'unverified', 'suppressed')) not valid;

-- A notification may be about no task.
alter table notifications alter column task_id drop not null;

-- +goose Down
delete from notifications where task_id is null;
alter table notifications alter column task_id set not null;
alter table deliveries drop constraint deliveries_state_check;
update deliveries set state = 'failed' where state in ('unverified', 'suppressed');
alter table deliveries add constraint deliveries_state_check
    check (state in ('planned', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown'));
alter table deliveries drop constraint reminder_has_a_task;
delete from deliveries where reminder_id is null;
alter table deliveries alter column reminder_id set not null, alter column task_id set not null;
drop table verification_refusals, verification_messages, verifications;
alter table preferences drop column verified, drop column grace, drop column grace_until;
