-- +goose NO TRANSACTION
-- Nothing here keeps others waiting for long, so it is not one transaction. Each statement can
-- run again, should the one after it fail.

-- +goose Up

-- Browsers' push services are hosts that users choose: what is due for them is in the index of
-- the lane of webhooks, too. The index of providers still has it as well, so that the functions of
-- before, which know no browsers, read both lanes by an index.
drop index concurrently if exists deliveries_due_chosen;
create index concurrently deliveries_due_chosen on deliveries (next_attempt_at)
    where state in ('planned', 'sending', 'unknown') and (channel = 'webhook' or channel = 'push' and target like 'webpush:%');
drop index concurrently if exists deliveries_due_hosts;
alter index deliveries_due_chosen rename to deliveries_due_hosts;

-- +goose Down
drop index concurrently if exists deliveries_due_chosen;
create index concurrently deliveries_due_chosen on deliveries (next_attempt_at)
    where state in ('planned', 'sending', 'unknown') and channel = 'webhook';
drop index concurrently if exists deliveries_due_hosts;
alter index deliveries_due_chosen rename to deliveries_due_hosts;
