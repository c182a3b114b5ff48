-- +goose Up

-- How many messages were sent on a day in UTC, and what they cost. There are rows of three kinds.
-- user: one user and channel, also counting the latest hour. recipient: one recipient, by a keyed
-- hash, and channel. cost: a part of what the installation has spent; several parts keep senders
-- from waiting for each other.
create table quotas (
    day       date   not null,
    kind      text   not null check (kind in ('user', 'recipient', 'cost')),
    channel   text   not null,
    who       text   not null check (char_length(who) <= 255),
    used      bigint not null default 0 check (used >= 0), -- messages; for cost, millionths
    hour      timestamptz not null default '-infinity',
    hour_used bigint not null default 0 check (hour_used >= 0),
    primary key (day, kind, channel, who)
);

-- Where the delivery is counted: nowhere yet (0); in its user's day, where it keeps its place while
-- it is held (1); everywhere (2). So a further attempt is not counted again, also after a sender's
-- death.
alter table deliveries
    add column counted smallint not null default 0,
    add constraint deliveries_counted_check check (counted between 0 and 2) not valid; -- "not valid" avoids reading the rows while the table is locked
update deliveries set counted = 2 where state in ('planned', 'sending', 'unknown') and attempts > 0;

-- The state of a delivery that is not sent because of a limit, or because of the number it goes to.
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
