-- +goose Up

-- An index of due deliveries for each lane. A lane full of deliveries to a host that hangs does not
-- slow the others' queries.
create index deliveries_due_hosts on deliveries (next_attempt_at)
    where state in ('planned', 'sending', 'unknown') and channel = 'webhook';
create index deliveries_due_providers on deliveries (next_attempt_at)
    where state in ('planned', 'sending', 'unknown') and channel in ('email', 'push', 'sms');
create index deliveries_due_events on deliveries (next_attempt_at)
    where state in ('planned', 'sending', 'unknown') and channel = 'event';
drop index deliveries_due;

-- The trace of the request or job that planned it, as a W3C traceparent.
alter table deliveries add column traceparent text check (char_length(traceparent) <= 55);

-- +goose Down
alter table deliveries drop column traceparent;
create index deliveries_due on deliveries (next_attempt_at) where state in ('planned', 'sending', 'unknown');
drop index deliveries_due_hosts, deliveries_due_providers, deliveries_due_events;
