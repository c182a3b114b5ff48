-- +goose Up

-- What waits to be sent has an index for each lane: one that is full of deliveries to a
-- host that hangs is not read for what the others want.
create index deliveries_due_hosts on deliveries (next_attempt_at)
    where state in ('planned', 'sending', 'unknown') and channel = 'webhook';
create index deliveries_due_providers on deliveries (next_attempt_at)
    where state in ('planned', 'sending', 'unknown') and channel in ('email', 'push', 'sms');
create index deliveries_due_events on deliveries (next_attempt_at)
    where state in ('planned', 'sending', 'unknown') and channel = 'event';
drop index deliveries_due;

-- The trace of the request or job that has led to it, as W3C Trace Context has it.
alter table deliveries add column traceparent text check (char_length(traceparent) <= 55);

-- +goose Down
alter table deliveries drop column traceparent;
create index deliveries_due on deliveries (next_attempt_at) where state in ('planned', 'sending', 'unknown');
drop index deliveries_due_hosts, deliveries_due_providers, deliveries_due_events;
