-- +goose NO TRANSACTION
-- Not one transaction, because an index is built without blocking writers. Each statement can be
-- run again.

-- +goose Up
-- Quiet hours do not hold the task's reminders.
alter table tasks add column if not exists urgent boolean not null default false;

-- Windows in which nothing is sent on external channels: [{"from": "22:00", "to": "07:00", "days":
-- ["mo"]}]. null: none.
alter table preferences add column if not exists quiet_hours jsonb;

-- Why an open delivery is held, or why a delivery was cancelled.
alter table deliveries add column if not exists reason text;
alter table deliveries drop constraint if exists deliveries_reason_check;
alter table deliveries add constraint deliveries_reason_check
    check (char_length(reason) <= 40) not valid;

-- Deliveries that quiet hours hold. They are judged again when the quiet hours change, and newer
-- ones replace them.
drop index concurrently if exists deliveries_held;
create index concurrently deliveries_held on deliveries (user_id) where reason = 'quiet_hours';

-- +goose Down
-- Held deliveries are sent.
update deliveries set next_attempt_at = now() where reason = 'quiet_hours';
drop index concurrently if exists deliveries_held;
alter table deliveries drop constraint if exists deliveries_reason_check;
alter table deliveries drop column if exists reason;
alter table preferences drop column if exists quiet_hours;
alter table tasks drop column if exists urgent;
