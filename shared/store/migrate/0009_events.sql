-- +goose Up

-- Each fired reminder is also published as an event. The event is a delivery on a channel that
-- users do not choose.
alter table deliveries drop constraint deliveries_channel_check;
alter table deliveries add constraint deliveries_channel_check check (channel in ('in_app', 'email', 'push', 'sms', 'webhook', 'event'));

-- When it should have been planned: at the reminder's instant, or when that was stored if it was in
-- the past by then. null: planned by an earlier version.
alter table deliveries add column due_at timestamptz;

-- The audit log: each event once. An event's id is its delivery's.
create table audit_events (
    event_id    uuid primary key,
    task_id     uuid        not null,
    user_id     text        not null check (char_length(user_id) between 1 and 255),
    task_title  text        not null,
    due_date    timestamptz,
    recorded_at timestamptz not null default now()
);

create index audit_events_by_age on audit_events (recorded_at);

-- Rows are only added. Retention may delete old ones, in a transaction that sets duebell.retention.
-- Privileges can't enforce this, since the functions' user may own the table.
-- +goose StatementBegin
create function audit_events_refuse() returns trigger language plpgsql as $$
begin
    if tg_op = 'DELETE' and current_setting('duebell.retention', true) = 'on' then
        return old;
    end if;
    raise exception 'audit_events is append-only: % is refused', lower(tg_op)
        using errcode = 'insufficient_privilege', hint = 'nightly-cleanup removes what is older than KEEP_AUDIT_EVENTS';
end $$;
-- +goose StatementEnd

create trigger append_only before update or delete on audit_events for each row execute function audit_events_refuse();
create trigger append_only_whole before truncate on audit_events for each statement execute function audit_events_refuse();

-- Ids of events that analytics has counted, so that none counts twice.
create table counted_events (
    event_id   uuid primary key,
    counted_at timestamptz not null default now()
);

create index counted_events_by_age on counted_events (counted_at);

-- Counts by day, in UTC.
create table analytics_reminders (
    day   date   primary key,
    count bigint not null check (count > 0)
);

create table analytics_deliveries (
    day      date   not null,
    channel  text   not null,
    lateness text   not null,
    count    bigint not null check (count > 0),
    primary key (day, channel, lateness)
);

-- +goose Down
drop table analytics_deliveries, analytics_reminders, counted_events, audit_events;
drop function audit_events_refuse;
alter table deliveries drop column due_at;
alter table deliveries drop constraint deliveries_channel_check;
delete from deliveries where channel = 'event';
alter table deliveries add constraint deliveries_channel_check check (channel in ('in_app', 'email', 'push', 'sms', 'webhook'));
