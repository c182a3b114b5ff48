-- +goose NO TRANSACTION
-- The index is built without keeping anybody from writing, so this is not one transaction. Each
-- statement can run again, should the one after it fail.

-- +goose Up
-- Told at once, also in its user's quiet hours.
alter table tasks add column if not exists urgent boolean not null default false;

-- Times of day in which nothing external is sent: [{"from": "22:00", "to": "07:00", "days": ["mo"]}].
-- null: there are none.
alter table preferences add column if not exists quiet_hours jsonb;

-- Why a delivery is held, while it is open; or why it was cancelled.
alter table deliveries add column if not exists reason text;
alter table deliveries drop constraint if exists deliveries_reason_check;
alter table deliveries add constraint deliveries_reason_check
    check (char_length(reason) <= 40) not valid;

-- What quiet hours hold: to be judged again when these change, and to be replaced by what is newer.
drop index concurrently if exists deliveries_held;
create index concurrently deliveries_held on deliveries (user_id) where reason = 'quiet_hours';

-- +goose Down
-- What is held goes out.
update deliveries set next_attempt_at = now() where reason = 'quiet_hours';
drop index concurrently if exists deliveries_held;
alter table deliveries drop constraint if exists deliveries_reason_check;
alter table deliveries drop column if exists reason;
alter table preferences drop column if exists quiet_hours;
alter table tasks drop column if exists urgent;
