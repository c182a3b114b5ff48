-- +goose Up

-- How many messages were sent, and what they cost, on one day of UTC. A row is for one user and
-- channel, with what was sent in the latest hour; for one recipient and channel, by a keyed
-- hash; or for a part of what the whole installation has spent, which has several rows so that
-- senders seldom wait for each other.
create table quotas (
    day       date   not null,
    kind      text   not null check (kind in ('user', 'recipient', 'cost')),
    channel   text   not null,
    who       text   not null check (char_length(who) <= 255),
    used      bigint not null default 0 check (used >= 0), -- messages, or millionths for a cost
    hour      timestamptz not null default '-infinity',
    hour_used bigint not null default 0 check (hour_used >= 0),
    primary key (day, kind, channel, who)
);

-- What a delivery is counted in: nothing yet (0), its user's day, in which it has a place while
-- it is held (1), everything (2). So a further try, or one after a sender's death, is not counted again.
alter table deliveries
    add column counted smallint not null default 0,
    add constraint deliveries_counted_check check (counted between 0 and 2) not valid; -- no row is read while the table is locked
update deliveries set counted = 2 where state in ('planned', 'sending', 'unknown') and attempts > 0;

-- What is not sent because a limit of this installation is reached, or because of where it goes.
alter table deliveries drop constraint deliveries_state_check;
alter table deliveries add constraint deliveries_state_check
    check (state in ('planned', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown', 'unverified', 'suppressed', 'refused')) not valid;

-- +goose Down
alter table deliveries drop constraint deliveries_state_check;
update deliveries set state = 'failed' where state = 'refused';
alter table deliveries add constraint deliveries_state_check
    check (state in ('planned', 'sending', 'sent', 'failed', 'exhausted', 'cancelled', 'unknown', 'unverified', 'suppressed'));
alter table deliveries drop column counted;
drop table quotas;
