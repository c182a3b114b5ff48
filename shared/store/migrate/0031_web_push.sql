-- +goose NO TRANSACTION
-- Not one transaction, so that no statement blocks others for long. Each statement can be run
-- again.

-- +goose Up

-- A browser's push service is a host that its user chose, so its deliveries are in the index of
-- lane hosts. They stay in the index of lane providers, too: functions of the version before, which
-- do not know browsers, use that.
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
